"""The schedule of contractions of narrow numbers on the dot-product instructions of a vector unit.

It takes what `panels.py` describes, with the loop nest of `contraction`. A step of the reduction is a group of the
unit: one load of a vector of columns serves all rows, and a group of each row is read as one number of 32 bits and
broadcast (`vdpbf16ps`, `vpdpbusd`; `bfdot`, `sdot`, `udot`, `usdot` on Arm).
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.accumulate import Accumulator, Row
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Tile
from neomlir.schedules.contraction import Nest
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root
from neomlir.schedules.sets import rows_that_stay
from neomlir.schedules.tiles import tile_of


class DotProduct(Schedule):
    name = "dot_product"
    order = 90

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        plan, panels = planned(root, kernel, target)
        return Frame(kernel, target).made_by(lambda frame: DotNest(frame, root, plan, panels).emit())


def planned(root: Root, kernel: Kernel, target) -> tuple[Plan, Panels]:
    """The register tile of a contraction and its operands. Raises NotApplicable where the target has no such unit."""
    panels = Panels.of(root, kernel, target)
    if panels.unit.tiles or panels.unit.group_bits != 32:
        raise NotApplicable("the target's dot-product unit is none of vectors of groups of 32 bits")
    rows, _ = tile_of(panels.unit.bits, target.vector.registers, 32)
    plan = panels.plan(root, rows - 2 * panels.unit.flip)
    if plan.rows:
        plan.height = rows_that_stay(root, panels.rows, plan.rows[-1], plan.inner, plan.height, target.cache)
    return plan, panels


class DotNest(Nest):
    """The loops of `contraction` around register tiles of dot products."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, panels: Panels):
        super().__init__(frame, root, plan)
        self.sums = DotSums(frame, root, panels)

    def main(self):
        return self._items()

    def widen(self, rows: int | None) -> None:
        """Nothing: the unit multiplies narrow numbers."""

    def fetch_ahead(self, tiles: int) -> None:
        """Nothing: the panels are a half or a quarter of what `ahead` is made for."""


class DotSums(Accumulator):
    """Register tiles whose step of the reduction is a group of the unit."""

    def __init__(self, frame: Frame, root: Root, panels: Panels):
        super().__init__(frame, root)
        self.panels, self.unit = panels, panels.unit
        b = frame.b
        narrow = [ir.ShapedType(operand.type).element_type for operand in self.generic.inputs]
        self.wide = ir.VectorType.get([self.unit.lanes], self.generic.results[0].type.element_type, loc=b.location)
        elements = self.unit.bits // 8 // self.unit.element_bytes
        self.narrow = [ir.VectorType.get([elements], narrow[i], loc=b.location) for i in (panels.rows, 1 - panels.rows)]
        i32 = ir.IntegerType.get_signless(32, b.context)
        self.words = ir.VectorType.get([self.unit.lanes], i32, loc=b.location)

    def tile(self, count: int, row: Row, vectors: Tile) -> None:
        """Reduce, finish and store the points of rows 0 to `count - 1` times `vectors`."""
        b, unit = self.frame.b, self.unit
        width = sum(chunk.width for _, chunk in vectors)
        columns = range(-(-width // unit.lanes))
        dims = self._rows(count, row, vectors)
        with b.scope():
            found = self._sums(dims, width)
            points = []
            for r in range(count):
                offset = 0
                for index, chunk in vectors:
                    value = self._piece(
                        found[r * len(columns) + offset // unit.lanes], offset % unit.lanes, chunk.width
                    )
                    loops = self.root.loops(row(Index({}, r), index))
                    points.append((loops, chunk, self.moved(value, loops, chunk)))
                    offset += chunk.width
            if self.heavy and count > 1:
                self._spill(count, row, vectors, [value for _, _, value in points])
                return
            self.finish_all(points, count, row, vectors)

    def nothing(self) -> ir.Value:
        """A vector of sums of nothing."""
        return self.frame.b.splat(self.frame.b.zero(self.wide.element_type), self.unit.lanes)

    def _rows(self, count: int, row: Row, vectors: Tile) -> list[dict]:
        """Of each row of a tile an index a dimension, by its identity; that of the columns is the first of them."""
        first = vectors[0][0].put_lane(0)
        return [{id(d): i for d, i in zip(self.root.dims, row(Index({}, r), first), strict=True)} for r in range(count)]

    def finish_all(self, points: list[tuple], count: int, row: Row, vectors: Tile) -> None:
        """What follows the reduction, and the stores, for `count` rows: loops, chunk and sum of each vector."""
        for loops, chunk, value in points:
            self.finish(loops, chunk, [value])

    def _sums(self, dims: list[dict], width: int) -> list[ir.Value]:
        """The reduced sums: of each row vectors that hold `width` columns or some more."""
        b, unit = self.frame.b, self.unit
        columns = range(-(-width // unit.lanes))
        held = [self.nothing()] * (len(columns) * (len(dims) + unit.flip))
        found = self.panels.loop(
            b, self.root, lambda outer, along, *sums: self._dots(dims, columns, outer, along, sums), held
        )
        if not unit.flip:
            return found
        extra = found[len(columns) * len(dims) :]
        return [b.value("arith.subi", v.type, v, extra[i % len(columns)]) for i, v in enumerate(found[: -len(extra)])]

    def _dots(self, dims: list[dict], columns: range, outer: list[Index], along: Index, sums) -> list[ir.Value]:
        """One group of the reduction for all rows and vectors."""
        b, unit, panels = self.frame.b, self.unit, self.panels
        memory, size = self.frame.memory, unit.element_bytes
        left, right = (memory.of(self.root.accesses[i][0][0]) for i in (panels.rows, 1 - panels.rows))
        place = panels.at(self.root, 1, dims[0], outer, along)
        loaded = [
            intrinsics.load(b, right, b.compute((place + j * unit.lanes * unit.group) * size), self.narrow[1], size)
            for j in columns
        ]
        sums = list(sums)
        for r, where in enumerate(dims):
            place = panels.at(self.root, 0, where, outer, along)
            word = intrinsics.load(b, left, b.compute(place * size), self.words.element_type, size)
            group = self._broadcast(word)
            for j in columns:
                at = r * len(columns) + j
                sums[at] = self._dot(sums[at], group, loaded[j])
        if unit.flip:
            for j in columns:
                at = len(dims) * len(columns) + j
                sums[at] = self._dot(sums[at], self._signs(), loaded[j])
        return sums

    def _broadcast(self, word: ir.Value) -> ir.Value:
        b = self.frame.b
        words = b.value("vector.broadcast", self.words, word)
        group = b.value("vector.bitcast", self.narrow[0], words)
        return b.value("arith.xori", group.type, group, self._signs()) if self.unit.flip else group

    def _signs(self) -> ir.Value:
        kind = self.narrow[0]
        return self.frame.b.constant(ir.DenseElementsAttr.get_splat(kind, ir.IntegerAttr.get(kind.element_type, -128)))

    def _dot(self, total: ir.Value, rows: ir.Value, columns: ir.Value) -> ir.Value:
        return intrinsics.call(self.frame.b, self.unit.intrinsic, [self.wide], [total, rows, columns]).results[0]

    def _piece(self, vector: ir.Value, offset: int, width: int) -> ir.Value:
        """`width` lanes of a vector from `offset` on; one is a scalar."""
        if width == self.unit.lanes:
            return vector
        if width == 1:
            return self.frame.memory.lane(vector, offset)
        return self.frame.b.piece(vector, offset, width)


SCHEDULE = DotProduct()
