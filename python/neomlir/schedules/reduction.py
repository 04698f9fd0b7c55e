"""The schedule of rows: softmax, normalisations, means, and whatever reads a reduction of its own row.

For each row every reduction runs over it in order, in several vectors at once, and ends as a scalar; then the results
are computed along the row, which by then is in the first-level cache. Where the row runs across the vectors
(reducing a dimension that is not the innermost), neighbouring rows are the lanes instead.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules import streams
from neomlir.schedules.along import Along
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.bypass import items
from neomlir.schedules.combine import combinations
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import Generic, Kernel, elementary
from neomlir.schedules.nest import blocks, lane_index, vectors
from neomlir.schedules.rows import Rows

_ITEM = 16384
"""Elements of a work item, about."""
_SCRATCH = 65536
"""Bytes on the stack for rows that are kept, at most."""
_LONG = 2048
"""Bytes of a row, at least, that the hardware does not fetch while the one before is in use: it stops at each page."""


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
        self.room = _SCRATCH
        self.filled: set[Generic] = set()
        self.written: set[int] = set()
        self.buffers: dict[Generic, ir.Value] = {}
        self.here: list[list[Index | None]] = []
        """The place of each result in the row that is computed; None along the row."""
        self.fetching = self._fetching()

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
        step = self.usual if self.across else 1
        cut, block = blocks(sizes, max(1, _ITEM // row), step)
        blocked = b.ceildiv(sizes[cut], block)

        def item(indices: list[Index]) -> None:
            low: Size = 0
            high = sizes[cut]
            if not isinstance(blocked, int) or blocked != 1:
                low = b.compute(indices[-1] * block)
                high = b.min(b.add(low, block), high)
            self._outer(indices[:-1], sizes, low, high)

        items(self.frame, [([*sizes[:cut], blocked], item)])

    def _outer(self, indices: list[Index], sizes: list[Size], low: Size, high: Size) -> None:
        b, d = self.b, len(indices)
        if d < len(sizes) - 1:
            b.loop(low, high, 1, lambda i: self._outer([*indices, i], sizes, 0, sizes[d + 1]))
        elif not self.across:
            b.loop(low, high, 1, lambda i: self.row([*indices, i], Chunk(1)))
        else:

            def emit(tile: Tile) -> None:
                for index, chunk in tile:
                    self.row([*indices, index], chunk)

            vectors(b, low, high, sizes[d], self.lanes, 1, self.frame.machine.masks, emit)

    # One row (or one vector of rows).

    def row(self, outer: list[Index], chunk: Chunk) -> None:
        b, rows = self.b, self.rows
        put = {probe: index for (_, probe), index in zip(rows.outer, outer, strict=True)}

        def here(index: Index) -> Index:
            for probe, value in put.items():
                index = index.put(probe, value)
            return index

        with b.scope():
            bound = self.frame.evaluator.bound
            before = dict(bound)
            self.filled = set()
            kept = self._keep()
            self.here = [[None if p is None else here(p) for p in place] for place in rows.places]
            for root in self.kernel.roots:
                if root in rows.demanded:
                    self._reduce(root, tuple(here(i) for i in rows.demanded[root]), chunk, kept)
            for i, place in enumerate(self.here):
                if i not in self.written:
                    self._write(i, place, chunk)
            bound.clear()
            bound.update(before)

    def _keep(self) -> dict[Generic, list[Generic]]:
        """Rows that are computed once and read again: results, and what is dear; gives what each reduction fills."""
        frame = self.frame
        told: dict[Generic, list[Generic]] = {}
        self.written = set()
        if self.across:
            return told
        results = {r: i for i, r in enumerate(self.kernel.results)}
        for g in self.kernel.generics:
            if any(g.reduction):
                continue
            if len(g.results) > 1:
                self._store_beside(g, results, told)
                continue
            reader, inner = self._filled_by(g.results[0])
            if reader is None:
                continue
            i = results.get(g.results[0])
            if i is not None and len([p for p in self.rows.places[i] if p is None]) == len(inner):
                buffer, places = frame.destination(i), list(range(len(static_shape(g.results[0]))))
                self.written.add(i)
            elif g in self.rows.kept():
                buffer = self._scratch(g, inner)
                if buffer is None:
                    continue
                places = inner
            else:
                continue
            told.setdefault(reader, []).append(g)
            self._bind(g, buffer, places, inner)
        return told

    def _store_beside(self, g: Generic, results: dict[ir.Value, int], told: dict[Generic, list[Generic]]) -> None:
        """Store results of the kernel, as narrowed weights are, when a reduction reads what is computed beside them."""
        frame, others = self.frame, {results[v]: k for k, v in enumerate(g.results) if v in results}
        read = [v for v in g.results if v not in results]
        uses = [v for other in self.kernel.generics for v in other.operands if v in g.results]
        if len(read) != 1 or uses != read or any(g.output_map(k) != g.output_map(0) for k in range(len(g.results))):
            return
        reader, inner = self._filled_by(read[0])
        if reader is None or any(self.rows.places[i].count(None) != len(inner) for i in others):
            return
        number = list(g.results).index(read[0])

        def at(indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
            if g in self.filled:
                raise NotApplicable("a row that is not kept is read again")
            made = frame.evaluator.body(g, g.loops(number, indices), chunk)
            for i, k in others.items():
                frame.memory.store(frame.destination(i), indices, chunk, made[k])
            return made[number]

        frame.evaluator.bound[read[0]] = at
        self.written.update(others)
        told.setdefault(reader, []).append(g)

    def _filled_by(self, value: ir.Value) -> tuple[Generic | None, list[int]]:
        """The first reduction that reads a whole row of what an operation computes, and the row's dimensions."""
        reader = next((r for r in self.rows.demanded_in_order() if value in r.inputs), None)
        if reader is None:
            return None, []
        m = reader.maps[reader.inputs.index(value)]
        exact = all(isinstance(e, ir.AffineDimExpr | ir.AffineConstantExpr) for e in m.results)
        covered = {e.position for e in m.results if isinstance(e, ir.AffineDimExpr)}
        inner = [
            place
            for place, e in enumerate(m.results)
            if isinstance(e, ir.AffineDimExpr) and reader.reduction[e.position]
        ]
        whole = exact and all(d in covered for d in range(reader.rank) if reader.reduction[d])
        return (reader, inner) if whole and inner else (None, [])

    def _scratch(self, g: Generic, inner: list[int]) -> ir.Value | None:
        """A row on the stack, or None where it is not static or too long."""
        if g in self.buffers:
            return self.buffers[g]
        shape = static_shape(g.results[0])
        element = ir.RankedTensorType(g.results[0].type).element_type
        sizes = [shape[p] for p in inner]
        if None in sizes or not isinstance(element, ir.FloatType):
            return None
        size = math.prod(sizes) * element.width // 8
        if size > self.room:
            return None
        self.room -= size
        self.buffers[g] = self.frame.memory.scratch(sizes, element)
        return self.buffers[g]

    def _bind(self, g: Generic, buffer: ir.Value, places: list[int], inner: list[int]) -> None:
        """Before the row is filled a read computes and stores, afterwards it loads (`places` of the indices)."""
        frame = self.frame
        rows: set[tuple[Index, ...]] = set()

        def read(indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
            rows.add(tuple(index for p, index in enumerate(indices) if p not in inner))
            if len(rows) > 1:
                raise NotApplicable("a row is read from another row")
            place = tuple(indices[p] for p in places)
            if g in self.filled:
                return frame.memory.load(buffer, place, chunk)
            made = frame.evaluator.body(g, g.loops(0, indices), chunk)[0]
            for at, part, value in self._apart(place, chunk, made):
                frame.memory.store(buffer, at, part, value, again=True)
            return made

        frame.evaluator.bound[g.results[0]] = read

    def _apart(self, place: tuple[Index, ...], chunk: Chunk, value: ir.Value):
        """A long vector in the pieces that a row is read in: LLVM takes a row that it knows as a whole apart by what is
        stored and loaded, and where these differ, into single elements."""
        lanes = self.lanes
        if chunk.mask is not None or chunk.width <= lanes or self.b.scalable or not place[-1].lane:
            return [(place, chunk, value)]
        starts = range(0, chunk.width, lanes)
        last = place[-1].put_lane(0)
        return [
            ((*place[:-1], lane_index(last + j, lanes)), Chunk(lanes), self.b.piece(value, j, lanes)) for j in starts
        ]

    def _reduce(self, root: Generic, place: tuple[Index, ...], chunk: Chunk, kept: dict) -> None:
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
        if root in kept:
            self.filled.update(kept[root])

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
        return row > 0 and (self.frame.machine.ahead > 0 or row >= _LONG)

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
        streams.fetch(self.frame, accesses, chunk, size, within=True)

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
        made = [g for g, _ in filter(None, found) if not any(g.reduction) and g not in self.filled]
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
                for index, piece in tile:
                    store(filled(index), piece)

            vectors(b, 0, sizes[d], sizes[d], self.lanes, 2, frame.machine.masks, emit)

        nest(0, place)


SCHEDULE = Reduction()
