"""The schedule of depthwise convolutions of quantised tensors on x86's dot products of bytes.

`vpdpbusd` sums four neighbouring bytes, and those of a depthwise convolution are four points of a row of one channel,
which do not lie side by side. So pairs of points are interleaved, and pairs of pairs, by shuffles within quarters of 16
channels; a window of three points and a fourth of weight zero is then one product. Where windows move by one point, the
same four serve two results, the second with weights one byte further on. Shuffles leave channels in another order,
in which narrowing to bytes puts them back; what the epilogue reads a channel is put in that order before.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.accumulate import bind
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Chunk
from neomlir.schedules.depthwise import Form
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import amid, even, lane_index
from neomlir.schedules.points import Points
from neomlir.schedules.quantised import TOGETHER, Quantised
from neomlir.schedules.root import Root, stored_at
from neomlir.schedules.units import S8, U8, factor_types, vector_bits_of

_TAPS = 3
"""Points of a row of the window."""
_STRIP = 4
"""Results of a row that are summed side by side."""
_HIGH = 7
"""Rows of a window, at most: they are written out."""
_QUARTER = 16
"""Bytes within which shuffles and narrowing stay."""
_ITEM = 200_000
"""Multiply-adds of a work item, about."""
_DOT = "llvm.x86.avx512.vpdpbusd."


class DepthwiseBytes(Schedule):
    name = "depthwise_bytes"
    order = 140

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and factor_types(kernel.roots[0].op) == (U8, S8)

    def build(self, kernel: Kernel, target) -> ir.Operation:
        bits = vector_bits_of(target, U8, S8, _DOT)
        if not bits:
            raise NotApplicable("the target has no vpdpbusd")
        form, ends = Form.of(Root(kernel)), Quantised.of(kernel)
        _check(kernel, form, ends)
        return Frame(kernel, target).made_by(lambda frame: _Nest(frame, form, ends, bits).emit())


def _check(kernel: Kernel, form: Form, ends: Quantised | None) -> None:
    """Raise NotApplicable where the kernel is not a window of three points a row, quantised by channel."""
    g = form.generic
    if ends is None:
        raise NotApplicable("the result is not quantised")
    row, others = form.row, form.others
    if (row.taps, row.dilation) != (_TAPS, 1) or row.stride > 2 or len(others) != 1 or not form.outer:
        raise NotApplicable("the window is not one of three points a row")
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


class _Nest:
    """The loops: rows of the result, blocks of channels, rows of the block, strips of a row."""

    def __init__(self, frame: Frame, form: Form, ends: Quantised, bits: int):
        self.frame, self.form, self.ends, self.b = frame, form, ends, frame.b
        g, context = form.generic, frame.b.context
        self.channels, self.columns = g.extents[form.channels], g.extents[form.row.loop]
        self.width = max(w for w in (16, 32, 64) if w <= min(bits // 8, self.channels))
        """Bytes of a vector."""
        self.lanes = self.width // TOGETHER
        self.byte = ir.IntegerType.get_signless(8, context)
        self.i32 = ir.IntegerType.get_signless(32, context)
        self.taps = form.others[0].taps
        self.filters = frame.memory.scratch([2 * self.taps * TOGETHER, self.width], self.byte)
        """Of each row of the window the weights of the first and of the second of two results, in four vectors."""

    def emit(self) -> None:
        b, g, form = self.b, self.form.generic, self.form
        sizes = [self.frame.memory.dim(*g.sizes()[d], self.frame.evaluator) for d in form.outer]
        rows = sizes[-1]
        each = self.columns * self.channels * self.taps * _TAPS
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
        b, memory, g = self.b, self.frame.memory, self.form.generic
        buffer, kind = memory.of(g.inputs[1]), b.vector(self.width, self.byte)
        channels = lane_index(start, self.width)
        zero = b.constant(ir.DenseElementsAttr.get_splat(kind, ir.IntegerAttr.get(self.byte, 0)))
        words = b.vector(self.lanes, self.i32)
        eight = b.constant(ir.DenseElementsAttr.get_splat(words, ir.IntegerAttr.get(self.i32, 8)))
        for tap in range(self.taps):
            points = [memory.load(buffer, self._at(1, [], tap, k, channels), Chunk(self.width)) for k in range(_TAPS)]
            for part, four in enumerate(self._fours(self._pair(*points[:2]), self._pair(points[2], zero))):
                later = b.value("arith.shli", words, b.value("vector.bitcast", words, four), eight)
                for second, value in enumerate((four, b.value("vector.bitcast", kind, later))):
                    b.op("vector.store", [], [value, self.filters, *self._filter(tap, second, part)])
        for value in _by_channel(self.frame.kernel, self.form):
            self._reorder(value, start)

    def _filter(self, tap: int, second: int, part: int) -> list[ir.Value]:
        return [self.b.index((tap * 2 + second) * TOGETHER + part), self.b.index(0)]

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
        b, columns = self.b, self.columns
        whole = columns // _STRIP * _STRIP
        b.loop(0, whole, _STRIP, lambda x: self._strip(outer, x, _STRIP, start))
        if columns > whole:
            self._strip(outer, Index({}, whole), columns - whole, start)

    def _strip(self, outer: list[Index], base: Index, count: int, start: Index) -> None:
        """`count` results of a row, from `base` on, of a block of channels."""
        b = self.b
        with b.scope():
            words = b.vector(self.lanes, self.i32)
            zero = b.constant(ir.DenseElementsAttr.get_splat(words, ir.IntegerAttr.get(self.i32, 0)))
            sums = [[zero] * TOGETHER for _ in range(count)]
            for tap in range(self.taps):
                with b.scope():
                    self._taps(outer, base, tap, start, sums)
            for number, mine in enumerate(sums):
                self._finish([*outer, base + number], start, mine)

    def _taps(self, outer: list[Index], base: Index, tap: int, start: Index, sums: list[list[ir.Value]]) -> None:
        """Add the products of a row of the window to the sums of a strip."""
        b, memory, stride = self.b, self.frame.memory, self.form.row.stride
        buffer, kind = memory.of(self.form.generic.inputs[0]), b.vector(self.width, self.byte)
        needed = stride * (len(sums) - 1) + _TAPS
        channels = lane_index(start, self.width)
        points = [
            memory.load(buffer, self._at(0, [*outer, base], tap, x, channels), Chunk(self.width)) for x in range(needed)
        ]
        # What stands fourth in the last window has weight zero, and may lie behind the row.
        points.append(points[-1])
        pairs = [self._pair(*points[x : x + 2]) for x in range(0, needed, 2)]
        for number, mine in enumerate(sums):
            first, second = divmod(number * stride, 2)
            for part, four in enumerate(self._fours(pairs[first], pairs[first + 1])):
                weights = b.value("vector.load", kind, self.filters, *self._filter(tap, second, part))
                name = f"{_DOT}{self.width * 8}"
                mine[part] = intrinsics.call(b, name, [mine[part].type], [mine[part], four, weights]).results[0]

    def _at(self, operand: int, place: list[Index], tap: int, x: int, channels: Index) -> tuple[Index, ...]:
        """Where a factor is read for a result at `place`, a row of the window, and a point of it."""
        form, g = self.form, self.form.generic
        loops = [Index()] * g.rank
        for loop, index in zip((*form.outer, form.row.loop), place, strict=False):
            loops[loop] = index
        loops[form.others[0].tap], loops[form.row.tap] = Index({}, tap), Index({}, x)
        loops[form.channels] = channels
        return tuple(apply(e, loops) for e in g.maps[operand].results)

    def _pair(self, one: ir.Value, other: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The bytes of two points side by side: of channels 0 to 7 of each quarter, and of 8 to 15."""
        return self._unpack(one, other, _QUARTER, 1)

    def _fours(self, one: tuple[ir.Value, ir.Value], other: tuple[ir.Value, ir.Value]) -> list[ir.Value]:
        """The bytes of four points side by side, in four vectors with four channels of each quarter."""
        return [v for low, high in zip(one, other, strict=True) for v in self._unpack(low, high, _QUARTER, 2)]

    def _unpack(self, one: ir.Value, other: ir.Value, quarter: int, bytes_: int) -> tuple[ir.Value, ir.Value]:
        """Elements of `bytes_` bytes of two vectors in turn: those of the lower halves of quarters, of the upper."""
        b = self.b
        number, each = self.width // bytes_, quarter // bytes_
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

    def _finish(self, place: list[Index], start: Index, sums: list[ir.Value]) -> None:
        """Quantise and store the sums of one point."""
        b, frame, form, ends = self.b, self.frame, self.form, self.ends
        g, values = form.generic, []

        def loops(channels: Index) -> list[Index]:
            found = [Index()] * g.rank
            for loop, index in zip((*form.outer, form.row.loop), place, strict=True):
                found[loop] = index
            found[form.channels] = channels
            return found

        with b.scope():
            for part, total in enumerate(sums):
                here = loops(lane_index(start + part * self.lanes, self.lanes))
                bind(frame, g, here, [total])
                at = tuple(apply(e, here) for e in g.output_map().results)
                values += frame.evaluator.body(
                    ends.generic, ends.generic.loops(0, at), Chunk(self.lanes), wanted=[ends.wanted]
                )
            values = [b.splat(value, self.lanes) for value in values]
            stored = stored_at(frame.kernel, g, loops(lane_index(start, self.width)))[0]
            frame.memory.store(frame.destination(0), stored, Chunk(self.width), ends.narrow(b, values, mixed=True))


SCHEDULE = DepthwiseBytes()
