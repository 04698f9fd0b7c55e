"""Tiles of the columns of a contraction: full ones, what is left behind the last of them, steps of scalable vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from neomlir.schedules import scalable
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.nest import full_tile, lane_index, rest_tile

if TYPE_CHECKING:
    from neomlir.schedules.contraction import Nest

_DEEP = 64
"""Steps of a reduction of which a tile's stores are a small part."""


def column_tile(nest: Nest, p: Index, columns: Size, width: int, emit: Callable[[Tile], None]) -> None:
    """The tile of columns of panel `p`: a full one, or what is left behind the last full one."""
    b, plan = nest.b, nest.plan
    if b.scalable:
        _column_steps(nest, p, columns, emit)
        return
    masks, whole = nest.frame.machine.masks, nest.depth >= _DEEP
    base = p * width
    if isinstance(columns, int):
        full, rest = columns // width, columns % width
        here = p.constant
        if not rest or (here is not None and here < full):
            emit(full_tile(base, plan.lanes, plan.vectors))
        elif not full:
            emit(rest_tile(b, Index(), rest, plan.lanes, masks, whole))
        else:
            last = Index({}, full * width)
            b.when(
                b.less(b.compute(p), full),
                lambda: emit(full_tile(base, plan.lanes, plan.vectors)),
                lambda: emit(rest_tile(b, last, rest, plan.lanes, masks, whole)),
            )
        return
    start = b.compute(base)

    def rest() -> None:
        end = columns
        if not masks:
            b.loop(start, end, 1, lambda i: emit([(i, b.chunk(1))]))
            return

        def one(i: Index) -> None:
            count = b.min(b.sub(end, b.compute(i)), plan.lanes)
            emit([(lane_index(i, plan.lanes), b.chunk(plan.lanes, count))])

        aligned = of(Var(start, plan.lanes))
        for j in range(plan.vectors):
            place = b.compute(aligned + j * plan.lanes)
            b.when(b.less(place, end), lambda place=place: one(of(Var(place, plan.lanes))))

    b.when(b.less(b.add(start, width - 1), columns), lambda: emit(full_tile(base, plan.lanes, plan.vectors)), rest)


def _column_steps(nest: Nest, p: Index, columns: Size, emit: Callable[[Tile], None]) -> None:
    """Tiles of scalable vectors, step by step along the panels of group `p`, and all of these side by side."""
    b, plan = nest.b, nest.plan
    panel = plan.width // plan.panels
    vectors = plan.vectors // plan.panels
    bases = [p * plan.width + q * panel for q in range(plan.panels)]
    whole = isinstance(columns, int) and columns % plan.width == 0
    ends = [panel if whole else b.min(b.sub(columns, b.compute(base)), panel) for base in bases]

    def step(low: Index) -> None:
        tiles = [scalable.masked_tile(b, low, end, plan.lanes, vectors, panel - 1) for end in ends]
        emit([(base + run, chunk) for base, tile in zip(bases, tiles, strict=True) for run, chunk in tile])

    if panel <= plan.lanes * vectors:
        step(Index())
    else:
        b.loop(0, ends[0], b.mul(b.length(plan.lanes), vectors), step)
