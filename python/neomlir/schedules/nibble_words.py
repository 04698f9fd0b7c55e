"""One row times 4-bit weights, eight of them a word: a mask, a conversion and a multiply-add for a vector of weights.

A row of a panel is as many bytes as four vectors have lanes, so one load of it is a vector of words of which each holds
two weights of four neighbouring columns. A weight need not be moved to the low end of its word: masked where it is, it
is converted to `q * 2**n`, and the power of two is taken off the sum of a group. Nor is 8 taken off each weight, but
eight times the sum of the row's numbers off the sum of a group. A vector of sums belongs to every fourth column;
scales are put into that order once a group, the totals out of it at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules.builder import Builder, Chunk, Tile, number
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.nest import joined, lane_index

COLUMNS = 4
"""Bytes of a word: columns that lie in it, and vectors of a panel."""
_BITS = 4
_AHEAD = 4096
"""Bytes of a panel that are asked for before they are needed."""


def every_fourth(b: Builder, pieces: list[list[ir.Value]]) -> list[ir.Value]:
    """Four vectors of the lanes whose numbers are 0, 1, 2 and 3 modulo four; `pieces` are four lanes each, of which
    those whose number is w modulo four are `pieces[w]`."""
    rows = [b.join(each) for each in pieces]
    low, high = (
        [_fours(b, *rows[i : i + 2], (start, start + 4, start + 1, start + 5)) for i in (0, 2)] for start in (0, 2)
    )
    return [_fours(b, *pair, (start, start + 1, start + 4, start + 5)) for pair in (low, high) for start in (0, 2)]


def in_order(b: Builder, vectors: list[ir.Value]) -> list[ir.Value]:
    """Four vectors end to end, of vectors of their lanes whose numbers are 0, 1, 2 and 3 modulo four."""
    first, second, third, fourth = vectors
    low, high = (_woven(b, x, y) for x, y in ((first, third), (second, fourth)))
    return [v for x, y in zip(low, high, strict=True) for v in _woven(b, x, y)]


def _fours(b: Builder, x: ir.Value, y: ir.Value, lanes: tuple[int, ...]) -> ir.Value:
    """Lanes of each four of two vectors, by the numbers that these would have as one of eight."""
    width = ir.VectorType(x.type).shape[0]
    numbers = [start + i % 4 + i // 4 * width for start in range(0, width, 4) for i in lanes]
    return b.shuffle(x, y, numbers)


def _woven(b: Builder, x: ir.Value, y: ir.Value) -> list[ir.Value]:
    """The lanes of two vectors in turn."""
    lanes = ir.VectorType(x.type).shape[0]
    return [
        b.shuffle(x, y, [i for k in range(start, start + lanes // 2) for i in (k, k + lanes)])
        for start in (0, lanes // 2)
    ]


class Words:
    """A register tile of one row and one whole panel of 4-bit weights."""

    def __init__(self, sums, places: Callable[[Index], list[Index]], tile: Tile, operands: tuple[int, int, int, int]):
        """`sums` reads the `operands`: even rows of the reduction, bytes, odd rows, scales; `places` gives all loops
        at a column."""
        self.sums, self.b, self.tile, self.places = sums, sums.frame.b, tile, places
        points = self.points = [(places(index), chunk) for index, chunk in tile]
        self.even, self.bytes, self.odd, self.scales = operands
        self.lanes = points[0][1].width
        (self.wide, self.chunk), *_ = joined(tile)
        self.f32 = self.b.vector(self.lanes, sums.f32)
        self.i32 = self.b.vector(self.lanes, sums.i32)

    @staticmethod
    def fits(rows: int, tile: Tile) -> bool:
        """Whether a tile is one row of a whole panel."""
        lanes = tile[0][1].width
        whole = lanes >= 4 and all(chunk == Chunk(lanes) for _, chunk in tile)
        return rows == 1 and len(tile) == COLUMNS and whole and len(joined(tile)) == 1

    def totals(self, group: int, groups: int) -> list[ir.Value]:
        """The sums of products of the panel's columns, from zero on."""
        b, sums, place = self.b, self.sums, self.places(self.wide)

        def one(g: Index, *totals: ir.Value) -> list[ir.Value]:
            base = g * group
            zeros = [self._splat(0.0)] * (2 * COLUMNS)
            held = b.loop(0, group, 1, lambda k, *held: self._step(place, base + k, held), zeros)
            less = b.splat(self._offset(base, group), self.lanes)
            found = []
            for column, scale in enumerate(every_fourth(b, self._pieces_of_scales(base))):
                value = less
                for half in (0, 1):
                    power = self._splat(2.0 ** -self._shift(column, half))
                    value = sums.fma(held[2 * column + half], power, value)
                found.append(sums.fma(value, scale, totals[column]))
            return found

        return in_order(b, b.loop(0, groups, 1, one, [self._splat(0.0)] * COLUMNS))

    def _pieces_of_scales(self, base: Index) -> list[list[ir.Value]]:
        """Scales of a group as `every_fourth` takes them."""
        first, columns = self.tile[0][0].put_lane(0), [[] for _ in range(COLUMNS)]
        for piece in range(self.lanes):
            place = self.places(lane_index(first + 4 * piece, 4))
            columns[piece % COLUMNS].append(self.sums.read(self.scales, place, base, Chunk(4)))
        return columns

    def _step(self, place: list[Index], k: Index, held) -> list[ir.Value]:
        """One byte of every column."""
        b, sums = self.b, self.sums
        sums.fetch_weights(self.points[0][0], k, _AHEAD // (COLUMNS * self.lanes))
        words = b.value("vector.bitcast", self.i32, sums.read(self.bytes, place, k, self.chunk))
        loops = self.points[0][0]
        rows = [b.splat(sums.read(operand, loops, k, Chunk(1)), self.lanes) for operand in (self.even, self.odd)]
        found = []
        for i, total in enumerate(held):
            column, half = divmod(i, 2)
            found.append(sums.fma(rows[half], self._weights(words, column, half), total))
        return found

    def _weights(self, words: ir.Value, column: int, half: int) -> ir.Value:
        """Weights from 0 to 15 of every fourth column, times a power of two."""
        b, at = self.b, 2 * column + half
        if at == 2 * COLUMNS - 1:
            # In its place it would be a sign.
            found = b.value("arith.shrui", self.i32, words, b.splat(self.sums.integer(_BITS * at), self.lanes))
        else:
            mask = self.sums.integer(15 << (_BITS * at))
            found = b.value("arith.andi", self.i32, words, b.splat(mask, self.lanes))
        return b.value("arith.sitofp", self.f32, found)

    def _offset(self, base: Index, group: int) -> ir.Value:
        """Minus eight times the sum of the row's numbers of a group."""
        b, sums, loops = self.b, self.sums, self.points[0][0]
        width = math.gcd(2 * group, self.lanes)
        pieces = self._pieces(base, group, width)
        if pieces is None:
            total = b.zero(sums.f32)
            for k in range(group):
                for operand in (self.even, self.odd):
                    total = b.value("arith.addf", sums.f32, total, sums.read(operand, loops, base + k, Chunk(1)))
        else:
            while len(pieces) > 1:
                pieces = [
                    b.value("arith.addf", pieces[i].type, *pieces[i : i + 2]) if i + 1 < len(pieces) else pieces[i]
                    for i in range(0, len(pieces), 2)
                ]
            kind = ir.Attribute.parse("#vector.kind<add>", b.context)
            total = b.value("vector.reduction", sums.f32, pieces[0], kind=kind)
        return b.value("arith.mulf", sums.f32, total, b.constant(number(sums.f32, -8.0)))

    def _pieces(self, base: Index, group: int, width: int) -> list[ir.Value] | None:
        """The row's numbers of a group as vectors, or None where they do not lie side by side."""
        loops, (k,), probe = list(self.points[0][0]), self.sums.root.reduced, Var(None)
        loops[k] = of(probe)
        maps, inputs = self.sums.generic.maps, self.sums.generic.inputs
        even, odd = ([apply(e, loops) for e in maps[i].results] for i in (self.even, self.odd))
        if inputs[self.even] != inputs[self.odd] or even[:-1] != odd[:-1] or even[-1] + 1 != odd[-1]:
            return None
        if any(i.uses(probe) for i in even[:-1]) or even[-1].terms.get(probe) != 2:
            return None
        here = tuple(i.put(probe, base) for i in even)
        return [
            self.sums.frame.evaluator.at(inputs[self.even], (*here[:-1], lane_index(here[-1] + j, width)), Chunk(width))
            for j in range(0, 2 * group, width)
        ]

    def _splat(self, value: float) -> ir.Value:
        return self.b.splat(self.b.constant(number(self.sums.f32, value)), self.lanes)

    def _shift(self, column: int, half: int) -> int:
        """The power of two that a weight is multiplied by."""
        at = 2 * column + half
        return 0 if at == 2 * COLUMNS - 1 else _BITS * at
