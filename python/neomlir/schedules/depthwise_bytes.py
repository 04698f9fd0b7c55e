"""The schedule of depthwise convolutions of quantised tensors on x86's dot products of bytes.

`vpdpbusd` sums four neighbouring bytes, and those of a depthwise convolution are four points of a row of one channel,
which do not lie side by side. So pairs of points are interleaved, and pairs of pairs, by shuffles within quarters of 16
channels; a window of three points and a fourth of weight zero is then one product. Where windows move by one point, the
same four serve two results, the second with weights one byte further on. The loops are those of `byte_windows.py`.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.byte_windows import Windows, check
from neomlir.schedules.depthwise_form import Form
from neomlir.schedules.frame import Frame
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.quantised import TOGETHER, Quantised
from neomlir.schedules.root import Root
from neomlir.schedules.units import S8, U8, factor_types, vector_bits_of

_TAPS = 3
"""Points of a row of the window."""
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
        check(kernel, form, ends)
        if form.row.taps != _TAPS or form.row.stride > 2:
            raise NotApplicable("the window is not one of three points a row")
        return Frame(kernel, target).made_by(lambda frame: _Fours(frame, form, ends, bits).emit())


class _Fours(Windows):
    """Products of four points."""

    def vectors(self) -> int:
        return self.high * 2 * TOGETHER

    def _number(self, tap: int, second: int, part: int) -> int:
        """Of each row of the window there are the weights of the first and of the second of two results."""
        return (tap * 2 + second) * TOGETHER + part

    def weights(self, tap: int, points: list[ir.Value]) -> None:
        b = self.b
        zero = b.constant(ir.DenseElementsAttr.get_splat(points[0].type, ir.IntegerAttr.get(self.byte, 0)))
        words = b.vector(self.lanes, self.i32)
        eight = b.constant(ir.DenseElementsAttr.get_splat(words, ir.IntegerAttr.get(self.i32, 8)))
        for part, four in enumerate(self._fours(self.pair(*points[:2]), self.pair(points[2], zero))):
            later = b.value("arith.shli", words, b.value("vector.bitcast", words, four), eight)
            for second, value in enumerate((four, b.value("vector.bitcast", four.type, later))):
                self.keep(self._number(tap, second, part), value)

    def add(self, tap: int, points: list[ir.Value], sums: list[list[ir.Value]]) -> None:
        # What stands fourth in the last window has weight zero, and may lie behind the row.
        points = [*points, points[-1]]
        pairs = [self.pair(*points[x : x + 2]) for x in range(0, len(points) - 1, 2)]
        for number, mine in enumerate(sums):
            first, second = divmod(number * self.stride, 2)
            for part, four in enumerate(self._fours(pairs[first], pairs[first + 1])):
                operands = [mine[part], four, self.kept(self._number(tap, second, part))]
                mine[part] = intrinsics.call(self.b, f"{_DOT}{self.width * 8}", [mine[part].type], operands).results[0]

    def _fours(self, one: tuple[ir.Value, ir.Value], other: tuple[ir.Value, ir.Value]) -> list[ir.Value]:
        """The bytes of four points side by side, in four vectors with four channels of each quarter."""
        return [v for low, high in zip(one, other, strict=True) for v in self.unpack(low, high, 2)]


SCHEDULE = DepthwiseBytes()
