"""Products of few rows with a long reduction, reduced a part at a time, so that the rows' part stays in the cache.

This is the loop over k_c of Goto and van de Geijn (ACM TOMS 2008): a part of the reduction is done for all panels of a
work item before the next, and the sums wait in the result's own memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from neomlir.schedules.builder import Size
from neomlir.schedules.index import Index, Var, of

if TYPE_CHECKING:
    from neomlir.schedules.contraction import Nest

_LEAST = 512
"""Steps of a part of the reduction, at least: each costs a read and a write of the sums."""
_ITEMS = 4
"""Work items that are left, at least."""


def part(nest: Nest) -> int | None:
    """The steps of a part of the reduction; None where all of it is done at once."""
    plan, root, l2 = nest.plan, nest.root, nest.frame.machine.l2
    kernel, order = nest.frame.kernel, nest.sums.order
    if len(order) != 1 or plan.batch or plan.inner or len(plan.rows) != 1 or nest.sums.heavy:
        return None
    steps, rows, columns = root.extents[order[0]], plan.rows[0].size, plan.columns.size
    result, destination = root.generic.results[0].type, kernel.destinations[0].type
    if None in (steps, rows, columns) or result.element_type != destination.element_type:
        return None
    if plan.panel != plan.width or columns < plan.panel * _ITEMS * 2:
        return None
    width = kernel.element_bits // 8
    if rows * steps * width <= l2 // 2 or columns * steps * width <= l2 // 2:
        return None
    parts = -(-rows * steps * width // (l2 // 3))
    length = -(-steps // parts // 16) * 16
    if not _LEAST <= length < steps:
        return None
    return kernel.parameter("part", length, (0, length)) or None


def emit(nest: Nest, length: int) -> tuple[list[Size], Callable[[list[Index]], None]]:
    """The sizes of the work items and what one does: some panels, all rows."""
    b, plan, sums = nest.b, nest.plan, nest.sums
    steps = nest.root.extents[sums.order[0]]
    columns, panels = plan.columns.size, -(-plan.columns.size // plan.panel)
    wide = panels // _ITEMS
    tiles = nest.strips.count
    nest.fetch_ahead(tiles)

    def item(indices: list[Index]) -> None:
        start = b.compute(indices[0] * wide)
        end = b.min(b.add(start, wide), panels)

        def some(low: Index, high: Size, following: Index) -> None:
            """A part of the reduction for the panels of the item; the next part starts at `following`."""
            sums.part = (low, high)

            def column(p: Index) -> None:
                if nest.next_panel:
                    after = b.add(b.compute(p), 1)
                    more = b.less(after, end)
                    back = start if following.constant != 0 else end
                    panel = b.value("arith.select", b.index_type, more, b.size(after), b.size(back))
                    place = b.value("arith.select", b.index_type, more, b.compute(low), b.compute(following))
                    nest.next_panel.aim(of(Var(panel)), of(Var(place)), low, length)
                nest.column_tile(p, columns, plan.panel, lambda tile: nest.rows({}, 0, 0, tiles, [tiles], tile))

            b.loop(start, end, 1, column)

        whole = steps // length * length
        last = whole - length if whole == steps else whole
        sums.resumes, sums.keeps = False, True
        some(Index(), length, Index({}, length))
        sums.resumes = True
        b.loop(length, last, length, lambda low: some(low, b.add(b.compute(low), length), low + length))
        sums.keeps = False
        some(Index({}, last), steps, Index())
        sums.resumes, sums.part = False, None

    return [-(-panels // wide)], item
