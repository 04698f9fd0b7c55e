"""The schedule of contractions of narrow numbers on a unit of matrix tiles (AMX).

It takes what `panels.py` describes. The loop nest is that of `contraction`; its register tile is up to 2 x 2 tiles of
16 x 16 sums, held beside two tiles of each operand (Intel 64 and IA-32 optimisation manual, chapter 20).
Rows are loaded as they lie in memory. The sums go through a scratch buffer in the first-level cache to the vector code
of the epilogue: tiles know no arithmetic but the product.

Tile registers are named by this schedule, and LLVM's intrinsics are called with their numbers: `x86.amx` leaves them to
LLVM, which configures them anew wherever shapes differ and spills what is live across that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.contraction import Nest
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.memory import memref
from neomlir.schedules.nest import lane_index
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root

_ROWS = 16
"""Rows of a tile, at most."""
_ROW_BYTES = 64
_SUMS, _LEFT, _RIGHT = (0, 2), (4, 5), (6, 7)
"""Tile registers: of the sums the first of each row of tiles, of the row operand, of the column operand."""
_SHARES = 5
"""The next panel is fetched by 2^5 register tiles at most."""
_L2 = 2
"""The locality hint of data for the second-level cache."""
_ITEM = 4_000_000
"""Operations of a work item, at least: each configures the tiles."""


class MatrixTiles(Schedule):
    name = "matrix_tiles"
    order = 80

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        panels = Panels.of(root, kernel, target)
        if not panels.unit.tiles:
            raise NotApplicable("the target's dot-product unit has no tiles")
        plan = panels.plan(root, 2 * _ROWS, short=_ROWS)
        return Frame(kernel, target).made_by(lambda frame: TileNest(frame, root, plan, panels).emit())


@dataclass(frozen=True)
class Part:
    """A tile of rows: where it starts in the register tile, and how many."""

    start: int
    count: int


class TileNest(Nest):
    """The loops, around register tiles of matrix tiles."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, panels: Panels):
        super().__init__(frame, root, plan)
        self.panels, self.unit = panels, panels.unit
        self.least = _ITEM
        self.step = _step(panels)
        kind = root.generic.results[0].type.element_type
        self.scratch = frame.memory.scratch([2 * _ROWS, plan.lanes * plan.vectors], kind)
        self.shift: int | None = None
        """The next panel is fetched in 2^shift shares, one a register tile; None where it is not."""
        self.share: Index | None = None
        self.configurations: dict[tuple[int, ...], ir.Value] = {}
        if plan.vectors > len(_RIGHT):
            raise NotApplicable("a panel is wider than two tiles")

    def _main(self):
        return self._items()

    def fetch_ahead(self, tiles: int) -> None:
        """Let `tiles` register tiles, which use one panel, fetch the next, if the panels do not stay in the cache."""
        value, _ = self.root.accesses[1 - self.panels.rows][0]
        shape = ir.RankedTensorType(value.type).shape
        size = math.prod(shape) * self.unit.element_bytes
        if shape[0] > 1 and size > self.frame.machine.l2 // 4:
            self.shift = min(tiles.bit_length() - 1, _SHARES)

    def _rows_inside(self, tiles: list[Size], cut: int, block: int, panels: Size) -> bool:
        """All rows pass by a panel before the next where the rows stay in the second-level cache."""
        rows = self._bytes(self.panels.rows)
        small = rows is not None and rows <= self.frame.machine.l2 // 2
        return (small and not self._streams()) or super()._rows_inside(tiles, cut, block, panels)

    def _items(self):
        axes, item = super()._items()

        def configured(indices: list[Index]) -> None:
            uniform = self._uniform()
            if uniform:
                self._configure(uniform)
            item(indices)
            self._call("llvm.x86.tilerelease")

        return axes, configured

    def _uniform(self) -> tuple[Part, ...] | None:
        """The tiles of rows where they are the same in all register tiles."""
        plan = self.plan
        if not plan.rows:
            return self._parts(1)
        strips = self.strips
        if not isinstance(strips.size, int) or strips.size % strips.height:
            return None
        return self._parts(strips.height)

    def _parts(self, height: int) -> tuple[Part, ...]:
        """How `height` rows (or as many of the short dimension) are spread over tiles."""
        if self.plan.inner:
            size = self.plan.inner.size
            return tuple(Part(i * size, size) for i in range(height))
        if height <= _ROWS:
            return (Part(0, height),)
        half = -(-height // 2)
        return (Part(0, half), Part(half, height - half))

    # Tile registers.

    def _configure(self, parts: tuple[Part, ...]) -> None:
        """Set the shape of every tile register, which clears them."""
        rows = tuple(part.count for part in parts)
        found = self.configurations.get(rows)
        if found is None:
            width, depth = self.unit.element_bytes, self.step
            shapes = {}
            for part, sums, left in zip(parts, _SUMS, _LEFT, strict=False):
                shapes |= {sums: (part.count, _ROW_BYTES), sums + 1: (part.count, _ROW_BYTES)}
                shapes[left] = (part.count, depth * width)
            shapes |= {right: (depth // self.unit.group, _ROW_BYTES) for right in _RIGHT}
            found = self.configurations[rows] = self._constant(_palette(shapes))
        self._call("llvm.x86.ldtilecfg", intrinsics.pointer(self.b, found, 0))

    def _constant(self, numbers: list[int]) -> ir.Value:
        """A read-only buffer of bytes."""
        b = self.b
        byte = ir.IntegerType.get_signless(8, b.context)
        kind = ir.RankedTensorType.get([len(numbers)], byte, loc=b.location)
        value = ir.DenseElementsAttr.get([ir.IntegerAttr.get(byte, n) for n in numbers], kind)
        constant = b.constant(value)
        return ir.Operation.create(
            "bufferization.to_buffer",
            results=[memref(kind)],
            operands=[constant],
            attributes={"read_only": ir.UnitAttr.get(b.context)},
            loc=b.location,
            ip=ir.InsertionPoint.after(constant.owner),
        ).results[0]

    def _call(self, intrinsic: str, *operands: ir.Value | int) -> None:
        """Call one of LLVM's intrinsics on values and on numbers of tile registers."""
        b = self.b
        i8 = ir.IntegerType.get_signless(8, b.context)
        values = [
            b.op("llvm.mlir.constant", [i8], [], {"value": ir.IntegerAttr.get(i8, o)}).results[0]
            if isinstance(o, int)
            else o
            for o in operands
        ]
        intrinsics.call(b, intrinsic, [], values)

    def _number(self, number: int) -> ir.Value:
        i64 = ir.IntegerType.get_signless(64, self.b.context)
        return self.b.constant(ir.IntegerAttr.get(i64, number))

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

    def tile(self, height: int, row, tile: Tile) -> None:
        """Sum, finish and store `height` rows (of the short dimension, where there is one) of a tile of columns."""
        b, root, unit, plan = self.b, self.root, self.unit, self.plan
        parts = self._parts(height)
        if self._uniform() is None:
            self._configure(parts)
        first = tile[0][0].put_lane(0)
        columns = range(-(-sum(chunk.width for _, chunk in tile) // plan.lanes))
        size = unit.element_bytes
        with b.scope():
            if self._uniform() is not None:
                for sums, _ in zip(_SUMS, parts, strict=False):
                    for j in columns:
                        self._call("llvm.x86.tilezero", sums + j)

            def step(reduced: list[Index], along: Index) -> None:
                if self.share is not None:
                    self._fetch(reduced, along)
                for left, part in zip(_LEFT, parts, strict=False):
                    place, stride = self._strided(part, row, first, reduced, along)
                    address = intrinsics.pointer(b, self._operand(0), b.compute(place * size))
                    self._call("llvm.x86.tileloadd64", left, address, self._number(stride * size))
                where = {id(d): i for d, i in zip(root.dims, row(Index(), first), strict=True)}
                place = self.panels.at(root, 1, where, reduced, along)
                for j in columns:
                    address = intrinsics.pointer(
                        b, self._operand(1), b.compute((place + j * plan.lanes * unit.group) * size)
                    )
                    self._call("llvm.x86.tileloadd64", _RIGHT[j], address, self._number(self.panels.width * 4))
                for sums, left, _ in zip(_SUMS, _LEFT, parts, strict=False):
                    for j in columns:
                        self._call(unit.intrinsic, sums + j, left, _RIGHT[j])

            self.panels.loop(b, root, step, by=self.step)
            for sums, part in zip(_SUMS, parts, strict=False):
                for j in columns:
                    address = intrinsics.pointer(b, self.scratch, (part.start * plan.vectors + j) * _ROW_BYTES)
                    self._call("llvm.x86.tilestored64", sums + j, address, self._number(plan.vectors * _ROW_BYTES))
        self._finish(parts[-1].start + parts[-1].count, row, tile)

    def _operand(self, number: int) -> ir.Value:
        """The buffer of the row operand (0) or the column operand (1)."""
        operand = self.panels.rows if number == 0 else 1 - self.panels.rows
        return self.frame.memory.of(self.root.accesses[operand][0][0])

    def _finish(self, count: int, row, tile: Tile) -> None:
        """The epilogue of the sums in the scratch buffer, row by row."""
        b, memory, sums = self.b, self.frame.memory, self.sums

        def finish(r: Index) -> None:
            column = 0
            for index, chunk in tile:
                place = (r, lane_index(Index({}, column), chunk.width))
                value = memory.load(self.scratch, place, Chunk(chunk.width))
                loops = self.root.loops(row(r, index))
                with b.scope():
                    sums.finish(loops, chunk, [sums.moved(value, loops, chunk)])
                column += chunk.width

        with b.scope():
            b.loop(0, count, 1, finish)

    def _fetch(self, outer: list[Index], along: Index) -> None:
        """Fetch what falls to one step of the reduction of the panel behind the one in use."""
        b, panels, buffer = self.b, self.panels, self._operand(1)
        shape = ir.MemRefType(buffer.type).shape
        size = math.prod(shape[1:])
        place = self.share * size + along * panels.width
        for d, index in zip(panels.reduced, outer, strict=False):
            place = place + index * panels.places[1].terms[self.root.reduced_probes[d]]
        element = b.size(b.compute(place))
        if self.shift:
            element = b.value("arith.shrui", b.index_type, element, b.index(self.shift))
        following = b.min(b.add(b.compute(self.panel), 1), shape[0] - 1)
        start = b.add(b.mul(following, size), element)
        line = self.frame.machine.line // self.unit.element_bytes
        for offset in range(0, max(1, self.step * panels.width >> self.shift), line):
            b.fetch(self.frame.memory.flat(buffer), [b.size(b.add(start, offset))], _L2)

    def _tile(self, fixed: dict, base: Index | None, height: int, tile: Tile) -> None:
        self.share = None
        if self.shift is not None:
            number = Index()
            for dim, count in zip(self.plan.rows[:-1], self._tiles(), strict=False):
                number = number * count + fixed[id(dim)]
            if self.plan.rows:
                number = number * self.strips.count + self.strips.number
            mask = self.b.index((1 << self.shift) - 1)
            share = self.b.value("arith.andi", self.b.index_type, self.b.compute(number), mask)
            self.share = of(Var(share)) if self.shift else Index()
        self.tile(height, self.row(fixed, base), tile)


def _step(panels: Panels) -> int:
    """Elements of the reduction in one product of tiles: as many as a row of a tile holds, of equal steps."""
    unit = panels.unit
    most = _ROW_BYTES // unit.element_bytes
    return max(n for n in range(unit.group, most + 1, unit.group) if panels.depth % n == 0)


def _palette(shapes: dict[int, tuple[int, int]]) -> list[int]:
    """What `ldtilecfg` reads: palette 1, and bytes a row and rows of each tile register."""
    numbers = [0] * 64
    numbers[0] = 1
    for register, (rows, width) in shapes.items():
        numbers[16 + 2 * register], numbers[48 + register] = width, rows
    return numbers


SCHEDULE = MatrixTiles()
