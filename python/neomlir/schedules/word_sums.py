"""Register tiles of contractions of bytes that are widened to words: `words.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.accumulate import Row
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.dot_product import DotSums
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.panels import Panels
from neomlir.schedules.quantised import TOGETHER, Quantised, store_narrowed
from neomlir.schedules.root import Root
from neomlir.schedules.units import S8, factor_types

STEPS = 2
"""Steps that are written out where a loop has many instructions beside sums: a core that shares its front end with
another thread is short of them."""
_FEW = 4
"""Vectors of a register tile, at most, beside which that is much."""


@dataclass
class Widened:
    """Bytes of an operand as words in scratch memory."""

    buffer: ir.Value
    start: Index
    """The element of the operand that is the first of them."""


@dataclass
class Piece:
    """A part of the reduction."""

    outer: list[Index]
    """The loops around those that lie side by side."""
    low: Index
    length: int


class WordSums(DotSums):
    """Register tiles whose step of the reduction is a pair of words."""

    rows: Widened
    columns: Widened | None = None
    number: Mapping[int, int] = MappingProxyType({})
    """How far apart the numbers of neighbouring rows along a dimension are."""
    origin = Index()
    """Where the numbers begin."""
    apart = 0
    """Words from a row to the next where they stand side by side; 0 where they lie as in memory."""
    waiting: ir.Value | None = None
    """Sums of the rows of a work item with a panel that is cut in pieces."""
    piece: Piece | None = None
    """The part of the reduction that register tiles take, if not all of it."""
    finishing = False
    """Whether all pieces have passed by."""

    def __init__(self, frame: Frame, root: Root, panels: Panels):
        super().__init__(frame, root, panels)
        signs = factor_types(root.generic.op)
        self.signed = [signs[i] == S8 for i in (panels.rows, 1 - panels.rows)]
        self.word = ir.IntegerType.get_signless(16, frame.b.context)
        self.pairs = frame.b.vector(2 * self.unit.lanes, self.word)
        self.quantised = Quantised.of(frame.kernel)

    def place(self, where: dict) -> Index:
        """The number of a row of the work item."""
        total = self.origin * -1
        for d, apart in self.number.items():
            total = total + where[d] * apart
        return total

    def row_place(self, where: dict, outer: list[Index], along: Index) -> Index:
        """The word of a row at a point of the reduction; of a piece `along` elements into it."""
        if self.piece:
            return self.starts[tuple(where.values())] + along
        if self.apart:
            return self.place(where) * self.apart + along
        return self.panels.at(self.root, 0, where, outer, along) + self.rows.start * -1

    def begin_rows(self, count: Size) -> None:
        """Let the sums that wait be those of no piece, for `count` rows."""
        b, width = self.frame.b, self.panels.width

        def row(number: Index) -> None:
            value = b.splat(self.first_sum(number), self.unit.lanes)
            for j in range(0, width, self.unit.lanes):
                b.op("vector.store", [], [value, self.waiting, b.compute(number * width + j)])

        b.loop(0, count, 1, row)

    def first_sum(self, number: Index) -> ir.Value:
        """What the sums of a row start from."""
        return self.frame.b.zero(self.wide.element_type)

    def _start_piece(self, dims: list[dict]) -> None:
        """Compute before the loop where the rows of a tile begin: LLVM sees that they move together."""
        piece, self.piece = self.piece, None
        places = [self.row_place(where, piece.outer, piece.low) for where in dims]
        self.piece = piece
        self.starts = {tuple(w.values()): p + places[0] * -1 for w, p in zip(dims, places, strict=True)}
        self.first = intrinsics.pointer(self.frame.b, self.rows.buffer, self.frame.b.compute(places[0] * 2))

    def row_pair(self, place: Index) -> ir.Value:
        """The pair of words of the rows from a place of `row_place` on, in all lanes."""
        if self.piece is None:
            return self.broadcast_pair(self.rows.buffer, place)
        b = self.frame.b
        return self._everywhere(
            intrinsics.load_from(b, intrinsics.behind(b, self.first, place * 2), self.words.element_type, 2)
        )

    def column_place(self, where: dict, outer: list[Index], along: Index) -> Index:
        """The word of the first column at a point of the reduction, or the byte where none are widened before."""
        if self.piece:
            return along * self.panels.width
        place = self.panels.at(self.root, 1, where, outer, along)
        return place + self.columns.start * -1 if self.columns else place

    def _waiting(self, dims: list[dict], columns: range) -> list[tuple[ir.Value, ir.Value]]:
        """Where the sums of a tile wait, and what they are."""
        b, lanes, found = self.frame.b, self.unit.lanes, []
        for where in dims:
            for j in columns:
                at = b.compute(self.place(where) * self.panels.width + j * lanes)
                found.append((at, b.value("vector.load", self.wide, self.waiting, at)))
        return found

    def tile(self, count: int, row: Row, vectors: Tile) -> None:
        if self.piece is None:
            super().tile(count, row, vectors)
            return
        b, columns = self.frame.b, range(len(vectors))
        with b.scope():
            dims = self._rows(count, row, vectors)
            self._start_piece(dims)
            places, held = zip(*self._waiting(dims, columns), strict=True)
            for at, value in zip(places, self.add_piece(dims, columns, list(held)), strict=True):
                b.op("vector.store", [], [value, self.waiting, at])

    def _sums(self, dims: list[dict], width: int) -> list[ir.Value]:
        columns = range(-(-width // self.unit.lanes))
        if self.finishing:
            return [value for _, value in self._waiting(dims, columns)]
        return self.add_piece(dims, columns, [self.nothing()] * (len(columns) * len(dims)))

    def add_piece(self, dims: list[dict], columns: range, held: list[ir.Value]) -> list[ir.Value]:
        """The sums `held` and those of a piece of the reduction, or of all of it."""

        def step(outer: list[Index], along: Index, *sums: ir.Value) -> list[ir.Value]:
            return self._dots(dims, columns, outer, along, sums)

        return self.reduce(step, held, self.unit.group, STEPS if len(held) <= _FEW else 1)

    def reduce(self, step: Callable, held: list[ir.Value], by: int, number: int) -> list[ir.Value]:
        """The loops of the reduction, or of a piece, around `number` steps, as `Panels.loop` has it."""
        piece, b = self.piece, self.frame.b
        length = piece.length if piece else self.panels.depth
        number = number if length % (number * by) == 0 else 1

        def steps(outer: list[Index], along: Index, *sums: ir.Value) -> Sequence[ir.Value]:
            for n in range(number):
                sums = step(outer, along + n * by, *sums)
            return sums

        by_all = number * by
        if piece is None:
            return self.panels.loop(b, self.root, steps, held, by_all)
        return b.loop(0, length, by_all, lambda k, *sums: steps(piece.outer, k, *sums), held)

    def buffer(self, operand: int) -> ir.Value:
        """The memory of an operand: 0 the rows, 1 the columns."""
        number = self.panels.rows if operand == 0 else 1 - self.panels.rows
        return self.frame.memory.of(self.root.accesses[number][0][0])

    def widened(self, operand: int, place: Index, width: int) -> ir.Value:
        """`width` neighbouring elements of an operand (0 the rows, 1 the columns) as words."""
        b = self.frame.b
        byte = ir.IntegerType.get_signless(8, b.context)
        loaded = intrinsics.load(b, self.buffer(operand), b.compute(place), b.vector(width, byte), 1)
        return b.value("arith.extsi" if self.signed[operand] else "arith.extui", b.vector(width, self.word), loaded)

    def _dots(self, dims: list[dict], columns: range, outer: list[Index], along: Index, sums) -> list[ir.Value]:
        unit = self.unit
        place = self.column_place(dims[0], outer, along)
        loaded = [self._columns(place + j * unit.lanes * unit.group) for j in columns]
        sums = list(sums)
        for r, where in enumerate(dims):
            place = self.row_place(where, outer, along)
            pair = self.row_pair(place)
            for j in columns:
                at = r * len(columns) + j
                sums[at] = self.multiply_add(sums[at], pair, loaded[j])
        return sums

    def multiply_add(self, total: ir.Value, rows: ir.Value, columns: ir.Value) -> ir.Value:
        """`total` and what the unit makes of a pair of a row and pairs of columns."""
        b = self.frame.b
        product = intrinsics.call(b, self.unit.intrinsic, [self.wide], [rows, columns]).results[0]
        return b.value("arith.addi", self.wide, total, product)

    def broadcast_pair(self, buffer: ir.Value, place: Index) -> ir.Value:
        """The pair of words from a place of a buffer on, in all lanes."""
        b = self.frame.b
        return self._everywhere(intrinsics.load(b, buffer, b.compute(place * 2), self.words.element_type, 2))

    def _everywhere(self, pair: ir.Value) -> ir.Value:
        """A pair of words, given as one number, in all lanes."""
        b = self.frame.b
        return b.value("vector.bitcast", self.pairs, b.value("vector.broadcast", self.words, pair))

    def many_pairs(self, buffer: ir.Value, place: Index) -> ir.Value:
        """A vector of words from a place of a buffer on."""
        b = self.frame.b
        return intrinsics.load(b, buffer, b.compute(place * 2), self.pairs, 2)

    def _columns(self, place: Index) -> ir.Value:
        """A vector of columns, a pair of words each."""
        if self.columns is None:
            return self.widened(1, place, 2 * self.unit.lanes)
        return self.many_pairs(self.columns.buffer, place)

    def finish_all(self, points: list, count: int, row: Row, vectors: Tile) -> None:
        """Rows whose quantised results fill a vector of bytes are narrowed together."""
        lanes, each = self.unit.lanes, len(vectors)
        whole = 0
        if self.quantised and all(chunk == Chunk(lanes) for _, chunk in vectors) and each in (1, 2, 4):
            step = TOGETHER // each
            whole = count // step * step
            for r in range(0, whole, step):
                part = points[r * each : (r + step) * each]
                store_narrowed(self.frame, self.root, self.quantised, part, row, range(r, r + step), vectors)
        super().finish_all(points[whole * each :], count - whole, row, vectors)
