"""What becomes of the sums of a register tile of matrix tiles: from the scratch buffer, row by row, to the results."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neomlir.mlir import ir
from neomlir.schedules.accumulate import Accumulator, Row
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.nest import lane_index
from neomlir.schedules.quantised import LANES, TOGETHER, Quantised, store_narrowed
from neomlir.schedules.root import Root


class Finish:
    """The epilogue of sums in a buffer of rows of as many columns as a panel has."""

    def __init__(self, frame: Frame, root: Root, sums: Accumulator, scratch: ir.Value, quantised: Quantised | None):
        self.b, self.frame, self.root = frame.b, frame, root
        self.sums, self.scratch, self.quantised = sums, scratch, quantised

    def rows(self, low: Size, high: int, row: Row, tile: Tile) -> None:
        """The epilogue of some rows; quantised results of several are narrowed together, from row 0 on."""
        step = 1
        if self.quantised and all(chunk == Chunk(LANES) for _, chunk in tile) and len(tile) in (1, 2):
            step = TOGETHER // len(tile)
        whole = high // step * step
        some = self.row if step == 1 else partial(self._narrow, step)
        self.b.loop(low, whole, step, lambda r: some(r, row, tile))
        self.b.loop(whole, high, 1, lambda r: self.row(r, row, tile))

    def row(self, r: Index, row: Row, tile: Tile) -> None:
        """The epilogue of one row."""
        with self.b.scope():
            for chunk, value, loops in self._sums_of(r, row, tile):
                with self.b.scope():
                    self.sums.finish(loops, chunk, [value])

    def _narrow(self, count: int, first: Index, row: Row, tile: Tile) -> None:
        """The epilogue of `count` rows whose quantised results are narrowed together."""
        with self.b.scope():
            rows = [first + r for r in range(count)]
            points = ((loops, chunk, value) for r in rows for chunk, value, loops in self._sums_of(r, row, tile))
            store_narrowed(self.frame, self.root, self.quantised, points, row, rows, tile)

    def _sums_of(self, r: Index, row: Row, tile: Tile) -> Iterator[tuple[Chunk, ir.Value, list[Index]]]:
        """Of a row in the buffer: chunk, sums and loops of each vector."""
        column = 0
        for index, chunk in tile:
            place = (r, lane_index(Index({}, column), chunk.width))
            value = self.frame.memory.load(self.scratch, place, Chunk(chunk.width))
            loops = self.root.loops(row(r, index))
            yield chunk, self.sums.moved(value, loops, chunk), loops
            column += chunk.width
