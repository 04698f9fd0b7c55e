"""Windows of quantised planes: what schedules of depthwise convolutions of bytes have in common.

A block of channels is one vector of bytes a point. Bytes of neighbouring points are interleaved by shuffles within
quarters of 16 channels; the sums of a point are four vectors of 32 bits, of which the first has channels 0 to 3 of
each quarter. That is the order in which narrowing to bytes puts channels back; what the epilogue reads a channel is put
in it before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from neomlir.mlir import ir
from neomlir.schedules.accumulate import bind
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Chunk
from neomlir.schedules.depthwise_form import Form
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import amid, even, lane_index
from neomlir.schedules.points import Points
from neomlir.schedules.quantised import TOGETHER, Quantised
from neomlir.schedules.root import stored_at

_HIGH = 7
"""Rows of a window, and points of a row of it, at most: they are written out."""
_QUARTER = 16
"""Bytes within which shuffles and narrowing stay."""
_ITEM = 200_000
"""Multiply-adds of a work item, about."""


def check(kernel: Kernel, form: Form, ends: Quantised | None) -> None:
    """Raise NotApplicable where the kernel is not a window over a plane of whole vectors, quantised by channel."""
    g = form.generic
    if ends is None:
        raise NotApplicable("the result is not quantised")
    row, others = form.row, form.others
    if row.dilation != 1 or not 1 < row.taps <= _HIGH or len(others) != 1 or not form.outer:
        raise NotApplicable("the window is not one of neighbouring points")
    if others[0].loop != form.outer[-1] or others[0].taps > _HIGH or g.extents[form.channels] < _QUARTER:
        raise NotApplicable("the window is high, or there are few channels")
    if any(not isinstance(v.owner, ir.Block) for v in g.inputs):
        raise NotApplicable("a factor is computed")
    if len(kernel.roots) != 1 or any("linalg.index" in other.names for other in kernel.generics):
        raise NotApplicable("the epilogue depends on the place")
    if any(list(v.type.shape) != [g.extents[form.channels]] for v in _by_channel(kernel, form)):
        raise NotApplicable("the epilogue reads more than values a channel")


def _by_channel(kernel: Kernel, form: Form) -> list[ir.Value]:
    """The tensors that the epilogue reads beside the sums."""
    operands = [v for other in kernel.generics if other is not form.generic for v in other.inputs]
    tensors = [v for v in operands if isinstance(v.owner, ir.Block) and isinstance(v.type, ir.RankedTensorType)]
    return list(dict.fromkeys(tensors))


class Windows(ABC):
    """The loops: rows of the result, blocks of channels, rows of the block, strips of a row."""

    strip = 4
    """Results of a row that are summed side by side."""

    def __init__(self, frame: Frame, form: Form, ends: Quantised, bits: int):
        """`bits`: those of a vector."""
        self.frame, self.form, self.ends, self.b = frame, form, ends, frame.b
        g, context = form.generic, frame.b.context
        self.channels, self.columns = g.extents[form.channels], g.extents[form.row.loop]
        self.width = max(w for w in (16, 32, 64) if w <= min(bits // 8, self.channels))
        """Bytes of a vector."""
        self.lanes = self.width // TOGETHER
        self.byte = ir.IntegerType.get_signless(8, context)
        self.i32 = ir.IntegerType.get_signless(32, context)
        self.high = form.others[0].taps
        """Rows of the window."""
        self.stride, self.taps = form.row.stride, form.row.taps
        """Points that a window moves by along a row, and that a row of it has."""
        self.filters = frame.memory.scratch([self.vectors(), self.width], self.byte)
        """The weights of a block of channels, in the order in which they are multiplied."""

    @abstractmethod
    def vectors(self) -> int:
        """How many vectors of weights there are."""

    @abstractmethod
    def weights(self, tap: int, points: list[ir.Value]) -> None:
        """Store the weights of a row of the window, of which `points` has a vector of bytes each."""

    @abstractmethod
    def add(self, tap: int, points: list[ir.Value], sums: list[list[ir.Value]]) -> None:
        """Add the products of a row of the window to the sums of a strip, four vectors a result.

        `points`: a vector of bytes of each point that the row of the window reads for the strip.
        """

    def summed(self, total: ir.Value) -> ir.Value:
        """The sum that a sum of products stands for."""
        return total

    def emit(self) -> None:
        b, g, form = self.b, self.form.generic, self.form
        sizes = [self.frame.memory.dim(*g.sizes()[d], self.frame.evaluator) for d in form.outer]
        rows = sizes[-1]
        each = self.columns * self.channels * self.high * self.taps
        target = self.frame.kernel.parameter("item", _ITEM, (_ITEM // 4, _ITEM * 4))
        tall = min(rows, max(1, target // each))
        tall = -(-rows // even(-(-rows // tall), rows))
        blocks = -(-self.channels // self.width)

        def item(indices: list[Index]) -> None:
            *before, band = indices
            low = b.compute(band * tall) if band.terms else 0
            high = b.min(b.add(low, tall), rows)

            def block(p: Index) -> None:
                # The last block may begin before the one before it ends: what both write is the same.
                start = b.min(
                    b.compute(p * self.width) if p.terms else p.const * self.width, self.channels - self.width
                )
                first = Index({}, start) if isinstance(start, int) else of(Var(start, math.gcd(self.channels, 16)))
                self._prepare(first)
                b.loop(low, high, 1, lambda y: self._row([*before, y], first))

            b.loop(0, blocks, 1, block)

        around = [Points(self.frame, box, ask=False).items() for box in borders(self.frame)]
        b.items(amid(around, ([*sizes[:-1], b.ceildiv(rows, tall)], item)))

    # What is the same for all rows.

    def _prepare(self, start: Index) -> None:
        """Put the weights and what else is read of a block of channels in order."""
        memory, g = self.frame.memory, self.form.generic
        buffer, channels = memory.of(g.inputs[1]), lane_index(start, self.width)
        for tap in range(self.high):
            places = [self._at(1, [], tap, k, channels) for k in range(self.taps)]
            self.weights(tap, [memory.load(buffer, place, Chunk(self.width)) for place in places])
        for value in _by_channel(self.frame.kernel, self.form):
            self._reorder(value, start)

    def keep(self, number: int, weights: ir.Value) -> None:
        """Store a vector of weights."""
        b = self.b
        kind = b.vector(self.width, self.byte)
        value = weights if weights.type == kind else b.value("vector.bitcast", kind, weights)
        b.op("vector.store", [], [value, self.filters, b.index(number), b.index(0)])

    def kept(self, number: int) -> ir.Value:
        """A vector of weights, as bytes."""
        b = self.b
        return b.value("vector.load", b.vector(self.width, self.byte), self.filters, b.index(number), b.index(0))

    def _reorder(self, value: ir.Value, start: Index) -> None:
        """Let the evaluator read a value a channel of the block in the order of the sums."""
        b, memory, lanes = self.b, self.frame.memory, self.lanes
        buffer = memory.of(value)
        quarters = self.width // _QUARTER
        loaded = [memory.load(buffer, (lane_index(start + i * lanes, lanes),), Chunk(lanes)) for i in range(TOGETHER)]
        kind = loaded[0].type
        found = {}
        for part in range(TOGETHER):
            # Lane 4 q + i is channel 16 q + 4 part + i.
            places = [_QUARTER * q + 4 * part + i for q in range(quarters) for i in range(4)]
            made = loaded[places[0] // lanes]
            sources = sorted({place // lanes for place in places})
            for source in sources:
                mask = [
                    lanes + place % lanes if place // lanes == source else lane for lane, place in enumerate(places)
                ]
                mask = ir.DenseI64ArrayAttr.get(mask, b.context)
                made = b.value("vector.shuffle", kind, made, loaded[source], mask=mask)
            found[lane_index(start + part * lanes, lanes)] = made
        self.frame.evaluator.bound[value] = lambda indices, chunk: found[indices[0]]

    # A row.

    def _row(self, outer: list[Index], start: Index) -> None:
        b, columns, strip = self.b, self.columns, self.strip
        whole = columns // strip * strip
        b.loop(0, whole, strip, lambda x: self._strip(outer, x, strip, start))
        if columns > whole:
            self._strip(outer, Index({}, whole), columns - whole, start)

    def _strip(self, outer: list[Index], base: Index, count: int, start: Index) -> None:
        """`count` results of a row, from `base` on, of a block of channels."""
        b, memory = self.b, self.frame.memory
        buffer, channels = memory.of(self.form.generic.inputs[0]), lane_index(start, self.width)
        with b.scope():
            words = b.vector(self.lanes, self.i32)
            zero = b.constant(ir.DenseElementsAttr.get_splat(words, ir.IntegerAttr.get(self.i32, 0)))
            needed = self.stride * (count - 1) + self.taps
            sums = [[zero] * TOGETHER for _ in range(count)]
            for tap in range(self.high):
                with b.scope():
                    places = [self._at(0, [*outer, base], tap, x, channels) for x in range(needed)]
                    self.add(tap, [memory.load(buffer, place, Chunk(self.width)) for place in places], sums)
            for number, mine in enumerate(sums):
                self._finish([*outer, base + number], start, mine)

    def _at(self, operand: int, place: list[Index], tap: int, x: int, channels: Index) -> tuple[Index, ...]:
        """Where a factor is read for a result at `place`, a row of the window, and a point of it."""
        form, g = self.form, self.form.generic
        loops = [Index()] * g.rank
        for loop, index in zip((*form.outer, form.row.loop), place, strict=False):
            loops[loop] = index
        loops[form.others[0].tap], loops[form.row.tap] = Index({}, tap), Index({}, x)
        loops[form.channels] = channels
        return tuple(apply(e, loops) for e in g.maps[operand].results)

    def pair(self, one: ir.Value, other: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The bytes of two points side by side: of channels 0 to 7 of each quarter, and of 8 to 15."""
        return self.unpack(one, other, 1)

    def unpack(self, one: ir.Value, other: ir.Value, bytes_: int) -> tuple[ir.Value, ir.Value]:
        """Elements of `bytes_` bytes of two vectors in turn: those of the lower halves of quarters, of the upper."""
        b = self.b
        number, each = self.width // bytes_, _QUARTER // bytes_
        element = ir.IntegerType.get_signless(8 * bytes_, b.context)
        whole, kind = one.type, b.vector(number, element)
        one, other = (v if bytes_ == 1 else b.value("vector.bitcast", kind, v) for v in (one, other))
        found = []
        for half in (0, each // 2):
            mask = [
                start + half + i + side * number
                for start in range(0, number, each)
                for i in range(each // 2)
                for side in (0, 1)
            ]
            made = b.value("vector.shuffle", kind, one, other, mask=ir.DenseI64ArrayAttr.get(mask, b.context))
            found.append(made if bytes_ == 1 else b.value("vector.bitcast", whole, made))
        return found[0], found[1]

    def _loops(self, place: list[Index], channels: Index) -> list[Index]:
        found = [Index()] * self.form.generic.rank
        for loop, index in zip((*self.form.outer, self.form.row.loop), place, strict=True):
            found[loop] = index
        found[self.form.channels] = channels
        return found

    def _finish(self, place: list[Index], start: Index, sums: list[ir.Value]) -> None:
        """Quantise and store the sums of one point."""
        b, frame, ends, g = self.b, self.frame, self.ends, self.form.generic
        values: list[ir.Value] = []
        with b.scope():
            for part, total in enumerate(sums):
                here = self._loops(place, lane_index(start + part * self.lanes, self.lanes))
                bind(frame, g, here, [self.summed(total)])
                at = tuple(apply(e, here) for e in g.output_map().results)
                loops = ends.generic.loops(0, at)
                values += frame.evaluator.body(ends.generic, loops, Chunk(self.lanes), wanted=[ends.wanted])
            values = [b.splat(value, self.lanes) for value in values]
            stored = stored_at(frame.kernel, g, self._loops(place, lane_index(start, self.width)))[0]
            frame.memory.store(frame.destination(0), stored, Chunk(self.width), ends.narrow(b, values, mixed=True))
