"""powf, fpowi, rsqrt and cbrt of f32.

pow(x, y) = 2^(y log2 |x|) in f64, whose 53 bits hold what y multiplies the logarithm's error by; the rules of C's
powf (C99, F.9.4.4) for zeros, infinities, NaN and negative bases stand on top. Exponents that are constants and
common take a shorter road.
"""

from __future__ import annotations

import math

from neomlir.passes.math.exp import exp2_of_f64
from neomlir.passes.math.lanes import Lanes
from neomlir.passes.math.log import log2_of_f64

_INFINITY = math.inf
SHORT_EXPONENTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Exponents that `power_of_constant` knows."""


def powf(x: Lanes, y: Lanes) -> Lanes:
    """x^y of f32, both."""
    size = x.abs()
    result = exp2_of_f64(log2_of_f64(size.f64()) * y.f64()).f32()
    half = y * 0.5
    whole = y.trunc().equals(y)
    odd = whole & half.trunc().differs(half)
    # -0 and -infinity have powers that are not whole, too.
    result = ((x < 0.0) & size.differs(_INFINITY) & ~whole).where(math.nan, result)
    result = odd.where(result.copysign(x), result)
    one = y.equals(0.0) | x.equals(1.0) | (x.equals(-1.0) & y.abs().equals(_INFINITY))
    return one.where(1.0, result)


def fpowi(x: Lanes, n: Lanes) -> Lanes:
    """x^n of f32 and a signed integer."""
    result = exp2_of_f64(log2_of_f64(x.f64().abs()) * n.f64()).f32()
    result = (n & 1).differs(0).where(result.copysign(x), result)
    return n.equals(0).where(1.0, result)


def power_of_constant(x: Lanes, exponent: float) -> Lanes:
    """x to one of SHORT_EXPONENTS, by multiplication, division and square root."""
    if exponent == 0.0:
        return x.constant(1.0)
    if exponent in (0.5, -0.5):
        # C's powf: +infinity of -infinity and +0 of -0, unlike the square root.
        root = x.equals(-_INFINITY).where(_INFINITY, (x + 0.0).sqrt())
        return root if exponent > 0 else 1.0 / root
    base = x if exponent > 0 else 1.0 / x
    square = base * base
    return {1.0: base, 2.0: square, 3.0: square * base, 4.0: square * square}[abs(exponent)]


def rsqrt(x: Lanes) -> Lanes:
    """1 / sqrt(x) of f32."""
    return 1.0 / x.sqrt()


def cbrt(x: Lanes) -> Lanes:
    """The cube root of f32."""
    return exp2_of_f64(log2_of_f64(x.f64().abs()) * (1 / 3)).f32().copysign(x)


FUNCTIONS = {"math.powf": powf, "math.fpowi": fpowi, "math.rsqrt": rsqrt, "math.cbrt": cbrt}
