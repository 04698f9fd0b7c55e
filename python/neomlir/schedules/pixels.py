"""The schedule of kernels that put planes of a picture together: a few channels, in words of 32 or 64 bits a point.

An input of a network is planes of f32; its first convolution reads points whose channels lie side by side, in bytes or
halves, made a whole group of the dot-product unit. Each plane is read and computed along its rows in whole vectors, and
the elements of a point are shifted into one word. A constant border, and channels that only fill up, are part of that.
"""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Size
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import lane_index
from neomlir.schedules.root import computed

_ITEM = 16_384
"""Points of a work item, about."""


class Pixels(Schedule):
    name = "pixels"
    order = 300

    def applies(self, kernel: Kernel, target) -> bool:
        return not kernel.roots and len(kernel.results) == 1

    def build(self, kernel: Kernel, target) -> ir.Operation:
        picture = _Picture.of(kernel)
        return Frame(kernel, target).made_by(lambda frame: _Rows(frame, picture).emit())


@dataclass
class _Picture:
    """A result of rows, points and channels, and where in it those lie that are computed."""

    shape: list[int]
    inner: list[int]
    """Rows, points and channels that are computed."""
    low: list[int]
    border: ir.Attribute | None
    """What stands around them."""

    @staticmethod
    def of(kernel: Kernel) -> _Picture:
        """Raises NotApplicable where the result is something else."""
        result = kernel.results[0]
        shape = static_shape(result)
        width = getattr(result.type.element_type, "width", 0)
        if len(shape) != 3 or None in shape or width not in (8, 16) or shape[2] * width not in (32, 64):
            raise NotApplicable("the result is not points of 32 or 64 bits")
        inner, low, border = shape, [0, 0, 0], None
        if not isinstance(result.owner, ir.Block) and result.owner.name == "tensor.pad":
            pad = result.owner
            inner, low = static_shape(pad.operands[0]), list(pad.attributes["static_low"])
            value = list(pad.regions[0].blocks[0].operations)[-1].operands[0]
            constant = value.owner
            plain = not isinstance(constant, ir.Block) and constant.name == "arith.constant"
            if len(pad.operands) != 1 or None in inner or low[2] or not plain:
                raise NotApplicable("the border is not constant, or in front of the channels")
            border = constant.attributes["value"]
        picture = _Picture(shape, inner, low, border)
        picture.check(kernel)
        return picture

    def check(self, kernel: Kernel) -> None:
        """Raise NotApplicable unless all that is read lies along a row's points, or is the same for all of them."""
        row, point, channel = (of(Var(None)) for _ in range(3))
        x = next(iter(point.terms))
        value, place = computed(kernel, 0, (row, point, channel))
        reads = list(kernel.leaves(value, place))
        along = [access for _, access in reads if any(index.uses(x) for index in access)]
        if any(value is None for value, _ in reads) or not along:
            raise NotApplicable("what is read is not known")
        for access in along:
            if access[-1].terms.get(x) != 1 or any(index.uses(x) for index in access[:-1]):
                raise NotApplicable("what is read does not lie along the points of a row")


