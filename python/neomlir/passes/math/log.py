"""log, log2, log10, log1p; asinh, acosh and atanh by way of a logarithm of f64.

x = 2^e * m with m from sqrt(1/2) to sqrt(2), taken apart in integer arithmetic after denormals are scaled up; then
log(m) = f - f^2/2 + f^3 P(f) for f = m - 1, which is exact, as in Cephes' and FreeBSD's single-precision logarithms.
The f64 one uses log(m) = 2 atanh((m - 1) / (m + 1)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.passes.math.lanes import Lanes, fma, fnma, horner

_SQRT_HALF = 0x3F3504F3
_SQRT_HALF_64 = 0x3FE6A09E667F3BCD
_ONE_64 = 1023 << 52
_TWO_52 = 0x4330000000000000
_MANTISSA_64 = (1 << 52) - 1
_INFINITY = math.inf


@dataclass(frozen=True)
class _Base:
    """Logarithms of one base: 1 / log(base) and log_base(2) in two parts each, and P for that base."""

    scale: tuple[float, float]
    two: tuple[float, float]
    polynomial: tuple[float, ...]


_E = _Base(
    (1.0, 0.0),
    (0.69317626953125, -2.908897130469058e-05),
    (
        0.3333333134651184, -0.2500081956386566, 0.2000124156475067, -0.166234090924263, 0.14201581478118896,
        -0.1315961331129074, 0.12762199342250824, -0.07636399567127228,
    ),
)  # fmt: skip
_TWO = _Base(
    (1.4426950216293335, 1.9259629911266175e-08),
    (1.0, 0.0),
    (
        0.48089832067489624, -0.3606855869293213, 0.2885568141937256, -0.23982495069503784, 0.2048870325088501,
        -0.18985556066036224, 0.18411248922348022, -0.11015663295984268,
    ),
)  # fmt: skip
_TEN = _Base(
    (0.4342944920063019, -1.0103050052231683e-08),
    (0.301025390625, 4.605038981195214e-06),
    (
        0.14476482570171356, -0.1085771694779396, 0.08686397224664688, -0.0721946507692337, 0.06168145686388016,
        -0.05715447664260864, 0.05540146306157112, -0.033132024109363556,
    ),
)  # fmt: skip
_ATANH_64 = (1.00000000000428, 0.3333333261103843, 0.20000194802511018, 0.1426737475687433, 0.11811023248395701)


def _take_apart(x: Lanes) -> tuple[Lanes, Lanes]:
    """(e, bits of m) of a normal positive x, as integers."""
    exponent = (x.bits() - _SQRT_HALF) >> 23
    return exponent, x.bits() - (exponent << 23)


def _put_together(f: Lanes, e: Lanes, base: _Base) -> Lanes:
    """log(1 + f) + e log(2), in the base."""
    square = f * f
    tail = f * square * horner(f, base.polynomial)
    high, low = base.scale
    if low:
        tail = fma(f, low, tail)
    if base.two[1]:
        tail = fma(e, base.two[1], tail)
    tail = fnma(square, high / 2, tail)
    return fma(e, base.two[0], fma(f, high, tail) if high != 1 else f + tail)


def _special(x: Lanes, result: Lanes, zero: float, value_at_zero: float) -> Lanes:
    """`result` where x is finite and above `zero`, whose own result is given; NaN below it, x itself elsewhere."""
    at_most_zero = x.equals(zero).where(x.constant(value_at_zero), x.constant(math.nan))
    return x.greater_or_nan(zero).where((x < _INFINITY).where(result, x), at_most_zero)


def _logarithm(x: Lanes, base: _Base) -> Lanes:
    denormal = x < 2.0**-126
    exponent, mantissa = _take_apart(denormal.where(x * 2.0**23, x))
    e = exponent.f32() - denormal.where(x.constant(23.0), x.constant(0.0))
    return _special(x, _put_together(mantissa.as_float() - 1.0, e, base), 0.0, -_INFINITY)


def log(x: Lanes) -> Lanes:
    """The natural logarithm of f32."""
    return _logarithm(x, _E)


def log2(x: Lanes) -> Lanes:
    """The logarithm to base 2 of f32; exact for powers of two."""
    return _logarithm(x, _TWO)


def log10(x: Lanes) -> Lanes:
    """The logarithm to base 10 of f32."""
    return _logarithm(x, _TEN)


def log1p(x: Lanes) -> Lanes:
    """log(1 + x) of f32: what the sum 1 + x lost is added to f, scaled as the sum was."""
    u = x + 1.0
    exponent, mantissa = _take_apart(u)
    # Zero where the sum is 2^127 or more, which loses nothing.
    scale = 0x3F800000 - (exponent << 23)
    scale = (scale > 0).where(scale, 0).as_float()
    f = fma(x - (u - 1.0), scale, mantissa.as_float() - 1.0)
    result = _special(x, _put_together(f, exponent.f32(), _E), -1.0, -_INFINITY)
    return (x.abs() < 2.0**-25).where(x, result)


def log2_of_f64(x: Lanes) -> Lanes:
    """log2 of a normal f64, zero, infinity or NaN, with a relative error of 2^-37; NaN below zero."""
    shifted = x.bits() + (_ONE_64 - _SQRT_HALF_64)
    biased = shifted.shift_right_logical(52)
    e = (biased | _TWO_52).as_float() - (2.0**52 + 1023)
    m = ((shifted & _MANTISSA_64) + _SQRT_HALF_64).as_float()
    s = (m - 1.0) / (m + 1.0)
    return _special(x, fma(s, horner(s * s, _ATANH_64) * (2 / math.log(2)), e), 0.0, -_INFINITY)


def _log_of_f64(x: Lanes) -> Lanes:
    return log2_of_f64(x) * math.log(2)


def asinh(x: Lanes) -> Lanes:
    """The inverse hyperbolic sine of f32."""
    a = x.f64().abs()
    result = _log_of_f64(a + fma(a, a, 1.0).sqrt()).f32()
    return (x.abs() < 2.0**-13).where(x, result.copysign(x))


def acosh(x: Lanes) -> Lanes:
    """The inverse hyperbolic cosine of f32."""
    a = x.f64()
    return (x < 1.0).where(math.nan, _log_of_f64(a + (a * a - 1.0).sqrt()).f32())


def atanh(x: Lanes) -> Lanes:
    """The inverse hyperbolic tangent of f32."""
    a = x.f64().abs()
    result = (_log_of_f64((1.0 + a) / (1.0 - a)) * 0.5).f32()
    return (x.abs() < 2.0**-13).where(x, result.copysign(x))


FUNCTIONS = {
    "math.log": log,
    "math.log2": log2,
    "math.log10": log10,
    "math.log1p": log1p,
    "math.asinh": asinh,
    "math.acosh": acosh,
    "math.atanh": atanh,
}
