"""The schedule of scatters: each update goes where its indices say, instead of each result looking for its updates.

The result is filled with what it starts from; then updates pass by in order, and each that is at home in the work
item's part is combined there, in vectors along what an update is long. Work items are parts of the result, so that no
two write to one place: of loops that are not scattered, or else ranges of the first that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import arith, ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Size, Tile, number
from neomlir.schedules.combine import compared, reduced
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import lane_index, shares, vectors, walk
from neomlir.schedules.scatter_form import ScatterForm

_ITEM = 16384
"""Elements of updates of a work item, about."""
_LONG = 16
"""Elements of an update, at least, for which two work items may each look at all indices."""
_RARE = 8
"""How many updates there are for each place, at least, where most may be outside: then many are looked at together."""
_UNROLL = 4
"""Vectors of an update, or of what a result starts from, side by side."""


class Scatter(Schedule):
    name = "scatter"
    order = 190

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and ScatterForm.of(kernel.roots[0]) is not None

    def build(self, kernel: Kernel, target) -> ir.Operation:
        form = ScatterForm.of(kernel.roots[0])
        if kernel.results != [form.generic.results[0]]:
            raise NotApplicable("something is computed of what is scattered")
        return Frame(kernel, target).made_by(lambda frame: _Nest(frame, form).emit())


class _Nest:
    """The loops over work items, updates, and the elements of each."""

    def __init__(self, frame: Frame, form: ScatterForm):
        self.frame, self.form, self.b = frame, form, frame.b
        self.generic = form.generic
        self.lanes = frame.machine.lanes(frame.kernel.element_bits)
        self.order = [e.position for e in self.generic.output_map().results]
        """The loop of each dimension of the result."""
        self.extents = [frame.memory.dim(*at, frame.evaluator) for at in self.generic.sizes()]
        leading = next((n for n, d in enumerate(self.order) if d in form.places), 0)
        self.items, self.inner = self.order[:leading], self.order[leading:]

    def emit(self) -> None:
        """One work item for each part of the result."""
        b = self.b
        if not self.items:
            self._ranges()
            return
        sizes = [self.extents[d] for d in self.items]
        counts, share = shares(b, sizes, max(1, _ITEM // self._updates()), 1)

        def item(indices: list[Index]) -> None:
            before, low, high = share(indices)
            cut = len(before)
            ranges = {self.items[cut]: (low, high)}
            at = dict(zip(self.items, before, strict=False))
            walk(b, self.items[cut:], self.extents, at, lambda at: self._part(at, {}), ranges)

        b.items([(counts, item)])

    def _updates(self) -> int:
        """The elements of all updates for one point of the leading loops, or as many as some hundred if unknown."""
        found = 1
        for d, extent in enumerate(self.generic.extents):
            if d not in self.items and d not in self.form.places:
                found *= extent or 256
        return found

    def _ranges(self) -> None:
        """Work items that are halves of the first dimension."""
        b, first = self.b, self.inner[0]
        size = self.extents[first]
        long = 1
        for d in self.inner:
            long *= 1 if d in self.form.places or d in self.form.outer else self.generic.extents[d] or 1
        if long < _LONG or self._updates() < 2 * _ITEM or not isinstance(size, int) or size < 2:
            self._part({}, {})
            return
        half = -(-size // 2)

        def item(indices: list[Index]) -> None:
            low = b.compute(indices[0] * half)
            self._part({}, {first: (low, b.min(b.add(low, half), size))})

        b.items([([2], item)])

    def _along(self, loops: list[int], at: dict, body: Callable[[dict, Chunk], None], ranges: dict) -> None:
        """Loops, the last one in vectors if it lies contiguous in the result."""
        b = self.b
        if not loops or loops[-1] != self.order[-1]:
            walk(b, loops, self.extents, at, lambda at: body(at, Chunk(1)), ranges)
            return
        d = loops[-1]
        low, high = ranges.get(d, (0, self.extents[d]))
        # A range starts anywhere, and ends before the dimension does.
        lanes = 1 if d in ranges else self.lanes

        def row(at: dict) -> None:
            def emit(tile: Tile) -> None:
                for index, chunk in tile:
                    body({**at, d: index}, chunk)

            vectors(b, low, high, self.extents[d], lanes, _UNROLL, self.frame.machine.masks, emit)

        walk(b, loops[:-1], self.extents, at, row, ranges)

    def _part(self, at: dict[int, Index], ranges: dict[int, tuple[Size, Size]]) -> None:
        """Fill a part of the result, and put the updates there that are at home in it."""
        frame, b, form, generic = self.frame, self.b, self.form, self.generic
        init = generic.inits[0]
        if init != frame.kernel.destinations[0]:
            self._along(self.inner, at, lambda at, chunk: self._start(init, at, chunk), ranges)
        outer = [d for d in self.inner if d in form.outer]
        free = [d for d in self.inner if d not in form.outer and d not in form.places]
        reduced = [d for d, kind in enumerate(generic.reduction) if kind]

        def update(at: dict) -> None:
            found = list(form.places.items())
            loops = [at.get(d) for d in range(generic.rank)]
            values = frame.evaluator.body(generic, loops, Chunk(1), {}, [place for _, place in found])
            inside, places = None, dict(at)
            for (d, _), value in zip(found, values, strict=True):
                if not isinstance(value.type, ir.IndexType):
                    value = b.value("arith.index_cast", b.index_type, value)
                low, high = ranges.get(d, (0, self.extents[d]))
                for here in (b.less(b.sub(low, 1), value), b.less(value, high)):
                    inside = here if inside is None else b.value("arith.andi", b.i1, inside, here)
                places[d] = of(Var(value))
            b.when(inside, lambda: self._along(free, places, self._put, {}))

        if len(reduced) > 1 or outer or ranges or not self._is_rare(reduced[0]):
            walk(b, [*reduced, *outer], self.extents, at, update, {})
            return
        (d,), wide = reduced, _UNROLL * self.lanes
        whole = self.extents[d] // wide * wide

        def each(low: Size, high: Size) -> None:
            b.loop(low, high, 1, lambda n: update({**at, d: n}))

        def many(i: Index) -> None:
            start = b.compute(i)
            some = self._some_inside({**at, d: lane_index(i, wide)}, wide)
            b.when(some, lambda: each(start, b.add(start, wide)))

        b.loop(0, whole, wide, many)
        each(whole, self.extents[d])

    def _is_rare(self, reduced: int) -> bool:
        """Whether so many updates come for each place that most may be outside of the result."""
        places = [self.extents[d] for d in self.form.places]
        sizes = [*places, self.extents[reduced]]
        whole = all(isinstance(size, int) for size in sizes) and not self.b.scalable
        return whole and math.prod(places) * _RARE <= self.extents[reduced]

    def _some_inside(self, at: dict, wide: int) -> ir.Value:
        """Whether any of some updates side by side is at home in the result."""
        b, form = self.b, self.form
        loops = [at.get(d) for d in range(self.generic.rank)]
        values = self.frame.evaluator.body(self.generic, loops, Chunk(wide), {}, list(form.places.values()))
        inside = None
        for d, value in zip(form.places, values, strict=True):
            value = b.splat(value, wide)
            element = ir.VectorType(value.type).element_type
            # Counted from zero without a sign, those before the start are the largest.
            high = b.splat(b.constant(number(element, self.extents[d])), wide)
            here = compared(b, arith.CmpIPredicate.ult, value, high)
            inside = here if inside is None else b.value("arith.andi", here.type, inside, here)
        return reduced(b, "or", inside)

    def _result(self, at: dict) -> tuple[Index, ...]:
        return tuple(at[d] for d in self.order)

    def _start(self, init: ir.Value, at: dict, chunk: Chunk) -> None:
        place = self._result(at)
        value = self.frame.evaluator.at(init, place, chunk)
        self.frame.memory.store(self.frame.destination(0), place, chunk, value)

    def _put(self, at: dict, chunk: Chunk) -> None:
        """Combine an element of an update, or a vector of them, with what is there."""
        frame, b, form, generic = self.frame, self.b, self.form, self.generic
        buffer, place = frame.destination(0), self._result(at)
        with b.scope():
            old = frame.memory.load(buffer, place, chunk)
            loops = [at[d] for d in range(generic.rank)]
            wanted = [form.new, *form.conditions]
            new, *holds = frame.evaluator.body(generic, loops, chunk, {len(generic.inputs): old}, wanted)
            new = b.splat(new, chunk.width)
            for each in holds:
                if isinstance(each.type, ir.VectorType):
                    new = b.value("arith.select", new.type, each, new, b.splat(old, chunk.width))
                else:
                    new = b.value("arith.select", new.type, each, new, old)
            frame.memory.store(buffer, place, chunk, new)


SCHEDULE = Scatter()
