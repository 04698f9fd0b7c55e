"""The schedule of contractions of narrow numbers on Arm's matrix multiply-accumulate instructions.

`bfmmla`, `smmla`, `ummla` and `usmmla` (FEAT_BF16, FEAT_I8MM; Arm Architecture Reference Manual, C7.2) multiply two
rows by two columns, of which each lends a group of 64 bits, and sum the four results: twice the products of `bfdot` or
`sdot`. It takes what `panels.py` describes, with the loop nest of `contraction`. A vector of a panel is two columns as
it lies in memory; groups of two rows are put side by side when they are loaded. Sums stay in registers, and are
shuffled from blocks to rows before the epilogue. An odd row at the end has zeros beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Builder, Size
from neomlir.schedules.dot_product import DotNest, DotSums
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import Strips
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root

_SIDE = 2
"""Rows and columns of a block."""
_TALL = 8
"""Blocks of a column of the register tile, at most."""


class Mmla(Schedule):
    name = "mmla"
    order = 85

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        plan, panels = planned(root, kernel, target)
        return Frame(kernel, target).made_by(lambda frame: BlockNest(frame, root, plan, panels).emit())


def planned(root: Root, kernel: Kernel, target) -> tuple[Plan, Panels]:
    """The register tile of a contraction and its operands. Raises NotApplicable where the target has no such unit."""
    panels = Panels.of(root, kernel, target)
    if not panels.unit.square:
        raise NotApplicable("the target's dot-product unit has no square blocks")
    wide = panels.width // _SIDE
    # Beside the sums are held a row of blocks and two pairs of rows; all pairs where one starts a cycle, in order.
    free, pairs = target.vector.registers - wide, target.vector.fma_ports < 2
    tall = max(1, min(_TALL, free // (wide + 1) if pairs else (free - 2) // wide))
    return panels.plan(root, _SIDE * tall), panels


class BlockNest(DotNest):
    """The loops of `contraction` around register tiles of blocks."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, panels: Panels):
        super().__init__(frame, root, plan, panels)
        self.sums = BlockSums(frame, root, panels)
        if plan.rows:
            self.strips = Pairs(frame.b, self.size[id(plan.rows[-1])], plan.height)


class Pairs(Strips):
    """Strips of pairs of rows, where their number is static; the last is a row shorter if that is odd."""

    def __init__(self, b: Builder, rows: Size, height: int):
        self.rows, self.static = rows, isinstance(rows, int)
        self.odd = self.static and rows % _SIDE == 1
        super().__init__(b, -(-rows // _SIDE) if self.static else rows, height // _SIDE if self.static else height)
        self.tall = self.height * _SIDE if self.static else self.height

    def first_row(self, strip: Size) -> Size:
        return self.b.min(self.b.mul(self.start(strip), _SIDE), self.rows)

    def cover(self, low: Size, high: Size, emit: Callable[[Index, int], None]) -> None:
        if not self.static:
            super().cover(low, high, emit)
            return

        def pairs(start: Index, count: int) -> None:
            emit(start * _SIDE, count * _SIDE)

        if not self.odd:
            super().cover(low, high, pairs)
            return
        last, b = self.count - 1, self.b
        start = self.start(last)

        def rest() -> None:
            self.number = Index({}, last)
            emit(Index({}, start * _SIDE), (self.size - start) * _SIDE - 1)

        super().cover(low, b.min(high, last), pairs)
        if isinstance(high, int):
            if high > last:
                rest()
        else:
            b.when(b.less(last, high), rest)


class BlockSums(DotSums):
    """Register tiles of blocks of two rows and two columns."""

    def _sums(self, dims: list[dict], width: int) -> list[ir.Value]:
        b, unit = self.frame.b, self.unit
        wide, tall = -(-width // _SIDE), -(-len(dims) // _SIDE)
        zero = b.splat(b.zero(self.wide.element_type), unit.lanes)
        blocks = self.panels.loop(
            b, self.root, lambda outer, along, *sums: self._step(dims, wide, outer, along, sums), [zero] * (wide * tall)
        )
        rows = []
        for r in range(len(dims)):
            row = blocks[r // _SIDE * wide : (r // _SIDE + 1) * wide]
            first = r % _SIDE * _SIDE
            lanes = [first, first + 1, first + unit.lanes, first + unit.lanes + 1]
            mask = ir.DenseI64ArrayAttr.get(lanes, b.context)
            for j in range(0, wide, _SIDE):
                rows.append(b.value("vector.shuffle", self.wide, row[j], row[min(j + 1, wide - 1)], mask=mask))
        return rows

    def _step(self, dims: list[dict], wide: int, outer: list[Index], along: Index, sums) -> list[ir.Value]:
        """One group of the reduction for all blocks."""
        b, unit, panels = self.frame.b, self.unit, self.panels
        memory, size = self.frame.memory, unit.element_bytes
        left, right = (memory.of(self.root.accesses[i][0][0]) for i in (panels.rows, 1 - panels.rows))
        place = panels.at(self.root, 1, dims[0], outer, along)
        columns = [
            intrinsics.load(b, right, b.compute((place + j * _SIDE * unit.group) * size), self.narrow[1], size)
            for j in range(wide)
        ]
        sums = list(sums)
        for r in range(0, len(dims), _SIDE):
            rows = self._pair(left, dims[r : r + _SIDE], outer, along)
            for j, column in enumerate(columns):
                at = r // _SIDE * wide + j
                sums[at] = b.op(unit.intrinsic, [self.wide], [sums[at], rows, column]).results[0]
        return sums

    def _pair(self, buffer: ir.Value, dims: list[dict], outer: list[Index], along: Index) -> ir.Value:
        """A group of each of two rows side by side; one row has zeros beside it."""
        b, size = self.frame.b, self.unit.element_bytes
        word = ir.IntegerType.get_signless(64, b.context)
        words = []
        for where in dims:
            place = self.panels.at(self.root, 0, where, outer, along)
            words.append(intrinsics.load(b, buffer, b.compute(place * size), word, size))
        words += [b.zero(word)] * (_SIDE - len(words))
        pair = ir.VectorType.get([_SIDE], word, loc=b.location)
        return b.value("vector.bitcast", self.narrow[0], b.value("vector.from_elements", pair, *words))


SCHEDULE = Mmla()
