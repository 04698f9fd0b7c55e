"""Contractions of widened bytes with half the multiplications: Winograd's inner product (IEEE ToC C-17, 1968), exact.

`a0 b0 + a2 b2 = (a0 + b2)(a2 + b0) - a0 a2 - b0 b2`, and what is taken off depends on a row or on a column alone. Two
such products are one `pmaddwd` of two sums of words, which bytes cannot overflow: of four products of bytes that is a
multiply-add and three additions, where direct sums have two of each. Cores multiply words on fewer ports than they add
on, and so direct sums do not keep all ports busy. Rows and panels lie as direct sums read them.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.builder import Size
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root
from neomlir.schedules.word_nest import WordNest
from neomlir.schedules.word_sums import STEPS, Widened, WordSums

_WIDEST = 256
"""Bits of a vector, at most: x86 adds and multiplies 512 bits on the same two ports."""
_AT_ONCE = 4
"""Words of a row that a step of the reduction takes."""
_HELD = 4
"""Registers of a register tile for a row's pairs and their sums."""
_L2 = 2
"""The locality hint of data for the second-level cache."""
_ROWS = 2
"""Rows of a register tile, at least: one would load as often as it multiplies."""
_PANELS = 4
"""Panels, at least, for which what a row has taken off is worth computing."""


