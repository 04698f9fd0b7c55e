"""The schedule of products with 4-bit weights: two of them a byte, made floats in registers.

It takes what `neo-quantize-weights` writes: `out + (a[2 k] * (low(q) - 8) + a[2 k + 1] * (high(q) - 8)) * s` with q in
panels of columns. A group of weights, those of one scale, is summed by itself, so that its scale multiplies once a
group: a byte costs its load, two conversions and two multiply-adds for all columns of a vector. The sums of low and
high halves are apart, which is what hides the latency of the multiply-adds where there is one row. The loop nest
is that of `contraction`.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.accumulate import Accumulator, Row
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Tile
from neomlir.schedules.contraction import Nest
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Part, apply
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root

_AHEAD = 32
"""Rows of a panel that are asked for before they are needed: memory is some hundred nanoseconds away."""
_L2 = 2
"""The locality hint of data for the second-level cache."""
_VECTORS = 4
"""Vectors of a panel."""
_ROWS, _BYTES, _NEXT, _SCALES = range(4)
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
        plan, group = _plan(root, kernel, target)
        return Frame(kernel, target).made_by(lambda frame: NibbleNest(frame, root, plan, group).emit())


def _plan(root: Root, kernel: Kernel, target) -> tuple[Plan, int]:
    """The register tile, and bytes of a group; NotApplicable where the kernel is no product with 4-bit weights."""
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
    # Two sums for a row and vector within a group, one for the whole, and what is loaded.
    height = max(1, (target.vector.registers - 2 * vectors - 2) // (3 * vectors))
    return Plan(columns, rows, None, [], lanes, vectors, height, width), group


def _shaped(value: ir.Value) -> bool:
    return isinstance(value.type, ir.RankedTensorType)


class NibbleNest(Nest):
    """The loops of `contraction` around register tiles of 4-bit weights."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, group: int):
        super().__init__(frame, root, plan)
        self.sums = NibbleSums(frame, root, group)

    def _main(self):
        return self._items()

    def fetch_ahead(self, tiles: int) -> None:
        """Nothing: one row after the other is read from end to end, as the hardware fetches by itself."""


class NibbleSums(Accumulator):
    """Register tiles that are summed a group of weights at a time."""

    def __init__(self, frame: Frame, root: Root, group: int):
        super().__init__(frame, root)
        self.group = group
        self.f32 = ir.F32Type.get(frame.b.context)
        self.i32 = ir.IntegerType.get_signless(32, frame.b.context)

    def tile(self, count: int, row: Row, vectors: Tile) -> None:
        """Reduce, finish and store the points of rows 0 to `count - 1` times `vectors`."""
        b = self.frame.b
        with b.scope():
            points = [(self.root.loops(row(Index({}, r), i)), chunk) for r in range(count) for i, chunk in vectors]
            start = [value for loops, chunk in points for value in self.start(loops, chunk)]
            groups = self.root.extents[self.root.reduced[0]] // self.group

            def one(g: Index, *totals: ir.Value) -> list[ir.Value]:
                zeros = [b.splat(b.zero(self.f32), chunk.width) for _, chunk in points]
                base = g * self.group
                held = b.loop(
                    0, self.group, 1, lambda k, *sums: self._pair(points, len(vectors), base + k, sums), [*zeros] * 2
                )
                found = []
                for i, (loops, chunk) in enumerate(points):
                    both = b.value("arith.addf", held[i].type, held[i], held[len(points) + i])
                    scale = b.splat(self._read(_SCALES, loops, base, chunk), chunk.width)
                    found.append(self._fma(both, scale, totals[i]))
                return found

            held = b.loop(0, groups, 1, one, start)
            if self.heavy and count > 1:
                self._spill(count, row, vectors, held)
                return
            for (loops, chunk), value in zip(points, held, strict=True):
                self.finish(loops, chunk, [value])

    def _pair(self, points: list, columns: int, k: Index, sums) -> list[ir.Value]:
        """One byte of every column: the low halves times even rows, the high halves times odd ones."""
        b = self.frame.b
        halves = []
        self._fetch_weights(points[0][0], k + _AHEAD)
        for loops, chunk in points[:columns]:
            byte = self._read(_BYTES, loops, k, chunk)
            wide = b.value("arith.extui", b.vector(chunk.width, self.i32), byte)
            low = b.value("arith.andi", wide.type, wide, b.splat(self._integer(15), chunk.width))
            high = b.value("arith.shrui", wide.type, wide, b.splat(self._integer(4), chunk.width))
            halves.append([self._float(half, chunk) for half in (low, high)])
        found: list[ir.Value] = [*sums]
        for i, (loops, chunk) in enumerate(points):
            for part, operand in enumerate((_ROWS, _NEXT)):
                factor = b.splat(self._read(operand, loops, k, chunk), chunk.width)
                at = part * len(points) + i
                found[at] = self._fma(factor, halves[i % columns][part], found[at])
        return found

    def _fetch_weights(self, loops: list[Index], k: Index) -> None:
        """Ask for the row of a panel that is `k` bytes into the reduction; behind the last it is the next panel's."""
        value, memory = self.root.accesses[_BYTES][0][0], self.frame.memory
        loops = [index.put_lane(0) for index in loops]
        loops[self.root.reduced[0]] = k
        memory.fetch(memory.of(value), tuple(apply(e, loops) for e in self.generic.maps[_BYTES].results), _L2)

    def _float(self, half: ir.Value, chunk: Chunk) -> ir.Value:
        """A number from 0 to 15 less 8."""
        b = self.frame.b
        less = b.value("arith.subi", half.type, half, b.splat(self._integer(8), chunk.width))
        return b.value("arith.sitofp", b.vector(chunk.width, self.f32), less)

    def _integer(self, number: int) -> ir.Value:
        return self.frame.b.constant(ir.IntegerAttr.get(self.i32, number))

    def _read(self, operand: int, loops: list[Index], k: Index, chunk: Chunk) -> ir.Value:
        """An input at a point, `k` bytes into the reduction."""
        loops = list(loops)
        loops[self.root.reduced[0]] = k
        place = tuple(apply(e, loops) for e in self.generic.maps[operand].results)
        return self.frame.evaluator.at(self.generic.inputs[operand], place, chunk)

    def _fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        b = self.frame.b
        if self.frame.machine.fma:
            return b.op("math.fma", [z.type], [x, y, z]).results[0]
        return b.value("arith.addf", z.type, z, b.value("arith.mulf", z.type, x, y))


SCHEDULE = Nibbles()
