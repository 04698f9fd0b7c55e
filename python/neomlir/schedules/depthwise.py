"""The schedule of depthwise convolutions: channels in vectors, neighbouring results of a row in registers.

A register tile is a strip of one row of the result, or of two. It passes by the rows under its windows; of each it
loads an input once and adds its products to all the results that it belongs to before it loads the next, so that sums
and one row of weights, or all of them, are all that is held. The same strip of the next rows follows, so that the rows
under its windows are in the first-level cache from before, but for the last, which are fetched meanwhile where they
come from memory; channels are cut into blocks for which that cache is large enough. A border of zeros that no other
kernel has written is never read: taps that would are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.depthwise_ahead import NextRow, fetch_weights
from neomlir.schedules.depthwise_form import Border, Form, Window, pad_of
from neomlir.schedules.depthwise_sums import Sums
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, split
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import USES, amid, even, vectors
from neomlir.schedules.parts import PartFrame, cut
from neomlir.schedules.points import Points
from neomlir.schedules.root import Root

_TALL = 8
"""Results of a strip, at most."""
_SHORT = 4
"""Strips of two vectors that are shorter are made of one: each weight is loaded for too few results."""
_PAIR = 2
"""Rows of a register tile where the first-level cache is what is busy."""
_PIECE = 4
"""Lines of a row's piece in a block of channels of such tiles, at least: hardware fetches what lies behind as well."""
_PAGE = 4096
"""Bytes of memory that all have places of their own in the first-level cache, where each has several."""
_RUN = 4096
"""Bytes of a row under a strip that are worth a jump to the next one in memory: hardware foresees what is in a page."""
_ITEM = 100_000
"""Multiply-adds of a work item, about."""
_TALL_MIXED = 14
"""The same where channels are mixed: each weight is used as often as that."""
_WALK = 400_000
"""The same of one that goes down the rows of a band: its first rows are not in the first-level cache."""


Strip = Callable[[Index, int], None]
"""Emits a strip, by its first result and their number."""
Strips = Callable[[Strip], None]
"""Calls it for some strips of a row."""


class Depthwise(Schedule):
    name = "depthwise"
    order = 150
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        pad = pad_of(kernel)
        part = kernel if pad is None else cut(kernel, [pad.results[0]], kernel.results)
        try:
            form = Form.of(Root(part))
            whole = Frame(kernel, target)
            try:
                frame = whole
                if pad is not None:
                    results = [whole.destination(i) for i in range(len(kernel.results))]
                    source = whole.memory.of(pad.operands[0])
                    frame = PartFrame(whole, part, [source, *results], {})
                    part.space, part.taken, part.given = kernel.space, kernel.taken, kernel.given
                Nest(frame, form, target, None if pad is None else Border.of(whole, part, pad)).emit()
                return whole.close()
            except NotApplicable:
                whole.drop()
                raise
        finally:
            if part is not kernel:
                part.func.erase()


