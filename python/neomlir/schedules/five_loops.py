"""Large products in the five loops of Goto and van de Geijn (ACM TOMS 2008), as BLIS has them (ACM TOMS 2015).

The reduction is cut into parts of k_c steps. Of each part a block of rows is copied to scratch memory, where it stays
in the second-level cache while panel after panel of columns passes by, and no two of its rows meet in a set of the
first-level cache, whatever their distance in the operand. A block has rows enough for the panels to come from memory
in the background. Sums wait between two parts in scratch memory too, a register tile behind the other, or, where those
of all panels are too many (or of vectors of unknown length), in the result; and a panel of columns that is no packed
weight is copied before the rows pass by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neomlir.mlir import ir
from neomlir.schedules import scalable
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.nest import even, lane_index, vectors
from neomlir.schedules.plan import is_large
from neomlir.schedules.root import stored_at
from neomlir.schedules.widened import pays, widened

if TYPE_CHECKING:
    from neomlir.schedules.contraction import Nest
    from neomlir.schedules.kernel import Kernel

_SCRATCH = 1 << 20
"""Bytes of scratch memory, at most: it lies on the stack."""
_ITEMS = 6
"""Work items, at least, where the matrices are large enough."""
_LEAST = 512
"""Steps of a part, at least, for which all rows are one block, so that panels come by once."""
_COLUMNS = 384
"""Columns of a work item, at least: a copy of its rows costs as much as the arithmetic on four columns."""
_HALF = 128
"""Columns of a work item, at least, where there would be but one."""
_UNROLL = 4
"""Vectors that are copied side by side."""


@dataclass
class Blocks:
    """How a product is cut."""

    steps: int
    """Of a part of the reduction."""
    strips: int
    """Register tiles of a block of rows, one above the other."""
    panels: int
    """Of a work item."""
    packs: bool
    """Whether blocks of rows are copied."""
    packs_columns: bool
    """Whether panels of columns are."""
    factor: ir.Value | None
    """The factor of the products that these copies hold, if it is wider than what is read."""
    in_place: bool
    """Whether sums wait between two parts where the results come, and not in scratch memory."""


def blocks(nest: Nest) -> Blocks | None:
    """None where the product is better left to the plain nest."""
    plan, root, l2 = nest.plan, nest.root, nest.frame.machine.l2
    kernel, order = nest.frame.kernel, nest.sums.order
    if len(order) != 1 or plan.batch or plan.inner or len(plan.rows) != 1:
        return None
    depth, rows, columns = root.extents[order[0]], plan.rows[0].size, plan.columns.size
    if None in (depth, rows, columns) or plan.panel not in (None, plan.width):
        return None
    result, destination = root.generic.results[0].type, kernel.destinations[0].type
    if nest.b.scalable and (result.element_type != destination.element_type or plan.panel is None):
        return None
    width, height = kernel.element_bits // 8, nest.strips.height
    if not is_large(rows, columns, depth, kernel, l2):
        return None
    scratch = min(_SCRATCH, l2 // 2)
    for_rows, for_panel, for_sums = scratch * 2 // 3, l2 // 8, scratch // 3
    factor = pays(nest, rows)
    copied = plan.panel is None or factor is not None
    if copied:
        for_rows, for_panel, for_sums = scratch // 2, scratch // 6, scratch // 3
    strips, panels, line = nest.strips.count, -(-columns // plan.width), width * plan.width
    few = strips * height * width * _LEAST <= for_rows
    fitting = for_rows // (width * height * (strips if few else 1))
    needed = nest.rows_needed()
    panel = min(for_panel // line, for_rows // (width * min(rows, needed)))
    steps = _steps(kernel, depth, plan.lanes, panel, min(fitting, panel) if copied else fitting)
    if not steps:
        return None
    most = for_rows // (steps * width * height)
    number = max(min(_ITEMS, rows // needed), -(-strips // max(1, most)))
    block = _share(kernel, "block", strips, most, even(number, strips))
    groups = max(1, min(-(-_ITEMS // -(-strips // block)), panels * plan.width // _COLUMNS))
    if groups == 1 and block == strips and panels * plan.width >= 2 * _HALF:
        groups = 2
    fit = for_sums // (block * height * line)
    many = -(-panels // groups) > fit and result.element_type == destination.element_type
    in_place = steps < depth and (nest.b.scalable or many)
    wide = _share(kernel, "panels", panels, fit if steps < depth and not in_place else panels, groups)
    packs = kernel.parameter("pack", int(_packable(nest)), (0, 1))
    return Blocks(steps, block, wide, bool(packs), copied, factor, in_place)


def _steps(kernel: Kernel, depth: int, lanes: int, panel: int, most: int) -> int:
    """Steps of a part: at most `most`, and at most `panel` where a part may be so short."""

    def each(parts: int) -> int:
        return min(depth, -(-depth // parts // lanes) * lanes)

    fits = [steps for steps in dict.fromkeys(map(each, range(1, 33))) if steps <= most]
    if not fits:
        return 0
    return kernel.parameter("part", next((n for n in fits if n <= panel), fits[-1]), (0, *fits))


def _share(kernel: Kernel, name: str, number: int, most: int, groups: int = 1) -> int:
    """An even share of `number` for each of `groups` or more, at most `most`."""
    groups = max(groups, -(-number // max(1, most)))
    others = (-(-number // n) for n in (groups, *range(1, 17), 2 * groups, 4 * groups))
    share, *fits = [n for n in dict.fromkeys(others) if n <= max(1, most)]
    return kernel.parameter(name, share, fits)


def _packable(nest: Nest) -> bool:
    """Whether what the rows' operand reads lies along the reduction."""
    probe = nest.root.reduced_probes[nest.sums.order[0]]
    for value, access in nest.root.accesses[nest.rows_operand]:
        if value is None or any(index.uses(probe) for index in access[:-1]):
            return False
        if access and access[-1].uses(probe) and access[-1].terms.get(probe) != 1:
            return False
    return True


