"""The schedule of depthwise convolutions: channels in vectors, neighbouring results of a row in registers.

A register tile is a strip of one row of the result. It passes by the rows of the window; of each it loads an input once
and adds its products to all the results that it belongs to before it loads the next, so that sums and one row of
weights are all that is held. Channels are cut into blocks of which the rows of a window stay in the first-level cache.
A border of zeros that no other kernel has written is never read: taps that would are left out.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules.accumulate import Accumulator
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.depthwise_form import TAPS, Border, Form, Window, pad_of
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import USES, amid, even, vectors
from neomlir.schedules.parts import PartFrame, cut
from neomlir.schedules.points import Points
from neomlir.schedules.root import Root

_ITEM = 100_000
"""Multiply-adds of a work item, about."""
_TALL = 8
"""Results of a strip, at most."""
_SHORT = 4
"""Strips of two vectors that are shorter are made of one: each weight is loaded for too few results."""
_RUN = 5
"""Lines of the cache that are worth a jump to the next point, in memory behind the second-level cache."""


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
    """The loops: channel blocks and rows of the result outside, strips of a row and vectors of channels inside."""

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
        whole = max(1, self.channels // self.usual)
        ask = frame.kernel.parameter
        fit, near = self._near(target, bits)
        # Sums, a row of weights, and the input in use.
        taps = form.row.taps
        pairs = (machine.registers - (taps + 1) * 2) // 2
        short = pairs < _SHORT or (near and pairs < min(_TALL, self.width))
        self.vectors = ask("vectors", 1 if short else min(2, whole), [v for v in (1, 2, 3, 4) if v <= whole])
        free = (machine.registers - (taps + 1) * self.vectors) // self.vectors
        if self.vectors == 1 and short:
            # Compilers load inputs as early as they can: each tap has one on its way.
            free = machine.registers - 2 * taps
        height = max(1, min(_TALL, free, self.width))
        height = ask("rows", height, [r for r in (2, 4, 6, 7, 8, 12, 14) if r <= min(self.width, max(free, 1))])
        count = -(-self.width // height)
        self.height = -(-self.width // count)
        self.strips = -(-self.width // self.height)
        self.taps = math.prod(w.taps for w in form.others)
        self.block = self._channel_block(fit, near)

    def _near(self, target, bits: int) -> tuple[int, bool]:
        """Channels of which the rows under a window fit most of the first-level cache, and whether so many are a block.

        They are not where the tensors are not in the second-level cache, and the runs of memory would be short: it is
        read and written from end to end.
        """
        g, form = self.form.generic, self.form
        row = (self.width - 1) * form.row.stride + (form.row.taps - 1) * form.row.dilation + 1
        rows = math.prod((w.taps - 1) * w.dilation + 1 for w in form.others) + 1
        moved = sum(math.prod(n or 1 for n in static_shape(v)) for v in (g.inputs[0], g.results[0])) * bits // 8
        fit = target.cache.l1d * 3 // 4 // max(1, row * rows * bits // 8)
        return fit, moved <= target.cache.l2 // 2 or fit * bits // 8 >= _RUN * target.cache.line

    def _channel_block(self, fit: int, near: bool) -> int:
        """Channels of a block, of which `fit` fit the first-level cache; all of them unless that is `near`."""
        step = self.usual * self.vectors
        most = -(-self.channels // step) * step
        block = max(step, min(most, fit // step * step)) if near else most
        others = [n * step for n in (1, 2, 4, 8) if n * step < most]
        return self.frame.kernel.parameter("channels", block, [*others, most])

    def emit(self) -> None:
        b, form = self.b, self.form
        sizes = form.generic.sizes()
        memory, evaluator = self.frame.memory, self.frame.evaluator
        outer: list[Size] = [memory.dim(*sizes[d], evaluator) for d in form.outer]
        blocks = -(-self.channels // self.block)
        each = self.width * min(self.block, self.channels) * self.taps * form.row.taps
        rows = outer[-1] if outer else 1
        target = self.frame.kernel.parameter("item", _ITEM, (_ITEM // 4, _ITEM * 4))
        tall = max(1, target // max(1, each))
        if isinstance(rows, int):
            tall = -(-rows // even(-(-rows // min(tall, rows)), rows))
        bands = b.ceildiv(rows, tall)
        # As products do that come before and after.
        rows_outside = not isinstance(rows, int) or rows * self.width // 2 >= USES

        def item(indices: list[Index]) -> None:
            *before, band, block = indices if rows_outside else [*indices[:-2], indices[-1], indices[-2]]
            low = b.compute(band * tall) if band.terms else 0
            high = b.min(b.add(low, tall), rows)
            start = b.compute(block * self.block) if block.terms else 0
            end = b.min(b.add(start, self.block), self.channels)
            if outer:
                b.loop(low, high, 1, lambda y: self._row([*before, y], start, end))
            else:
                self._row([], start, end)

        around = [Points(self.frame, box, ask=False).items() for box in borders(self.frame)]
        axes = [bands, blocks] if rows_outside else [blocks, bands]
        b.items(amid(around, ([*outer[:-1], *axes], item)))

    def _row(self, outer: list[Index], start: Size, end: Size) -> None:
        """A row of the result, in strips; those that the border may touch stand for themselves."""
        b, height, count = self.b, self.height, self.strips
        bounds = [self._taps(window, outer) for window in self.form.others]

        def strip(base: Index, rows: int) -> None:
            masks = self.frame.machine.masks
            vectors(
                b, start, end, self.channels, self.lanes, self.vectors, masks,
                lambda tile: self._tile(outer, base, rows, tile, bounds),
            )  # fmt: skip

        first, last = self._clear()
        for number in range(first):
            strip(Index({}, number * height), min(height, self.width - number * height))
        if last > first:
            b.loop(first * height, last * height, height, lambda x: strip(x, height))
        for number in range(max(first, last), count):
            strip(Index({}, number * height), min(height, self.width - number * height))

    def _clear(self) -> tuple[int, int]:
        """The first strip that no border touches and the first behind those."""
        whole = self.width // self.height
        if self.border is None:
            return 0, whole
        row, height = self.form.row, self.height
        low, size = self.border.low[row.place], self.border.sizes[row.place]
        inside = [
            x
            for x in range(whole)
            if x * height * row.stride >= low
            and ((x + 1) * height - 1) * row.stride + (row.taps - 1) * row.dilation - low < size
        ]
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
        reach = (extent - 1) * window.stride + (window.taps - 1) * window.dilation + 1
        return max(0, reach - self.border.low[window.place] - (self.border.sizes[window.place] or 0))

    def _tile(self, outer, base: Index, height: int, tile: Tile, bounds: list[tuple[Size, Size]]) -> None:
        """A strip of one row times some vectors of channels."""
        form = self.form
        fixed = dict(zip(form.outer, outer, strict=True))

        def row(r: Index, index: Index) -> list[Index]:
            where = {**fixed, form.row.loop: base + r, form.channels: index}
            return [where[dim.loops[0]] for dim in form.root.dims]

        self.sums.bounds, self.sums.vectors = bounds, len(tile)
        self.sums.tile(height, row, tile)


class Sums(Accumulator):
    """Sums over a window, in the order in which its inputs lie in memory."""

    def __init__(self, frame: Frame, form: Form, border: Border | None):
        super().__init__(frame, form.root)
        self.form, self.border = form, border
        self.bounds: list[tuple[Size, Size]] = []
        """The first tap and the one behind the last, of each loop of the window but the row's."""
        self.vectors = 1
        """Vectors of a tile's row."""

    def _reduce(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        """The loops over the rows of the window inside `inner`."""
        form, number = self.form, len(inner)
        if number == len(form.others):
            return self._slide(places, inner, held)
        low, high = self.bounds[number]

        def body(k: Index, *held: ir.Value) -> list[ir.Value]:
            return self._reduce(places, [*inner, k], list(held))

        if isinstance(low, int) and isinstance(high, int) and high * form.row.taps <= 2 * TAPS:
            for k in range(low, high):
                held = body(Index({}, k), *held)
            return held
        return self.frame.b.loop(low, high, 1, body, held)

    def _slide(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        """One row of the window: each input is met once, by all the sums that it belongs to."""
        row, held = self.form.row, list(held)
        meets: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, (loops, _) in enumerate(places):
            for k in range(row.taps):
                at = loops[row.loop] * row.stride + k * row.dilation
                if not self._is_zero(at):
                    meets.setdefault((at.const, number % self.vectors), []).append((number, k))
        for where in sorted(meets):
            for number, k in meets[where]:
                loops, chunk = list(places[number][0]), places[number][1]
                for window, tap in zip(self.form.others, inner, strict=True):
                    loops[window.tap] = tap
                loops[row.tap] = Index({}, k)
                held[number] = self.add(loops, chunk, [held[number]])[0]
        return held

    def _is_zero(self, at: Index) -> bool:
        """Whether an input of a strip that stands for itself is of the border."""
        if self.border is None or at.constant is None:
            return False
        place = self.form.row.place
        return not 0 <= at.const - self.border.low[place] < self.border.sizes[place]


SCHEDULE = Depthwise()
