"""The schedule of a loop over steps: the products and the arithmetic of a step one after the other, in one kernel.

What a step computes on the way stays in scratch memory, and states stay where the last step leaves them, so that a step
is no call, and reads nothing but its weights and its row of the inputs. Blocks of a large batch, and single rows of one
whose extent is dynamic, go through all steps by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import contraction, dot_product, matrix_tiles
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import all_boxes
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import LOOP, Kernel
from neomlir.schedules.nest import vectors
from neomlir.schedules.parts import cut
from neomlir.schedules.plan import Plan
from neomlir.schedules.points import Points
from neomlir.schedules.root import Root
from neomlir.schedules.step import Step, uses_first
from neomlir.schedules.step_memory import StepFrame
from neomlir.schedules.tiles import scores_bytes

_UNITS = ((matrix_tiles.planned, matrix_tiles.TileNest), (dot_product.planned, dot_product.DotNest))
_WHOLE = 1 << 62
"""Operations of a work item: no product of a step is cut into several."""


class Recurrence(Schedule):
    name = "recurrence"
    order = 10
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return not kernel.roots and any(op.name == LOOP for op in kernel.others)

    def build(self, kernel: Kernel, target) -> ir.Operation:
        try:
            return _built(kernel, target, blocked=True)
        except NotApplicable:
            return _built(kernel, target, blocked=False)


def _built(kernel: Kernel, target, blocked: bool) -> ir.Operation:
    copy = kernel.func.clone(ip=ir.InsertionPoint(kernel.func)).operation
    try:
        inner = Kernel.read(copy)
        steps = [Step(inner, op, blocked) for op in inner.others if op.name == LOOP]
        given = [r for step in steps for r in step.loop.results if r in inner.results]
        if len(given) != len(inner.results):
            raise NotApplicable("a result is not one of a loop's, or is there twice")
        return Frame(inner, target).made_by(lambda frame: _emit(frame, steps, target))
    finally:
        copy.erase()


def _emit(frame: Frame, steps: list[Step], target) -> None:
    """Each loop as work items of its own."""
    room = scores_bytes(target) // len(steps)
    frame.b.items([_Loop(frame, step, target, room).items() for step in steps])


class _Loop:
    """The loop in the function that `frame` writes."""

    def __init__(self, frame: Frame, step: Step, target, room: int):
        """`room`: bytes of scratch memory."""
        self.frame, self.b, self.step, self.target, self.left = frame, frame.b, step, target, room
        self.shifted: set[ir.Value] = set()
        """Buffers that hold all rows of the batch, where a block of them is computed."""

    def items(self) -> tuple[list[Size], Callable[[list[Index]], None]]:
        """How many work items there are, and what one does."""
        step, b = self.step, self.b
        low, high, by = (self._size(v) for v in list(step.loop.operands)[:3])
        blocks = 1
        if step.block:
            blocks = b.ceildiv(self._batch(), step.block)
            weights = self._weights()
            tensors = [a for a in step.kernel.args if isinstance(a.type, ir.RankedTensorType)]
            self.shifted = {self.frame.memory.of(a) for a in tensors if a not in weights}
        places = {}
        for result, state in zip(step.loop.results, step.states, strict=True):
            if state not in step.outputs:
                places[state] = self._destination(result) or self._scratch(state)
        for value in step.stages:
            places[value] = self._scratch(value)

        def item(indices: list[Index]) -> None:
            self.base = indices[0] * max(1, step.block)
            for state in step.states:
                if state not in step.outputs:
                    self._start(state, places[state])
            b.loop(low, high, by, body)

        def body(index: Index) -> None:
            self.scalars: dict[ir.Value, ir.Value] = {step.index: b.compute(index)}
            self.held = {state: places[state] for state in step.states if state in places}
            for value in step.stages:
                # Nothing that is read in one stage is known to be the same in the next.
                with b.scope():
                    self._stage(value, places[value])
                self.held[value] = places[value]
            with b.scope():
                self._last(places)

        return [blocks], item

    def _batch(self) -> Size:
        """Rows of the batch."""
        return self.frame.memory.dim(self.step.first[self.step.batched], 0, self.frame.evaluator)

    def _weights(self) -> list[ir.Value]:
        """The arguments of the kernel that have no row for each of the batch."""
        step = self.step
        found = []
        for generic in step.generics.values():
            for operand, m in zip(generic.operands, generic.maps, strict=True):
                if operand in step.kernel.args and not any(uses_first(e) for e in m.results):
                    found.append(operand)
        return found

    # Buffers.

    def _destination(self, result: ir.Value) -> ir.Value | None:
        """The buffer of a result of the loop that is one of the kernel."""
        if result not in self.step.kernel.results:
            return None
        return self.frame.destination(self.step.kernel.results.index(result))

    def _scratch(self, value: ir.Value) -> ir.Value:
        shape, element = static_shape(value), value.type.element_type
        if None in shape:
            raise NotApplicable("what a step computes has no static shape")
        self.left -= math.prod(shape) * max(8, element.width) // 8
        if self.left < 0:
            raise NotApplicable("what a step computes is too large for scratch memory")
        return self.frame.memory.scratch(shape, element)

    def _start(self, state: ir.Value, place: ir.Value) -> None:
        """Write what a state is before the first step."""
        frame, first, shape = self.frame, self.step.first[state], static_shape(state)
        if len(shape) > 2:
            raise NotApplicable("a state has more than two dimensions")
        base = self.base if place in self.shifted else Index()

        def row(r: Index) -> None:
            def put(tile: Tile) -> None:
                for index, chunk in tile:
                    at, to = ((r + self.base, index), (r + base, index)) if len(shape) == 2 else ((index,), (index,))
                    frame.memory.store(place, to, chunk, frame.evaluator.at(first, at, chunk))

            lanes = frame.machine.lanes(frame.kernel.element_bits)
            vectors(self.b, 0, shape[-1], shape[-1], lanes, 1, frame.machine.masks, put)

        self.b.loop(0, shape[0] if len(shape) == 2 else 1, 1, row)

    # Numbers.

    def _size(self, value: ir.Value) -> Size:
        """A bound of the loop, which is made outside of it."""
        owner = value.owner
        if not isinstance(owner, ir.Block) and owner.name == "arith.constant":
            return owner.attributes["value"].value
        return self.frame.evaluator.scalar(value)

    def _scalar(self, value: ir.Value) -> ir.Value:
        """A number that a step computes from its own."""
        found = self.scalars.get(value)
        if found is not None:
            return found
        op = value.owner
        if isinstance(op, ir.Block) or op.operation not in self.step.ops:
            return self.frame.evaluator.scalar(value)
        if len(op.regions) or any(isinstance(o.type, ir.ShapedType) for o in op.operands):
            raise NotApplicable(f"{op.name} gives a number that no schedule computes")
        attributes = {name: op.attributes[name] for name in op.attributes}
        made = self.b.op(op.name, [r.type for r in op.results], [self._scalar(o) for o in op.operands], attributes)
        self.scalars.update(zip(op.results, made.results, strict=True))
        return self.scalars[value]

    # Parts.

    def _part(self, wanted: list[ir.Value], places: list[ir.Value], rows: dict[ir.Value, Index]) -> StepFrame:
        """The part of a step that computes `wanted` into buffers; `rows` are those of which it writes one row."""
        given = self.step.reads(wanted, self.held)
        part = cut(self.step.kernel, given, wanted, self.step.ops)
        buffers: list[ir.Value] = []
        windows: list[Index | None] = []
        for value in given:
            tensor, number = self.step.rows.get(value, (None, None))
            if tensor is not None:
                buffers.append(self.frame.memory.of(tensor))
                windows.append(of(Var(self._scalar(number))))
            else:
                buffers.append(self.held[value] if value in self.held else self._scalar(value))
                windows.append(None)
        windows += [rows.get(place) for place in places]
        return StepFrame(self.frame, part, [*buffers, *places], windows, self.shifted, self.base)

    def _stage(self, value: ir.Value, place: ir.Value) -> None:
        """Compute a value of a step into scratch memory."""
        if not self.step.is_product(value):
            self._points([value], [place], {})
            return
        frame = self._part([value], [place], {})
        try:
            nest = self._nest(frame)
            nest.least = _WHOLE
            sizes, item = nest.main()
            self._around(sizes, [], item)
        finally:
            frame.kernel.func.erase()

    def _nest(self, frame: StepFrame) -> contraction.Nest:
        """The loops of a product, on the unit of the target for which its weights are packed."""
        root = Root(frame.kernel)
        for planned, kind in _UNITS:
            try:
                plan, panels = planned(root, frame.kernel, self.target)
            except NotApplicable:
                continue
            if frame.is_whole(root.accesses[panels.rows][0][0]):
                return kind(frame, root, plan, panels)
        return contraction.Nest(frame, root, Plan.folded(root, frame.kernel, self.target))

    def _around(self, sizes: list[Size], indices: list[Index], item) -> None:
        """The work items of a product, one after the other."""
        if len(indices) == len(sizes):
            item(list(indices))
            return
        self.b.loop(0, sizes[len(indices)], 1, lambda i: self._around(sizes, [*indices, i], item))

    def _points(self, wanted: list[ir.Value], places: list[ir.Value], rows: dict[ir.Value, Index]) -> None:
        """Compute what needs no reduction."""
        frame = self._part(wanted, places, rows)
        try:
            for box in all_boxes(frame):
                # Rows of a block do not lie where the block's own tensor has them.
                nest = Points(frame, box, ask=False, frozen=frozenset([0] if self.step.block else []))
                if nest.sizes:
                    nest.inside([], 0, nest.sizes[0])
                else:
                    nest.items()[1]([])
        finally:
            frame.kernel.func.erase()

    def _last(self, places: dict[ir.Value, ir.Value]) -> None:
        """The new states over the old ones, and the outputs in their places."""
        wanted, into, rows = [], [], {}
        for result, state in zip(self.step.loop.results, self.step.states, strict=True):
            place = places.get(state) or self._destination(result)
            if place is None:
                continue
            wanted.append(self.step.new[state])
            into.append(place)
            if state in self.step.outputs:
                rows[place] = of(Var(self._scalar(self.step.outputs[state])))
        self.step.expect_in_place(wanted)
        self._points(wanted, into, rows)


SCHEDULE = Recurrence()