class Nest:
    """The loops: bands of rows and units of strips outside, down the rows of a band, vectors of channels inside."""

    def __init__(self, frame: Frame, form: Form, target, border: Border | None):
        self.frame, self.form, self.border, self.b = frame, form, border, frame.b
        g, machine = form.generic, frame.machine
        self.sums = Sums(frame, form, border)
        if border is not None:
            frame.evaluator.bound[g.inputs[0]] = border.read
        bits = frame.kernel.element_bits
        self.width, self.channels = g.extents[form.row.loop], g.extents[form.channels]
        self.lanes = machine.lanes(bits)
        self.usual = machine.usual_lanes(bits) if self.b.scalable else self.lanes
        if self.channels < self.lanes:
            if self.b.scalable:
                raise NotApplicable("the channels fill no scalable vector")
            self.lanes = self.usual = 1 << (self.channels - 1).bit_length()
        self.mixed = form.mix.size if form.mix else 1
        """Channels that each result reads at a point."""
        if self.b.scalable and form.mix:
            raise NotApplicable("lanes of a scalable vector are shuffled")
        whole = max(1, self.channels // self.usual)
        ask = frame.kernel.parameter
        self.taps = math.prod(w.taps for w in form.others)
        self.down = bool(form.others) and form.others[-1].loop == form.outer[-1]
        """Whether rows under a window are met again by the window below."""
        self.rows = _PAIR if self._is_paired() else 1
        """Rows of a register tile."""
        reaches = [w.reach for w in form.others]
        if self.rows > 1:
            reaches[-1] += (self.rows - 1) * form.others[-1].stride
        self.under = math.prod(reaches)
        """Rows of the input under it."""
        self.along = self._is_along(target, bits)
        # Sums, a row of weights, and the input in use.
        taps = form.row.taps
        pairs = (machine.registers - (taps + 1) * 2) // 2
        short = form.mix or pairs < _SHORT or (not self.along and pairs < min(_TALL, self.width))
        self.vectors = ask("vectors", 1 if short else min(2, whole), [v for v in (1, 2, 3, 4) if v <= whole])
        free = (machine.registers - (taps + 1) * self.vectors) // self.vectors
        if self.vectors == 1 and short:
            # Compilers load inputs as early as they can: each tap has one on its way.
            free = machine.registers - 2 * taps
        tall = _TALL
        if self.rows > 1:
            free = min(free, self._free())
        if form.mix:
            free, tall = max(machine.registers - taps * min(self.mixed, 4), machine.registers // 2) - 2, _TALL_MIXED
        height = max(1, min(tall, free, self.width))
        height = ask("rows", height, [r for r in (2, 4, 6, 7, 8, 12, 14) if r <= min(self.width, max(free, 1))])
        count = -(-self.width // height)
        self.height = -(-self.width // count)
        self.strips = -(-self.width // self.height)
        self.block, self.wide = self._block(target, bits)
        self.units = -(-self.strips // self.wide)
        self.next = NextRow.of(frame, form, border) if self.units > 1 else None
        # A producer that writes the border makes rows often a page apart: lines fetched among them are in the way.
        self.sums.near = self.rows > 1 and (self.along or border is not None)
        if self.next is not None and self.rows == 1:
            # The lines that are written would displace those that were fetched.
            self.sums.foreseen = True

    def _is_paired(self) -> bool:
        """Whether a register tile has two rows, of one vector of channels: half of what is loaded is loaded for both.

        Where a core multiplies two vectors a cycle that are as long as a line of the cache, its first-level cache is
        busy with loads, with lines that come and with lines that go; of narrower vectors a tile would use a part of
        each line. Pieces of fewer lines than `_PIECE` lose more by what is fetched for nothing, and few results a plane
        by weights that come from memory, a line of each for a tile. The tile pays together with fetches, so where those
        pay.
        """
        form, machine = self.form, self.frame.machine
        if not self.down or form.mix or self.b.scalable or machine.ports < 2 or not machine.ahead:
            return False
        size, often = self.frame.kernel.element_bits // 8, form.generic.extents[form.others[-1].loop] * self.width
        whole = self.lanes * size >= machine.line and self.channels * size >= _PIECE * machine.line
        return whole and often >= USES and self._free() >= min(_TALL, self.width)

    def _free(self) -> int:
        """Results of a row for which there are registers beside all weights, in tiles of two rows."""
        return (self.frame.machine.registers - self.taps * self.form.row.taps - 2) // _PAIR

    def _is_along(self, target, bits: int) -> bool:
        """Whether rows are read from end to end, as hardware foresees it.

        They are where they come from memory, and the row under a strip is short, or few of them are under the next
        tile as well and what is not foreseen is late. Then tiles of two rows gain by it where something is not in the
        second-level cache.
        """
        form, g = self.form, self.form.generic
        again = self.under - self.rows * form.others[-1].stride if self.down else 0
        run = _TALL * form.row.stride * self.channels * bits // 8
        moved = sum(math.prod(n or 1 for n in static_shape(v)) for v in (g.inputs[0], g.results[0])) * bits // 8
        late = again * 2 <= self.under and target.cache.ahead > 0
        return moved > target.cache.l2 * (1 if self.rows > 1 else 2) and (late or run < _RUN)

    def _block(self, target, bits: int) -> tuple[int, int]:
        """Channels of a block, and strips that go down the rows together.

        What the rows under their windows, one more, weights and results take is half of the first-level cache, or all
        of it where tiles have two rows, of which half are not met again. Channels of several register tiles are two
        blocks at least: between bounds that it knows LLVM loads the tiles' weights early, and has no registers for
        them. Lines of a block of such tiles that would be in the same places of the cache are no block.
        """
        form, step = self.form, self.usual * self.vectors
        most = -(-self.channels // step) * step
        fit = target.cache.l1d // (1 if self.rows > 1 else 2) // (bits // 8)
        line = math.lcm(step, max(1, target.cache.line * 8 // bits))
        least = most if self.rows == 1 else min(most, _PIECE * target.cache.line * 8 // bits)

        def each(strips: int) -> int:
            """Elements of a channel."""
            width = min(self.width, strips * self.height)
            points = (width - 1) * form.row.stride + form.row.reach
            return points * (self.under + 1) + width * self.rows + self.taps * form.row.taps * self.mixed

        wide, block = self.strips, most
        if not self.along:
            if self.down:
                wide = max((n for n in range(1, self.strips + 1) if each(n) * least <= fit), default=1)
                wide = -(-self.strips // -(-self.strips // wide)) if self.rows > 1 else wide
            count = max(-(-most // max(step, fit // each(wide) // line * line)), 2 if most > step else 1)
            block = min(most, -(-most // (count * line)) * line)
            if self.rows > 1:
                # Points are so many bytes apart, but for whole pages.
                block = min(block, max(least, math.gcd(self.channels * bits // 8, _PAGE) * 8 // bits))
        others = [n * step for n in (1, 2, 4, 8) if n * step < most]
        return self.frame.kernel.parameter("channels", block, [*others, most]), wide

    def emit(self) -> None:
        b, form = self.b, self.form
        sizes = form.generic.sizes()
        memory, evaluator = self.frame.memory, self.frame.evaluator
        outer: list[Size] = [memory.dim(*sizes[d], evaluator) for d in form.outer]
        blocks = -(-self.channels // self.block)
        each = min(self.width, self.wide * self.height) * min(self.block, self.channels)
        each *= self.taps * form.row.taps * self.mixed
        rows = outer[-1] if outer else 1
        usual = _ITEM if self.units == 1 else _WALK
        target = self.frame.kernel.parameter("item", usual, (usual // 4, usual * 4))
        tall = max(1, target // max(1, each))
        # As products do that come before and after.
        rows_outside = not isinstance(rows, int) or rows * self.width // 2 >= USES
        if isinstance(rows, int):
            number = -(-rows // min(tall, rows))
            tall = -(-rows // even(max(number, 2) if self.units > 1 and rows_outside else number, rows))
            tall = -(-tall // self.rows) * self.rows
        bands = b.ceildiv(rows, tall)

        def item(indices: list[Index]) -> None:
            *before, band, unit, block = indices if rows_outside else [*indices[:-3], *indices[-2:], indices[-3]]
            low = b.compute(band * tall) if band.terms else 0
            high = b.min(b.add(low, tall), rows)
            start = b.compute(block * self.block) if block.terms else 0
            end = b.min(b.add(start, self.block), self.channels)
            if self.rows > 1 and not self.along:
                # Of tiles half as wide only half as many are asked for by what a core sees ahead.
                fetch_weights(self.frame, form, start, end)

            def go(strips: Strips) -> None:
                if outer:
                    self._rows(before, low, high, strips, start, end)
                else:
                    self._row([], strips, start, end)

            self._each_unit(unit, go)

        around = [Points(self.frame, box, ask=False).items() for box in borders(self.frame)]
        axes = [bands, self.units, blocks] if rows_outside else [blocks, bands, self.units]
        b.items(amid(around, ([*outer[:-1], *axes], item)))

    def _each_unit(self, unit: Index, emit: Callable[[Strips], None]) -> None:
        """Call `emit` with the strips of a unit, by its number; units that meet the border stand for themselves."""
        b, wide = self.b, self.wide
        first, last = self._clear()
        alone = [n for n in range(self.units) if n * wide < first or (n + 1) * wide > last]

        def choose(numbers: list[int]) -> None:
            if not numbers:
                emit(lambda strip: self._alike(unit * wide, strip))
                return
            n, *others = numbers

            def one() -> None:
                emit(lambda strip: self._some(n * wide, min((n + 1) * wide, self.strips), strip))

            if unit.constant == n or (unit.constant is None and not others and len(alone) == self.units):
                one()
            elif unit.constant is not None:
                choose(others)
            else:
                b.when(b.equal(b.compute(unit), n), one, lambda: choose(others))

        choose(alone)

    def _alike(self, first: Index, strip: Strip) -> None:
        """The strips of a unit that touches no border, from `first` on."""
        if self.wide == 1:
            strip(first * self.height, self.height)
            return
        low = self.b.compute(first) if first.terms else first.const
        self.b.loop(low, self.b.add(low, self.wide), 1, lambda n: strip(n * self.height, self.height))

    def _some(self, low: int, high: int, strip: Strip) -> None:
        """Strips of which the border may touch some."""
        b, height = self.b, self.height
        first, last = self._clear()
        first, last = max(first, low), min(last, high)
        for n in range(low, high):
            if not first <= n < last:
                strip(Index({}, n * height), min(height, self.width - n * height))
            elif n == first:
                b.loop(first * height, last * height, height, lambda x: strip(x, height))

    def _rows(self, before: list[Index], low: Size, high: Size, strips: Strips, start: Size, end: Size) -> None:
        """Strips of the rows of a band, as many together as a register tile has, and of one that is left."""
        b, rows = self.b, self.rows
        middle = high
        if rows > 1 and self.form.generic.extents[self.form.outer[-1]] % rows:
            middle = b.add(low, b.mul(b.div(b.sub(high, low), rows), rows))
        b.loop(low, middle, rows, lambda y: self._row([*before, y], strips, start, end, rows))
        if middle is not high:
            b.loop(middle, high, 1, lambda y: self._row([*before, y], strips, start, end))

    def _row(self, outer: list[Index], strips: Strips, start: Size, end: Size, rows: int = 1) -> None:
        """Strips of a row, or of `rows`; where the window meets no border above or below, its rows are written out."""
        b, masks = self.b, self.frame.machine.masks
        others, paired = self.form.others, self.rows > 1

        def each(inside: bool) -> None:
            bounds = [self._taps(window, outer) for window in (others[:-1] if inside or paired else others)]
            if inside and not paired:
                bounds.append((0, others[-1].taps))

            def strip(base: Index, height: int) -> None:
                vectors(
                    b, start, end, self.channels, self.lanes, 1 if rows > 1 else self.vectors, masks,
                    lambda tile: self._tile(outer, base, height, tile, bounds, rows, inside),
                )  # fmt: skip

            strips(strip)

        low, high = self._inside(others[-1]) if self.down else (0, 0)
        high -= rows - 1
        if self.border is None or low >= high or rows < self.rows:
            each(False)
        elif outer[-1].constant is not None or (low, high) == (
            0,
            self.form.generic.extents[others[-1].loop] - rows + 1,
        ):
            each(outer[-1].constant is None or low <= outer[-1].const < high)
        else:
            # One comparison: what is less than zero is a large number.
            within = b.less(b.sub(b.compute(outer[-1]), low), high - low, signed=False)
            b.when(within, lambda: each(True), lambda: each(False))

    def _inside(self, window: Window) -> tuple[int, int]:
        """The results, from the first to the one behind the last, whose window meets no border along a loop."""
        extent = self.form.generic.extents[window.loop]
        if self.border is None:
            return 0, extent
        low, size = self.border.low[window.place], self.border.sizes[window.place] or 0
        first = -(-low // window.stride)
        return first, min(extent, (size + low - window.reach) // window.stride + 1)

    def _clear(self) -> tuple[int, int]:
        """The first strip that no border touches and the first behind those."""
        whole = self.width // self.height
        first, last = self._inside(self.form.row)
        inside = [x for x in range(whole) if first <= x * self.height and (x + 1) * self.height <= last]
        return (inside[0], inside[-1] + 1) if inside else (self.strips, self.strips)

    def _taps(self, window: Window, outer: list[Index]) -> tuple[Size, Size]:
        """The taps of a window that meet no border, at a row of the result."""
        if self.border is None or not self.border.low[window.place] + self._high(window):
            return 0, window.taps
        b = self.b
        start = outer[self.form.outer.index(window.loop)] * window.stride + -self.border.low[window.place]
        at, d = b.compute(start), window.dilation
        # The first tap at or behind zero, and the first at or behind the end.
        low = b.max(b.div(b.max(b.sub(d - 1, at), 0), d), 0)
        size = self.border.sizes[window.place]
        high = b.min(b.div(b.max(b.sub(size + d - 1, at), 0), d), window.taps)
        return low, high

    def _high(self, window: Window) -> int:
        """Rows of zeros behind the input that the window reaches."""
        extent = self.form.generic.extents[window.loop]
        reach = (extent - 1) * window.stride + window.reach
        return max(0, reach - self.border.low[window.place] - (self.border.sizes[window.place] or 0))

    def _tile(
        self,
        outer: list[Index],
        base: Index,
        height: int,
        tile: Tile,
        bounds: list[tuple[Size, Size]],
        rows: int,
        inside: bool,
    ) -> None:
        """A strip of `rows` times some vectors of channels."""
        form = self.form
        fixed = dict(zip(form.outer, outer, strict=True))

        def row(r: Index, index: Index) -> list[Index]:
            below, along = split(r, height) if rows > 1 else (Index(), r)
            where = {**fixed, form.row.loop: base + along, form.channels: index}
            if rows > 1:
                where[form.outer[-1]] += below
            return [where[dim.loops[0]] for dim in form.root.dims]

        sums = self.sums
        sums.bounds, sums.vectors, sums.rows, sums.inside = bounds, len(tile), rows, inside
        if self.next is not None:
            self.next.fetch(fixed, base, height, tile, rows)
        sums.tile(rows * height, row, tile)


SCHEDULE = Depthwise()
