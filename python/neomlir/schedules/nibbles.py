"""The schedule of products with 4-bit weights: two of them a byte, made floats in registers.

It takes what `neo-quantize-weights` writes: `out + (a[2 k] * (low(q) - 8) + a[2 k + 1] * (high(q) - 8)) * s` with q in
panels of columns. A group of weights, those of one scale, is summed by itself, so that its scale multiplies once a
group: a byte costs its load, two conversions and two multiply-adds for all columns of a vector. One row takes
whole panels as words of eight weights (`nibble_words.py`). The loop nest is that of `contraction`. Where many rows
pass by a panel, its columns are made floats once, scales included, in scratch memory, and the register tile is that of
a product of floats.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules.accumulate import Accumulator, Row
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Tile
from neomlir.schedules.contraction import Nest
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Part, apply
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nibble_words import Words
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root
from neomlir.schedules.widened import SCRATCH, STRIPS

_AHEAD = 32
"""Rows of a panel that are asked for before they are needed: memory is some hundred nanoseconds away."""
_L2 = 2
"""The locality hint of data for the second-level cache."""
_VECTORS = 4
"""Vectors of a panel."""
_OPERANDS = _ROWS, _BYTES, _NEXT, _SCALES = 0, 1, 2, 3
"""The inputs: even rows of the reduction, the weights, odd rows, scales."""


def panel_of(vector_bits: int) -> int:
    """Columns of a panel of 4-bit weights on a target with vectors of so many bits."""
    return _VECTORS * max(4, vector_bits // 32)


class Nibbles(Schedule):
    name = "nibbles"
    order = 95

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 4

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        plan, group, shared = _plan(root, kernel, target)
        return Frame(kernel, target).made_by(lambda frame: NibbleNest(frame, root, plan, group, shared).emit())


def _plan(root: Root, kernel: Kernel, target) -> tuple[Plan, int, bool]:
    """The register tile, bytes of a group, and whether weights are made floats in scratch memory.

    NotApplicable where the kernel is no product with 4-bit weights.
    """
    g = root.generic
    types = [str(ir.RankedTensorType(v.type).element_type) for v in (*g.inputs, *g.results) if _shaped(v)]
    if types != ["f32", "i8", "f32", "f32", "f32"] or not {"arith.andi", "arith.shrui"} <= g.names:
        raise NotApplicable("the inputs are not rows, 4-bit weights and scales")
    if len(root.reduced) != 1 or any(len(a) != 1 or a[0][0] is None for a in root.accesses):
        raise NotApplicable("an operand is not read from one argument, or more than one loop is reduced")
    probe = root.reduced_probes[root.reduced[0]]
    lanes = max(1, target.vector.bits // 32)
    columns = [d for d in root.dims if root.depends(_BYTES, d)]
    steps = [v for v in root.accesses[_SCALES][0][1][1].terms if isinstance(v, Part) and v.index.is_(probe)]
    if len(columns) != 1 or len(steps) != 1 or lanes < 4:
        raise NotApplicable("the weights are not packed in panels of columns and groups")
    (columns,) = columns
    width = root.panel(columns)
    if width is None or width % lanes or root.depends(_ROWS, columns):
        raise NotApplicable("the panels are no whole vectors")
    extent = root.extents[root.reduced[0]]
    group = steps[0].divisor
    if extent is None or extent % group:
        raise NotApplicable("the reduction is no whole number of groups")
    rows = [d for d in root.dims if d is not columns]
    tall = next((d.size for d in rows[::-1]), 1) or _VECTORS
    # Of one row the weights are loaded in long pieces; several share the floats that are made of them.
    most = width // lanes
    vectors = kernel.parameter("vectors", min(most, _VECTORS if tall == 1 else 2), [v for v in (1, 2, 4) if v <= most])
    height = max(1, (target.vector.registers - vectors - 2) // vectors)
    fits = 8 * extent * vectors * lanes <= SCRATCH and len(columns.loops) == 1
    shared = fits and math.prod(d.size or 0 for d in rows) >= STRIPS * height
    if not shared:
        # Two sums for a row and vector within a group, one for the whole, and what is loaded.
        height = max(1, (target.vector.registers - 2 * vectors - 2) // (3 * vectors))
    return Plan(columns, rows, None, [], lanes, vectors, height, width), group, shared


def _shaped(value: ir.Value) -> bool:
    return isinstance(value.type, ir.RankedTensorType)


class NibbleNest(Nest):
    """The loops of `contraction` around register tiles of 4-bit weights."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, group: int, shared: bool):
        super().__init__(frame, root, plan)
        self.sums = NibbleSums(frame, root, group)
        self.shared = shared

    def widen(self, rows: int | None) -> WideNibbles | None:
        return WideNibbles(self) if self.shared else None

    def main(self):
        return self._items()

    def fetch_ahead(self, tiles: int) -> None:
        """Nothing: one row after the other is read from end to end, as the hardware fetches by itself."""


