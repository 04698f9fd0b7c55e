"""Sums of columns: a few rows of a matrix pass by at a time, from end to end, and the sums wait in the nearest cache.

A register tile that went down the rows by itself would read a few lines of each and leave the rest for later: every
line is then on another page, none follows the one before, and the hardware fetches nothing by itself.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules import streams
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.index import Index, apply
from neomlir.schedules.nest import vectors

_ROWS = 4
"""Rows that pass by together, twice as many where they come from memory and are not fetched ahead: a cache has eight
places for lines that are a power of two apart, and memory answers slowly."""
_VECTORS = 2
"""Vectors of a tile."""
WHOLE = 4096
"""Bytes of a row that one work item reads, at least: a page, up to which the hardware reads ahead."""
_RUN = 2048
"""The same where there would be only one work item."""
_SCRATCH = 65536
"""Bytes on the stack for the sums, at most."""


def fits(nest) -> bool:
    """Whether the nest of `window` reduces one loop over rows of which each is longer than a register tile."""
    root, columns, b = nest.root, nest.columns, nest.b
    if b.scalable or columns.size is None or len(root.reduced) != 1 or root.panel(columns) is not None:
        return False
    extent = root.extents[root.reduced[0]]
    if extent is None or extent < 2 * _ROWS or columns.size < 2 * nest.vectors * nest.lanes:
        return False
    probe = root.reduced_probes[root.reduced[0]]
    for operand in range(len(root.generic.inputs)):
        if any(access and access[-1].uses(probe) for _, access in root.accesses[operand]):
            return False
    size = nest.frame.kernel.element_bits // 8
    held = columns.size * size * len(root.generic.results)
    return held <= _SCRATCH and extent * columns.size * size > nest.frame.machine.l1d


class Tall:
    """The loops of sums of columns."""

    def __init__(self, nest):
        self.nest, self.b, self.root, self.columns = nest, nest.b, nest.root, nest.columns
        self.memory, self.sums = nest.frame.memory, nest.sums
        (self.loop,) = self.root.reduced
        self.extent = self.root.extents[self.loop]
        self.size = self.columns.size
        self.buffers = [self.memory.scratch([self.size], r.type.element_type) for r in self.root.generic.results]
        ask, machine = nest.frame.kernel.parameter, nest.frame.machine
        size = self.extent * self.size * nest.frame.kernel.element_bits // 8
        self.fetches = machine.next_row and streams.size(nest.frame) > 2 * machine.l2
        """Whether the rows that pass by next are asked for."""
        self.rows = ask("rows", 2 * _ROWS if size > machine.l2 and not self.fetches else _ROWS, (2, 4, 8))
        self.vectors = ask("vectors", _VECTORS, (1, 2, 4))

    def items(self):
        """The sizes of the work items, and what an item does."""
        nest, b = self.nest, self.b
        sizes: list[Size] = [nest.size[id(d)] for d in nest.rows]
        bits = nest.frame.kernel.element_bits
        alone = all(size == 1 for size in sizes) and self.size * bits < 16 * WHOLE
        run = (_RUN if alone else WHOLE) * 8 // bits
        step = nest.lanes * self.vectors
        block = -(-max(run, nest.item() // self.extent) // step) * step
        count = -(-self.size // block)
        # Blocks as equal as whole tiles can be.
        block = -(-self.size // count // step) * step if count > 1 else self.size
        count = -(-self.size // block)

        def item(indices: list[Index]) -> None:
            low: Size = 0
            high: Size = self.size
            if count > 1:
                low = b.compute(indices[-1] * block)
                high = b.min(b.add(low, block), high)
            self._block(dict(zip((id(d) for d in nest.rows), indices, strict=False)), low, high)

        return [*sizes, count], item

    def _block(self, fixed: dict, low: Size, high: Size) -> None:
        """The columns from `low` to `high` of one matrix."""
        b, rows = self.b, self.rows
        last = self.extent // rows * rows

        def over(emit) -> None:
            masks = self.nest.frame.machine.masks
            vectors(b, low, high, self.size, self.nest.lanes, self.vectors, masks, emit)

        def loops(index: Index) -> list[Index]:
            where = {**fixed, id(self.columns): index}
            return self.root.loops([where[id(d)] for d in self.root.dims])

        def start(tile: Tile) -> None:
            for index, chunk in tile:
                self._keep(index, chunk, self.sums.start(loops(index), chunk))

        def finish(tile: Tile) -> None:
            for index, chunk in tile:
                with b.scope():
                    self.sums.finish(loops(index), chunk, self._kept(index, chunk))

        def add(row: Index, count: int):
            def emit(tile: Tile) -> None:
                with b.scope():
                    held = [self._kept(index, chunk) for index, chunk in tile]
                    for r in range(count):
                        for i, (index, chunk) in enumerate(tile):
                            here = loops(index)
                            here[self.loop] = row + r
                            if self.fetches:
                                self._fetch([*here[: self.loop], row + (r + count), *here[self.loop + 1 :]], chunk)
                            held[i] = self.sums.add(here, chunk, held[i])
                    for (index, chunk), values in zip(tile, held, strict=True):
                        self._keep(index, chunk, values)

            return emit

        over(start)
        b.loop(0, last, rows, lambda row: over(add(row, rows)))
        if last < self.extent:
            over(add(Index({}, last), self.extent - last))
        over(finish)

    def _fetch(self, loops: list[Index], chunk: Chunk) -> None:
        """Ask for a vector of a row that passes by later."""
        root, kernel = self.root, self.nest.frame.kernel
        probe = root.reduced_probes[self.loop]
        for number, operand in enumerate(root.generic.inputs):
            if any(index.uses(probe) for _, access in root.accesses[number] for index in access):
                place = tuple(apply(e, loops) for e in root.generic.maps[number].results)
                accesses = [(value, at, False) for value, at in kernel.leaves(operand, place)]
                streams.fetch(self.nest.frame, accesses, chunk)

    def _kept(self, index: Index, chunk) -> list[ir.Value]:
        return [self.memory.load(buffer, (index,), chunk) for buffer in self.buffers]

    def _keep(self, index: Index, chunk, values: list[ir.Value]) -> None:
        for buffer, value in zip(self.buffers, values, strict=True):
            self.memory.store(buffer, (index,), chunk, value)
