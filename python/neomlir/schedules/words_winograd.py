"""3x3 convolutions of bytes by Winograd's minimal filtering in whole numbers, which is exact.

F(2x2, 3x3) needs 16 products where direct summation needs 36, F(4x4, 3x3) 36 for 144. With points 0, 1, -1 (2, -2) and
infinity, and filters as many times too large as their denominators, transforms have whole numbers only, and fit words
of 16 bits, which `pmaddwd` takes. Results are 4 or 576 times too large. Sums may wrap around: of 576 the factor 9 has
an inverse among numbers of 32 bits, and 64 is a shift, so they are exact as long as 64 times the result fits. Unsigned
rows are moved down by 128 for that, and what it takes off is added in the end; many channels are summed in parts.
Bytes are transformed when they are widened: inputs of a block of tiles, then filters a part of a panel at a time, so
that memory holds no transformed filters. The blocking is that of `winograd`.
"""

from __future__ import annotations

from functools import partial
from itertools import product

from neomlir.mlir import ir
from neomlir.schedules.builder import Builder, Chunk, Size, number
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.nest import full_tile, lane_index
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root
from neomlir.schedules.winograd_math import TAPS, multiply, whole_matrices
from neomlir.schedules.word_nest import WordNest
from neomlir.schedules.words_planes import LOW, Planes, power_of_two

_STEP = 4
"""Channels that a step of the products takes, in pairs: parts have a whole number of them."""
_ITEMS = 4
"""Work items, at least: groups of panels each transform the inputs."""


class Integers:
    """Emits the operations of transforms on vectors of integers."""

    def __init__(self, builder: Builder):
        self.b = builder

    def add(self, x: ir.Value, y: ir.Value, sign: int) -> ir.Value:
        return self.b.value("arith.addi" if sign > 0 else "arith.subi", x.type, x, y)

    def scale(self, factor: float, x: ir.Value) -> ir.Value:
        kind = ir.VectorType(x.type)
        constant = self.b.splat(self.b.constant(number(kind.element_type, factor)), kind.shape[0])
        return self.b.value("arith.muli", kind, x, constant)

    def accumulate(self, factor: float, x: ir.Value, total: ir.Value) -> ir.Value:
        return self.add(total, self.scale(factor, x), 1)


