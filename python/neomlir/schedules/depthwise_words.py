"""The schedule of depthwise convolutions of quantised tensors on x86's multiply-adds of words.

Where no dot product of bytes takes their types, `pmaddwd` multiplies pairs of 16-bit integers and adds the two products
in 32 bits, which is exact for bytes (Intel 64 and IA-32 manual: PMADDWD). A pair is two neighbouring points of a row:
their bytes are interleaved, and each is made a word by interleaving with zeros; one with a sign becomes the upper half
of a word, and the sum is shifted back. A row of three points is two pairs, of which one word has weight zero; where
windows move by one point, the second of two results takes the same pairs by weights one word further on. The loops are
those of `byte_windows.py`.
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
from neomlir.schedules.units import S8, U8, WORDS, factor_types

_MANY = 32
"""Registers with which four results are summed side by side, else two."""


class DepthwiseWords(Schedule):
    name = "depthwise_words"
    order = 145

    def applies(self, kernel: Kernel, target) -> bool:
        types = factor_types(kernel.roots[0].op) if len(kernel.roots) == 1 else None
        return types is not None and set(types) <= {U8, S8}

    def build(self, kernel: Kernel, target) -> ir.Operation:
        if not any(target.has(feature) for feature, _ in WORDS.values()):
            raise NotApplicable("the target has no multiply-adds of words that quantise")
        form, ends = Form.of(Root(kernel)), Quantised.of(kernel)
        check(kernel, form, ends)
        types = factor_types(kernel.roots[0].op)
        return Frame(kernel, target).made_by(lambda frame: _Pairs(frame, form, ends, target, types).emit())


class _Pairs(Windows):
    """Products of two points."""

    def __init__(self, frame: Frame, form: Form, ends: Quantised, target, types: tuple[str, str]):
        self.strip = 4 if target.vector.registers >= _MANY else 2
        self.signed = [kind == S8 for kind in types]
        super().__init__(frame, form, ends, target.vector.bits)
        self.word = ir.IntegerType.get_signless(16, frame.b.context)
        self.zero = frame.b.constant(
            ir.DenseElementsAttr.get_splat(frame.b.vector(self.width, self.byte), ir.IntegerAttr.get(self.byte, 0))
        )

    @property
    def _starts(self) -> range:
        """Where in a pair a window can start."""
        return range(1 if self.form.row.stride % 2 == 0 else 2)

    def _pairs(self, start: int) -> int:
        """The pairs of a row of a window that starts there."""
        return (self.form.row.taps + start + 1) // 2

    def vectors(self) -> int:
        return self._number(self.high, 0, 0, 0)

    def _number(self, tap: int, start: int, pair: int, part: int) -> int:
        each = self._pairs(self._starts[-1])
        return ((tap * len(self._starts) + start) * each + pair) * TOGETHER + part

    def weights(self, tap: int, points: list[ir.Value]) -> None:
        b = self.b
        words = b.vector(self.width // 2, self.word)
        eight = b.constant(ir.DenseElementsAttr.get_splat(words, ir.IntegerAttr.get(self.word, 8)))
        for start in self._starts:
            row = [*[self.zero] * start, *points, self.zero]
            for pair in range(self._pairs(start)):
                for part, value in enumerate(self._wide(row[2 * pair : 2 * pair + 2], self.signed[1])):
                    number = self._number(tap, start, pair, part)
                    self.keep(number, b.value("arith.shrsi", words, value, eight) if self.signed[1] else value)

    def add(self, tap: int, points: list[ir.Value], sums: list[list[ir.Value]]) -> None:
        b = self.b
        # What stands behind the last window has weight zero, and may lie behind the row.
        points = [*points, points[-1]]
        for first in range(0, len(points) - 1, 2):
            for part, words in enumerate(self._wide(points[first : first + 2], self.signed[0])):
                for number, mine in enumerate(sums):
                    before, start = divmod(number * self.stride, 2)
                    pair = first // 2 - before
                    if 0 <= pair < self._pairs(start):
                        weights = b.value("vector.bitcast", words.type, self.kept(self._number(tap, start, pair, part)))
                        kind, (_, name) = mine[part].type, WORDS[8 * self.width]
                        product = intrinsics.call(b, name, [kind], [words, weights]).results[0]
                        mine[part] = b.value("arith.addi", kind, mine[part], product)

    def summed(self, total: ir.Value) -> ir.Value:
        if not self.signed[0]:
            return total
        eight = self.b.constant(ir.DenseElementsAttr.get_splat(total.type, ir.IntegerAttr.get(self.i32, 8)))
        return self.b.value("arith.shrsi", total.type, total, eight)

    def _wide(self, points: list[ir.Value], upper: bool) -> list[ir.Value]:
        """The bytes of two points side by side as words, or as their upper halves, in four vectors."""
        b, kind = self.b, self.b.vector(self.width // 2, self.word)
        halves = [(self.zero, half) if upper else (half, self.zero) for half in self.pair(*points)]
        return [b.value("vector.bitcast", kind, words) for half in halves for words in self.unpack(*half, 1)]


SCHEDULE = DepthwiseWords()