def emit(nest: Nest, cut: Blocks) -> tuple[list[Size], Callable[[list[Index]], None]]:
    """The sizes of the work items, blocks of rows times groups of panels, and what one does."""
    return _Loops(nest, cut).items()


class _Loops:
    def __init__(self, nest: Nest, cut: Blocks):
        self.nest, self.cut, self.b = nest, cut, nest.b
        self.loop = nest.sums.order[0]
        self.depth = nest.root.extents[self.loop]
        self.panels = -(-nest.plan.columns.size // nest.plan.width)
        self.rows = nest.plan.rows[0]
        self.operand = nest.rows_operand
        nest.fetch_ahead(min(cut.strips, nest.strips.count), rows=not cut.packs)
        root, memory = nest.root, nest.frame.memory
        if cut.steps < self.depth and not cut.in_place:
            vectors_ = nest.strips.height * nest.plan.vectors
            shape = [cut.strips * cut.panels, vectors_, nest.plan.lanes]
            self.sums = memory.scratch(shape, root.generic.results[0].type.element_type)
        if cut.packs:
            element = ir.RankedTensorType(root.generic.inputs[self.operand].type).element_type
            # A cache line more than a part: rows at a power of two from each other would share one set.
            line = nest.frame.machine.line * 8 // nest.frame.kernel.element_bits
            shape = [cut.strips * nest.strips.height, cut.steps + line]
            self.copy = memory.scratch(shape, element)
        if cut.packs_columns:
            element = ir.RankedTensorType(root.generic.inputs[1 - self.operand].type).element_type
            element = element if cut.factor is None else cut.factor.type
            self.panel = memory.scratch([cut.steps, nest.plan.width], element)

    def items(self) -> tuple[list[Size], Callable[[list[Index]], None]]:
        b, cut, strips = self.b, self.cut, self.nest.strips.count

        def item(indices: list[Index]) -> None:
            block, group = indices
            low = b.compute(block * cut.strips) if cut.strips < strips else 0
            high = b.min(b.add(low, cut.strips), strips)
            start = b.compute(group * cut.panels) if cut.panels < self.panels else 0
            end = b.min(b.add(start, cut.panels), self.panels)
            b.loop(0, self.depth, cut.steps, lambda k: self._part(k, low, high, start, end))
            self.nest.sums.part = None

        return [-(-strips // cut.strips), -(-self.panels // cut.panels)], item

    def _part(self, k: Index, low: Size, high: Size, start: Size, end: Size) -> None:
        """A part of the reduction, from `k` on, for strips `low` to `high` and panels `start` to `end`."""
        nest, b, cut, sums = self.nest, self.b, self.cut, self.nest.sums
        stop = b.min(b.compute(k + cut.steps), self.depth) if self.depth % cut.steps else None
        sums.part = (k, b.compute(k + cut.steps) if stop is None else stop)
        if cut.steps >= self.depth:
            sums.part = (Index(), self.depth)
        else:
            sums.first = b.less(b.compute(k), 1)
            sums.last = b.less(self.depth - 1, sums.part[1])
        if cut.packs:
            self._pack(k, low, high)
        tiles = nest.strips.count

        def waiting(number: int, loops: list[Index], chunk: Chunk) -> tuple[ir.Value, tuple[Index, ...]]:
            if cut.in_place:
                return nest.frame.destination(0), stored_at(nest.frame.kernel, nest.root.generic, loops)[0]
            tile = (nest.strips.number + scalable.place(low) * -1) * cut.panels
            tile = tile + nest.panel + scalable.place(start) * -1
            return self.sums, (tile, Index({}, number), lane_index(Index(), chunk.width))

        sums.waiting, sums.in_place = waiting, cut.in_place

        def column(p: Index) -> None:
            nest.panel = p
            if nest.next_panel:
                self._aim(k, p, start, end)

            def strips(tile: Tile) -> None:
                if cut.packs_columns:
                    self._pack_columns(k, p, tile)
                nest.rows({}, 0, low, high, [tiles], tile)

            nest.column_tile(p, nest.plan.columns.size, nest.plan.width, strips)

        b.loop(start, end, 1, column)

    def _aim(self, k: Index, p: Index, start: Size, end: Size) -> None:
        """Behind panel `p` comes the next one, behind the last one the next part, and behind that the next item."""
        b, cut, size = self.b, self.cut, self.nest.frame.b.size
        kind = b.index_type
        after, following = b.add(b.compute(p), 1), b.compute(k + cut.steps)
        more, again = b.less(after, end), b.less(following, self.depth)
        item = 0 if cut.panels >= self.panels else b.rem(end, self.panels)
        wrapped = b.value("arith.select", kind, again, size(start), size(item))
        panel = b.value("arith.select", kind, more, size(after), wrapped)
        place = b.value("arith.select", kind, again, following, size(0))
        place = b.value("arith.select", kind, more, b.compute(k), place)
        self.nest.next_panel.aim(of(Var(panel)), of(Var(place)), k, cut.steps)

    def _pack(self, k: Index, low: Size, high: Size) -> None:
        """Copy a part of the rows of strips `low` to `high`, and let the tiles read the copy."""
        nest, b = self.nest, self.b
        root, evaluator, memory = nest.root, nest.frame.evaluator, nest.frame.memory
        begin, end = nest.strips.start(low), nest.strips.start(high)
        first = scalable.place(begin)
        length = nest.b.sub(nest.sums.part[1], b.compute(k)) if self.depth % self.cut.steps else self.cut.steps
        if self.cut.steps >= self.depth:
            length = self.depth

        def row(r: Index) -> None:
            where = [r if d is self.rows else Index() for d in root.dims]

            def some(tile: list[tuple[Index, Chunk]]) -> None:
                for along, chunk in tile:
                    loops = root.loops(where)
                    loops[self.loop] = k + along
                    g = root.generic
                    place = tuple(apply(e, loops) for e in g.maps[self.operand].results)
                    value = b.splat(evaluator.at(g.inputs[self.operand], place, chunk), chunk.width)
                    memory.store(self.copy, (r + first * -1, along), chunk, value)

            vectors(b, 0, length, length, nest.plan.lanes, _UNROLL, nest.frame.machine.masks, some)

        b.loop(begin, end, 1, row)

        def read(loops: list[Index], chunk: Chunk) -> ir.Value:
            place = (self.rows.index(loops) + first * -1, loops[self.loop] + k * -1)
            return memory.load(self.copy, place, Chunk(1))

        nest.sums.factors[self.operand] = read

    def _pack_columns(self, k: Index, p: Index, tile: Tile) -> None:
        """Copy a part of the columns of panel `p`, and let the tiles read the copy."""
        nest, memory = self.nest, self.nest.frame.memory
        root, g = nest.root, nest.root.generic
        operand, columns, factor = 1 - self.operand, nest.plan.columns, self.cut.factor
        first = p * -nest.plan.width

        def step(at: Index) -> None:
            for index, chunk in tile:
                if factor is not None:
                    value = widened(nest, factor, index, chunk, {self.loop: at})
                    memory.store(self.panel, (at + k * -1, index + first), chunk, value)
                    continue
                loops = root.loops([index if d is columns else Index() for d in root.dims])
                loops[self.loop] = at
                place = tuple(apply(e, loops) for e in g.maps[operand].results)
                value = self.b.splat(nest.frame.evaluator.at(g.inputs[operand], place, chunk), chunk.width)
                memory.store(self.panel, (at + k * -1, index + first), chunk, value)

        low, high = nest.sums.part
        self.b.loop(low.const if low.constant is not None else self.b.compute(low), high, 1, step)

        def read(loops: list[Index], chunk: Chunk) -> ir.Value:
            place = (loops[self.loop] + k * -1, loops[columns.loops[-1]] + first)
            return memory.load(self.panel, place, chunk)

        if factor is not None:
            nest.sums.made_wide[factor] = read
        else:
            nest.sums.factors[operand] = read