class TransformedNest(WordNest):
    """Work items of a block of tiles and some panels."""

    def __init__(self, frame, root: Root, plan: Plan, panels: Panels, planes: Planes):
        super().__init__(frame, root, plan, panels)
        self.planes = planes
        self.depth = root.extents[planes.channels]
        line = frame.machine.line // 2
        self.apart = (planes.padded * self.depth + line, planes.part * plan.width + line)
        """Words of inputs, and of a part of a panel, from one place of the transform to the next: a line more than a
        power of two, which would let all meet in one set of the cache."""
        self.arithmetic = Integers(frame.b)
        self.spreading, self.filtering, self.gathering, self.factor = whole_matrices(planes.m)
        i32 = ir.IntegerType.get_signless(32, frame.b.context)
        self.lifted = None if self.sums.signed[0] else frame.memory.scratch([plan.width], i32)
        """What the rows' being moved down takes off the sums of a panel."""

    def _items(self):
        b, plan, planes, memory = self.b, self.plan, self.planes, self.frame.memory
        blocks, panels = -(-planes.count // planes.block), plan.columns.size // plan.width
        outer = [self.size[id(d)] for d in plan.rows[:-2]]
        groups = self._groups([*outer, blocks], panels, _ITEMS)
        wide = -(-panels // groups)
        self.inputs = self._scratch(planes.places * self.apart[0])
        self.filters = self._scratch(planes.places * self.apart[1])
        i32 = ir.IntegerType.get_signless(32, b.context)
        self.products = memory.scratch([planes.padded, planes.n, planes.n, plan.width], i32)
        self.totals = None
        if planes.parts > 1:
            self.totals = memory.scratch([planes.block, planes.m, planes.m, plan.width], i32)

        def item(indices: list[Index]) -> None:
            *where, block, group = indices
            fixed = {id(d): i for d, i in zip(plan.rows, where, strict=False)}
            start = b.compute(block * planes.block)
            count: Size = b.min(planes.block, b.sub(planes.count, start)) if block.terms else planes.block

            def tiles(emit) -> None:
                b.loop(0, count, 1, lambda t: emit(t, fixed, self._corner(b.add(start, b.compute(t)))))

            def part(p: Index, low: Index) -> None:
                self._filter(p, low)
                strips = b.ceildiv(count, planes.height)
                b.loop(0, planes.places, 1, lambda place: b.loop(0, strips, 1, lambda s: self._multiply(place, s, low)))
                tiles(partial(self._spread, p))

            def panel(p: Index) -> None:
                if self.totals is None:
                    part(p, Index())
                    return
                self._clear(count)
                b.loop(0, planes.parts, 1, lambda n: part(p, n * planes.part))
                tiles(partial(self._end, p))

            tiles(self._gather)
            low = b.compute(group * wide) if group.terms else 0
            b.loop(low, b.min(b.add(low, wide), panels), 1, panel)

        return [*outer, blocks, -(-panels // wide)], item

    def _clear(self, tiles: Size) -> None:
        """Let the totals of so many tiles be zero."""
        b, kind = self.b, self.sums.wide
        zero, flat = b.splat(b.zero(kind.element_type), self.plan.lanes), self.frame.memory.flat(self.totals)
        each = self.planes.m * self.planes.m * self.plan.width
        b.loop(
            0,
            b.mul(tiles, each),
            self.plan.lanes,
            lambda i: b.op("vector.store", [], [zero, flat, b.compute(i)]) and None,
        )

    def _corner(self, tile: ir.Value) -> list[Index]:
        """The row and the column of the first result of a tile."""
        b, columns = self.b, self.planes.tiles[1]
        rows = self.planes.tiles[0]
        places = ((b.div(tile, columns), rows), (b.rem(tile, columns), columns))
        return [of(Var(b.size(place), 1, 0, high - 1)) * self.planes.m for place, high in places]

    def _gather(self, t: Index, fixed: dict, corner: list[Index]) -> None:
        """Transform the inputs of a tile."""
        b, planes, root, n = self.b, self.planes, self.root, self.planes.n
        place = self.panels.places[0]
        for d in self.plan.rows[:-2]:
            place = place.put(d.probe, fixed[id(d)])
        for d in root.reduced:
            place = place.put(root.reduced_probes[d], Index())

        def at(index: Index, offset: int, size: int) -> Index:
            # A tile that is not whole reads what is there instead: its results there are not kept.
            if -(-size // planes.m) * planes.m + offset - planes.m <= size + TAPS - 2:
                return index + offset
            return of(Var(b.size(b.min(b.compute(index + offset), size + TAPS - 2))))

        def channels(c: Index, lanes: int) -> None:
            columns = []
            for v in range(n):
                column = []
                for u in range(n):
                    here = place.put(planes.h.probe, at(corner[0], u, planes.h.size))
                    here = here.put(planes.w.probe, at(corner[1], v, planes.w.size))
                    column.append(self._moved_down(self.sums.widened(0, here + c, lanes)))
                columns.append(multiply(self.arithmetic, self.gathering, column))
            for i in range(n):
                row = multiply(self.arithmetic, self.gathering, [column[i] for column in columns])
                for j, value in enumerate(row):
                    where = t * self.depth + c + (i * n + j) * self.apart[0]
                    b.op("vector.store", [], [value, self.inputs.buffer, b.compute(where)])

        lanes = self.frame.machine.lanes(16)
        b.loop(0, self.depth, lanes, lambda c: channels(c, lanes))

    def _moved_down(self, words: ir.Value) -> ir.Value:
        """Words of rows, between -128 and 127."""
        if self.lifted is None:
            return words
        return self.b.value("arith.subi", words.type, words, self._splat(words, LOW))

    def _splat(self, like: ir.Value, value: int) -> ir.Value:
        kind = ir.VectorType(like.type)
        return self.b.splat(self.b.constant(number(kind.element_type, value)), kind.shape[0])

    def _filter(self, p: Index, low: Index) -> None:
        """Transform the filters of a panel for the channels of a part, the first of which is `low`."""
        b, root, plan, n = self.b, self.root, self.plan, self.planes.n
        sums, lanes = self.sums, 2 * self.plan.lanes
        start = self.panels.places[1].put(plan.columns.probe, p * plan.width)
        start = start.put(root.reduced_probes[self.planes.channels], Index()) + low * plan.width

        def channels(c: Index, *totals: ir.Value) -> list[ir.Value]:
            found = []
            for offset in range(0, 2 * plan.width, lanes):
                columns = []
                for v in range(TAPS):
                    column = []
                    for u in range(TAPS):
                        here = start
                        for d, tap in zip(self.planes.taps, (u, v), strict=True):
                            here = here.put(root.reduced_probes[d], Index({}, tap))
                        column.append(sums.widened(1, here + c * plan.width + offset, lanes))
                    columns.append(column)
                if totals:
                    every = [word for column in columns for word in column]
                    total = every[0]
                    for word in every[1:]:
                        total = self.arithmetic.add(total, word, 1)
                    found.append(sums.multiply_add(totals[len(found)], total, self._splat(total, 1)))
                columns = [multiply(self.arithmetic, self.filtering, column) for column in columns]
                for i in range(n):
                    row = multiply(self.arithmetic, self.filtering, [column[i] for column in columns])
                    for j, value in enumerate(row):
                        where = c * plan.width + offset + (i * n + j) * self.apart[1]
                        b.op("vector.store", [], [value, self.filters.buffer, b.compute(where)])
            return found

        zero = b.splat(b.zero(sums.wide.element_type), plan.lanes)
        totals = b.loop(0, self.planes.part, 2, channels, [] if self.lifted is None else [zero] * plan.vectors)
        for j, total in enumerate(totals):
            taken = b.value("arith.muli", total.type, total, self._splat(total, LOW))
            b.op("vector.store", [], [taken, self.lifted, b.index(j * plan.lanes)])

    def _multiply(self, place: Index, strip: Index, low: Index) -> None:
        """The products of a strip of tiles with a part of a panel at one place of the transform."""
        b, plan, planes, sums = self.b, self.plan, self.planes, self.sums
        first = strip * planes.height

        def step(c: Index, *held: ir.Value) -> list[ir.Value]:
            for n in range(0, _STEP, 2):
                held = pair(c + n, held)
            return held

        def pair(c: Index, held) -> list[ir.Value]:
            at = place * self.apart[1] + c * plan.width
            columns = [sums.many_pairs(self.filters.buffer, at + j * 2 * plan.lanes) for j in range(plan.vectors)]
            found = []
            for r in range(planes.height):
                at = place * self.apart[0] + (first + r) * self.depth + low + c
                row = sums.broadcast_pair(self.inputs.buffer, at)
                for column in columns:
                    found.append(sums.multiply_add(held[len(found)], row, column))
            return found

        zero = b.splat(b.zero(sums.wide.element_type), plan.lanes)
        found = b.loop(0, planes.part, _STEP, step, [zero] * (planes.height * plan.vectors))
        for number_, value in enumerate(found):
            r, j = divmod(number_, plan.vectors)
            flat = self.frame.memory.flat(self.products)
            at = ((first + r) * planes.places + place) * plan.width + j * plan.lanes
            b.op("vector.store", [], [value, flat, b.compute(at)])

    def _spread(self, p: Index, t: Index, fixed: dict, corner: list[Index]) -> None:
        """Transform the products of a tile back; finish and store its results, or add them to those of other parts."""
        b, plan, memory, n, m = self.b, self.plan, self.frame.memory, self.planes.n, self.planes.m
        found: list[list[list[ir.Value]]] = []
        with b.scope():
            for k in range(plan.vectors):
                columns = []
                lane = lane_index(Index({}, k * plan.lanes), plan.lanes)
                for j in range(n):
                    places = [(t, Index({}, i), Index({}, j), lane) for i in range(n)]
                    loaded = [memory.load(self.products, at, Chunk(plan.lanes)) for at in places]
                    columns.append(multiply(self.arithmetic, self.spreading, loaded))
                rows = [multiply(self.arithmetic, self.spreading, [column[y] for column in columns]) for y in range(m)]
                found.append([[self._result(value, lane) for value in row] for row in rows])
            if self.totals is None:
                self._store(p, fixed, corner, found)
                return
            for k, y, x in product(range(plan.vectors), range(m), range(m)):
                at = self._total(t, y, x, k)
                value = self.arithmetic.add(memory.load(self.totals, at, Chunk(plan.lanes)), found[k][y][x], 1)
                memory.store(self.totals, at, Chunk(plan.lanes), value)

    def _total(self, t: Index, y: int, x: int, k: int) -> tuple[Index, ...]:
        """Where the total of a result of a tile is, for a vector of columns."""
        lanes = self.plan.lanes
        return (t, Index({}, y), Index({}, x), lane_index(Index({}, k * lanes), lanes))

    def _end(self, p: Index, t: Index, fixed: dict, corner: list[Index]) -> None:
        """Finish and store the results of a tile."""
        memory, lanes, m = self.frame.memory, self.plan.lanes, range(self.planes.m)

        def total(y: int, x: int, k: int) -> ir.Value:
            return memory.load(self.totals, self._total(t, y, x, k), Chunk(lanes))

        with self.b.scope():
            found = [[[total(y, x, k) for x in m] for y in m] for k in range(self.plan.vectors)]
            self._store(p, fixed, corner, found)

    def _store(self, p: Index, fixed: dict, corner: list[Index], found: list[list[list[ir.Value]]]) -> None:
        """Finish and store the results of a tile, by vector, row and column."""
        plan, m = self.plan, self.planes.m
        vectors = full_tile(p * plan.width, plan.lanes, plan.vectors)
        for y in range(m):
            row = partial(self._row, fixed, corner, y)
            values = [[found[k][y][x] for k in range(plan.vectors)] for x in range(m)]
            self._where(corner[0] + y, self.planes.h.size, y, partial(self._finish, corner[1], row, values, vectors))

    def _result(self, value: ir.Value, lane: Index) -> ir.Value:
        """The sums of a vector of columns of a panel, from what the transforms make of them."""
        b, whole = self.b, self.factor * self.factor
        even = power_of_two(whole)
        if whole > even:
            inverse = pow(whole // even, -1, 1 << 32)
            signed = inverse - (1 << 32) if inverse >> 31 else inverse
            value = b.value("arith.muli", value.type, value, self._splat(value, signed))
        value = b.value("arith.shrsi", value.type, value, self._splat(value, even.bit_length() - 1))
        if self.lifted is None:
            return value
        return self.arithmetic.add(value, self.frame.memory.load(self.lifted, (lane,), Chunk(self.plan.lanes)), 1)

    def _row(self, fixed: dict, corner: list[Index], y: int, x: Index, column: Index) -> list[Index]:
        """One index a dimension of the root, of a point of a row of a tile."""
        here = {id(self.planes.h): corner[0] + y, id(self.planes.w): corner[1] + x, id(self.plan.columns): column}
        return [(fixed | here)[id(d)] for d in self.root.dims]

    def _where(self, index: Index, size: int, offset: int, then, otherwise=None) -> None:
        """`then` where the index of a result, which stands at `offset` in its tile, is below `size`."""
        if size % self.planes.m == 0 or offset < size % self.planes.m:
            then()
        else:
            self.b.when(self.b.less(self.b.compute(index), size), then, otherwise)

    def _finish(self, first: Index, row, values: list[list[ir.Value]], vectors) -> None:
        """What follows the sums of a row of a tile, or of the part of it where the plane ends."""

        def points(count: int) -> None:
            found = []
            for x in range(count):
                for (index, chunk), value in zip(vectors, values[x], strict=True):
                    loops = self.root.loops(row(Index({}, x), index))
                    found.append((loops, chunk, self.sums.moved(value, loops, chunk)))
            self.sums.finish_all(found, count, row, vectors)

        m, size = self.planes.m, self.planes.w.size
        self._where(first + (m - 1), size, m - 1, lambda: points(m), lambda: points(size % m))
