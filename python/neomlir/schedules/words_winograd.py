"""3x3 convolutions of bytes by Winograd's minimal filtering in whole numbers, which is exact.

F(2x2, 3x3) needs 16 products where direct summation needs 36. Its transforms add and subtract; those of filters halve,
so they are made of twice the matrix, and results are four times too large: a shift. Inputs are 4 bytes at most then,
filters 9, and `pmaddwd` takes words of 16 bits; sums may wrap around as long as four times the result does not. Bytes
are transformed when they are widened: inputs of a block of tiles, then filters a panel at a time, so that memory holds
no transformed filters. The blocking is that of `winograd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from neomlir.mlir import ir
from neomlir.schedules.builder import Builder, Chunk, Size, number
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.nest import even, full_tile, lane_index
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Dim, Root
from neomlir.schedules.winograd_math import TAPS, matrices, multiply
from neomlir.schedules.word_nest import WordNest

_M = 2
_N = _M + TAPS - 1
_PLACES = _N * _N
_GROWTH = _M * _M * TAPS * TAPS * 255 * 255
"""Four times the result, at most, of one input channel."""
_SCRATCH = 3 << 18
"""Bytes of a cache that scratch memory is cut to, at most: it lies on the stack."""
_STAYS = 5 / 8
"""The share of the second-level cache that a transformed panel may take, and that a block of tiles may."""
_INPUTS = 7 / 16
"""The share that the inputs of a block of tiles may take."""
_GAIN = 0.8
"""What share of the direct sums' time is worth it."""
_GATHER, _FILTER, _SPREAD = 3, 27, 60
"""What a channel of a tile, a channel of a panel, and a panel of a tile cost beside the products, in products."""
_HEIGHTS = (6, 5, 4)
_ITEMS = 4
"""Work items, at least: groups of panels each transform the inputs."""


