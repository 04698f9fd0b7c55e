"""Products in which all panels of columns pass by the rows of a register tile before the next rows come.

What is larger than the second-level cache is then read and written from end to end, which the machine's own prefetching
foresees: panel by panel, a line or two of each row would be written at a time. It is for weights that stay in the
cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.index import Index
from neomlir.schedules.nest import blocks, even
from neomlir.schedules.widened import Widened

if TYPE_CHECKING:
    from neomlir.schedules.contraction import Nest

_ITEMS = 32
"""Work items, at least, where they are not too small."""


def items(
    nest: Nest, tiles: list[Size], streams: bool, emit: Callable[[dict, Index, int, Tile], None]
) -> tuple[list[Size], Callable[[list[Index]], None]] | None:
    """The sizes of the work items, runs of the register tiles `tiles`, and what one does.

    `streams`: whether more is read and written than stays in the cache, weights aside. `emit` emits a register tile.
    None where panels had better come by one after another.
    """
    plan, b, ask = nest.plan, nest.b, nest.root.kernel.parameter
    columns = nest.size[id(plan.columns)]
    if not tiles or plan.batch or not all(isinstance(n, int) for n in (*tiles, columns)) or columns <= plan.width:
        return None
    if not streams or not ask("across", 1, (0, 1)):
        return None
    flops = 2 * plan.height * columns * nest.depth
    target = max(1, -(-nest.least // flops), math.prod(tiles) // _ITEMS)
    target = ask("item", target, [max(1, target // 2), 2 * target])
    cut, block = blocks(tiles, target, 1)
    block = -(-tiles[cut] // even(-(-tiles[cut] // block), tiles[cut]))
    nest.passes = panels = -(-columns // plan.width)
    if ask("ahead", 1, (0, 1)):
        nest.fetch_ahead(None)
    nest.sums.foreseen = True
    widened = Widened.of(nest, block * math.prod(tiles[cut + 1 :]) * plan.height, panels)

    def item(indices: list[Index]) -> None:
        fixed = {id(dim): index for dim, index in zip(plan.rows, indices[:cut], strict=False)}
        low = b.compute(indices[-1] * block)
        high = b.min(b.add(low, block), tiles[cut])

        if widened:
            b.loop(0, panels, 1, lambda p: nest.column_tile(p, columns, plan.width, lambda t: widened.fill(p, p, t)))

        def strip(fixed: dict, base: Index, height: int) -> None:
            def column(p: Index) -> None:
                nest.panel = p
                if widened:
                    widened.use(p, p)
                nest.column_tile(p, columns, plan.width, lambda tile: emit(fixed, base, height, tile))

            b.loop(0, panels, 1, column)

        nest.each_strip(fixed, cut, low, high, tiles, strip)

    return [*tiles[:cut], b.ceildiv(tiles[cut], block)], item
