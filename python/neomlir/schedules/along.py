"""A reduction along a row: several vectors side by side, then across their lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from neomlir.mlir import ir
from neomlir.schedules import scalable
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.combine import Combination
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import Generic
from neomlir.schedules.nest import full_tile, lane_index

_SUMS = 4
"""Vectors that a reduction along a row accumulates side by side."""


class Along:
    """The loops of one reduction of a row; held are `unroll` vectors of each way, and at times a scalar of each."""

    def __init__(
        self,
        frame: Frame,
        root: Generic,
        loops: list[Index | None],
        order: list[int],
        extents: Mapping[int, Size],
        ways: list[Combination],
        dear: bool,
    ):
        """`order` are the reduced loops, the last of them along the row; `dear`: whether elements are expensive."""
        self.ahead: Callable[[list[Index | None], Chunk], None] | None = None
        """What is called for each vector, with all loops."""
        self.frame, self.b, self.root, self.ways = frame, frame.b, root, ways
        self.loops, self.order, self.extents = loops, order, extents
        kernel, b = frame.kernel, frame.b
        self.size = size = extents[order[-1]]
        if b.scalable and any(not way.is_scalable for way in ways):
            raise NotApplicable("lanes of a scalable vector are multiplied one by one")
        self.lanes = lanes = frame.machine.lanes(kernel.element_bits)
        if isinstance(size, int) and size < lanes and not b.scalable:
            self.lanes = lanes = max(1, 1 << (size.bit_length() - 1))
        sums = kernel.parameter("sums", _SUMS, (1, 2, 4, 8))
        usual = frame.machine.usual_lanes(kernel.element_bits) if b.scalable else lanes
        self.unroll = sums if not isinstance(size, int) or size >= usual * sums else 1
        self.together = dear and self.unroll > 1 and not b.scalable
        self.masks = frame.machine.masks and lanes > 1
        self.neutral = [way.neutral(b, root.results[i].type.element_type, lanes) for i, way in enumerate(ways)]

    def reduce(self, inits: Sequence[ir.Value]) -> list[ir.Value]:
        """The results, from these to begin with."""
        start, count = self.neutral * self.unroll, len(self.ways)
        # Without masks the last elements are added to the scalars one by one.
        scalars = [] if self.masks else list(inits)
        held = self._rows(0, list(self.loops), *start, *scalars)
        totals = held[len(start) :] if scalars else list(inits)
        found = []
        for i, way in enumerate(self.ways):
            mine = [held[j * count + i] for j in range(self.unroll)]
            while len(mine) > 1:
                mine = [self._gathered(way, *mine[k : k + 2]) for k in range(0, len(mine), 2)]
            total = way.across(self.b, mine[0], self.frame.machine.loses_nan)
            # A sum of lanes that began as 0 is not -0, so that 0 adds nothing to it, either.
            begun = totals[i] != way.neutral(self.b, total.type, 1)
            found.append(way.combine(self.b, totals[i], total) if begun else total)
        return found

    def _gathered(self, way: Combination, held: ir.Value, value: ir.Value) -> ir.Value:
        """A vector combined with what is held, which began as the neutral element."""
        return way.gather(self.b, held, value, self.frame.machine.loses_nan)

    def _rows(self, depth: int, base: list, *held: ir.Value) -> list[ir.Value]:
        """The reduced loops from `order[depth]` on."""
        if depth == len(self.order) - 1:
            return self._runs(base, list(held)) if self.b.scalable else self._row(base, list(held))
        d = self.order[depth]

        def inside(k: Index, *held: ir.Value) -> list[ir.Value]:
            return self._rows(depth + 1, [k if i == d else x for i, x in enumerate(base)], *held)

        return self.b.loop(0, self.extents[d], 1, inside, list(held))

    def _points(self, base: list, index: Index, chunk: Chunk) -> list[ir.Value]:
        """What each way combines, at `chunk` of the row."""
        full = [index if i == self.order[-1] else x for i, x in enumerate(base)]
        if self.ahead is not None:
            self.ahead(full, chunk)
        made = self.frame.evaluator.body(self.root, full, chunk, {}, [way.value for way in self.ways])
        return [self.b.splat(v, chunk.width) for v in made]

    def _combined(self, base: list, tile: Tile, held: Sequence[ir.Value]) -> list[ir.Value]:
        """The vectors of `tile` combined with as many of what is held."""
        held, count = list(held), len(self.ways)
        for j, (index, chunk) in enumerate(tile):
            made = self._points(base, index, chunk)
            for i, way in enumerate(self.ways):
                held[j * count + i] = self._gathered(way, held[j * count + i], made[i])
        return held

    def _row(self, base: list, held: list[ir.Value]) -> list[ir.Value]:
        """The row in vectors of a known length."""
        b, size, lanes, unroll = self.b, self.size, self.lanes, self.unroll
        full = b.mul(b.div(size, lanes), lanes)
        wide = b.mul(b.div(size, lanes * unroll), lanes * unroll)

        def many(number: int):
            return lambda k, *held: self._combined(base, full_tile(k, lanes, number), held)

        step = lanes * unroll
        held = self._joined(base, held, wide) if self.together else b.loop(0, wide, step, many(unroll), held)
        if unroll > 1:
            held = b.loop(wide, full, lanes, many(1), held)
        if isinstance(size, int) and size == full:
            return held
        return self._masked_rest(base, held, full) if self.masks else self._single_rest(base, held, full)

    def _joined(self, base: list, held: list[ir.Value], high: Size) -> list[ir.Value]:
        """Reduce up to `high` in one vector as long as `unroll` registers, so that what is computed for all of them is
        written side by side: chains of a long function, one behind the other, are longer than a core looks ahead."""
        b, count, lanes, width = self.b, len(self.ways), self.lanes, self.lanes * self.unroll
        sums, rest = held[: self.unroll * count], held[self.unroll * count :]

        def step(k: Index, *held: ir.Value) -> list[ir.Value]:
            made = self._points(base, lane_index(k, width), Chunk(width))
            return [self._gathered(way, h, m) for way, h, m in zip(self.ways, held, made, strict=True)]

        wide = b.loop(0, high, width, step, [b.join(sums[i::count]) for i in range(count)])
        return [*(b.piece(v, j * lanes, lanes) for j in range(self.unroll) for v in wide), *rest]

    def _masked_rest(self, base: list, held: list[ir.Value], full: Size) -> list[ir.Value]:
        """What is left from `full` on, in one masked vector."""
        b, lanes = self.b, self.lanes
        rest = b.sub(self.size, full)
        chunk = b.chunk(lanes, rest)
        if isinstance(rest, int):
            made = self._points(base, lane_index(Index({}, full), lanes), chunk)
            return self._masked(made, chunk, held)

        def tail(k: Index, *held: ir.Value) -> list[ir.Value]:
            made = self._points(base, lane_index(of(Var(b.compute(k), lanes)), lanes), chunk)
            return self._masked(made, chunk, list(held))

        return b.loop(full, self.size, lanes, tail, held)

    def _single_rest(self, base: list, held: list[ir.Value], full: Size) -> list[ir.Value]:
        """What is left from `full` on, combined with the scalars one by one."""
        b, count = self.b, len(self.ways)

        def single(k: Index, *held: ir.Value) -> list[ir.Value]:
            made = self._points(base, k, Chunk(1))
            ends = zip(self.ways, held[-count:], made, strict=True)
            return [*held[:-count], *(way.combine(b, h, m) for way, h, m in ends)]

        return b.loop(full, self.size, 1, single, held)

    def _runs(self, base: list, held: list[ir.Value]) -> list[ir.Value]:
        """The row in scalable vectors."""
        b, size, lanes = self.b, self.size, self.lanes
        end = size - 1 if isinstance(size, int) else None
        step = b.mul(b.length(lanes), self.unroll)
        middle = b.mul(b.div(size, step), step)

        def many(k: Index, *held: ir.Value) -> list[ir.Value]:
            return self._combined(base, scalable.full_tile(b, k, lanes, self.unroll, end), held)

        def tail(k: Index, *held: ir.Value) -> list[ir.Value]:
            ((index, chunk),) = scalable.masked_tile(b, k, size, lanes, 1, end)
            return self._masked(self._points(base, index, chunk), chunk, list(held))

        return b.loop(middle, size, b.length(lanes), tail, b.loop(0, middle, step, many, held))

    def _masked(self, made: list[ir.Value], chunk: Chunk, held: list[ir.Value]) -> list[ir.Value]:
        """A masked vector combined with the first of what is held."""
        b = self.b
        for i, way in enumerate(self.ways):
            value = b.value("arith.select", made[i].type, chunk.mask, made[i], self.neutral[i])
            held[i] = self._gathered(way, held[i], value)
        return held