def height_of(root: Root, panels: Panels, plan: Plan, registers: int) -> int:
    """Rows of a register tile; 0 where direct sums are taken."""
    unit, columns = panels.unit, plan.columns.size
    row = unit.bits // 16
    fits = panels.depth % row == 0 and row % _AT_ONCE == 0 and columns is not None and columns % plan.width == 0
    if not fits or not plan.rows or unit.bits > _WIDEST or columns < _PANELS * plan.width:
        return 0
    height = (registers - _HELD - _AT_ONCE // unit.group * plan.vectors) // plan.vectors
    return root.kernel.parameter("inner", height, (0, height)) if height >= _ROWS else 0


class InnerNest(WordNest):
    """The loops of direct sums, which also compute what each row and each column of a panel has taken off."""

    sums: InnerSums

    def _make_sums(self) -> InnerSums:
        return InnerSums(self.frame, self.root, self.panels)

    def _begin(self, cut: int, block: int, panel: Widened | None) -> None:
        sums, points = self.sums, self._points(cut, block)
        sums.taken = panel is not None
        if not sums.taken:
            return
        i32, scratch = sums.wide.element_type, self.frame.memory.scratch
        sums.of_rows = scratch([math.prod(points)], i32)
        sums.of_columns = scratch([self.plan.width], i32)
        share = -(-ir.MemRefType(panel.buffer.type).shape[0] // math.prod(points))
        sums.share = share if share * self.plan.height >= self.frame.machine.line else 0

    def _widen_rows(self, into: Widened, fixed: dict, cut: int, low: Size, high: Size) -> None:
        super()._widen_rows(into, fixed, cut, low, high)
        sums, everywhere = self.sums, {id(d): Index() for d in self.root.dims} | fixed
        if sums.taken and not sums.apart:
            self._each_row(cut, low, high, lambda where: sums.keep_row(where, sums.of_row(everywhere | where)))

    def _widen_row(self, into: Widened, where: dict) -> None:
        if not self.sums.taken:
            super()._widen_row(into, where)
            return
        b, sums, start, width = self.b, self.sums, self._row_start(where), 2 * self.panels.unit.lanes
        target = sums.place(where) * sums.apart

        def step(i: Index, total: ir.Value) -> list[ir.Value]:
            words = sums.widened(0, start + i, width)
            b.op("vector.store", [], [words, into.buffer, b.compute(target + i)])
            return [sums.take_pairs(total, words)]

        sums.keep_row(where, b.loop(0, sums.apart, width, step, [sums.nothing()])[0])

    def _widen_panel(self, into: Widened | None, fixed: dict, panel: Index) -> None:
        if not self.sums.taken:
            super()._widen_panel(into, fixed, panel)
            return
        b, sums, unit, width = self.b, self.sums, self.panels.unit, self.plan.width
        size = self._place_panel(into, fixed, panel)
        if sums.share:
            # Panels and their pieces follow each other in memory.
            kind, following = self.root.accesses[1 - self.panels.rows][0][0].type, into.start + size
            if kind.has_static_shape:
                following = of(Var(b.size(b.min(b.compute(following), math.prod(kind.shape) - size))))
            sums.ahead = following

        def step(i: Index, *totals: ir.Value) -> list[ir.Value]:
            found = []
            for j, total in enumerate(totals):
                words = []
                for at in (j * unit.lanes * unit.group, unit.group * width + j * unit.lanes * unit.group):
                    words.append(sums.widened(1, into.start + i + at, unit.group * unit.lanes))
                    b.op("vector.store", [], [words[-1], into.buffer, b.compute(i + at)])
                found.append(sums.take(total, *words))
            return found

        totals = b.loop(0, size, _AT_ONCE * width, step, [sums.nothing()] * self.plan.vectors)
        for j, taken in enumerate(totals):
            b.op("vector.store", [], [taken, sums.of_columns, b.index(j * unit.lanes)])


class InnerSums(WordSums):
    """Register tiles whose step of the reduction is two pairs of words."""

    of_rows: ir.Value
    """What rows of a work item have taken off, i32, negative."""
    of_columns: ir.Value
    """What columns of a panel have taken off, i32, negative."""
    share: int
    """Bytes of the next panel that a row fetches; 0 where panels are small."""
    ahead: Index
    """Where the next panel begins."""
    taken = False

    def of_row(self, where: dict) -> ir.Value:
        """`-a0 a2` of all pairs of a row, in the lanes of a vector."""
        b, width = self.frame.b, 2 * self.unit.lanes

        def step(outer: list[Index], along: Index, total: ir.Value) -> list[ir.Value]:
            place = self.row_place(where, outer, along)
            return [self.take_pairs(total, intrinsics.load(b, self.rows.buffer, b.compute(place * 2), self.pairs, 2))]

        return self.panels.loop(b, self.root, step, [self.nothing()], width)[0]

    def keep_row(self, where: dict, total: ir.Value) -> None:
        """Store what a row has taken off, of which `total` has parts in its lanes."""
        b, i32 = self.frame.b, self.wide.element_type
        kind = ir.Attribute.parse("#vector.kind<add>", b.context)
        taken = b.value("vector.reduction", i32, total, kind=kind)
        b.op("memref.store", [], [taken, self.of_rows, b.compute(self.place(where))])

    def take_pairs(self, total: ir.Value, words: ir.Value) -> ir.Value:
        """`total` less `a0 a2` and `a1 a3` of all groups of four words."""
        b, number = self.frame.b, 2 * self.unit.lanes // _AT_ONCE
        i64 = ir.IntegerType.get_signless(64, b.context)
        quads = b.vector(number, i64)
        upper = b.splat(b.constant(ir.IntegerAttr.get(i64, 32)), number)
        moved = b.value("arith.shrui", quads, b.value("vector.bitcast", quads, words), upper)
        return self.take(total, words, b.value("vector.bitcast", self.pairs, moved))

    def take(self, total: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
        """`total` less what the unit makes of two vectors of words."""
        b = self.frame.b
        product = intrinsics.call(b, self.unit.intrinsic, [self.wide], [first, second]).results[0]
        return b.value("arith.subi", self.wide, total, product)

    def _four(self, where: dict, columns: range, outer: list[Index], along: Index) -> list[tuple[ir.Value, ir.Value]]:
        """Vectors of columns, two pairs of words each."""
        unit = self.unit
        places = [self.column_place(where, outer, along + n) for n in (0, unit.group)]
        return [tuple(self._columns(place + j * unit.lanes * unit.group) for place in places) for j in columns]

    def _sums(self, dims: list[dict], width: int) -> list[ir.Value]:
        if not self.taken or self.finishing:
            return super()._sums(dims, width)
        lanes = self.unit.lanes
        columns, held = range(-(-width // lanes)), []
        for where in dims:
            held += [self.frame.b.splat(self.first_sum(self.place(where)), lanes)] * len(columns)
        return self.add_piece(dims, columns, held)

    def first_sum(self, number: Index) -> ir.Value:
        if not self.taken:
            return super().first_sum(number)
        b = self.frame.b
        return b.value("memref.load", self.wide.element_type, self.of_rows, b.compute(number))

    def add_piece(self, dims: list[dict], columns: range, held: list[ir.Value]) -> list[ir.Value]:
        if not self.taken:
            return super().add_piece(dims, columns, held)
        b, lanes = self.frame.b, self.unit.lanes
        taken = [b.value("vector.load", self.wide, self.of_columns, b.index(j * lanes)) for j in columns]
        self._fetch_ahead(dims)
        held = [b.value("arith.addi", self.wide, value, taken[n % len(columns)]) for n, value in enumerate(held)]

        def step(outer: list[Index], along: Index, *sums: ir.Value) -> list[ir.Value]:
            return self._products(dims, columns, outer, along, sums)

        return self.reduce(step, held, _AT_ONCE, STEPS)

    def _fetch_ahead(self, dims: list[dict]) -> None:
        """Bring the rows' share of the next panel to the second-level cache, where it is widened from."""
        if not self.share:
            return
        b, line = self.frame.b, self.frame.machine.line
        start = self.ahead + self.place(dims[0]) * self.share
        flat = self.frame.memory.flat(self.buffer(1))
        for offset in range(0, len(dims) * self.share, line):
            b.fetch(flat, [b.compute(start + offset)], _L2)

    def _products(self, dims: list[dict], columns: range, outer: list[Index], along: Index, sums) -> list[ir.Value]:
        """`(a0 + b2)(a2 + b0)` of all rows and vectors for two pairs of words."""
        b, found = self.frame.b, []
        four = self._four(dims[0], columns, outer, along)
        for where in dims:
            place = self.row_place(where, outer, along)
            first, second = (self.row_pair(place + n) for n in (0, self.unit.group))
            for low, high in four:
                left = b.value("arith.addi", self.pairs, first, high)
                right = b.value("arith.addi", self.pairs, second, low)
                found.append(self.multiply_add(sums[len(found)], left, right))
        return found
