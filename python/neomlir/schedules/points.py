"""The loops over a box of points that are computed one by one: bound by memory.

Dimensions that every access walks together become one; the last one is walked in vectors. Where an operand lies
the other way round, square blocks of it are transposed in registers, or vectors of a few planes put together. Bytes
that are quantised are narrowed from four vectors at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import bypass, few, streams
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.boxes import Box
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import elementary
from neomlir.schedules.merged import merge, point
from neomlir.schedules.nest import blocks, joined, vectors
from neomlir.schedules.quantised import TOGETHER, Quantised

_ITEM = 16384
"""Points of a work item: about what takes as long as waking a thread."""
_STRIP = 128
"""Rows that a transposed block of a work item is high where a vector is a cache line, and fewer where it is a part of
one: each row is on a page of its own, and TLB and cache know so many."""
_PAGE = 4096
"""Bytes of a row of the operand that a block goes along where lines are written past the caches: what hardware reads
ahead. Those lines need no room in a cache."""
_FAR = 1024
"""Bytes of such a row, at least: memory takes lines of few rows, each far from the last, no faster than caches do."""

_LONG = 8
"""Operations for an element that hold up the loads of later ones."""


class Points:
    """The loops over all points of a box, merged as far as its accesses allow."""

    def __init__(self, frame: Frame, box: Box, ask: bool = True, frozen: frozenset[int] = frozenset()):
        """`ask`: whether parameters may be given; what a kernel does besides its main work has none. Dimensions in
        `frozen` are walked by themselves."""
        self.frame, self.box, self.ask = frame, box, ask
        kernel = frame.kernel
        self.shape = [size if isinstance(size, int) else None for size in box.sizes]
        self.groups = merge(kernel, self.shape, self.outputs, frozen)
        self.sizes: list[Size] = []
        for group in self.groups:
            size: Size = 1
            for d in group:
                size = frame.b.mul(size, box.sizes[d])
            self.sizes.append(size)
        self.lanes = frame.machine.lanes(kernel.element_bits)
        self.elementary = elementary(name for g in kernel.generics for name in g.names)
        self.turned = self._turned()
        self.square = min(self.lanes, 16)
        """The side of a block that is transposed in registers."""
        self.fetches = (self.elementary or self._steps() >= _LONG) and self.turned is None and streams.pays(frame)
        self.ends = self._ends()
        heavy = sum(name.startswith("math.") for g in kernel.generics for name in g.names)
        self.unroll = 4 if heavy < (2 if self.elementary else 1) else 2 if heavy < 3 else 1
        if all(w.value is None for w in box.writes):
            self.unroll = 1  # LLVM knows a loop of single stores as a memset
        if self.turned is not None:
            if frame.b.scalable:
                raise NotApplicable("blocks are transposed in registers of one length")
            self.lanes = self.square
            self.unroll = 1
        elif self.ends is not None:
            self.lanes, self.unroll = TOGETHER * frame.machine.lanes(32), 1
        self.lines = self._fills_lines()
        if self.lines:
            self.lanes, self.unroll = self._line(), max(1, self.unroll * self.lanes // self._line())
        if self.turned is None and ask:
            self.unroll = kernel.parameter("unroll", self.unroll, (1, 2, 4, 8))
        self.usual = frame.machine.usual_lanes(kernel.element_bits) if frame.b.scalable else self.lanes

    def _line(self) -> int:
        """Elements of a cache line."""
        return self.frame.machine.line * 8 // self.frame.kernel.element_bits

    def _fills_lines(self) -> bool:
        """Whether vectors are made as long as a line, since a result is written past the caches: parts of lines that
        are written one by one, others between them, reach memory one by one."""
        if self.ends is not None or not self.sizes or self.lanes >= self._line():
            return False
        size = self.sizes[-1]
        whole = isinstance(size, int) and size % self._line() == 0
        if self.turned is not None:
            along = self.sizes[self.turned]
            whole = whole and isinstance(along, int) and along * self.frame.kernel.element_bits >= _FAR * 8
        return whole and any(bypass.pays(self.frame, w.result) for w in self.box.writes)

    def outputs(self, indices: list[Index]):
        """What is computed (None for a fill) at which indices, into which destination at which."""
        at = tuple(indices)
        return [(w.value, w.read(at), self.frame.kernel.destinations[w.result], w.place(at)) for w in self.box.writes]

    def _steps(self) -> int:
        """Operations on floating-point numbers for an element, loads among them."""
        ops = [op.operation for g in self.frame.kernel.generics for op in g.body.operations]
        return sum(any(isinstance(r.type, ir.FloatType) for r in op.results) for op in ops)

    def _ends(self) -> Quantised | None:
        """How the results are quantised, where that is done for four vectors of f32 together."""
        kernel, writes = self.frame.kernel, self.box.writes
        if not self.frame.machine.saturates or self.turned is not None or len(writes) != 1:
            return None
        ends = None if writes[0].value is None else Quantised.of(kernel)
        if ends is None or not self.sizes or not isinstance(self.sizes[-1], int):
            return None
        found = kernel.generic_of(writes[0].value)
        return ends if found is not None and found[0] is ends.generic else None

    def _turned(self) -> int | None:
        """The group along which an operand lies contiguous although the results do not, or None."""
        if len(self.groups) < 2:
            return None
        probes = [of(Var(None)) for _ in self.groups]
        indices = point(len(self.shape), self.groups, probes)
        last = probes[-1]
        for write in self.box.writes:
            if write.value is None:
                continue
            for value, access in self.frame.kernel.leaves(write.value, write.read(indices)):
                if value is None or not access:
                    continue
                for g, probe in enumerate(probes[:-1]):
                    moving = [i for i in access if i == last]
                    size = self.sizes[g]
                    if access[-1] == probe and len(moving) == 1 and (not isinstance(size, int) or size >= 4):
                        return g
        return None

    def items(self):
        """The sizes of the work items, and what an item does."""
        b, sizes = self.frame.b, self.sizes
        if not sizes:
            return [], lambda _: self.store([], [(Index(), Chunk(1))])
        size = self.frame.kernel.parameter("item", _ITEM, (_ITEM // 4, _ITEM * 4)) if self.ask else _ITEM
        cut, block = blocks(sizes, size, self.usual * self.unroll)
        if few.fits(self):
            return few.items(self, size)
        if self.turned is not None and self.turned == len(sizes) - 2 and self._is_static():
            return self._tiles(size)
        if self.turned is not None and cut > self.turned:
            # A dimension that is transposed in blocks can't be taken apart row by row.
            cut, block = self.turned, self.lanes
        elif cut == self.turned:
            block = max(self.lanes, block // self.lanes * self.lanes)
        blocked = b.ceildiv(sizes[cut], block)

        def item(indices: list[Index]) -> None:
            low: Size = 0
            high = sizes[cut]
            if not isinstance(blocked, int) or blocked != 1:
                low = b.compute(indices[-1] * block)
                high = b.min(b.add(low, block), high)
            self.inside(indices[:-1], low, high)

        return [*sizes[:cut], blocked], item

    def _is_static(self) -> bool:
        """Whether the two dimensions that change places are static, and hold a block."""
        return all(isinstance(size, int) and size >= self.lanes for size in self.sizes[-2:])

    def _tiles(self, size: int):
        """Work items that are blocks of the two dimensions that change places, read row by row of the operand.

        Blocks that are transposed lie side by side as far as a cache line of the result goes. Rows of a result are
        often a multiple of a page apart, so that a cache has room for few of their lines: each is written at once.
        Blocks follow each other along the longer rows, those of the result or of the operand.
        """
        b, sizes = self.frame.b, self.sizes
        tall, wide = sizes[-2], sizes[-1]
        side = max(1, self._line() // self.lanes)
        strip = max(_PAGE * 8 // self.frame.kernel.element_bits if self.lines else _STRIP // side, self.lanes)
        if self.ask:
            strip = self.frame.kernel.parameter("strip", strip, (32, 64, 128, 256, 1024))
        width = self.lanes * side
        high = min(strip, tall)
        long = max(width, size // high // width * width)

        def item(indices: list[Index]) -> None:
            *outer, across, along = indices
            ends = []
            for index, block, whole in ((across, long, wide), (along, high, tall)):
                if isinstance(whole, int) and whole <= block:
                    ends.append((0, whole))
                else:
                    low = b.compute(index * block)
                    ends.append((low, b.min(b.add(low, block), whole)))
            masks = self.frame.machine.masks
            columns, rows = ends
            if wide > tall and not self.lines:
                self._stacked(
                    *rows,
                    lambda i: vectors(
                        b, *columns, wide, self.lanes, side, masks, lambda tile: self.store([*outer, i], tile)
                    ),
                )
            else:
                vectors(
                    b,
                    *columns,
                    wide,
                    self.lanes,
                    side,
                    masks,
                    lambda tile: self._stacked(*rows, lambda i: self.store([*outer, i], tile)),
                )

        return [*sizes[:-2], b.ceildiv(wide, long), b.ceildiv(tall, high)], item

    def _stacked(self, low: Size, high: Size, emit: Callable[[Index], None]) -> None:
        """Rows of blocks from `low` to `high`, and rows that fill none one by one."""
        b, step, turned = self.frame.b, self.lanes, self.turned
        end = high
        if self.sizes[-2] % step:
            end = b.add(low, b.mul(b.div(b.sub(high, low), step), step))
        b.loop(low, end, step, emit)
        self.turned = None
        b.loop(end, high, 1, emit)
        self.turned = turned

    def inside(self, outer: list[Index], low: Size, high: Size) -> None:
        """The loops inside `outer`, the first of them from `low` to `high`."""
        b, d = self.frame.b, len(outer)
        # Vectors of bytes are not masked where those of words are.
        masks = self.frame.machine.masks and self.ends is None
        if d == len(self.sizes) - 1:
            vectors(b, low, high, self.sizes[d], self.lanes, self.unroll, masks, lambda tile: self.store(outer, tile))
            return
        rest: Size = self.sizes[d + 1]
        if d != self.turned:
            b.loop(low, high, 1, lambda i: self.inside([*outer, i], 0, rest))
            return
        step = self.lanes
        end = b.add(low, b.mul(b.div(b.sub(high, low), step), step))
        b.loop(low, end, step, lambda i: self.inside([*outer, i], 0, rest))
        self.turned = None
        b.loop(end, high, 1, lambda i: self.inside([*outer, i], 0, rest))
        self.turned = d

    def store(self, outer: list[Index], tile: Tile) -> None:
        """Compute and write the points of a tile, for all rows of a block where operands are transposed."""
        frame = self.frame
        rows = self.lanes if self.turned is not None else 1
        if self.turned is not None:
            frame.memory.block = (outer[self.turned], self.lanes, self.square)
        together = self.elementary and self.turned is None and self.ends is None and not frame.b.scalable
        for index, chunk in joined(tile) if together else tile:
            with frame.b.scope():
                if self.fetches:
                    self._fetch(outer, index, chunk)
                for row in range(rows):
                    loops = list(outer)
                    if rows > 1:
                        loops[self.turned] = loops[self.turned] + row
                    indices = point(len(self.shape), self.groups, [*loops, index] if self.groups else [])
                    for write in self.box.writes:
                        if write.value is None:
                            value = write.scalar
                        elif self.ends is not None and chunk == Chunk(self.lanes):
                            value = self._narrowed(write.read(indices), chunk)
                        else:
                            value = frame.evaluator.at(write.value, write.read(indices), chunk)
                        frame.memory.store(frame.destination(write.result), write.place(indices), chunk, value)
        frame.memory.block = None

    def _fetch(self, outer: list[Index], index: Index, chunk: Chunk) -> None:
        """Ask for what comes after a vector of points."""
        kernel, here = self.frame.kernel, point(len(self.shape), self.groups, [*outer, index] if self.groups else [])
        for write in self.box.writes:
            accesses = [(kernel.destinations[write.result], write.place(here), True)]
            if write.value is not None:
                accesses += [(value, at, False) for value, at in kernel.leaves(write.value, write.read(here))]
            streams.fetch(self.frame, accesses, chunk)

    def _narrowed(self, place: tuple[Index, ...], chunk: Chunk) -> ir.Value:
        """A vector of quantised elements, of which four vectors of f32 are narrowed together."""
        b, generic, lanes = self.frame.b, self.ends.generic, chunk.width // TOGETHER
        found = self.frame.evaluator.body(generic, generic.loops(0, place), chunk, wanted=[self.ends.wanted])
        wide = b.splat(found[0], chunk.width)
        return self.ends.narrow(b, [b.piece(wide, i * lanes, lanes) for i in range(TOGETHER)])
