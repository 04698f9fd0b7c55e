"""atan, atan2, asin and acos of f32.

The arc tangent is a minimax polynomial on [0, 1] and pi/2 minus that of the inverse above; the arc sine one on [0, 1/2]
and, above, pi/2 - 2 asin(sqrt((1 - x) / 2)).
"""

from __future__ import annotations

from neomlir.passes.math.lanes import Lanes, fma, horner

_HALF_PI = (1.5707963705062866, -4.371139000186241e-08)
_PI = (3.1415927410125732, -8.742278000372482e-08)
_ATAN = (
    -0.33333301544189453, 0.1999862641096115, -0.14265091717243195, 0.1095665767788887, -0.08416461199522018,
    0.05817810073494911, -0.031394537538290024, 0.011029044166207314, -0.0018187419045716524,
)  # fmt: skip
_ASIN = (
    0.16666659712791443, 0.07500521093606949, 0.04451363533735275, 0.03183605521917343, 0.01432918943464756,
    0.03767312690615654,
)  # fmt: skip


def _atan_to_one(t: Lanes) -> Lanes:
    """Of 0 <= t <= 1."""
    square = t * t
    return fma(t * square, horner(square, _ATAN), t)


def atan(x: Lanes) -> Lanes:
    """The arc tangent of f32, in radians."""
    a = x.abs()
    large = a > 1.0
    p = _atan_to_one(large.where(1.0 / a, a))
    return large.where(_HALF_PI[0] - (p - _HALF_PI[1]), p).copysign(x)


def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y) of f32, from -pi to pi, signs of zeros as in C."""
    ax, ay = x.abs(), y.abs()
    steep = ay > ax
    larger, smaller = steep.where(ay, ax), steep.where(ax, ay)
    # Equal ones include both zero (the angle of (1, 0)) and both infinite (that of (1, 1)).
    t = smaller.equals(larger).where(larger.equals(0.0).where(larger, larger.constant(1.0)), smaller / larger)
    p = _atan_to_one(t)
    p = steep.where(_HALF_PI[0] - (p - _HALF_PI[1]), p)
    # The sign bit, not a comparison: -0 counts as negative.
    p = (x.bits() < 0).where(_PI[0] - (p - _PI[1]), p)
    return x.equals(x).where(p, x).copysign(y)


def _half_angle(a: Lanes) -> tuple[Lanes, Lanes]:
    """(u, s): the argument's square and root for 1/2 < a <= 1, NaN above."""
    z = (1.0 - a) * 0.5
    return z, z.sqrt()


def asin(x: Lanes) -> Lanes:
    """The arc sine of f32, in radians; NaN outside [-1, 1]."""
    a = x.abs()
    large = a > 0.5
    z, root = _half_angle(a)
    square = large.where(z, a * a)
    base = large.where(root, a)
    p = fma(base * square, horner(square, _ASIN), base)
    return large.where(_HALF_PI[0] - (p * 2.0 - _HALF_PI[1]), p).copysign(x)


def acos(x: Lanes) -> Lanes:
    """The arc cosine of f32, in radians; NaN outside [-1, 1]."""
    a = x.abs()
    large = a > 0.5
    z, root = _half_angle(a)
    square = large.where(z, a * a)
    base = large.where(root, x)
    tail = base * square * horner(square, _ASIN)
    middle = _HALF_PI[0] - (base - (_HALF_PI[1] - tail))
    twice = (base + tail) * 2.0
    return large.where((x < 0.0).where(_PI[0] - (twice - _PI[1]), twice), middle)


FUNCTIONS = {"math.atan": atan, "math.atan2": atan2, "math.asin": asin, "math.acos": acos}
