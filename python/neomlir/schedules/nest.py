"""Loops along the vectorised dimension: full vectors, then what is left in masked or narrower ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neomlir.schedules import scalable
from neomlir.schedules.builder import Builder, Chunk, Size, Tile
from neomlir.schedules.index import Index, Var, lane, of

USES = 56
"""Rows that a weight is multiplied with while it is in the cache, at least, if it may come again later."""


def full_tile(base: Index, lanes: int, number: int) -> Tile:
    """`number` full vectors from `base` on."""
    return [(lane_index(base + j * lanes, lanes), Chunk(lanes)) for j in range(number)]


def joined(tile: Tile) -> Tile:
    """Full vectors side by side as one, of which there must be as many as a power of two; any other tile as it is.

    What is computed for it is written down for all of its registers step by step. Chains of an elementary function, one
    behind the other, are longer than a core looks ahead.
    """
    (first, chunk), number = tile[0], len(tile)
    width = chunk.width
    steps = [index + first * -1 for index, _ in tile]
    whole = all(c.mask is None and c.width == width for _, c in tile) and width > 1
    if number & (number - 1) or not whole or any(s.constant != j * width for j, s in enumerate(steps)):
        return tile
    return [(lane_index(first.put_lane(0), width * number), Chunk(width * number))]


def lane_index(base: Index, width: int) -> Index:
    return base + of(lane(width)) if width > 1 else base


def rest_tile(b: Builder, base: Index, count: int, lanes: int, masks: bool, whole: bool = False) -> Tile:
    """`count` elements, fewer than a register tile holds: full vectors, then a masked one or ever narrower ones.

    Three elements are a vector of two and one more, since stores under a mask take long on some processors, or, if
    `whole`, a masked one: where registers matter more.
    """
    tile = full_tile(base, lanes, count // lanes)
    base, count = base + count // lanes * lanes, count % lanes
    while count:
        width = 1 << (count - 1).bit_length()
        if width != count and (not masks or (count <= 3 and not whole)):
            width //= 2
            tile.append((lane_index(base, width), Chunk(width)))
        else:
            tile.append((lane_index(base, width), b.chunk(width, count)))
        base, count = base + width, max(0, count - width)
    return tile


def vectors(
    b: Builder, low: Size, high: Size, total: Size, lanes: int, unroll: int, masks: bool, emit: Callable[[Tile], None]
) -> None:
    """Cover `[low, high)` of a dimension of `total` elements with tiles of `unroll` vectors and smaller ones.

    `low` is a multiple of `lanes`; `high` is one too, or is `total`.
    """
    if lanes == 1:
        b.loop(low, high, 1, lambda i: emit(full_tile(i, 1, 1)))
        return
    if b.scalable:
        scalable.vectors(b, low, high, total, lanes, unroll, emit)
        return
    full = b.mul(b.div(total, lanes), lanes)
    end = full if _same(high, total) else b.min(high, full)
    middle = b.add(low, b.mul(b.div(b.sub(end, low), lanes * unroll), lanes * unroll))
    if unroll > 1:
        b.loop(low, middle, lanes * unroll, lambda i: emit(full_tile(i, lanes, unroll)))
        left = middle
        if isinstance(end, int) and isinstance(middle, int):
            if end > middle:
                emit(full_tile(Index({}, middle), lanes, (end - middle) // lanes))
            left = end
        b.loop(left, end, lanes, lambda i: emit(full_tile(i, lanes, 1)))
    else:
        b.loop(low, end, lanes, lambda i: emit(full_tile(i, lanes, 1)))

    def tail() -> None:
        if isinstance(total, int):
            emit(rest_tile(b, Index({}, full), total - full, lanes, masks))
        elif masks:
            emit([(lane_index(of(Var(full, lanes)), lanes), b.chunk(lanes, b.sub(total, full)))])

    if isinstance(total, int) and total == full:
        return
    if isinstance(total, int) and isinstance(high, int):
        if high == total:
            tail()
    elif not isinstance(total, int) and not masks:
        b.loop(b.max(low, full), high, 1, lambda i: emit(full_tile(i, 1, 1)))
    else:
        b.when(b.less(full, high), tail)


def _same(a: Size, c: Size) -> bool:
    return a == c if isinstance(a, int) == isinstance(c, int) else False


def blocks(sizes: Sequence[Size], target: int, step: int) -> tuple[int, int]:
    """Where to cut a nest into work items of about `target` points: the dimension to block, and the block.

    A block along the last dimension is a multiple of `step`. Blocks differ as little as that allows: of four with two
    rows in the last one, one of two threads would have nearly two thirds.
    """
    inside = 1
    for d in range(len(sizes) - 1, -1, -1):
        size = sizes[d]
        if not isinstance(size, int) or inside * size > target:
            block = max(1, target // inside)
            step = step if d == len(sizes) - 1 else 1
            block = max(step, block // step * step)
            return d, _alike(sizes[:d], size, block, step) if isinstance(size, int) else block
        inside *= size
    return 0, sizes[0] if sizes else 1


def shares(
    b: Builder, sizes: Sequence[Size], target: int, step: int
) -> tuple[list[Size], Callable[[list[Index]], tuple[list[Index], Size, Size]]]:
    """The sizes of the work items that `blocks` cuts a nest into, and what an item has: the indices of the dimensions
    before the one that is cut, and from where to where that goes."""
    cut, block = blocks(sizes, target, step)
    blocked = b.ceildiv(sizes[cut], block)

    def share(indices: list[Index]) -> tuple[list[Index], Size, Size]:
        if isinstance(blocked, int) and blocked == 1:
            return indices[:-1], 0, sizes[cut]
        low = b.compute(indices[-1] * block)
        return indices[:-1], low, b.min(b.add(low, block), sizes[cut])

    return [*sizes[:cut], blocked], share


def walk(
    b: Builder,
    loops: Sequence[int],
    extents: Sequence[Size],
    at: dict[int, Index],
    body: Callable[[dict[int, Index]], None],
    ranges: dict[int, tuple[Size, Size]],
) -> None:
    """Loops, one inside the other, with their indices in `at`; those in `ranges` go from there to there."""
    if not loops:
        body(at)
        return
    d, *rest = loops
    low, high = ranges.get(d, (0, extents[d]))
    b.loop(low, high, 1, lambda i: walk(b, rest, extents, {**at, d: i}, body, ranges))


def _alike(outer: Sequence[Size], size: int, block: int, step: int) -> int:
    """A block, at most as large, that leaves as much for the last one, and an even number of them in all."""
    number = -(-size // block)
    if all(isinstance(n, int) and n % 2 for n in outer):
        number = even(number, size // step)
    return -(-size // (number * step)) * step


def amid(others: list, main) -> list:
    """Groups of work items, the main one in the middle, so that threads have equal shares of it."""
    half = len(others) // 2
    return [*others[:half], main, *others[half:]]


def even(number: int, most: int) -> int:
    """So many work items along the outermost dimension, or one more, so that two threads have halves of it.

    Then each finds in its cache what it wrote there in the kernel before.
    """
    return number + 1 if number % 2 and 1 < number < most else number


class Strips:
    """A dimension cut into strips of at most `height` rows; static ones differ by at most one row."""

    def __init__(self, b: Builder, size: Size, height: int):
        self.b, self.size = b, size
        self.count: Size = b.ceildiv(size, height)
        if isinstance(self.count, int):
            height = -(-size // max(1, self.count))
        self.height = self.tall = height
        self.number: Index | None = None
        """The strip that is being emitted, where their number is static."""

    def start(self, strip: Size) -> Size:
        """The first row of a strip, where their number is static; the number of rows for the strip behind the last."""
        b = self.b
        taller = self.count - (self.height * self.count - self.size)
        return b.sub(b.mul(strip, self.height), b.max(b.sub(strip, taller), 0))

    def first_row(self, strip: Size) -> Size:
        """The same in rows, where `start` counts others."""
        return self.start(strip)

    def cover(self, low: Size, high: Size, emit: Callable[[Index, int], None]) -> None:
        """Call `emit(first row, rows)` inside loops over the strips `low` to `high`; `self.number` is the strip's."""
        b, size, height = self.b, self.size, self.height
        if isinstance(size, int):
            taller = self.count - (height * self.count - size)

            def strip(rows: int, before: int) -> Callable[[Index], None]:
                def body(t: Index) -> None:
                    self.number = t
                    emit(t * rows + before, rows)

                return body

            b.loop(low, b.min(high, taller), 1, strip(height, 0))
            if taller < self.count:
                b.loop(b.max(low, taller), high, 1, strip(height - 1, taller))
            return
        start: Size = b.mul(low, height)
        end = b.min(b.mul(high, height), size)
        for step in dict.fromkeys((height, min(4, height), 1)):
            stop = b.add(start, b.mul(b.div(b.sub(end, start), step), step))
            b.loop(start, stop, step, lambda i, step=step: emit(i, step))
            start = stop
