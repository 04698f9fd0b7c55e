"""A loop over steps as its schedule sees it: what is carried, what a step reads, and in which order it computes."""

from __future__ import annotations

from collections.abc import Container

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.kernel import DYNAMIC, Generic, Kernel

_WHOLE = 16
"""Rows of a batch that are one block, at most; more of them are cut into equal ones."""


class Step:
    """The body of a loop of a kernel: this changes the kernel.

    Slices at a step's row become static ones of that row. Where the first dimension of all states is the batch, and
    its rows do not meet, the body becomes that for a block of them.
    """

    def __init__(self, kernel: Kernel, loop: ir.Operation, blocked: bool):
        """`blocked`: whether a batch may be cut into blocks."""
        self.kernel, self.loop = kernel, loop
        self.body = self.loop.regions[0].blocks[0]
        self.index, *self.states = self.body.arguments
        if any(not isinstance(state.type, ir.RankedTensorType) for state in self.states):
            raise NotApplicable("what is carried is no tensor")
        self.first = dict(zip(self.states, list(self.loop.operands)[3:], strict=True))
        *ops, end = [op.operation for op in self.body.operations]
        self.new = dict(zip(self.states, end.operands, strict=True))
        self.outputs: dict[ir.Value, ir.Value] = {}
        """The number of the row that a step writes of each state that is never read."""
        for state, value in self.new.items():
            self._find_output(state, value)
        self.batched = next((state for state in self.states if state not in self.outputs), None)
        self.block = self._block() if blocked else 0
        """Rows of the batch that are computed together; 0 where that is no dimension, or all of it."""
        self.rows: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        """Rows of tensors, by what a step calls them: the tensor, and the number of the row."""
        self._narrow(ops)
        self.ops = [op.operation for op in self.body.operations][:-1]
        self.generics = {r: Generic(op) for op in self.ops if op.name == "linalg.generic" for r in op.results}
        if self.block:
            self._expect_rows_apart()
        self.stages: list[ir.Value] = []
        """What is computed before the new states, in this order: products, and their factors."""
        for value, generic in self.generics.items():
            if any(generic.reduction):
                factors = [v for v in generic.inputs if v in self.generics]
                self.stages += [v for v in [*factors, value] if v not in self.stages]

    def _find_output(self, state: ir.Value, value: ir.Value) -> None:
        """Take a state that only gets a row a step for an output."""
        op = None if isinstance(value.owner, ir.Block) else value.owner.operation
        if op is None or op.name != "tensor.insert_slice" or op.operands[1] != state:
            return
        number, made = _row(op), self.first[state].owner
        if number is None or len(list(state.uses)) > 1 or len(list(value.uses)) > 1:
            raise NotApplicable("what is carried is read and written in parts")
        part, whole = (ir.RankedTensorType(op.operands[i].type).shape for i in (0, 1))
        if isinstance(made, ir.Block) or made.name != "tensor.empty" or list(part) != list(whole)[1:]:
            raise NotApplicable("a step writes less than a row")
        self.outputs[state] = number
        self.new[state] = op.operands[0]

    # A block of the batch.

    def _block(self) -> int:
        states = [ir.RankedTensorType(state.type) for state in self.states if state not in self.outputs]
        if not states or any(kind.rank != 2 for kind in states):
            return 0
        if states[0].is_dynamic_dim(0):
            return 1
        size = states[0].get_dim_size(0)
        best = max(n for n in range(1, _WHOLE + 1) if size % n == 0)
        return 0 if size <= _WHOLE or best < _WHOLE // 2 else best

    def _narrow(self, ops: list[ir.Operation]) -> None:
        """Write slices as static ones of rows, and all that has a batch with the block's extent."""
        rows: dict[tuple[ir.Value, ir.Value], ir.Value] = {}
        if self.block:
            for state in self.states:
                if state not in self.outputs:
                    state.set_type(self._narrowed(state.type))
        for op in ops:
            at = ir.InsertionPoint(op)
            if op.name == "tensor.extract_slice":
                source, number = op.operands[0], _row(op)
                offsets, sizes = (list(op.attributes[f"static_{name}"]) for name in ("offsets", "sizes"))
                kind = ir.RankedTensorType(op.results[0].type)
                if number is not None:
                    if (source, number) not in rows:
                        whole = ir.RankedTensorType(source.type)
                        row = self._narrowed(ir.RankedTensorType.get(whole.shape[1:], whole.element_type))
                        # It stands for the row; what reads it is given a buffer.
                        rows[source, number] = ir.Operation.create(
                            "builtin.unrealized_conversion_cast", results=[row], operands=[source, number], ip=at
                        ).results[0]
                        self.rows[rows[source, number]] = source, number
                    source, offsets, sizes = rows[source, number], offsets[1:], sizes[1:]
                if self.block and len(sizes) == 2:
                    sizes[0] = self.block
                part = _slice(source, offsets, sizes, at)
                if part.type != self._narrowed(kind):
                    raise NotApplicable("a slice drops more than the number of its row")
                op.results[0].replace_all_uses_with(part)
                op.erase()
            elif self.block and op.name in ("linalg.generic", "linalg.fill", "tensor.empty"):
                self._narrow_results(op, at)

    def _narrow_results(self, op: ir.Operation, at: ir.InsertionPoint) -> None:
        types = [self._narrowed(r.type) for r in op.results]
        if op.name == "tensor.empty":
            if list(types) != [r.type for r in op.results]:
                op.results[0].replace_all_uses_with(_empty(types[0], at))
            return
        for result, kind in zip(op.results, types, strict=True):
            result.set_type(kind)
        first = len(op.operands) - len(types)
        for i, kind in enumerate(types):
            init = op.operands[first + i].owner
            if not isinstance(init, ir.Block) and init.name in ("tensor.empty", "linalg.fill"):
                op.operands[first + i] = _start(init.operation, kind, at)

    def _narrowed(self, kind: ir.Type) -> ir.Type:
        if not self.block or not isinstance(kind, ir.RankedTensorType) or kind.rank != 2:
            return kind
        return ir.RankedTensorType.get([self.block, kind.shape[1]], kind.element_type)

    def _expect_rows_apart(self) -> None:
        """Raise NotApplicable unless each operation computes a row of the batch from the same row of what has one."""
        of_batch = {*self.states, *self.rows, *(r for op in self.ops for r in op.results)}
        for generic in self.generics.values():
            for operand, m in zip(generic.operands, generic.maps, strict=True):
                uses = [i for i, e in enumerate(m.results) if uses_first(e)]
                inside = operand in of_batch
                plain = uses == [0] and isinstance(m.results[0], ir.AffineDimExpr)
                if generic.reduction[0] or (inside and not plain) or (uses and not plain):
                    raise NotApplicable("rows of the batch meet")
                if plain and not inside and isinstance(operand.type, ir.RankedTensorType) and len(m.results) > 1:
                    raise NotApplicable("a row of the batch has weights of its own")

    # What a part of a step reads.

    def is_product(self, value: ir.Value) -> bool:
        """Whether a stage reduces."""
        return any(self.generics[value].reduction)

    def reads(self, wanted: list[ir.Value], held: Container[ir.Value]) -> list[ir.Value]:
        """Rows, numbers, and values that are `held` in memory, from which a step computes `wanted`."""
        found: dict[ir.Value, None] = {}
        ops = set(self.ops)

        def visit(value: ir.Value) -> None:
            if value in self.rows or value == self.index or value in held:
                found.setdefault(value)
            elif not isinstance(value.owner, ir.Block) and value.owner.operation in ops:
                if isinstance(value.type, ir.RankedTensorType):
                    step_into(value.owner.operation)
                else:
                    found.setdefault(value)

        def step_into(op: ir.Operation) -> None:
            for operand in op.operands:
                visit(operand)
            for region in op.regions:
                for inner in region.blocks[0].operations:
                    step_into(inner.operation)

        for value in wanted:
            if not isinstance(value.owner, ir.Block):
                step_into(value.owner.operation)
            elif value in held:
                found.setdefault(value)
        return list(found)

    def expect_in_place(self, wanted: list[ir.Value]) -> None:
        """Raise NotApplicable unless one operation gives all of `wanted` and reads states where it writes them."""
        if any(v not in self.generics for v in wanted) or len({self.generics[v].op for v in wanted}) != 1:
            raise NotApplicable("new states are not computed together")
        generic, held = self.generics[wanted[0]], {*self.states, *self.stages}
        for operand, m in zip(generic.operands, generic.maps, strict=True):
            if operand in self.states:
                if m != generic.maps[-1]:
                    raise NotApplicable("a state is read elsewhere than where it is written")
            elif operand not in self.stages and any(v in self.states for v in self.reads([operand], held)):
                raise NotApplicable("a state is read through another operation")


