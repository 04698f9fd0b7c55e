"""The schedule of contractions of narrow numbers on a unit of matrix tiles (AMX).

It takes what `panels.py` describes. The loop nest is that of `contraction`; its register tile is up to 2 x 2 tiles of
16 x 16 sums, held beside two tiles of each operand (Intel 64 and IA-32 optimisation manual, chapter 20).
Rows are loaded as they lie in memory. The sums go through a scratch buffer in the first-level cache to the vector code
of the epilogue: tiles know no arithmetic but the product. The epilogue of a register tile is spread over the products
of the next, which come into the buffer behind it, so that the core does both at once. All register tiles are of one
height: where it does not divide the rows, the last one begins with rows that the one before has finished. Quantised
results are narrowed several rows at a time: they come behind the products, and tiles may differ by a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.accumulate import Row
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.contraction import Nest
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import Strips, blocks, full_tile
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.quantised import LANES, Quantised
from neomlir.schedules.root import Root
from neomlir.schedules.tile_ahead import NextTiles
from neomlir.schedules.tile_finish import Finish
from neomlir.schedules.tile_registers import LEFT, RIGHT, ROWS, SUMS, Part, Registers
from neomlir.schedules.units import ROW_BYTES

_STAYS = 4
"""What share of the second-level cache weights may take that come again for every register tile of rows."""
_ITEMS = 16
"""Work items, at least, where each is large enough."""
_ITEM = 16_000_000
"""Operations of a work item, at least: each configures the tiles."""


class MatrixTiles(Schedule):
    name = "matrix_tiles"
    order = 80

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        plan, panels = planned(root, kernel, target, short=ROWS)
        return Frame(kernel, target).made_by(lambda frame: TileNest(frame, root, plan, panels).emit())


def planned(root: Root, kernel: Kernel, target, short: int = 0) -> tuple[Plan, Panels]:
    """The register tile of a contraction and its operands; two rows of `short` results may lie whole inside.

    Raises NotApplicable where the target has no such unit.
    """
    panels = Panels.of(root, kernel, target)
    if not panels.unit.tiles:
        raise NotApplicable("the target's dot-product unit has no tiles")
    return panels.plan(root, 2 * ROWS, short=short), panels


def even_height(rows: int) -> int:
    """Rows of a register tile: a number not much below the most that divides `rows`, if there is one."""
    fits = [n for n in range(2 * ROWS, 2 * ROWS * 3 // 4 - 1, -1) if rows % n == 0]
    return fits[0] if rows > 2 * ROWS and fits else 2 * ROWS


class TileNest(Nest):
    """The loops, around register tiles of matrix tiles."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, panels: Panels):
        super().__init__(frame, root, plan)
        self.panels, self.unit = panels, panels.unit
        self.least = _ITEM
        self._even_strips()
        self.own = self.strips if plan.rows else None
        self.step = self.unit.step(panels.depth)
        kind = root.generic.results[0].type.element_type
        self.scratch = frame.memory.scratch([2 * ROWS, plan.lanes * plan.vectors], kind)
        self.next: NextTiles | None = None
        self.number = Index()
        """Which of the register tiles that use a panel is being emitted."""
        self.quantised = Quantised.of(frame.kernel) if plan.lanes == LANES else None
        """How the result is quantised, where it is."""
        self.finish = Finish(frame, root, self.sums, self.scratch, self.quantised)
        self.registers = Registers(frame.b, self.unit, self.step)
        if plan.vectors > len(RIGHT):
            raise NotApplicable("a panel is wider than two tiles")

    def main(self):
        return self._items()

    def _even_strips(self) -> None:
        """Let strips be of one height where a number of rows not much below the most divides theirs."""
        if self.plan.rows and not self.plan.inner and isinstance(self.strips.size, int):
            self.strips = Strips(self.b, self.strips.size, even_height(self.strips.size))

    def fetch_ahead(self, tiles: int) -> None:
        """Let `tiles` register tiles, which use one panel, fetch the next, if the panels do not stay in the cache."""
        value, _ = self.root.accesses[1 - self.panels.rows][0]
        shape = ir.RankedTensorType(value.type).shape
        size = math.prod(shape) * self.unit.element_bytes
        if shape[0] > 1 and size > self.frame.machine.l2 // 4:
            self.next = NextTiles(self.frame, self._operand(1), tiles, self.panels.steps(self.root, self.step))

    def _rows_inside(self, tiles: list[Size], cut: int, block: int, panels: Size) -> bool:
        """All rows pass by a panel before the next where the rows stay in the second-level cache."""
        rows = self._bytes(self.panels.rows)
        small = rows is not None and rows <= self.frame.machine.l2 // 2
        return (small and not self._streams()) or super()._rows_inside(tiles, cut, block, panels)

    def _items(self):
        axes, item = self._across() or super()._items()

        return axes, lambda indices: self.around(lambda: item(indices))

    def around(self, emit: Callable[[], None]) -> None:
        """`emit` between the configuration of the tile registers, where one does for all, and their release."""
        uniform = self._uniform()
        if uniform:
            self.registers.configure(uniform)
        emit()
        self.registers.call("llvm.x86.tilerelease")

    def _uniform(self) -> tuple[Part, ...] | None:
        """The tiles of rows where they are the same in all register tiles."""
        plan = self.plan
        if not plan.rows:
            return self._parts(1)
        strips = self.strips
        if not isinstance(strips.size, int) or (strips.size % strips.height and not self._overlap()):
            return None
        return self._parts(strips.height)

    def _overlap(self) -> bool:
        """Whether the last strip begins so early that it is as high as the others, with rows that are multiplied twice.

        They are finished once. Rows that are narrowed several at a time would be so twice.
        """
        return self.strips is self.own and self.quantised is None

    def _place(self) -> tuple[Index, Size]:
        """The first row of the strip that is being emitted, and how many rows of its sums belong to the one before."""
        strips = self.strips
        first = strips.number * strips.height
        if not isinstance(strips.size, int) or strips.size % strips.height == 0:
            return first, 0
        start = self.b.compute(first)
        low = self.b.size(self.b.min(start, strips.size - strips.height))
        inner = self.plan.inner.size if self.plan.inner else 1
        return of(Var(low, 1, 0, strips.size - strips.height)), self.b.mul(self.b.sub(start, low), inner)

    def _parts(self, height: int) -> tuple[Part, ...]:
        """How `height` rows (or as many of the short dimension) are spread over tiles."""
        if self.plan.inner:
            size = self.plan.inner.size
            return tuple(Part(i * size, size) for i in range(height))
        if height <= ROWS:
            return (Part(0, height),)
        half = -(-height // 2)
        return (Part(0, half), Part(half, height - half))

    # Register tiles, one after another.

    def rows(self, fixed: dict, depth: int, low: Size, high: Size, tiles: list[Size], tile: Tile) -> None:
        """The register tiles of one tile of columns, as a sequence where they are alike."""
        sizes = tiles[depth + 1 :]
        if not tiles or self._uniform() is None or not all(isinstance(n, int) for n in sizes):
            super().rows(fixed, depth, low, high, tiles, tile)
            return

        def at(t: Index) -> tuple[dict, Tile]:
            return self._fixed(fixed, depth, low, self.b.unflatten([self.b.sub(high, low), *sizes], self.b.compute(t)))

        self._sequence(self.b.mul(self.b.sub(high, low), math.prod(sizes)), lambda t: (at(t), tile))

    def _across(self) -> tuple[list[Size], Callable[[list[Index]], None]] | None:
        """The work items where all panels pass by a register tile's rows before the next rows come.

        Results, and what the epilogue reads beside the sums, are then read and written from end to end, and not by
        half a line a row. It is for weights that stay in the second-level cache. None for others.
        """
        b, plan, root = self.b, self.plan, self.root
        weights, columns, tiles = self._bytes(1 - self.rows_operand), self.size[id(plan.columns)], self._tiles()
        batch = [self.size[id(d)] for d in plan.batch]
        sizes = [*tiles, *batch, columns]
        if self._uniform() is None or not tiles or not all(isinstance(n, int) for n in sizes) or weights is None:
            return None
        full = columns // plan.width
        # Rows that share much of what they read, as those of windows do, come again at less cost than weights.
        apart = 2 * self._per_row(self.rows_operand) >= self.depth
        small = full > 1 and weights <= self.frame.machine.l2 // _STAYS and apart
        if not root.kernel.parameter("across", int(small), (0, 1) if full > 1 else ()):
            return None
        count = math.prod(tiles)
        flops = 2 * plan.height * columns * self.depth
        target = max(1, -(-self.least // flops), count * math.prod(batch) // _ITEMS)
        target = root.kernel.parameter("item", target, [max(1, target // 2), 2 * target])
        cut, block = blocks(tiles, target, 1)
        block = -(-tiles[cut] // -(-tiles[cut] // block))
        axes = [*batch, *tiles[:cut], b.ceildiv(tiles[cut], block)]

        def item(indices: list[Index]) -> None:
            fixed = {id(d): i for d, i in zip((*plan.batch, *plan.rows), indices[:-1], strict=False)}
            low: Size = b.compute(indices[-1] * block) if block < tiles[cut] else 0
            high = b.min(b.add(low, block), tiles[cut])
            inside = [b.sub(high, low), *tiles[cut + 1 :], full]

            def at(t: Index) -> tuple[dict, Tile]:
                *where, panel = b.unflatten(inside, b.compute(t))
                self.panel = panel
                return self._fixed(fixed, cut, low, where), full_tile(panel * plan.width, plan.lanes, plan.vectors)

            self._sequence(b.mul(b.sub(high, low), math.prod(inside[1:])), at)
            if columns % plan.width:
                self.panel = Index({}, full)
                self.column_tile(
                    self.panel, columns, plan.width, lambda tile: self.rows(fixed, cut, low, high, tiles, tile)
                )

        return axes, item

    def _fixed(self, fixed: dict, depth: int, low: Size, indices: list[Index]) -> dict:
        """`fixed` and the row loops from `depth` on, of which the first is counted from `low`, the last in strips."""
        rows, size = self.plan.rows, self._tiles()[depth]
        first = self.b.size(self.b.add(low, self.b.compute(indices[0])))
        indices = [of(Var(first, 1, 0, size - 1 if isinstance(size, int) else None)), *indices[1:]]
        self.strips.number = indices[-1]
        return {**fixed, **{id(d): i for d, i in zip(rows[depth:-1], indices, strict=False)}}

    def _sequence(self, count: Size, at: Callable[[Index], tuple[dict, Tile]]) -> None:
        """`count` register tiles, each finished beside the products of the one after it.

        Each step of the reduction takes some rows along, since a core does not look ahead over all of them. Quantised
        results are finished behind the products: their epilogue is long, and the loop around products a short one.
        `at` gives what is fixed of the one with a number, and its columns, and sets the number of its strip.
        """
        b, height = self.b, self.strips.height
        if count in (0, 1):
            b.loop(0, count, 1, lambda t: self._alone(*at(t)))
            return

        rows = self._height(height)
        share = -(-rows // self.panels.steps(self.root, self.step))

        def placed(t: Index) -> tuple[dict, Tile, Row, Size]:
            fixed, tile = at(t)
            base, skip = self._place()
            return fixed, tile, self.row(fixed, base), skip

        def step(t: Index) -> None:
            _, ended, behind, skip = placed(of(Var(b.max(b.sub(b.compute(t), 1), 0))))
            fixed, tile, row, _ = placed(t)
            self._share(fixed)
            follows = b.less(0, b.compute(t))
            if self.quantised is None:
                limit = b.value("arith.select", b.index_type, follows, b.index(rows), b.index(0))
                self._multiply(height, row, tile, lambda n: self._finish_beside(n, share, skip, limit, behind, ended))
            else:
                self._multiply(height, row, tile)
                b.when(follows, lambda: self._finish(height, behind, ended, skip))
            self._keep(height, tile)

        b.loop(0, count, 1, step)

        def last() -> None:
            _, tile, row, skip = placed(of(Var(b.size(b.sub(count, 1)))))
            self._finish(height, row, tile, skip)

        if isinstance(count, int):
            last()
        else:
            b.when(b.less(0, count), last)

    def _finish_beside(self, step: Index, share: int, skip: Size, limit: Size, row: Row, tile: Tile) -> None:
        """The epilogue of the `share` rows, of those from `skip` to `limit`, that fall to a step of the reduction."""
        b = self.b
        low = b.add(b.compute(step * share), skip)
        if share == 1:
            b.when(b.less(low, limit), lambda: self.finish.row(of(Var(b.size(low))), row, tile))
        else:
            b.loop(low, b.min(b.add(low, share), limit), 1, lambda r: self.finish.row(r, row, tile))

    def _alone(self, fixed: dict, tile: Tile) -> None:
        base, skip = self._place()
        self._share(fixed)
        self.tile(self.strips.height, self.row(fixed, base), tile, skip)

    # A register tile.

    def _strided(self, part: Part, row, column: Index, reduced: list[Index], along: Index) -> tuple[Index, int]:
        """Where a tile of rows starts in the row operand, and how far one row is from the next."""
        places = []
        for r in (part.start, part.start + 1):
            where = {id(d): index for d, index in zip(self.root.dims, row(Index({}, r), column), strict=True)}
            places.append(self.panels.at(self.root, 0, where, reduced, along))
        stride = (places[1] + places[0] * -1).constant if part.count > 1 else self.step
        if stride is None:
            raise NotApplicable("the rows of a tile do not lie at equal distances")
        return places[0], stride

    def tile(self, height: int, row: Row, tile: Tile, skip: Size = 0) -> None:
        """Sum, finish and store `height` rows (of the short dimension, where there is one) of a tile of columns.

        The first `skip` rows of the sums are not finished.
        """
        if self._uniform() is None:
            self.registers.configure(self._parts(height))
        self._multiply(height, row, tile)
        self._keep(height, tile)
        self._finish(height, row, tile, skip)

    def _multiply(self, height: int, row, tile: Tile, beside: Callable[[Index], None] | None = None) -> None:
        """Sum products of `height` rows (of the short dimension, where there is one) and a tile of columns.

        `beside` emits what is done besides in a step of the reduction, whose number it takes.
        """
        b, root, unit, plan = self.b, self.root, self.unit, self.plan
        parts = self._parts(height)
        first = tile[0][0].put_lane(0)
        columns = self._columns(tile)
        size = unit.element_bytes
        with b.scope():
            if self._uniform() is not None:
                for sums, _ in zip(SUMS, parts, strict=False):
                    for j in columns:
                        self.registers.call("llvm.x86.tilezero", sums + j)

            def step(reduced: list[Index], along: Index) -> None:
                if beside or self.next:
                    number = self.panels.number(b, root, reduced, along, self.step)
                if beside:
                    beside(number)
                if self.next:
                    self.next.fetch(self.panel, self.number, number)
                for left, part in zip(LEFT, parts, strict=False):
                    place, stride = self._strided(part, row, first, reduced, along)
                    address = intrinsics.pointer(b, self._operand(0), b.compute(place * size))
                    self.registers.call("llvm.x86.tileloadd64", left, address, self.registers.number(stride * size))
                where = {id(d): i for d, i in zip(root.dims, row(Index(), first), strict=True)}
                place = self.panels.at(root, 1, where, reduced, along)
                for j in columns:
                    address = intrinsics.pointer(
                        b, self._operand(1), b.compute((place + j * plan.lanes * unit.group) * size)
                    )
                    self.registers.call(
                        "llvm.x86.tileloadd64", RIGHT[j], address, self.registers.number(self.panels.width * 4)
                    )
                for sums, left, _ in zip(SUMS, LEFT, parts, strict=False):
                    for j in columns:
                        self.registers.call(unit.intrinsic, sums + j, left, RIGHT[j])

            self.panels.loop(b, root, step, by=self.step)

    def _columns(self, tile: Tile) -> range:
        """The tile registers side by side that hold the sums of a tile of columns."""
        return range(-(-sum(chunk.width for _, chunk in tile) // self.plan.lanes))

    def _keep(self, height: int, tile: Tile) -> None:
        """Store the sums in the scratch buffer."""
        vectors = self.plan.vectors
        for sums, part in zip(SUMS, self._parts(height), strict=False):
            for j in self._columns(tile):
                address = intrinsics.pointer(self.b, self.scratch, (part.start * vectors + j) * ROW_BYTES)
                self.registers.call(
                    "llvm.x86.tilestored64", sums + j, address, self.registers.number(vectors * ROW_BYTES)
                )

    def _operand(self, number: int) -> ir.Value:
        """The buffer of the row operand (0) or the column operand (1)."""
        operand = self.panels.rows if number == 0 else 1 - self.panels.rows
        return self.frame.memory.of(self.root.accesses[operand][0][0])

    def _finish(self, height: int, row: Row, tile: Tile, skip: Size = 0) -> None:
        """The epilogue of the sums in the scratch buffer, but for the first `skip` rows."""
        self.finish.rows(skip, self._height(height), row, tile)

    def _height(self, height: int) -> int:
        """Rows of a register tile of `height` rows (of the short dimension, where there is one)."""
        last = self._parts(height)[-1]
        return last.start + last.count

    def _tile(self, fixed: dict, base: Index | None, height: int, tile: Tile) -> None:
        self._share(fixed)
        self.tile(height, self.row(fixed, base), tile)

    def _share(self, fixed: dict) -> None:
        """Say which of the register tiles that use a panel is at `fixed` and the strip that is being emitted."""
        if self.next:
            self.number = self._number(fixed)


SCHEDULE = MatrixTiles()
