"""A kernel taken apart: some of its operations as a kernel of their own, scheduled into the same function."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.evaluate import Evaluator
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import MERGED, Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.memory import Memory


def cut(kernel: Kernel, given: list[ir.Value], wanted: list[ir.Value], inside: Sequence[ir.Operation] = ()) -> Kernel:
    """What computes `wanted` from the kernel's arguments and the values `given`, in a new function beside the kernel's.

    Its arguments are those of the kernel, then `given`, then a destination for each of `wanted`. `inside` are
    operations of a loop of the kernel that may be part of it.
    """
    old = kernel.func
    ops = [*(o.operation for o in old.regions[0].blocks[0].operations), *inside]
    known = {result for op in ops for result in op.results}
    types = [v.type for v in (*kernel.args, *given, *wanted)]
    results = [v.type for v in wanted]
    func = ir.Operation.create(
        "func.func",
        regions=1,
        attributes={
            "sym_name": ir.StringAttr.get("__part", old.context),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, results, old.context)),
        },
        loc=old.location,
        ip=ir.InsertionPoint(old),
    )
    block = func.regions[0].blocks.append(*types, arg_locs=[old.location] * len(types))
    values = dict(zip((*kernel.args, *given), block.arguments, strict=False))
    needed: set[ir.Operation] = set()

    def need(value: ir.Value) -> None:
        if value in values or isinstance(value.owner, ir.Block):
            return
        op = value.owner.operation
        if op not in needed:
            needed.add(op)
            for operand in op.operands:
                need(operand)
            for region in op.regions:
                for inner in (o for b in region.blocks for o in b.operations):
                    for operand in inner.operation.operands:
                        if operand in known:
                            need(operand)

    for value in wanted:
        need(value)
    at = ir.InsertionPoint(block)
    for op in ops:
        if op in needed:
            clone = op.clone(ip=at)
            _rename(clone, values)
            values.update(zip(op.results, clone.results, strict=True))
    ir.Operation.create("func.return", operands=[values[v] for v in wanted], loc=old.location, ip=at)
    return Kernel.read(func)


def _rename(op: ir.Operation, values: dict[ir.Value, ir.Value]) -> None:
    for i, operand in enumerate(op.operands):
        if operand in values:
            op.operands[i] = values[operand]
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                _rename(inner.operation, values)


class Windows(Memory):
    """Buffers of which some hold rows of a tensor's last dimensions, two or one, at one place of the others."""

    def __init__(self, builder, arguments: dict[ir.Value, ir.Value], windows: dict[ir.Value, int]):
        """`windows`: the rank of the tensor of which a buffer holds a part."""
        super().__init__(builder, arguments)
        self.windows = windows
        self.low = Index()
        """The row of the tensor that is the first in these buffers."""

    def _merged(self, buffer: ir.Value, indices: tuple[Index, ...]) -> tuple[ir.Value, tuple[Index, ...]]:
        if self.windows.get(buffer) != len(indices):
            return super()._merged(buffer, indices)
        if any(MERGED in index.terms for index in indices):
            raise NotApplicable("dimensions of a window are walked together")
        if ir.MemRefType(buffer.type).rank == 1:
            return buffer, (indices[-1] + self.low * -1,)
        return buffer, (indices[-2] + self.low * -1, indices[-1])


class PartFrame(Frame):
    """A part of a kernel in the function of the whole: `buffers` are those of its last arguments."""

    def __init__(self, whole: Frame, part: Kernel, buffers: list[ir.Value], windows: dict[ir.Value, int]):
        self.kernel, self.machine, self.func, self.block, self.b = part, whole.machine, whole.func, whole.block, whole.b
        known = [whole.memory.of(a) for a in whole.kernel.args]
        arguments = dict(zip(part.args, [*known, *buffers], strict=True))
        self.memory = Windows(self.b, arguments, windows)
        self.evaluator = Evaluator(self.b, part, self.memory)
