"""The body of one kernel: what it takes, what it gives, and its nested module in destination style."""

from __future__ import annotations

from collections.abc import Set

from neomlir.mlir import ir
from neomlir.passes.dataflow import CHEAP, MATERIALIZE, Block, is_tensor
from neomlir.passes.loops import LOOP


def destination_operands(op: ir.Operation) -> int:
    """How many of the last operands of `op` are destinations of its results, in order."""
    return len(op.results) if op.name.startswith(("linalg.", "forest.")) or op.name == MATERIALIZE else 0


def empty_of(block: Block, value: ir.Value) -> ir.Operation | None:
    """The `tensor.empty` that gives the result `value` its memory and extents, directly or through a fill."""
    op = block.made_by(value)
    if op is None:
        return None
    if op.name == "tensor.empty":
        return op
    if destination_operands(op) == 0:
        return None
    position = len(op.operands) - len(op.results) + list(op.results).index(value)
    init = block.made_by(op.operands[position])
    if init is not None and init.name == "linalg.fill":
        init = block.made_by(init.operands[1])
    return init if init is not None and init.name == "tensor.empty" else None


def destination(block: Block, value: ir.Value, values: dict[ir.Value, ir.Value], at: ir.InsertionPoint) -> ir.Value:
    """A `tensor.empty` in the host function for the result `value` of a kernel."""
    empty = empty_of(block, value)
    extents = [] if empty is None else [values[v] for v in empty.operands]
    return ir.Operation.create("tensor.empty", results=[value.type], operands=extents, ip=at).results[0]


class KernelBody:
    """A group of operations read as a kernel: `inputs` and `outputs` are values of the host function."""

    def __init__(self, block: Block, members: list[int], cloned: Set[int] = frozenset()) -> None:
        """Find what the group reads from outside and what others read of it; `cloned` are views it has of its own."""
        self.block = block
        self.members = members
        inside = set(members)
        made = {result for m in members for result in block.ops[m].results}
        self.outputs = [
            result
            for m in members
            for result in block.ops[m].results
            if any(user not in inside for user in block.users.get(result, ()))
        ]
        inputs: dict[ir.Value, None] = {}

        def need(value: ir.Value) -> None:
            maker = block.made_by(value)
            if value in made:
                return
            if maker is not None and (maker.name in CHEAP or block.maker[value] in cloned):
                for operand in maker.operands:
                    need(operand)
            else:
                inputs.setdefault(value)

        for m in members:
            written = [v for v in block.ops[m].results if v in self.outputs and empty_of(block, v) is not None]
            skipped = {
                block.ops[m].operands[len(block.ops[m].operands) - len(block.ops[m].results) + i]
                for i, v in enumerate(block.ops[m].results)
                if v in written
            }
            for value in block.reads[m]:
                if self._is_held_inside(m) and value != block.ops[m].operands[0]:
                    continue
                if value in skipped:
                    fill = block.made_by(value)
                    if fill is not None and fill.name == "linalg.fill":
                        need(fill.operands[0])
                else:
                    need(value)
        self.inputs = list(inputs)

    def _is_held_inside(self, number: int) -> bool:
        """Whether an operation only says where a tensor goes that does not leave the kernel."""
        op = self.block.ops[number]
        return op.name == MATERIALIZE and op.results[0] not in self.outputs

    def text(self) -> str:
        """The nested module that defines the kernel, under the name `@__kernel`."""
        results = [value.type for value in self.outputs]
        types = [value.type for value in self.inputs] + results
        module = ir.Module.create()
        module.operation.attributes["neo.kernel"] = ir.UnitAttr.get()
        function = ir.Operation.create(
            "func.func",
            regions=1,
            attributes={
                "sym_name": ir.StringAttr.get("__kernel"),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, results)),
            },
            ip=ir.InsertionPoint(module.body),
        )
        entry = ir.Block.create_at_start(function.regions[0], types)
        self._values = dict(zip(self.inputs, entry.arguments, strict=False))
        self._destinations = dict(zip(self.outputs, list(entry.arguments)[len(self.inputs) :], strict=True))
        self._at = ir.InsertionPoint(entry)
        for m in self.members:
            self._clone(m)
        if any(self.block.ops[m].name == LOOP for m in self.members):
            # What a loop starts from is not the kernel's to write over.
            kept = ir.DictAttr.get({"bufferization.writable": ir.BoolAttr.get(False)})
            none = ir.DictAttr.get({})
            inputs = [kept if is_tensor(value) else none for value in self.inputs]
            function.attributes["arg_attrs"] = ir.ArrayAttr.get([*inputs, *[none] * len(self.outputs)])
        returned = [self._values[value] for value in self.outputs]
        ir.Operation.create("func.return", operands=returned, ip=self._at)
        return str(module)

    def _get(self, value: ir.Value) -> ir.Value:
        """The kernel's own copy of `value`; constants, fills, empty tensors, and views are cloned where read."""
        if value in self._values:
            return self._values[value]
        maker = self.block.made_by(value)
        operands = [self._get(operand) for operand in maker.operands]
        clone = maker.clone(ip=self._at)
        for i, operand in enumerate(operands):
            clone.operands[i] = operand
        if not is_tensor(value) or maker.name not in CHEAP:
            self._values[value] = clone.results[0]
        return clone.results[0]

    def _clone(self, number: int) -> None:
        op = self.block.ops[number]
        if self._is_held_inside(number):
            self._values[op.results[0]] = self._get(op.operands[0])
            return
        first = len(op.operands) - destination_operands(op)
        operands, written = [], set()
        for i, value in enumerate(op.operands):
            result = op.results[i - first] if i >= first else None
            if result is not None and result in self._destinations and empty_of(self.block, result) is not None:
                written.add(result)
                operands.append(self._destination(value, self._destinations[result]))
            else:
                operands.append(self._get(value))
        captured = {v: self._get(v) for v in self.block.reads[number] if v not in set(op.operands)}
        clone = op.clone(ip=self._at)
        for i, operand in enumerate(operands):
            clone.operands[i] = operand
        if captured or (len(op.regions) and op.name != "linalg.generic"):
            captured.update({v: operands[i] for i, v in enumerate(op.operands)})
        if captured:
            _remap_regions(clone, captured)
        for result, new in zip(op.results, clone.results, strict=True):
            self._values[result] = new
            if result in self._destinations and result not in written:
                self._values[result] = ir.Operation.create(
                    MATERIALIZE, results=[result.type], operands=[new, self._destinations[result]], ip=self._at
                ).results[0]

    def _destination(self, init: ir.Value, target: ir.Value) -> ir.Value:
        fill = self.block.made_by(init)
        if fill.name != "linalg.fill":
            return target
        scalar = self._get(fill.operands[0])
        clone = fill.clone(ip=self._at)
        clone.operands[0], clone.operands[1] = scalar, target
        return clone.results[0]


def _remap_regions(op: ir.Operation, values: dict[ir.Value, ir.Value]) -> None:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                for i, value in enumerate(inner.operation.operands):
                    if value in values:
                        inner.operation.operands[i] = values[value]
                _remap_regions(inner.operation, values)
