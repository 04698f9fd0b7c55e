"""The ends of kernels that quantise: four vectors of f32 become one of bytes.

`passes/quantized_bodies.py` writes `clamp(x)`, a rounding to the nearest whole number, a zero point, and the narrowing.
Of single vectors that takes five instructions each and a store of 16 bytes. x86 narrows four vectors together
by saturation, which is a clamp as well (Intel 64 and IA-32 manual: CVTPS2DQ, PACKSSDW, PACKUSWB).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from neomlir.mlir import arith, ir
from neomlir.schedules import intrinsics
from neomlir.schedules.accumulate import Row, bind
from neomlir.schedules.builder import Builder, Chunk, Tile
from neomlir.schedules.combine import compared
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Generic, Kernel, same
from neomlir.schedules.nest import lane_index
from neomlir.schedules.root import Root, computed, stored_at

_ROUNDER = 12582912.0
"""1.5 * 2**23, which rounds what it is added to: `passes/quantized_bodies.py`."""
LANES = 16
"""Elements of one of the four vectors, at most."""
TOGETHER = 4
_CURRENT = 4
"""CVTPS2DQ rounds as the control register says: to nearest, ties to even."""


class _Narrowing(NamedTuple):
    """LLVM's intrinsics, of which the last three take two vectors."""

    convert: str
    to_words: str
    to_signed: str
    to_unsigned: str


_NARROWING = {
    16: _Narrowing(
        "llvm.x86.avx512.mask.cvtps2dq.512",
        *(f"llvm.x86.avx512.{name}.512" for name in ("packssdw", "packsswb", "packuswb")),
    ),
    8: _Narrowing(
        "llvm.x86.avx.cvt.ps2dq.256", *(f"llvm.x86.avx2.{name}" for name in ("packssdw", "packsswb", "packuswb"))
    ),
    4: _Narrowing(
        "llvm.x86.sse2.cvtps2dq", *(f"llvm.x86.sse2.{name}.128" for name in ("packssdw", "packsswb", "packuswb"))
    ),
}
"""By the number of f32 in a vector."""


