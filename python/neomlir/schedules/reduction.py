"""The schedule of rows: softmax, normalisations, means, and whatever reads a reduction of its own row.

For each row every reduction runs over it in order, in several vectors at once, and ends as a scalar; then the results
are computed along the row, which by then is in the first-level cache. Where the row runs across the vectors
(reducing a dimension that is not the innermost), neighbouring rows are the lanes instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import streams
from neomlir.schedules.along import Along
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.bypass import items
from neomlir.schedules.combine import combinations
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kept import Kept, Scratch
from neomlir.schedules.kernel import Generic, Kernel, elementary
from neomlir.schedules.nest import joined, shares, vectors
from neomlir.schedules.rows import Rows

_ITEM = 16384
"""Elements of a work item, about."""
_LONG = 2048
"""Bytes of a row, at least, that the hardware does not fetch while the one before is in use: it stops at each page."""
_LEAST = 4
"""Lines of a shorter row that is fetched, at least."""
_FAR = 8192
"""How many bytes ahead it is fetched."""


class Reduction(Schedule):
    name = "reduction"
    order = 300
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return bool(kernel.roots)

    def build(self, kernel: Kernel, target) -> ir.Operation:
        rows = Rows.of(kernel)
        return Frame(kernel, target).made_by(lambda frame: Nest(frame, rows).emit())


class Nest:
    """The loops over rows, and what is done in each."""

    def __init__(self, frame: Frame, rows: Rows):
        self.frame, self.rows, self.b = frame, rows, frame.b
        self.kernel = frame.kernel
        self.lanes = frame.machine.lanes(self.kernel.element_bits)
        self.usual = frame.machine.usual_lanes(self.kernel.element_bits)
        self.sizes = frame.sizes(self.kernel.destinations[rows.anchor])
        self.across = self._across()
        self.scratch = Scratch(frame)
        self.kept = Kept(rows, self.scratch, self.lanes, 0)
        self.here: list[list[Index | None]] = []
        """The place of each result in the row that is computed; None along the row."""
        self.fetching = self._fetching()
        self.together = self._beside()
        """Rows that are computed side by side."""

    def _across(self) -> bool:
        """Whether neighbouring rows are the lanes: what is read lies contiguous along the last outer dimension."""
        if not self.rows.outer or self.rows.outer[-1][0] != len(self.sizes) - 1:
            return False
        d, probe = self.rows.outer[-1]
        size = static_shape(self.kernel.results[self.rows.anchor])[d]
        if size is not None and size < min(4, self.lanes):
            return False
        for root, place in self.rows.demanded.items():
            loops = root.loops(0, place)
            full = [of(Var(None)) if loop is None else loop for loop in loops]
            for operand, used, m in zip(root.operands, root.used, root.maps, strict=True):
                if not used or not isinstance(operand.type, ir.RankedTensorType):
                    continue
                for value, access in self.kernel.leaves(operand, tuple(apply(e, full) for e in m.results)):
                    if value is None or not access:
                        continue
                    if any(i.uses(probe) for i in access[:-1]) or (
                        access[-1].uses(probe) and not access[-1].is_(probe)
                    ):
                        return False
        return True

    def _beside(self) -> int:
        """How many rows are computed side by side: of a short row each step waits for one number of the step before."""
        machine, demanded = self.frame.machine, self.rows.demanded_in_order()
        dear = next((root for root in demanded if self._is_dear(root)), None)
        if self.across or not self.rows.outer or dear is None or len(demanded) < 2 or self.b.scalable:
            return 1
        sizes = [extent for extent, reduced in zip(dear.extents, dear.reduction, strict=True) if reduced]
        if None in sizes or machine.vector_bits < 256:
            return 1
        registers = -(-math.prod(sizes) // self.lanes)
        most = machine.registers // 2
        found = 4 if registers <= most // 4 else 2 if registers <= most else 1
        return self.kernel.parameter("rows", found, (1, 2, 4)) if registers <= most else 1

    def emit(self) -> None:
        b, outer = self.b, self.rows.outer
        sizes: list[Size] = [self.sizes[d] for d, _ in outer]
        row = 1
        for root in self.rows.demanded:
            points = 1
            for d, extent in enumerate(root.extents):
                points *= (extent or 256) if root.reduction[d] else 1
            row = max(row, points)
        if not sizes:
            self.row([], Chunk(1))
            return
        step = self.usual if self.across else self.together
        counts, share = shares(b, sizes, max(1, _ITEM // row), step)

        def item(indices: list[Index]) -> None:
            before, low, high = share(indices)
            self._outer(before, sizes, low, high)

        items(self.frame, [(counts, item)])

    def _outer(self, indices: list[Index], sizes: list[Size], low: Size, high: Size) -> None:
        b, d = self.b, len(indices)
        if d < len(sizes) - 1:
            b.loop(low, high, 1, lambda i: self._outer([*indices, i], sizes, 0, sizes[d + 1]))
        elif not self.across:
            self._rows(indices, sizes[d], low, high)
        else:

            def emit(tile: Tile) -> None:
                for index, chunk in tile:
                    self.row([*indices, index], chunk)

            vectors(b, low, high, sizes[d], self.lanes, 1, self.frame.machine.masks, emit)

    def _rows(self, indices: list[Index], size: Size, low: Size, high: Size) -> None:
        """Rows from `low`, a multiple of as many as are side by side, to `high`, which is one, too, or `size`."""
        b, number = self.b, self.together
        whole = isinstance(size, int) and size % number == 0
        middle = high if whole else b.add(low, b.mul(b.div(b.sub(high, low), number), number))
        b.loop(low, middle, number, lambda i: self._emit([[*indices, i + r] for r in range(number)], Chunk(1)))
        if not whole:
            b.loop(middle, high, 1, lambda i: self.row([*indices, i], Chunk(1)))

    # One row, or one vector of rows, or several side by side.

    def row(self, outer: list[Index], chunk: Chunk) -> None:
        """Emit a row, or a vector of rows."""
        self._emit([outer], chunk)

    def _emit(self, outers: list[list[Index]], chunk: Chunk) -> None:
        """Emit rows side by side, reduction by reduction."""
        b, rows, bound = self.b, self.rows, self.frame.evaluator.bound
        with b.scope():
            before, each = dict(bound), []
            for number, outer in enumerate(outers):
                bound.clear()
                bound.update(before)
                put = {probe: index for (_, probe), index in zip(rows.outer, outer, strict=True)}
                kept = Kept(rows, self.scratch, self.lanes, number)
                if not self.across:
                    kept.keep()
                here = [[None if p is None else _put(p, put) for p in place] for place in rows.places]
                each.append((put, kept, here, dict(bound)))

            def in_turn(emit: Callable[[dict], None]) -> None:
                for put, kept, here, mine in each:
                    self.kept, self.here = kept, here
                    bound.clear()
                    bound.update(mine)
                    emit(put)
                    mine.update(bound)

            def place(root: Generic, put: dict) -> tuple[Index, ...]:
                return tuple(_put(index, put) for index in rows.demanded[root])

            for root in rows.demanded_in_order():
                in_turn(lambda put, root=root: self._reduce(root, place(root, put), chunk))
            in_turn(lambda put: self._results(chunk))
            bound.clear()
            bound.update(before)

    def _results(self, chunk: Chunk) -> None:
        for i, place in enumerate(self.here):
            if i not in self.kept.written:
                self._write(i, place, chunk)

    def _reduce(self, root: Generic, place: tuple[Index, ...], chunk: Chunk) -> None:
        """Compute a reduction at one place and bind its results."""
        frame = self.frame
        evaluator = frame.evaluator
        loops = root.loops(0, place)
        inits = []
        for i, init in enumerate(root.inits):
            at = tuple(apply(e, [Index() if x is None else x for x in loops]) for e in root.output_map(i).results)
            inits.append(evaluator.at(init, at, chunk))
        extents = {d: frame.memory.dim(*root.sizes()[d], evaluator) for d, loop in enumerate(loops) if loop is None}
        order = [d for d, extent in extents.items() if extent != 1 or not isinstance(extent, int)]
        for d in extents:
            if d not in order:
                loops[d] = Index()
        ways = None if self.across else combinations(root)
        if ways is None or not order:
            values = self._plainly(root, loops, order, extents, chunk, inits)
        else:
            order = self._innermost(root, order, loops)
            along = Along(frame, root, loops, order, extents, ways, self._is_dear(root))
            if root is self.fetching and len(order) == 1 and self._is_fetched(along.size):
                along.ahead = lambda full, chunk: self._fetch(root, full, order[0], along.size, chunk)
            values = along.reduce(inits)
        for i, result in enumerate(root.results):
            home = tuple(apply(e, [Index() if x is None else x for x in loops]) for e in root.output_map(i).results)

            def bound(indices, _, home=home, value=values[i]):
                if indices != home:
                    raise NotApplicable("a reduction is read at another place than its row")
                return value

            evaluator.bound[result] = bound
        self.kept.filled.update(self.kept.told.get(root, []))

    def _fetching(self) -> Generic | None:
        """The reduction during which the next row is fetched: one that takes long, or the last."""
        demanded = self.rows.demanded_in_order()
        machine = self.frame.machine
        if self.across or not demanded or not (machine.ahead or machine.next_row) or not streams.is_large(self.frame):
            return None
        dear = next((root for root in demanded if self._is_dear(root)), None)
        return dear or (demanded[-1] if machine.ahead else None)

    def _is_fetched(self, size: Size) -> bool:
        """Whether the next row, of so many elements, is asked for: else the hardware is there in time."""
        row = size * self.kernel.element_bits // 8 if isinstance(size, int) else 0
        return row > 0 and (self.frame.machine.ahead > 0 or row >= _LONG or self._is_short(row))

    def _is_short(self, row: int) -> bool:
        """Whether rows of so many bytes follow each other too fast to be there in time, and results go past the caches:
        where these take their lines, what is fetched far ahead is in the way."""
        line = self.frame.machine.line
        return _LEAST * line <= row < _LONG and row % line == 0 and bool(self.frame.memory.past)

    def _distance(self, size: int) -> int:
        """How many elements ahead rows of `size` are fetched."""
        bits = self.kernel.element_bits
        far = _FAR * 8 // bits if self._is_short(size * bits // 8) else 0
        return max(size * self.together, far)

    def _fetch(self, root: Generic, full: list[Index | None], d: int, size: int, chunk: Chunk) -> None:
        """Ask for the next row of what a reduction reads, and for the place of the results of this one."""
        kernel, accesses = self.kernel, []
        for operand, used, m in zip(root.inputs, root.used, root.maps, strict=False):
            if used and isinstance(operand.type, ir.RankedTensorType):
                place = tuple(apply(e, full) for e in m.results)
                accesses += [(value, at, False) for value, at in kernel.leaves(operand, place)]
        for i, place in enumerate(self.here):
            if place.count(None) == 1:
                at = tuple(full[d] if p is None else p for p in place)
                accesses.append((kernel.destinations[i], at, True))
        streams.fetch(self.frame, accesses, chunk, self._distance(size), within=True)

    def _innermost(self, root: Generic, order: list[int], loops: list[Index | None]) -> list[int]:
        """The reduced loops with the one that lies contiguous in memory last."""
        probes = {d: Var(None) for d in order}
        full = [of(probes[d]) if loop is None else loop for d, loop in enumerate(loops)]
        for operand, used, m in zip(root.inputs, root.used, root.maps, strict=False):
            if used and isinstance(operand.type, ir.RankedTensorType):
                for value, access in self.kernel.leaves(operand, tuple(apply(e, full) for e in m.results)):
                    for d in order:
                        if value is not None and access and access[-1].is_(probes[d]):
                            return [x for x in order if x != d] + [d]
        return order

    def _plainly(self, root, loops, order, extents, chunk, inits) -> list[ir.Value]:
        """Reduce element by element: scalars, or one vector of neighbouring rows."""
        b, evaluator = self.b, self.frame.evaluator

        def nest(depth: int, loops: list, *held: ir.Value) -> list[ir.Value]:
            if depth == len(order):
                given = {len(root.inputs) + i: v for i, v in enumerate(held)}
                return [b.splat(v, chunk.width) for v in evaluator.body(root, loops, chunk, given)]
            d = order[depth]

            def body(k: Index, *held: ir.Value) -> list[ir.Value]:
                return nest(depth + 1, [k if i == d else x for i, x in enumerate(loops)], *held)

            return b.loop(0, extents[d], 1, body, list(held))

        return nest(0, list(loops), *[b.splat(v, chunk.width) for v in inits])

    def _is_dear(self, root: Generic) -> bool:
        """Whether an elementary function is computed for each element that a reduction reads."""
        found = [self.kernel.generic_of(operand) for operand in root.inputs]
        made = [g for g, _ in filter(None, found) if not any(g.reduction) and g not in self.kept.filled]
        return elementary(root.names) or any(self._is_dear(g) for g in made)

    def _write(self, i: int, place: list[Index | None], chunk: Chunk) -> None:
        """Compute and store result `i` along the row."""
        frame, b = self.frame, self.b
        sizes = frame.sizes(self.kernel.destinations[i])
        free = [d for d, index in enumerate(place) if index is None]

        def store(indices: list, chunk: Chunk) -> None:
            at = tuple(indices)
            with b.scope():
                value = frame.evaluator.at(self.kernel.results[i], at, chunk)
                frame.memory.store(frame.destination(i), at, chunk, value)

        def nest(depth: int, place: list) -> None:
            if depth == len(free):
                store(place, chunk)
                return
            d = free[depth]

            def filled(index: Index) -> list:
                return [index if p == d else x for p, x in enumerate(place)]

            if depth < len(free) - 1 or self.across:
                b.loop(0, sizes[d], 1, lambda k: nest(depth + 1, filled(k)))
                return

            def emit(tile: Tile) -> None:
                for index, piece in joined(tile) if frame.memory.past else tile:
                    store(filled(index), piece)

            vectors(b, 0, sizes[d], sizes[d], self.lanes, 2, frame.machine.masks, emit)

        nest(0, place)


def _put(index: Index, by: dict[Var, Index]) -> Index:
    """An index with its probes as the places of a row."""
    for probe, value in by.items():
        index = index.put(probe, value)
    return index


SCHEDULE = Reduction()
