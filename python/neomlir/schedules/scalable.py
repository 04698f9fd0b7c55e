"""Loops along the vectorised dimension in vectors whose length only the machine knows.

The code is the same for every length: a loop steps by `vector.vscale` granules, and masks turn off the lanes past the
end (N. Stephens et al., The ARM Scalable Vector Extension, IEEE Micro 2017).
"""

from __future__ import annotations

from collections.abc import Callable

from neomlir.schedules.builder import Builder, Size, Tile
from neomlir.schedules.index import Index, Var, of


def place(size: Size) -> Index:
    """A size as an index."""
    return Index({}, size) if isinstance(size, int) else of(Var(size))


def full_tile(b: Builder, base: Index, width: int, number: int, high: int | None = None) -> Tile:
    """`number` full vectors from `base` on; `high` is the last place of all, where it is known."""
    length = b.length(width)
    starts = [base if not j else base + place(b.mul(length, j)) for j in range(number)]
    return [(b.run(start, width, high), b.chunk(width)) for start in starts]


def masked_tile(b: Builder, base: Index, end: Size, width: int, number: int, high: int | None = None) -> Tile:
    """`number` vectors from `base` on, of which the lanes from `end` on are off."""
    tile = []
    for index, chunk in full_tile(b, base, width, number, high):
        left = b.sub(end, b.compute(index.put_lane(0)))
        # A mask counts in 32 bits.
        tile.append((index, b.chunk(chunk.width, b.min(left, b.most(width)))))
    return tile


def vectors(
    b: Builder, low: Size, high: Size, total: Size, width: int, unroll: int, emit: Callable[[Tile], None]
) -> None:
    """Cover `[low, high)` of a dimension of `total` elements: tiles of `unroll` full vectors, then masked ones."""
    last = total - 1 if isinstance(total, int) else None
    if isinstance(low, int) and isinstance(high, int) and high - low <= width:
        if low < high:
            emit([(b.run(place(low), width, last), b.chunk(width, high - low))])
        return
    length = b.length(width)
    step = b.mul(length, unroll)
    middle = b.add(low, b.mul(b.div(b.sub(high, low), step), step))
    b.loop(low, middle, step, lambda i: emit(full_tile(b, i, width, unroll, last)))
    b.loop(middle, high, length, lambda i: emit(masked_tile(b, i, high, width, 1, last)))