class WideNibbles:
    """A panel's columns as floats in scratch memory: `[bytes of the reduction, halves, columns of a register tile]`."""

    def __init__(self, nest: NibbleNest):
        self.nest, self.sums, self.columns = nest, nest.sums, nest.plan.columns.loops[-1]
        self.depth = nest.root.extents[nest.root.reduced[0]]
        self.buffer = nest.frame.memory.scratch([self.depth, 2, nest.plan.width], self.sums.f32)
        self.first = Index()
        """Minus the column that comes first."""

    def fill(self, slot: Index, p: Index, tile: Tile) -> None:
        """Make the columns `tile` of panel `p` floats; `slot` is the only one."""
        nest, b, sums, first = self.nest, self.nest.b, self.sums, p * -self.nest.plan.width
        columns = nest.plan.columns
        points = [
            (nest.root.loops([i if d is columns else Index() for d in nest.root.dims]), i, chunk) for i, chunk in tile
        ]

        def group(g: Index) -> None:
            base = g * sums.group
            scales = [b.splat(sums.read(_SCALES, loops, base, chunk), chunk.width) for loops, _, chunk in points]

            def pair(k: Index) -> None:
                for (loops, index, chunk), scale in zip(points, scales, strict=True):
                    for half, value in enumerate(sums.halves(loops, base + k, chunk)):
                        value = b.value("arith.mulf", value.type, value, scale)
                        nest.frame.memory.store(self.buffer, (base + k, Index({}, half), index + first), chunk, value)

            b.loop(0, sums.group, 1, pair)

        b.loop(0, self.depth // sums.group, 1, group)

    def use(self, slot: Index, p: Index) -> None:
        """Let register tiles read the columns of panel `p`."""
        self.first = p * -self.nest.plan.width
        self.sums.floats = self

    def at(self, loops: list[Index], k: Index, half: int, chunk: Chunk) -> ir.Value:
        """Weights `2 * k + half` of the columns at a point."""
        return self.nest.frame.memory.load(self.buffer, (k, Index({}, half), loops[self.columns] + self.first), chunk)


class NibbleSums(Accumulator):
    """Register tiles that are summed a group of weights at a time."""

    def __init__(self, frame: Frame, root: Root, group: int):
        super().__init__(frame, root)
        self.group = group
        self.f32 = ir.F32Type.get(frame.b.context)
        self.i32 = ir.IntegerType.get_signless(32, frame.b.context)
        self.floats: WideNibbles | None = None
        """Where the weights are floats already."""

    def tile(self, count: int, row: Row, vectors: Tile) -> None:
        """Reduce, finish and store the points of rows 0 to `count - 1` times `vectors`."""
        b = self.frame.b
        with b.scope():
            points = [(self.root.loops(row(Index({}, r), i)), chunk) for r in range(count) for i, chunk in vectors]
            start = [value for loops, chunk in points for value in self.start(loops, chunk)]
            if self.floats is not None:
                depth = self.root.extents[self.root.reduced[0]]
                self._end(
                    count, row, vectors, points, b.loop(0, depth, 1, lambda k, *h: self._floats(points, k, h), start)
                )
                return
            groups = self.root.extents[self.root.reduced[0]] // self.group
            if Words.fits(count, vectors):
                words = Words(self, lambda i: self.root.loops(row(Index(), i)), vectors, _OPERANDS)
                totals = words.totals(self.group, groups)
                found = [self.moved(t, *point) for t, point in zip(totals, points, strict=True)]
                self._end(count, row, vectors, points, found)
                return

            def one(g: Index, *totals: ir.Value) -> list[ir.Value]:
                zeros = [b.splat(b.zero(self.f32), chunk.width) for _, chunk in points]
                base = g * self.group
                held = b.loop(
                    0, self.group, 1, lambda k, *sums: self._pair(points, len(vectors), base + k, sums), [*zeros] * 2
                )
                found = []
                for i, (loops, chunk) in enumerate(points):
                    both = b.value("arith.addf", held[i].type, held[i], held[len(points) + i])
                    scale = b.splat(self.read(_SCALES, loops, base, chunk), chunk.width)
                    found.append(self.fma(both, scale, totals[i]))
                return found

            self._end(count, row, vectors, points, b.loop(0, groups, 1, one, start))

    def _floats(self, points: list, k: Index, sums) -> list[ir.Value]:
        """Two weights of every column, which are floats."""
        found: list[ir.Value] = [*sums]
        for half, operand in enumerate((_ROWS, _NEXT)):
            for i, (loops, chunk) in enumerate(points):
                factor = self.frame.b.splat(self.read(operand, loops, k, chunk), chunk.width)
                found[i] = self.fma(factor, self.floats.at(loops, k, half, chunk), found[i])
        return found

    def _pair(self, points: list, columns: int, k: Index, sums) -> list[ir.Value]:
        """One byte of every column: the low halves times even rows, the high halves times odd ones."""
        b = self.frame.b
        halves = []
        self.fetch_weights(points[0][0], k)
        for loops, chunk in points[:columns]:
            halves.append(self.halves(loops, k, chunk))
        found: list[ir.Value] = [*sums]
        for i, (loops, chunk) in enumerate(points):
            for part, operand in enumerate((_ROWS, _NEXT)):
                factor = b.splat(self.read(operand, loops, k, chunk), chunk.width)
                at = part * len(points) + i
                found[at] = self.fma(factor, halves[i % columns][part], found[at])
        return found

    def halves(self, loops: list[Index], k: Index, chunk: Chunk) -> list[ir.Value]:
        """The two weights of a byte as floats, without their scale."""
        b = self.frame.b
        byte = self.read(_BYTES, loops, k, chunk)
        wide = b.value("arith.extui", b.vector(chunk.width, self.i32), byte)
        low = b.value("arith.andi", wide.type, wide, b.splat(self.integer(15), chunk.width))
        high = b.value("arith.shrui", wide.type, wide, b.splat(self.integer(4), chunk.width))
        return [self._float(half, chunk) for half in (low, high)]

    def fetch_weights(self, loops: list[Index], k: Index, ahead: int = _AHEAD) -> None:
        """Ask for the row of a panel that comes `ahead` rows after row `k`; behind the last it is the next panel's."""
        value, memory = self.root.accesses[_BYTES][0][0], self.frame.memory
        loops = [index.put_lane(0) for index in loops]
        loops[self.root.reduced[0]] = k + ahead
        memory.fetch(memory.of(value), tuple(apply(e, loops) for e in self.generic.maps[_BYTES].results), _L2)

    def _float(self, half: ir.Value, chunk: Chunk) -> ir.Value:
        """A number from 0 to 15 less 8."""
        b = self.frame.b
        less = b.value("arith.subi", half.type, half, b.splat(self.integer(8), chunk.width))
        return b.value("arith.sitofp", b.vector(chunk.width, self.f32), less)

    def integer(self, number: int) -> ir.Value:
        return self.frame.b.constant(ir.IntegerAttr.get(self.i32, number))

    def read(self, operand: int, loops: list[Index], k: Index, chunk: Chunk) -> ir.Value:
        """An input at a point, `k` bytes into the reduction."""
        loops = list(loops)
        loops[self.root.reduced[0]] = k
        place = tuple(apply(e, loops) for e in self.generic.maps[operand].results)
        return self.frame.evaluator.at(self.generic.inputs[operand], place, chunk)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        b = self.frame.b
        if self.frame.machine.fma:
            return b.op("math.fma", [z.type], [x, y, z]).results[0]
        return b.value("arith.addf", z.type, z, b.value("arith.mulf", z.type, x, y))


SCHEDULE = Nibbles()
