"""The core of every reduction over parallel vectors: a register tile of accumulators, reduced, finished, stored once.

A tile is rows times vectors. The accumulators are values carried by the reduction loops, one a row and vector, so they
stay in registers; an operand that does not depend on the row is loaded once for all rows, one that does not depend
on the vector is a scalar, broadcast. What follows the reduction is computed on the accumulators.
"""

from __future__ import annotations

from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, apply, lane_like
from neomlir.schedules.kernel import Generic, elementary
from neomlir.schedules.nest import joined
from neomlir.schedules.root import Root, computed, stored_at

Row = Callable[[Index, Index], list[Index]]
"""Gives one index a dimension of the root, from the number of a row in the tile and the index along the vectors."""
_L1 = 3
"""The locality hint of data for the first-level cache."""
_LIGHT = frozenset({"math.absf", "math.absi", "math.ceil", "math.copysign", "math.floor", "math.fma", "math.round"})


class Accumulator:
    """Emits register tiles of a root's reduction."""

    def __init__(self, frame: Frame, root: Root, unrolled: frozenset[int] = frozenset()):
        self.frame, self.root = frame, root
        self.generic = root.generic
        self.unrolled = unrolled
        """Reduction loops that are written out, so that the loads of neighbouring rows coincide."""
        self.order = list(root.reduced)
        sizes = self.generic.sizes()
        self.extents: dict[int, Size] = {
            d: frame.memory.dim(sizes[d][0], sizes[d][1], frame.evaluator) for d in root.reduced
        }
        self.product = root.product()
        self.factors: dict[int, Callable[[list[Index], Chunk], ir.Value]] = {}
        """Inputs, by number, that are read from elsewhere."""
        self.made_wide: dict[ir.Value, Callable[[list[Index], Chunk], ir.Value]] = {}
        """Factors of the products that are read from elsewhere."""
        behind = {n for g in frame.kernel.generics if g is not self.generic for n in g.names}
        self.heavy = any(n.startswith("math.") and n not in _LIGHT for n in behind)
        self.elementary = elementary(behind)
        self.ahead: list[Callable[[list[Index]], None]] = []
        """What is called in every step, with the indices of the reduction in `order`, before anything is loaded."""
        self.foreseen = False
        """Whether results are written from end to end."""
        self.near = False
        """Whether results are asked for where they are in the second-level cache, too."""
        self.part: tuple[Index, Size] | None = None
        """Where the reduction of one loop starts and ends, if not at its ends."""
        self.first: ir.Value | None = None
        self.last: ir.Value | None = None
        """Whether the part is the first or the last of several."""
        self.waiting: Callable[[int, list[Index], Chunk], tuple[ir.Value, tuple[Index, ...]]] | None = None
        """Where the vector of a tile that has this number waits between two parts: a buffer and a place in it."""
        self.in_place = False
        """Whether that is a place of the result."""
        self.spilled: dict[tuple[int, int, int], ir.Value | None] = {}

    def tile(self, count: int, row: Row, vectors: Tile) -> None:
        """Reduce, finish and store the points of rows 0 to `count - 1` times `vectors`."""
        b = self.frame.b
        with b.scope():
            rows = [Index({}, r) for r in range(count)]
            places = [(self.root.loops(row(r, index)), chunk) for r in rows for index, chunk in vectors]
            if self.first is not None:
                self._tile_of_part(count, row, vectors, places)
                return
            start = [value for loops, chunk in places for value in self.start(loops, chunk)]
            self._fetch(places, len(vectors))
            self._end(count, row, vectors, places, self._reduce(places, [], start))

    def _end(self, count: int, row: Row, vectors: Tile, places: list, found: list[ir.Value]) -> None:
        """What follows the reduction, and the stores."""
        each = len(self.generic.results)
        if self.heavy and count > 1:
            self._spill(count, row, vectors, found)
            return
        for i, (loops, chunk) in enumerate(places):
            self.finish(loops, chunk, found[i * each : (i + 1) * each])

    def _tile_of_part(self, count: int, row: Row, vectors: Tile, places: list) -> None:
        """A tile of one part of the reduction: its sums come to those of the parts before."""
        b, memory = self.frame.b, self.frame.memory
        element = self.generic.results[0].type.element_type
        kept = [(self.waiting(i, loops, chunk), chunk) for i, (loops, chunk) in enumerate(places)]
        if self.in_place:
            self._fetch(places, len(vectors))
        else:
            b.when(self.last, lambda: self._fetch(places, len(vectors)))
        found = self._reduce(places, [], [b.splat(b.zero(element), chunk.width) for _, chunk in places])
        add = "arith.addf" if isinstance(element, ir.FloatType) else "arith.addi"

        def plus(others: list[ir.Value]) -> list[ir.Value]:
            return [b.value(add, x.type, x, y) for x, y in zip(others, found, strict=True)]

        def keep(sums: list[ir.Value]) -> None:
            for ((buffer, place), chunk), value in zip(kept, sums, strict=True):
                memory.store(buffer, place, chunk, value)

        def go_on() -> None:
            sums = plus([memory.load(buffer, place, chunk) for (buffer, place), chunk in kept])
            b.when(self.last, lambda: self._end(count, row, vectors, places, sums), lambda: keep(sums))

        b.when(self.first, lambda: keep(plus([v for loops, chunk in places for v in self.start(loops, chunk)])), go_on)

    def _spill(self, count: int, row: Row, vectors: Tile, held: list[ir.Value]) -> None:
        """Finish the tile row by row in a loop, out of memory: what follows is too long to be written out a row."""
        b, memory = self.frame.b, self.frame.memory
        each = len(self.generic.results)
        columns = [sum(b.most(chunk.width) for _, chunk in vectors[:j]) for j in range(len(vectors))]
        width = sum(b.most(chunk.width) for _, chunk in vectors)
        slots = [b.run(Index({}, columns[j]), chunk.width) for j, (_, chunk) in enumerate(vectors)]
        buffers = []
        for i, result in enumerate(self.generic.results):
            element = result.type.element_type
            buffers.append(self.spilled.setdefault((i, count, width), None) or memory.scratch([count, width], element))
            self.spilled[i, count, width] = buffers[-1]
        for r in range(count):
            for j, (_, chunk) in enumerate(vectors):
                for i, buffer in enumerate(buffers):
                    place = (Index({}, r), slots[j])
                    memory.store(buffer, place, Chunk(chunk.width), held[(r * len(vectors) + j) * each + i])

        ends = self._together(vectors, row) if not b.scalable else vectors
        slots = slots if ends is vectors else [b.run(Index(), width)]

        def finish(r: Index) -> None:
            for j, (index, chunk) in enumerate(ends):
                place = (r, slots[j])
                values = [memory.load(buffer, place, Chunk(chunk.width)) for buffer in buffers]
                with b.scope():
                    self.finish(self.root.loops(row(r, index)), chunk, values)

        b.loop(0, count, 1, finish)

    def _together(self, vectors: Tile, row: Row) -> Tile:
        """The vectors as one, if everything is read and written contiguous along it."""
        kernel, wide = self.frame.kernel, joined(vectors) if self.elementary else vectors
        if len(wide) == len(vectors):
            return vectors
        loops = self.root.loops(row(Index(), wide[0][0]))
        inside = {value for accesses in self.root.accesses for value, _ in accesses}
        for i, place in enumerate(stored_at(kernel, self.generic, loops)):
            found = [places for value, places in kernel.leaves(*computed(kernel, i, place)) if value not in inside]
            if not all(all(not x.lane for x in at[:-1]) and (not at or _moves(at[-1])) for at in [place, *found]):
                return vectors
        return wide

    def _fetch(self, places: list, vectors: int) -> None:
        """Ask for what the end of a tile reads and writes, where that is too large to be in the cache."""
        kernel, memory = self.frame.kernel, self.frame.memory
        inside = {value for accesses in self.root.accesses for value, _ in accesses}
        for number, (loops, chunk) in enumerate(places):
            last = number % vectors == vectors - 1
            for i, place in enumerate(stored_at(kernel, self.generic, loops)):
                if not self.foreseen and (self.near or self.frame.is_large(kernel.destinations[i])):
                    memory.fetch(self.frame.destination(i), place, _L1, write=True)
                    if last and self._is_ragged(kernel.destinations[i]):
                        memory.fetch(self.frame.destination(i), place, _L1, write=True, lane=chunk.width - 1)
                for value, indices in kernel.leaves(*computed(kernel, i, place)):
                    if value is not None and value not in inside and self.frame.is_large(value):
                        memory.fetch(memory.of(value), indices, _L1)

    def _is_ragged(self, value: ir.Value) -> bool:
        """Whether the rows of a tensor start anywhere in a line of the cache."""
        return value.type.shape[-1] * self.frame.kernel.element_bits // 8 % self.frame.machine.line != 0

    def start(self, loops: list[Index], chunk: Chunk) -> list[ir.Value]:
        """What the results of the reduction start from at a point."""
        g, evaluator = self.generic, self.frame.evaluator
        found = []
        for i, init in enumerate(g.inits):
            place = tuple(apply(e, loops) for e in g.output_map(i).results)
            found.append(self.frame.b.splat(evaluator.at(init, place, chunk), chunk.width))
        return found

    def moved(self, value: ir.Value, loops: list[Index], chunk: Chunk) -> ir.Value:
        """The first result at a point, of which `value` is what a reduction from zero gives."""
        b, start = self.frame.b, self.start(loops, chunk)[0]
        element = self.generic.results[0].type.element_type
        if start == b.splat(b.zero(element), chunk.width):
            return value
        return b.value("arith.addf" if isinstance(element, ir.FloatType) else "arith.addi", value.type, value, start)

    def _reduce(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        """The reduction loops inside `inner`, around one step for every place."""
        d = len(inner)
        if d == len(self.order):
            return self._step(places, inner, held)
        loop = self.order[d]
        extent = self.extents[loop]
        if loop in self.unrolled and isinstance(extent, int):
            for k in range(extent):
                held = self._reduce(places, [*inner, Index({}, k)], held)
            return held
        b, (low, high) = self.frame.b, self.part or (Index(), extent)
        low = low.const if low.constant is not None else b.compute(low)
        return b.loop(low, high, 1, lambda k, *held: self._reduce(places, [*inner, k], list(held)), held)

    def _step(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        found = []
        each = len(self.generic.results)
        for fetch in self.ahead:
            fetch(inner)
        for i, (loops, chunk) in enumerate(places):
            loops = list(loops)
            for d, k in zip(self.order, inner, strict=True):
                loops[d] = k
            found.extend(self.add(loops, chunk, held[i * each : (i + 1) * each]))
        return found

    def add(self, loops: list[Index], chunk: Chunk, held: list[ir.Value]) -> list[ir.Value]:
        """The sums `held` of a point after one more step of the reduction, which `loops` give as well."""
        g, b, evaluator = self.generic, self.frame.b, self.frame.evaluator
        given = {len(g.inputs) + j: value for j, value in enumerate(held)}
        for number, read in self.factors.items():
            given[number] = read(loops, chunk)
        if self.product is None:
            return [b.splat(value, chunk.width) for value in evaluator.body(g, loops, chunk, given)]
        factors = self.product[:2]
        read = {v: self.made_wide[v](loops, chunk) for v in factors if v in self.made_wide}
        others = [v for v in factors if v not in read]
        read.update(zip(others, evaluator.body(g, loops, chunk, given, others), strict=True))
        x, y = (b.splat(read[v], chunk.width) for v in factors)
        if not isinstance(ir.VectorType(x.type).element_type if chunk.width > 1 else x.type, ir.FloatType):
            return [b.op("arith.addi", [x.type], [held[0], b.value("arith.muli", x.type, x, y)]).results[0]]
        if self.frame.machine.fma:
            return [b.op("math.fma", [x.type], [x, y, held[0]]).results[0]]
        return [b.op("arith.addf", [x.type], [held[0], b.value("arith.mulf", x.type, x, y)]).results[0]]

    def finish(self, loops: list[Index], chunk: Chunk, held: list[ir.Value]) -> None:
        """Compute what follows the reduction on its results `held` at a point, and store it."""
        finish(self.frame, self.generic, loops, chunk, held)


def finish(frame: Frame, g: Generic, loops: list[Index], chunk: Chunk, held: list[ir.Value]) -> None:
    """Compute what follows a reduction on its results `held` at a point, and store it."""
    bind(frame, g, loops, held)
    for i, place in enumerate(stored_at(frame.kernel, g, loops)):
        value = frame.evaluator.at(*computed(frame.kernel, i, place), chunk)
        frame.memory.store(frame.destination(i), place, chunk, value)


def bind(frame: Frame, g: Generic, loops: list[Index], held: list[ir.Value]) -> None:
    """Let the results of a reduction be `held` at a point, until others are."""
    for i, result in enumerate(g.results):
        home = tuple(apply(e, loops) for e in g.output_map(i).results)

        def bound(indices, chunk, home=home, value=held[i]):
            if indices != home:
                raise NotApplicable("the reduction is read at another point than where it is stored")
            return value

        frame.evaluator.bound[result] = bound


def _moves(index: Index) -> bool:
    """Whether an index stays or moves by one from lane to lane."""
    return not index.lane or lane_like(index)
