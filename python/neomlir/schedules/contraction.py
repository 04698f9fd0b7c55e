"""The schedule of matrix products and convolutions: accumulator tiles in registers, panels of weights in cache.

The loop nest is that of Goto and van de Geijn (ACM TOMS 2008) without packing of the rows: a work item is a block
of rows that fits half the second-level cache times a panel of columns. Convolutions are products whose rows are output
pixels and whose reduction runs over the window and the input channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import across, five_loops
from neomlir.schedules.accumulate import Accumulator, Row
from neomlir.schedules.ahead import NextPanel, NextRows, NextRun
from neomlir.schedules.base import Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.columns import column_tile
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, split
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import USES, Strips, amid, blocks, even
from neomlir.schedules.plan import GUESS, Plan
from neomlir.schedules.points import Points
from neomlir.schedules.root import Root
from neomlir.schedules.widened import Widened

_ITEM = 100_000
"""Floating-point operations of a work item, at least."""
_STREAM = 12
"""What share of the second-level cache is read and written before the same rows of it are met again."""
_TWICE = 5 / 4
"""How many times the second-level cache weights are at most that come from behind it twice."""
_RATE = 1
"""Bytes of weights a cycle that come from memory without being waited for."""
_ENOUGH = 64
"""Rows that a panel serves, at least, where blocks of rows are outermost: one thread waits for weights then, but two
would wait for rows in each other's cache."""


class Contraction(Schedule):
    name = "contraction"
    order = 100
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        plan = Plan.folded(root, kernel, target)
        return Frame(kernel, target).made_by(lambda frame: Nest(frame, root, plan).emit())


