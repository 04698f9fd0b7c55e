"""Rows that are read by a reduction and again: results, and what is dear, kept where they end or on the stack.

Before a row is filled a read computes and stores; afterwards it loads.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Chunk
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Generic
from neomlir.schedules.nest import lane_index
from neomlir.schedules.rows import Rows

_SCRATCH = 65536
"""Bytes on the stack for rows that are kept, at most."""


class Scratch:
    """The rows on the stack of a kernel, by what computes them and the number of the row."""

    def __init__(self, frame: Frame):
        self.frame, self.room = frame, _SCRATCH
        self.buffers: dict[tuple[Generic, int], ir.Value] = {}

    def of(self, g: Generic, number: int, inner: list[int]) -> ir.Value | None:
        """A row, or None where it is not static or too long."""
        if (g, number) in self.buffers:
            return self.buffers[g, number]
        shape = static_shape(g.results[0])
        element = ir.RankedTensorType(g.results[0].type).element_type
        sizes = [shape[p] for p in inner]
        if None in sizes or not isinstance(element, ir.FloatType):
            return None
        size = math.prod(sizes) * element.width // 8
        if size > self.room:
            return None
        self.room -= size
        self.buffers[g, number] = self.frame.memory.scratch(sizes, element)
        return self.buffers[g, number]


class Kept:
    """What is kept of a row, told to the evaluator; `number`: which it is of those that are computed side by side."""

    def __init__(self, rows: Rows, scratch: Scratch, lanes: int, number: int):
        self.rows, self.scratch, self.frame, self.lanes, self.number = rows, scratch, scratch.frame, lanes, number
        self.told: dict[Generic, list[Generic]] = {}
        """What each reduction fills."""
        self.filled: set[Generic] = set()
        self.written: set[int] = set()
        """Results that reductions write."""

    def keep(self) -> None:
        """Bind all that is kept."""
        kernel, frame = self.frame.kernel, self.frame
        results = {r: i for i, r in enumerate(kernel.results)}
        for g in kernel.generics:
            if any(g.reduction):
                continue
            if len(g.results) > 1:
                self._store_beside(g, results)
                continue
            reader, inner = self._filled_by(g.results[0])
            if reader is None:
                continue
            i = results.get(g.results[0])
            if i is not None and len([p for p in self.rows.places[i] if p is None]) == len(inner):
                buffer, places = frame.destination(i), list(range(len(static_shape(g.results[0]))))
                self.written.add(i)
            elif g in self.rows.kept():
                buffer = self.scratch.of(g, self.number, inner)
                if buffer is None:
                    continue
                places = inner
            else:
                continue
            self.told.setdefault(reader, []).append(g)
            self._bind(g, buffer, places, inner)

    def _store_beside(self, g: Generic, results: dict[ir.Value, int]) -> None:
        """Store results of the kernel, as narrowed weights are, when a reduction reads what is computed beside them."""
        frame, others = self.frame, {results[v]: k for k, v in enumerate(g.results) if v in results}
        read = [v for v in g.results if v not in results]
        uses = [v for other in frame.kernel.generics for v in other.operands if v in g.results]
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
        self.told.setdefault(reader, []).append(g)

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

    def _apart(
        self, place: tuple[Index, ...], chunk: Chunk, value: ir.Value
    ) -> list[tuple[tuple[Index, ...], Chunk, ir.Value]]:
        """A long vector in the pieces that a row is read in: LLVM takes a row that it knows as a whole apart by what is
        stored and loaded, and where these differ, into single elements."""
        lanes, b = self.lanes, self.frame.b
        if chunk.mask is not None or chunk.width <= lanes or b.scalable or not place[-1].lane:
            return [(place, chunk, value)]
        starts = range(0, chunk.width, lanes)
        last = place[-1].put_lane(0)
        return [((*place[:-1], lane_index(last + j, lanes)), Chunk(lanes), b.piece(value, j, lanes)) for j in starts]