class _Rows:
    """The loops: rows as work items, vectors of points inside."""

    def __init__(self, frame: Frame, picture: _Picture):
        self.frame, self.picture, self.b = frame, picture, frame.b
        self.element = frame.kernel.results[0].type.element_type
        self.lanes = frame.machine.lanes(32)
        if frame.machine.scalable or picture.inner[1] < self.lanes:
            raise NotApplicable("a row fills no vector")
        self.bits = picture.shape[2] * self.element.width
        self.flat = frame.memory.flat(frame.destination(0))

    def emit(self) -> None:
        b, (rows, _, _), (top, _, _) = self.b, self.picture.inner, self.picture.low
        target = self.frame.kernel.parameter("item", _ITEM, (_ITEM // 4, _ITEM * 4))
        tall = max(1, min(rows, target // self.picture.shape[1]))

        def band(indices: list[Index]) -> None:
            low = b.compute(indices[0] * tall) if indices[0].terms else 0
            b.loop(low, b.min(b.add(low, tall), rows), 1, lambda y: self._row(y))

        around = [(0, top), (top + rows, self.picture.shape[0])]
        borders = [
            ([high - low], lambda indices, low=low: self._fill(indices[0] + low, 0, self.picture.shape[1]))
            for low, high in around
            if high > low
        ]
        b.items([([-(-rows // tall)], band), *borders])

    def _row(self, y: Index) -> None:
        """A row that is computed, with the points before and behind it."""
        b, picture, lanes = self.b, self.picture, self.lanes
        (top, left, _), points = picture.low, picture.inner[1]
        here = y + top
        self._fill(here, 0, left)
        self._fill(here, left + points, picture.shape[1])
        whole = points // lanes * lanes
        b.loop(0, whole, lanes, lambda x: self._points(here, x + left))
        if points > whole:
            # The last vector begins before the one before it ends: what both write is the same.
            self._points(here, Index({}, points - lanes + left))

    def _points(self, y: Index, x: Index) -> None:
        """A vector of points of the result's row `y`, from `x` on."""
        b, kernel, lanes = self.b, self.frame.kernel, self.lanes
        with b.scope():
            words, (_, _, count) = self._words(lanes), self.picture.inner
            total = self._constant(self._pattern(list(range(count, self.picture.shape[2]))))
            for channel in range(count):
                place = (y, lane_index(x, lanes), Index({}, channel))
                value = self.frame.evaluator.at(*computed(kernel, 0, place), Chunk(lanes))
                word = self._word(b.splat(value, lanes))
                if channel:
                    word = b.value("arith.shli", words, word, self._constant(channel * self.element.width))
                total = b.value("arith.ori", words, total, word)
            self._store(y, x, total)

    def _constant(self, number: int, lanes: int = 0) -> ir.Value:
        """A vector of words, as many as points by default, all the same."""
        words = self._words(lanes or self.lanes)
        return self.b.constant(ir.DenseElementsAttr.get_splat(words, ir.IntegerAttr.get(self._kind(), number)))

    def _word(self, value: ir.Value) -> ir.Value:
        """Elements as words with nothing beside them."""
        b, lanes = self.b, self.lanes
        owner = value.owner
        if not isinstance(owner, ir.Block) and owner.name == "arith.trunci":
            wide = owner.operands[0]
            if wide.type == self._words(lanes):
                return b.value("arith.andi", wide.type, wide, self._constant((1 << self.element.width) - 1))
        bits = ir.IntegerType.get_signless(self.element.width, b.context)
        if value.type.element_type != bits:
            value = b.value("arith.bitcast", b.vector(lanes, bits), value)
        return b.value("arith.extui", self._words(lanes), value)

    def _kind(self) -> ir.Type:
        return ir.IntegerType.get_signless(self.bits, self.b.context)

    def _words(self, number: int) -> ir.Type:
        return ir.VectorType.get([number], self._kind(), loc=self.b.location)

    def _pattern(self, channels: list[int]) -> int:
        """The border's bits in these channels of a word, as a signed number."""
        border, width = self.picture.border, self.element.width
        if not channels:
            return 0
        if isinstance(border, ir.IntegerAttr):
            bits = border.value % (1 << width)
        elif ir.FloatAttr(border).value == 0.0:
            bits = 0
        else:
            raise NotApplicable("a border of halves that is not zero")
        total = sum(bits << (channel * width) for channel in channels)
        return total - (1 << self.bits) if total >> (self.bits - 1) else total

    def _fill(self, y: Index, low: int, high: int) -> None:
        """Write the border's points `low` to `high` of a row of the result."""
        if high <= low:
            return
        number = self._pattern(list(range(self.picture.shape[2])))
        whole = low + (high - low) // self.lanes * self.lanes

        def points(x: Index, count: int) -> None:
            self._store(y, x, self._constant(number, count))

        self.b.loop(low, whole, self.lanes, lambda x: points(x, self.lanes))
        self.b.loop(whole, high, 1, lambda x: points(x, 1))

    def _store(self, y: Index, x: Index, words: ir.Value) -> None:
        b, (_, points, channels) = self.b, self.picture.shape
        kind = ir.VectorType.get([ir.VectorType(words.type).shape[0] * channels], self.element, loc=b.location)
        place: Size = b.compute((y * points + x) * channels)
        b.op("vector.store", [], [b.value("vector.bitcast", kind, words), self.flat, place])


SCHEDULE = Pixels()