class Nest:
    """The loops of a contraction by a plan."""

    def __init__(self, frame: Frame, root: Root, plan: Plan):
        self.frame, self.root, self.plan = frame, root, plan
        self.b = frame.b
        self.sums = Accumulator(frame, root)
        self._order_reduction()
        sizes = root.generic.sizes()
        self.size: dict[int, Size] = {}
        for dim in root.dims:
            size: Size = 1
            for d in dim.loops:
                size = self.b.mul(size, frame.memory.dim(*sizes[d], frame.evaluator))
            self.size[id(dim)] = size
        if plan.rows:
            height = max(1, plan.height // (plan.inner.size if plan.inner else 1))
            self.strips = Strips(frame.b, self.size[id(plan.rows[-1])], height)
        self.next_panel: NextPanel | None = None
        self.next_rows: NextRows | NextRun | None = None
        self.next_results: NextRun | None = None
        self.passes = 1
        """Panels that pass by the rows of a register tile before the next rows come."""
        self.panel = Index()
        """The panel of columns that is being emitted."""
        self.depth = math.prod(root.extents[d] or GUESS for d in root.reduced)
        self.rows_operand = 1 if root.depends(0, plan.columns) else 0
        """The factor that the columns do not depend on; the other one is read panel by panel."""
        self.least = _ITEM
        """Floating-point operations of a work item, at least."""

    def _order_reduction(self) -> None:
        """Reduce in the order in which the panel lies in memory."""
        root, columns = self.root, self.plan.columns
        place = {d: i for i, d in enumerate(root.reduced)}
        for i in range(2):
            if root.depends(i, columns):
                for _, access in root.accesses[i]:
                    for position, index in enumerate(access):
                        for d, probe in root.reduced_probes.items():
                            if index.uses(probe):
                                place[d] = position + 100
        self.sums.order.sort(key=lambda d: place[d])

    def emit(self) -> None:
        around = [Points(self.frame, box, ask=False).items() for box in borders(self.frame)]
        self.b.items(amid(around, self.main()))

    def main(self) -> tuple[list[Size], Callable[[list[Index]], None]]:
        """The work items without those of borders."""
        blocks = five_loops.blocks(self)
        if blocks:
            return five_loops.emit(self, blocks)
        return across.items(self, self._tiles(), self._streams() > 0, self._tile) or self._items()

    def _items(self) -> tuple[list[Size], Callable[[list[Index]], None]]:
        """The sizes of the work items, and what an item does."""
        b, plan = self.b, self.plan
        tiles = self._tiles()
        width = plan.width
        columns = self.size[id(plan.columns)]
        panels = b.ceildiv(columns, width)
        batch = [self.size[id(d)] for d in plan.batch]
        cut, block, wide = self._block(tiles, panels, batch)
        blocked = b.ceildiv(tiles[cut], block) if tiles else 1
        groups = b.ceildiv(panels, wide)
        ask = self.root.kernel.parameter
        rows_inside = self._rows_inside(tiles, cut, block, panels)
        if isinstance(blocked, int) and isinstance(panels, int) and blocked > 1 and panels > 1:
            rows_inside = bool(ask("panelwise", int(rows_inside), (0, 1)))
        inside = [*tiles[:cut], blocked]
        axes = [*batch, groups, *inside] if rows_inside else [*batch, *inside, groups]
        if tiles and width == plan.panel and all(isinstance(t, int) for t in tiles):
            used = math.prod(tiles) if rows_inside else math.prod([min(block, tiles[cut]), *tiles[cut + 1 :]])
            if ask("ahead", 1, (0, 1)):
                self.fetch_ahead(used)

        widened = self.widen(self._rows_of(tiles, cut, block))

        def item(indices: list[Index]) -> None:
            fixed = {id(d): i for d, i in zip(plan.batch, indices, strict=False)}
            indices = indices[len(batch) :]
            group = indices.pop(0 if rows_inside else -1)
            outer = indices[:cut]
            for dim, index in zip(plan.rows, outer, strict=False):
                fixed[id(dim)] = index
            low: Size = 0
            high: Size = tiles[cut] if tiles else 1
            if blocked != 1 or not isinstance(blocked, int):
                low = b.compute(indices[-1] * block)
                high = b.min(b.add(low, block), high)

            def column(p: Index) -> None:
                self.panel = p

                def pass_by(tile: Tile) -> None:
                    if widened:
                        widened.fill(Index(), p, tile)
                        widened.use(Index(), p)
                    self.rows(fixed, len(outer), low, high, tiles, tile)

                self.column_tile(p, columns, width, pass_by)

            if wide == 1:
                column(group)
            elif groups == 1:
                b.loop(0, panels, 1, column)
            else:
                start = b.compute(group * wide)
                b.loop(start, b.min(b.add(start, wide), panels), 1, column)

        return axes, item

    def widen(self, rows: int | None) -> Widened | None:
        """Where a panel of columns is made as wide as it is multiplied, before `rows` rows pass by; None: nowhere."""
        return Widened.of(self, rows)

    def _rows_of(self, tiles: list[Size], cut: int, block: int) -> int | None:
        """Rows of a block, about; None where they are not known."""
        if not tiles or not all(isinstance(n, int) for n in tiles[cut:]):
            return None
        inner = self.plan.inner.size if self.plan.inner else 1
        return min(block, tiles[cut]) * math.prod(tiles[cut + 1 :]) * self.strips.height * inner

    def _tiles(self) -> list[Size]:
        """The number of steps along each row dimension: single rows, and register tiles along the last."""
        rows = self.plan.rows
        if not rows:
            return []
        return [*[self.size[id(d)] for d in rows[:-1]], self.strips.count]

    def _block(self, tiles: list[Size], panels: Size, batch: list[Size]) -> tuple[int, int, int]:
        """Where the row loops are cut into items, the block there, and the panels of an item."""
        plan, root = self.plan, self.root
        height = plan.height if plan.rows else 1
        flops = 2 * height * plan.width * self.depth
        count = math.prod(t if isinstance(t, int) else GUESS for t in tiles)
        others = math.prod(t if isinstance(t, int) else 16 for t in [panels, *batch])
        least = max(1, -(-self.least // flops))
        footprint = height * 4 * self._per_row(self.rows_operand)
        most = max(1, min(self.frame.machine.l2 // 2 // max(1, footprint), count * others // 16))
        if self._streams():
            most = min(most, self.frame.machine.l2 // _STREAM // (height * self._streams()))
        target = max(least, most)
        if not tiles:
            return 0, 1, least
        larger = [t for t in (2 * target, 4 * target) if t <= count * others // 16]
        target = root.kernel.parameter("item", target, [max(1, target // 4), max(1, target // 2), *larger])
        cut, block = blocks(tiles, target, 1)
        if isinstance(tiles[cut], int):
            number = -(-tiles[cut] // block)
            if not cut and not plan.batch:
                number = 2 if number == 1 and self._halves(height * count // 2) else even(number, tiles[cut])
            block = -(-tiles[cut] // number)
        wide = max(1, -(-self.least // (flops * count))) if count < least else 1
        return cut, block, wide

    def _halves(self, rows: int) -> bool:
        """Whether weights pass by halves of so many rows, one half after the other, rather than by all rows at once.

        Each of two threads then goes on with rows that it wrote before, which lie in its own cache. Weights that do
        not stay in the cache come a second time from the one behind: for few of them, with rows enough meanwhile.
        """
        l2, weights = self.frame.machine.l2, self._bytes(1 - self.rows_operand)
        if weights is None or weights > l2 * _TWICE:
            return False
        return rows >= (USES if weights <= l2 // 2 else max(USES, self.rows_needed()))

    def _streams(self) -> int:
        """Bytes of one row of all that is read and written, weights aside, where the weights alone stay in the cache.

        Zero where they do not, or where all of it does: a block of few rows then passes by all panels before the next,
        so that large tensors are read and written from end to end.
        """
        l2 = self.frame.machine.l2
        weights = self._bytes(1 - self.rows_operand)
        sizes = [d.size for d in (*self.plan.rows, self.plan.inner) if d is not None]
        if weights is None or weights > l2 // 4 or self.plan.batch or not sizes or None in sizes:
            return 0
        kinds = [a.type for a in self.frame.kernel.args if _shaped(a.type)]
        if not all(kind.has_static_shape for kind in kinds):
            return 0
        elements = sum(math.prod(kind.shape) for kind in kinds)
        others = elements * self.frame.kernel.element_bits // 8 - weights
        return others // math.prod(sizes) if others > l2 // 2 else 0

    def fetch_ahead(self, tiles: int | None, rows: bool = True) -> None:
        """Fetch the next panel while `tiles` register tiles use one, and the next `rows` where they are large."""
        plan, root, machine, memory = self.plan, self.root, self.frame.machine, self.frame.memory
        order = self.sums.order
        self.next_panel = tiles and NextPanel.of(root, plan.columns, order, memory, tiles, machine.line)
        operand = self.rows_operand
        sizes = [d.size or 0 for d in (*plan.rows, *plan.batch)]
        read = min(self._bytes(operand) or 0, math.prod(sizes) * self.depth * self.frame.kernel.element_bits // 8)
        if rows and plan.inner is None and plan.vectors > 1 and read > machine.l2 // 2:
            of, line = (root, operand, plan.rows[-1], order, memory), machine.line
            if not machine.follows_fetches:
                self.next_rows = NextRows.of(*of, line)
            elif self._rows_are_kept():
                self.next_rows = NextRun.of(*of, line, self.strips.height, self.passes)
        if self.passes > 1 and machine.ahead and plan.inner is None:
            about = (plan.columns, plan.rows[-1], order, self.strips.height, self.passes)
            self.next_results = NextRun.of_results(self.frame, root, *about)
        self.sums.ahead = [n.step for n in (self.next_panel, self.next_rows, self.next_results) if n]

    def _rows_are_kept(self) -> bool:
        """Whether rows that are fetched ahead are the next in use, or stay in the first-level cache until they are.

        Else the panel in use would drive them out, and all panels but the first find them in the second-level cache.
        """
        columns, width = self.plan.columns.size, self.plan.width
        used = (2 * self.strips.height + width) * self.depth * self.frame.kernel.element_bits // 8
        return columns is not None and (-(-columns // width) == self.passes or used <= self.frame.machine.l1d)

    def _rows_inside(self, tiles: list[Size], cut: int, block: int, panels: Size) -> bool:
        """Whether all blocks of rows pass by one panel before the next, and not all panels by one block of rows.

        What is passed by comes from memory each time, unless all of it fits the second-level cache. Where all rows
        fit, blocks of them outermost are better for threads: each goes on with the rows that it wrote before. Weights
        then come once for each block, in the background, if they are few or used with enough rows: every other layer
        of a network has passed since they were used last.
        """
        blocked = -(-tiles[cut] // block) if tiles and isinstance(tiles[cut], int) else 1
        if self._streams() or blocked == 1 or not isinstance(panels, int):
            return False
        l2 = self.frame.machine.l2
        rows, weights = (self._bytes(operand) for operand in (self.rows_operand, 1 - self.rows_operand))
        if None in (rows, weights):
            return False
        if rows + 2 * weights // panels <= l2 * 3 // 4:
            uses = block * self.plan.height * math.prod(t if isinstance(t, int) else 1 for t in tiles[cut + 1 :])
            return weights > l2 // 4 and uses < min(_ENOUGH, self.rows_needed())
        return rows * (panels - 1) < weights * (blocked - 1)

    def rows_needed(self) -> int:
        """Rows that a panel of weights is multiplied with for so long that the next one comes from memory meanwhile."""
        machine = self.frame.machine
        return max(1, machine.ports * machine.usual_bits // 8 // _RATE)

    def _bytes(self, operand: int) -> int | None:
        """The size of an input of the reduction."""
        kind = self.root.generic.inputs[operand].type
        if not _shaped(kind) or not kind.has_static_shape:
            return None
        return math.prod(kind.shape) * max(8, getattr(kind.element_type, "width", 64)) // 8

    def _per_row(self, operand: int) -> int:
        """Elements of the row operand that one row of the result adds to the working set."""
        kind = self.root.generic.inputs[operand].type
        total = math.prod(GUESS if n < 0 else n for n in ir.ShapedType(kind).shape) if _shaped(kind) else 1
        plan = self.plan
        dims = [d for d in (*plan.rows, *plan.batch, plan.inner) if d is not None and self.root.depends(operand, d)]
        # Windows that move by more than their width leave elements out.
        return max(1, min(self.depth, total // max(1, math.prod(d.size or GUESS for d in dims))))

    def around(self, emit: Callable[[], None]) -> None:
        """`emit`, which emits register tiles, and what registers need before and behind it."""
        emit()

    def column_tile(self, p: Index, columns: Size, width: int, emit: Callable[[Tile], None]) -> None:
        """The tile of columns of panel `p`: a full one, or what is left behind the last full one."""
        column_tile(self, p, columns, width, emit)

    def rows(self, fixed: dict, depth: int, low: Size, high: Size, tiles: list[Size], tile: Tile) -> None:
        """The row loops from `depth` on, the first of them from `low` to `high`, around register tiles."""
        if not self.plan.rows:
            self._tile(fixed, None, 1, tile)
            return
        self.each_strip(fixed, depth, low, high, tiles, lambda *strip: self._tile(*strip, tile))

    def each_strip(self, fixed: dict, depth: int, low: Size, high: Size, tiles: list[Size], emit) -> None:
        """The row loops around what `emit` does with the rows of a register tile: `fixed`, the first, their number."""
        rows = self.plan.rows
        if depth == len(rows) - 1:
            self.strips.cover(low, high, lambda i, height: emit(fixed, i, height))
            return
        following = tiles[depth + 1]

        def body(i: Index) -> None:
            self.each_strip({**fixed, id(rows[depth]): i}, depth + 1, 0, following, tiles, emit)

        self.b.loop(low, high, 1, body)

    def _tile(self, fixed: dict, base: Index | None, height: int, tile: Tile) -> None:
        plan = self.plan
        inner = plan.inner.size if plan.inner else 1
        if self.next_panel:
            self.next_panel.tile(self.panel, self._number(fixed))
        for ahead in (self.next_rows, self.next_results):
            if ahead:
                where = {d.probe: fixed[id(d)] for d in (*plan.rows[:-1], *plan.batch)}
                ahead.tile({**where, plan.rows[-1].probe: base + height}, self.panel)

        self.sums.tile(height * inner, self.row(fixed, base), tile)

    def _number(self, fixed: dict) -> Index:
        """Which of the register tiles that use a panel is at `fixed` and the strip that is being emitted."""
        number = Index()
        for dim, count in zip(self.plan.rows[:-1], self._tiles(), strict=False):
            number = number * count + fixed[id(dim)]
        return number * self.strips.count + self.strips.number if self.plan.rows else number

    def row(self, fixed: dict, base: Index | None) -> Row:
        """One index a dimension of the root, from the number of a row of the register tile at `base`, and a column."""
        plan, dims = self.plan, self.root.dims
        inner = plan.inner.size if plan.inner else 1

        def row(r: Index, column: Index) -> list[Index]:
            where = {**fixed, id(plan.columns): column}
            outer, within = split(r, inner)
            if base is not None:
                where[id(plan.rows[-1])] = base + outer
            if plan.inner:
                where[id(plan.inner)] = within
            return [where[id(d)] for d in dims]

        return row


def _shaped(kind: ir.Type) -> bool:
    return isinstance(kind, ir.RankedTensorType)


SCHEDULE = Contraction()
