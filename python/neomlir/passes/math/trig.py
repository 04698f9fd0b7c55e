"""sin, cos, sincos and tan, right for every finite f32.

Up to 2^17 quarter turns, x - n * pi/2 is taken in f64 with pi/2 in two parts, the first of 33 bits so that its
product with n is exact (Cody and Waite). Larger arguments are rare; where a lane holds one, a branch multiplies the
mantissa with the 96 bits of 2/pi that matter (M. Payne and R. Hanek, Radian Reduction for Trigonometric Functions,
1983), in integers.
"""

from __future__ import annotations

import itertools

from neomlir.mlir import ir, scf
from neomlir.passes.math.exp import ROUND
from neomlir.passes.math.lanes import Lanes, fma, fnma, horner

_TWO_OVER_PI = 0.6366197723675814
_QUARTER_TURN = (1.5707963267341256, 6.077100506506192e-11)
_LARGEST = 205887.0
"""About 2^17 quarter turns."""
_WORDS = (
    0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB,
)  # fmt: skip
"""The bits of 2/pi, after 32 zeros."""
_SIN = (-0.16666653752326965, 0.00833209604024887, -0.00019505627278704196)
_COS = (0.04166664555668831, -0.0013887288514524698, 2.4428209144389257e-05)


def _reduce(x: Lanes) -> tuple[Lanes, Lanes]:
    """(r, n) with x = r + n * pi/2 and |r| < 0.8; of the integer n only the last two bits hold."""
    rounded = fma(x, _TWO_OVER_PI, ROUND)
    n = (rounded - ROUND).f64()
    r = fnma(n, _QUARTER_TURN[1], fnma(n, _QUARTER_TURN[0], x.f64())).f32()
    size = x.abs()
    large = (size > _LARGEST) & (size < float("inf"))
    branch = scf.IfOp(large.any(), [r.value.type, rounded.bits().value.type], has_else=True)
    with ir.InsertionPoint(branch.then_block):
        far, quarters = _reduce_large(x)
        scf.YieldOp([large.where(far, r).value, large.where(quarters, rounded.bits()).value])
    with ir.InsertionPoint(branch.else_block):
        scf.YieldOp([r.value, rounded.bits().value])
    return Lanes(branch.results[0]), Lanes(branch.results[1])


def _reduce_large(x: Lanes) -> tuple[Lanes, Lanes]:
    """The same for 2^17 < |x| < infinity, with an absolute error of 2^-68."""
    bits = x.bits()
    # x = mantissa * 2^k, and bit i of 2/pi counts 2^(k - i) quarter turns: those above 2^1 only make whole turns.
    mantissa = ((bits & 0x7FFFFF) | 0x800000).i64()
    start = (bits.shift_right_logical(23) & 0xFF) - 150 + 30
    word, shift = start >> 5, (start & 31).i64()
    words = [_pick(word, [_WORDS[i + j] for i in range(5)]).i64() for j in range(4)]
    window = [_funnel(a, b, shift) for a, b in itertools.pairwise(words)]
    low = mantissa * window[2]
    middle = mantissa * window[1] + low.shift_right_logical(32)
    turns = ((mantissa * window[0] + middle.shift_right_logical(32)) << 32) | (middle & 0xFFFFFFFF)
    quarters = (turns + (1 << 61)).shift_right_logical(62).to(bits.element)
    r = (turns << 2).to(ir.F64Type.get()) * (1.5707963267948966 * 2.0**-64)
    negative = x < 0.0
    return negative.where(-r.f32(), r.f32()), negative.where(0 - quarters, quarters)


def _pick(index: Lanes, words: list[int]) -> Lanes:
    result = index.constant(words[0])
    for number, word in enumerate(words[1:], 1):
        result = (index > number - 1).where(index.constant(word), result)
    return result


def _funnel(high: Lanes, low: Lanes, shift: Lanes) -> Lanes:
    """32 bits of two words, from bit `shift` on."""
    return ((high << 32) | low).shift_right_logical(32 - shift) & 0xFFFFFFFF


def _sin_and_cos(r: Lanes) -> tuple[Lanes, Lanes]:
    square = r * r
    sine = fma(r * square, horner(square, _SIN), r)
    cosine = fma(square * square, horner(square, _COS), fnma(square, 0.5, square.constant(1.0)))
    return sine, cosine


def _flip(value: Lanes, quarters: Lanes, sign: Lanes | None = None) -> Lanes:
    """`value` negated where bit 1 of `quarters` is set, and by the bits of `sign`."""
    turned = (quarters << 30) & 0x80000000
    return (value.bits() ^ (turned if sign is None else turned ^ sign)).as_float()


def _sine(sine: Lanes, cosine: Lanes, n: Lanes, sign: Lanes) -> Lanes:
    return _flip((n & 1).equals(0).where(sine, cosine), n, sign)


def _cosine(sine: Lanes, cosine: Lanes, n: Lanes) -> Lanes:
    return _flip((n & 1).equals(0).where(cosine, sine), n + 1)


def sincos(x: Lanes) -> tuple[Lanes, Lanes]:
    """The sine and cosine of f32 radians; NaN of infinities."""
    # Of |x|, lest the sine of -0 become +0.
    r, n = _reduce(x.abs())
    parts = _sin_and_cos(r)
    return _sine(*parts, n, x.bits() & 0x80000000), _cosine(*parts, n)


def sin(x: Lanes) -> Lanes:
    """The sine of f32 radians; NaN of infinities."""
    r, n = _reduce(x.abs())
    return _sine(*_sin_and_cos(r), n, x.bits() & 0x80000000)


def cos(x: Lanes) -> Lanes:
    """The cosine of f32 radians; NaN of infinities."""
    r, n = _reduce(x.abs())
    return _cosine(*_sin_and_cos(r), n)


def tan(x: Lanes) -> Lanes:
    """The tangent of f32 radians; NaN of infinities."""
    r, n = _reduce(x.abs())
    sine, cosine = _sin_and_cos(r)
    even = (n & 1).equals(0)
    quotient = even.where(sine, cosine) / even.where(cosine, sine)
    return (quotient.bits() ^ ((n << 31) ^ (x.bits() & 0x80000000))).as_float()


FUNCTIONS = {"math.sin": sin, "math.cos": cos, "math.sincos": sincos, "math.tan": tan}