@dataclass(frozen=True)
class Planes:
    """The loops of a 3x3 convolution of stride 1, and how its tiles are cut."""

    h: Dim
    w: Dim
    taps: tuple[int, int]
    """Loops of the reduction along h and w."""
    channels: int
    """The loop over the input channels."""
    tiles: tuple[int, int]
    """Rows and columns of tiles."""
    block: int
    """Tiles of a work item."""
    height: int
    """Tiles of a strip."""

    @property
    def count(self) -> int:
        return self.tiles[0] * self.tiles[1]

    @property
    def padded(self) -> int:
        """Tiles of a work item, whole strips."""
        return -(-self.block // self.height) * self.height

    @staticmethod
    def of(root: Root, panels: Panels, plan: Plan, machine) -> Planes | None:
        """None where the kernel is something else, or direct sums are as fast."""
        place, extents = panels.places[0], root.extents
        if plan.batch or len(plan.rows) < 2 or len(root.reduced) != TAPS or panels.width != 2 * panels.unit.lanes:
            return None
        h, w = plan.rows[-2:]
        c = panels.merged[-1]
        stride = {d: place.terms.get(root.reduced_probes[d]) for d in root.reduced}
        a, b = ([d for d in root.reduced if d != c and stride[d] == place.terms.get(dim.probe)] for dim in (h, w))
        if len(a) != 1 or len(b) != 1 or a == b or (extents[a[0]], extents[b[0]]) != (TAPS, TAPS):
            return None
        lanes, depth, columns = machine.lanes(16), extents[c], plan.columns.size
        sizes = (h.size, w.size)
        if None in (*sizes, columns) or columns % panels.width or depth % lanes or depth * _GROWTH >> 31:
            return None
        if len(h.loops) != 1 or len(w.loops) != 1:
            return None
        cache = min(machine.l2, _SCRATCH)
        if _PLACES * depth * panels.width * 2 > cache * _STAYS:
            return None
        tiles = tuple(-(-n // _M) for n in sizes)
        count = tiles[0] * tiles[1]
        inputs, products = _PLACES * depth * 2, _PLACES * panels.width * 4
        most = int(min(cache * _INPUTS // inputs, cache * _STAYS // (inputs + products)))
        if not most:
            return None
        block = -(-count // even(-(-count // most), count))
        height = min(_HEIGHTS, key=lambda n: (-(-block // n) * n, -n))
        found = Planes(h, w, (a[0], b[0]), c, tiles, block, height)
        blocks, number_ = -(-count // block), columns // panels.width
        steps = blocks * depth * (_PLACES * found.padded + _FILTER)
        others = count * (_SPREAD + _GATHER * depth / number_)
        worth = steps + others < _GAIN * TAPS * TAPS * depth * sizes[0] * sizes[1]
        return found if root.kernel.parameter("winograd", int(worth), (0, 1)) else None


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
        self.apart = (planes.padded * self.depth + line, self.depth * plan.width + line)
        """Words of inputs and of a panel from one place of the transform to the next: a line more than a power of two,
        which would let all meet in one set of the cache."""
        self.arithmetic = Integers(frame.b)
        a, g, b = matrices(_M)
        self.spreading, self.filtering, self.gathering = a, 2 * g, b

    def _items(self):
        b, plan, planes, memory = self.b, self.plan, self.planes, self.frame.memory
        blocks, panels = -(-planes.count // planes.block), plan.columns.size // plan.width
        outer = [self.size[id(d)] for d in plan.rows[:-2]]
        groups = self._groups([*outer, blocks], panels, _ITEMS)
        wide = -(-panels // groups)
        self.inputs = self._scratch(_PLACES * self.apart[0])
        self.filters = self._scratch(_PLACES * self.apart[1])
        i32 = ir.IntegerType.get_signless(32, b.context)
        self.products = memory.scratch([planes.padded, _N, _N, plan.width], i32)

        def item(indices: list[Index]) -> None:
            *where, block, group = indices
            fixed = {id(d): i for d, i in zip(plan.rows, where, strict=False)}
            start = b.compute(block * planes.block)
            count: Size = b.min(planes.block, b.sub(planes.count, start)) if block.terms else planes.block

            def tiles(emit) -> None:
                b.loop(0, count, 1, lambda t: emit(t, fixed, self._corner(b.add(start, b.compute(t)))))

            def panel(p: Index) -> None:
                self._filter(p)
                strips = b.ceildiv(count, planes.height)
                b.loop(0, _PLACES, 1, lambda place: b.loop(0, strips, 1, lambda s: self._multiply(place, s)))
                tiles(partial(self._spread, p))

            tiles(self._gather)
            low = b.compute(group * wide) if group.terms else 0
            b.loop(low, b.min(b.add(low, wide), panels), 1, panel)

        return [*outer, blocks, -(-panels // wide)], item

    def _corner(self, tile: ir.Value) -> list[Index]:
        """The row and the column of the first result of a tile."""
        b, columns = self.b, self.planes.tiles[1]
        rows = self.planes.tiles[0]
        places = ((b.div(tile, columns), rows), (b.rem(tile, columns), columns))
        return [of(Var(b.size(place), 1, 0, high - 1)) * _M for place, high in places]

    def _gather(self, t: Index, fixed: dict, corner: list[Index]) -> None:
        """Transform the inputs of a tile."""
        b, planes, root = self.b, self.planes, self.root
        place = self.panels.places[0]
        for d in self.plan.rows[:-2]:
            place = place.put(d.probe, fixed[id(d)])
        for d in root.reduced:
            place = place.put(root.reduced_probes[d], Index())

        def at(index: Index, offset: int, size: int) -> Index:
            # A tile that is not whole reads what is there instead: its results there are not kept.
            if size % _M == 0 or offset < _N - 1:
                return index + offset
            return of(Var(b.size(b.min(b.compute(index + offset), size + TAPS - 2))))

        def channels(c: Index, lanes: int) -> None:
            columns = []
            for v in range(_N):
                column = []
                for u in range(_N):
                    here = place.put(planes.h.probe, at(corner[0], u, planes.h.size))
                    here = here.put(planes.w.probe, at(corner[1], v, planes.w.size))
                    column.append(self.sums.widened(0, here + c, lanes))
                columns.append(multiply(self.arithmetic, self.gathering, column))
            for i in range(_N):
                row = multiply(self.arithmetic, self.gathering, [column[i] for column in columns])
                for j, value in enumerate(row):
                    where = t * self.depth + c + (i * _N + j) * self.apart[0]
                    b.op("vector.store", [], [value, self.inputs.buffer, b.compute(where)])

        lanes = self.frame.machine.lanes(16)
        b.loop(0, self.depth, lanes, lambda c: channels(c, lanes))

    def _filter(self, p: Index) -> None:
        """Transform the filters of a panel."""
        b, root, plan, lanes = self.b, self.root, self.plan, 2 * self.plan.lanes
        start = self.panels.places[1].put(plan.columns.probe, p * plan.width)
        start = start.put(root.reduced_probes[self.planes.channels], Index())

        def channels(c: Index) -> None:
            for offset in range(0, 2 * plan.width, lanes):
                columns = []
                for v in range(TAPS):
                    column = []
                    for u in range(TAPS):
                        here = start
                        for d, tap in zip(self.planes.taps, (u, v), strict=True):
                            here = here.put(root.reduced_probes[d], Index({}, tap))
                        column.append(self.sums.widened(1, here + c * plan.width + offset, lanes))
                    columns.append(multiply(self.arithmetic, self.filtering, column))
                for i in range(_N):
                    row = multiply(self.arithmetic, self.filtering, [column[i] for column in columns])
                    for j, value in enumerate(row):
                        where = c * plan.width + offset + (i * _N + j) * self.apart[1]
                        b.op("vector.store", [], [value, self.filters.buffer, b.compute(where)])

        b.loop(0, self.depth, 2, channels)

    def _multiply(self, place: Index, strip: Index) -> None:
        """The products of a strip of tiles with a panel at one place of the transform."""
        b, plan, planes, sums = self.b, self.plan, self.planes, self.sums
        first = strip * planes.height

        def step(c: Index, *held: ir.Value) -> list[ir.Value]:
            at = place * self.apart[1] + c * plan.width
            columns = [sums.many_pairs(self.filters.buffer, at + j * 2 * plan.lanes) for j in range(plan.vectors)]
            found = []
            for r in range(planes.height):
                at = place * self.apart[0] + (first + r) * self.depth + c
                row = sums.broadcast_pair(self.inputs.buffer, at)
                for column in columns:
                    found.append(sums.multiply_add(held[len(found)], row, column))
            return found

        zero = b.splat(b.zero(sums.wide.element_type), plan.lanes)
        found = b.loop(0, self.depth, 2, step, [zero] * (planes.height * plan.vectors))
        for number_, value in enumerate(found):
            r, j = divmod(number_, plan.vectors)
            flat = self.frame.memory.flat(self.products)
            at = ((first + r) * _PLACES + place) * plan.width + j * plan.lanes
            b.op("vector.store", [], [value, flat, b.compute(at)])

    def _spread(self, p: Index, t: Index, fixed: dict, corner: list[Index]) -> None:
        """Transform the products of a tile back, finish and store its results."""
        b, plan, planes = self.b, self.plan, self.planes
        vectors = full_tile(p * plan.width, plan.lanes, plan.vectors)
        kind = b.vector(plan.lanes, self.sums.wide.element_type)
        shift = b.splat(b.constant(number(kind.element_type, 2)), plan.lanes)
        found: list[list[list[ir.Value]]] = []
        with b.scope():
            for k in range(plan.vectors):
                columns = []
                for j in range(_N):
                    places = [
                        (t, Index({}, i), Index({}, j), lane_index(Index({}, k * plan.lanes), plan.lanes))
                        for i in range(_N)
                    ]
                    loaded = [self.frame.memory.load(self.products, at, Chunk(plan.lanes)) for at in places]
                    columns.append(multiply(self.arithmetic, self.spreading, loaded))
                rows = [multiply(self.arithmetic, self.spreading, [column[y] for column in columns]) for y in range(_M)]
                found.append([[b.value("arith.shrsi", kind, value, shift) for value in row] for row in rows])
            for y in range(_M):
                row = partial(self._row, fixed, corner, y)
                values = [[found[k][y][x] for k in range(plan.vectors)] for x in range(_M)]
                self._where(corner[0] + y, planes.h.size, y, partial(self._finish, corner[1], row, values, vectors))

    def _row(self, fixed: dict, corner: list[Index], y: int, x: Index, column: Index) -> list[Index]:
        """One index a dimension of the root, of a point of a row of a tile."""
        here = {id(self.planes.h): corner[0] + y, id(self.planes.w): corner[1] + x, id(self.plan.columns): column}
        return [(fixed | here)[id(d)] for d in self.root.dims]

    def _where(self, index: Index, size: int, offset: int, then, otherwise=None) -> None:
        """`then` where the index of a result, which stands at `offset` in its tile, is below `size`."""
        if size % _M == 0 or not offset:
            then()
        else:
            self.b.when(self.b.less(self.b.compute(index), size), then, otherwise)

    def _finish(self, first: Index, row, values: list[list[ir.Value]], vectors) -> None:
        """What follows the sums of two neighbours, or of one where the plane ends."""

        def points(count: int) -> None:
            found = []
            for x in range(count):
                for (index, chunk), value in zip(vectors, values[x], strict=True):
                    loops = self.root.loops(row(Index({}, x), index))
                    found.append((loops, chunk, self.sums.moved(value, loops, chunk)))
            self.sums.finish_all(found, count, row, vectors)

        last = _M - 1
        self._where(first + last, self.planes.w.size, last, lambda: points(_M), lambda: points(last))