@dataclass(frozen=True)
class Quantised:
    """The end of the body of `generic`: `value` clamped to `low` and `high`, rounded, plus `zero`, as a byte."""

    generic: Generic
    value: ir.Value
    clamped: ir.Value
    low: float
    high: float
    zero: int

    @staticmethod
    def of(kernel: Kernel) -> Quantised | None:
        """How the only result of a kernel (or what is padded to be it) is quantised; None where it is not."""
        if len(kernel.results) != 1:
            return None
        result = kernel.results[0]
        if not isinstance(result.owner, ir.Block) and result.owner.name == "tensor.pad":
            result = same(result.owner.operands[0])
        found = kernel.generic_of(result)
        if found is None or len(found[0].results) != 1 or any(found[0].reduction):
            return None
        generic = found[0]
        narrow = _made_by(generic.yields[0], "arith.trunci")
        if narrow is None or generic.yields[0].type.width != 8:
            return None
        bits, zero = narrow.operands[0], 0
        plus = _made_by(bits, "arith.addi")
        if plus is not None:
            number = _constant(plus.operands[1])
            if not isinstance(number, ir.IntegerAttr):
                return None
            bits, zero = plus.operands[0], number.value
        cast = _made_by(bits, "arith.bitcast")
        rounded = None if cast is None else _made_by(cast.operands[0], "arith.addf")
        if rounded is None or _number(rounded.operands[1]) != _ROUNDER:
            return None
        above = _bound(rounded.operands[0], arith.CmpFPredicate.OLT)
        below = None if above is None else _bound(above[0], arith.CmpFPredicate.OGT)
        if below is None:
            return None
        return Quantised(generic, below[0], rounded.operands[0], below[1], above[1], zero)

    @property
    def signed(self) -> bool:
        return self.low + self.zero < 0

    @property
    def saturates(self) -> bool:
        """Whether the lower bound is the least byte, so that narrowing clamps to it."""
        return self.low + self.zero == (-128 if self.signed else 0)

    @property
    def wanted(self) -> ir.Value:
        """The value of the body that `narrow` takes: it clamps itself what saturation clamps."""
        return self.value if self.saturates else self.clamped

    def narrow(self, b: Builder, values: Sequence[ir.Value], mixed: bool = False) -> ir.Value:
        """One vector of bytes, those of the first of four vectors of `wanted` first.

        With `mixed`, of each quarter of 16 bytes four are of each vector, which is how narrowing leaves them.
        NaN becomes the lower bound, as in the body.
        """
        lanes = ir.VectorType(values[0].type).shape[0]
        ops = _NARROWING[lanes]
        words = [self._whole(b, value, lanes, ops.convert) for value in values]
        i16, i32 = (ir.IntegerType.get_signless(n, b.context) for n in (16, 32))
        halves = b.vector(2 * lanes, i16)
        pairs = [intrinsics.call(b, ops.to_words, [halves], words[i : i + 2]).results[0] for i in (0, 2)]
        if self.zero:
            zero = b.constant(ir.DenseElementsAttr.get_splat(halves, ir.IntegerAttr.get(i16, self.zero)))
            name = f"llvm.sadd.sat.v{2 * lanes}i16"
            pairs = [intrinsics.call(b, name, [halves], [p, zero]).results[0] for p in pairs]
        kind = b.vector(TOGETHER * lanes, ir.IntegerType.get_signless(8, b.context))
        name = ops.to_signed if self.signed else ops.to_unsigned
        packed = intrinsics.call(b, name, [kind], pairs).results[0]
        if mixed or lanes == TOGETHER:
            return packed
        groups = b.vector(lanes, i32)
        dwords = b.value("vector.bitcast", groups, packed)
        places = [TOGETHER * i + j for j in range(TOGETHER) for i in range(lanes // TOGETHER)]
        order = ir.DenseI64ArrayAttr.get(places, b.context)
        return b.value("vector.bitcast", kind, b.value("vector.shuffle", groups, dwords, dwords, mask=order))

    def _whole(self, b: Builder, value: ir.Value, lanes: int, convert: str) -> ir.Value:
        """A vector of f32 as whole numbers of 32 bits."""
        if self.saturates:
            high = b.splat(b.constant(ir.FloatAttr.get(value.type.element_type, self.high)), lanes)
            over = compared(b, arith.CmpFPredicate.OGT, value, high)
            value = b.value("arith.select", value.type, over, high, value)
        i32, i16 = (ir.IntegerType.get_signless(n, b.context) for n in (32, 16))
        kind = b.vector(lanes, i32)
        if lanes < LANES:
            return intrinsics.call(b, convert, [kind], [value]).results[0]
        nothing = b.constant(ir.DenseElementsAttr.get_splat(kind, ir.IntegerAttr.get(i32, 0)))
        rest = [b.constant(ir.IntegerAttr.get(i16, -1)), b.constant(ir.IntegerAttr.get(i32, _CURRENT))]
        return intrinsics.call(b, convert, [kind], [value, nothing, *rest]).results[0]


def store_narrowed(
    frame: Frame,
    root: Root,
    ends: Quantised,
    points: Iterable[tuple],
    row: Row,
    rows: Sequence[Index | int],
    vectors: Tile,
) -> None:
    """What follows the reduction of `root` for four vectors of some rows, narrowed and stored together.

    `points`: loops, chunk and sums of each vector, all of full width; `vectors`: those of a row, side by side; `row`
    gives the indices of the number of a row and a column.
    """
    b, kernel, lanes = frame.b, frame.kernel, vectors[0][1].width
    values = []
    for loops, chunk, value in points:
        bind(frame, root.generic, loops, [value])
        _, place = computed(kernel, 0, stored_at(kernel, root.generic, loops)[0])
        values += frame.evaluator.body(ends.generic, ends.generic.loops(0, place), chunk, wanted=[ends.wanted])
    together = ends.narrow(b, [b.splat(value, lanes) for value in values])
    width = lanes * len(vectors)
    for number, r in enumerate(rows):
        part = b.piece(together, number * width, width)
        index = Index({}, r) if isinstance(r, int) else r
        loops = root.loops(row(index, lane_index(vectors[0][0].put_lane(0), width)))
        place = stored_at(kernel, root.generic, loops)[0]
        frame.memory.store(frame.destination(0), place, Chunk(width), part)


def _made_by(value: ir.Value, name: str) -> ir.Operation | None:
    owner = value.owner
    return owner if not isinstance(owner, ir.Block) and owner.name == name else None


def _constant(value: ir.Value) -> ir.Attribute | None:
    op = _made_by(value, "arith.constant")
    return None if op is None else op.attributes["value"]


def _number(value: ir.Value) -> float | None:
    attribute = _constant(value)
    return attribute.value if isinstance(attribute, ir.FloatAttr) else None


def _bound(value: ir.Value, predicate: arith.CmpFPredicate) -> tuple[ir.Value, float] | None:
    """What `select(cmpf(x, c), x, c)` takes: x and c."""
    select = _made_by(value, "arith.select")
    compare = None if select is None else _made_by(select.operands[0], "arith.cmpf")
    if compare is None or list(compare.operands) != list(select.operands)[1:]:
        return None
    number = _number(select.operands[2])
    same_way = ir.IntegerAttr(compare.attributes["predicate"]).value == int(predicate)
    return (select.operands[1], number) if same_way and number is not None else None