def _row(op: ir.Operation) -> ir.Value | None:
    """The number of the row that a slice takes or puts: its first dimension, at a place that is computed; the others
    start at places that are known, and are whole where their extent is not."""
    offsets, sizes = list(op.attributes["static_offsets"]), list(op.attributes["static_sizes"])
    if not offsets or offsets[0] != DYNAMIC or sizes[0] != 1 or DYNAMIC in offsets[1:]:
        return None
    if any(n != 1 for n in op.attributes["static_strides"]):
        return None
    if any(n == DYNAMIC and offset for n, offset in zip(sizes, offsets, strict=True)):
        return None
    return op.operands[1 if op.name == "tensor.extract_slice" else 2]


def uses_first(expr: ir.AffineExpr) -> bool:
    """Whether an expression reads the first loop."""
    if isinstance(expr, ir.AffineDimExpr):
        return expr.position == 0
    if isinstance(expr, ir.AffineBinaryExpr):
        return uses_first(expr.lhs.maybe_downcast()) or uses_first(expr.rhs.maybe_downcast())
    return False


def _empty(kind: ir.Type, at: ir.InsertionPoint) -> ir.Value:
    return ir.Operation.create("tensor.empty", results=[kind], ip=at).results[0]


def _start(init: ir.Operation, kind: ir.Type, at: ir.InsertionPoint) -> ir.Value:
    """What `init`, an empty tensor or one that is filled, is for a result of type `kind`."""
    if init.name == "tensor.empty":
        return _empty(kind, at)
    fill = init.clone(ip=at).operation
    fill.operands[1] = _empty(kind, at)
    fill.results[0].set_type(kind)
    return fill.results[0]


def _slice(source: ir.Value, offsets: list[int], sizes: list[int], at: ir.InsertionPoint) -> ir.Value:
    """A static slice. Raises NotApplicable where it would not be."""
    if DYNAMIC in [*offsets, *sizes]:
        raise NotApplicable("a slice in a step is not static")
    kind = ir.RankedTensorType.get(sizes, ir.RankedTensorType(source.type).element_type)
    return ir.Operation.create(
        "tensor.extract_slice",
        results=[kind],
        operands=[source],
        attributes={
            "static_offsets": ir.DenseI64ArrayAttr.get(offsets),
            "static_sizes": ir.DenseI64ArrayAttr.get(sizes),
            "static_strides": ir.DenseI64ArrayAttr.get([1] * len(offsets)),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
        },
        ip=at,
    ).results[0]
