"""exp, exp2, expm1, sinh and cosh.

exp(x) = e^r * 2^m * 2^m with m an integer and |r| <= ln 2: the two factors 2^m are normal numbers wherever the result
is zero, denormal, finite or infinite, so nothing needs a special case. m is found by adding 1.5 * 2^23, and the same
sum holds the bits of 2^m (N. Schraudolph's trick of putting an integer into the exponent field, made exact). The
argument is reduced by ln 2 in two parts (W. Cody and W. Waite, Software Manual for the Elementary Functions, 1980),
and the polynomials are minimax in the relative error. Where nobody asks for denormal results one factor 2^n does, and
|r| <= ln 2 / 2.
"""

from __future__ import annotations

import math
from functools import partial

from neomlir.passes.math.lanes import Lanes, fma, fnma, horner

ROUND = 12582912.0
"""1.5 * 2^23: added to a small f32, it leaves the nearest integer in the low bits."""
ROUND64 = 6755399441055744.0
"""1.5 * 2^52, the same for f64."""
LOG2_E = 1.4426950408889634
_ALL_LOW = 0x4B400000 + 127 - 63
"""The bits of ROUND + 127 + m where 2^(2m), times 2, is denormal."""
_TWO_LN2 = (1.38629150390625, 2.8572136406188345e-06)
_LN2 = (0.693115234375, 3.1946184945309415e-05)

_EXP = (
    1.0, 1.0, 0.5000003576278687, 0.1666661649942398, 0.04166119173169136, 0.008335956372320652, 0.0014105638256296515,
    0.00019632652401924133,
)  # fmt: skip
_TWICE_EXP = (
    2.0, 1.9999994039535522, 0.9999828338623047, 0.3333528935909271, 0.08379776030778885, 0.016580155119299889,
)  # fmt: skip
"""2 e^r, for |r| <= ln 2 / 2."""
_EXP2 = (
    1.0, 0.6931472420692444, 0.24022668600082397, 0.05550365895032883, 0.009616844356060028, 0.001334171975031495,
    0.00015645292296539992, 1.4916962754796259e-05,
)  # fmt: skip
_EXPM1 = (
    1.0, 0.4999999701976776, 0.16666541993618011, 0.041667431592941284, 0.008366876281797886, 0.0013871879782527685,
)  # fmt: skip
_EXP2_64 = (
    1.0, 0.6931472031154411, 0.24022647880071124, 0.05550331854003797, 0.00961843984858108, 0.001339913257232847,
    0.00015353153384510562,
)  # fmt: skip
_SINH = (0.1666666716337204, 0.008333311416208744, 0.00019842635083477944, 2.7839255380968098e-06)


def _reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    """p from 0.5 to 2 and a number whose low bits are 127 + m, with exp(x) = p * 2^(2m), for -105 <= x <= 90 or NaN."""
    rounded = fma(x, LOG2_E / 2, ROUND + 127)
    m = rounded - (ROUND + 127)
    r = fnma(m, _TWO_LN2[1], fnma(m, _TWO_LN2[0], x))
    return horner(r, _EXP), rounded


def _parts(x: Lanes) -> tuple[Lanes, Lanes]:
    """(p, s) with exp(x) = p * s * s, for -105 <= x <= 90 or NaN; p is 0.5 to 2 and s a power of two."""
    p, rounded = _reduced(x)
    return p, (rounded.bits() << 23).as_float()


def exp(x: Lanes, fused: bool = True) -> Lanes:
    """e^x, of f32; `fused` as of `_scaled`."""
    x = x.at_least(-105.0).at_most(89.0)
    p, rounded = _reduced(x)
    return _scaled(p, rounded, x < -87.33, fused)


def exp_to_zero(x: Lanes) -> Lanes:
    """e^x, of f32, with zero for what is below 2^-126 * sqrt(2).

    The factor 2^(n - 1) is zero for the least n, and then no product is denormal.
    """
    x = x.at_least(-87.5).at_most(89.0)
    rounded = fma(x, LOG2_E, ROUND + 126)
    n = rounded - (ROUND + 126)
    r = fnma(n, _LN2[1], fnma(n, _LN2[0], x))
    return horner(r, _TWICE_EXP) * (rounded.bits() << 23).as_float()


def exp_of_difference(x: Lanes) -> Lanes:
    """`exp_to_zero` for what is added to 1 or more, where its largest is 1: each factor of two below it costs 2e-9.

    With fused multiply-add ln 2 is one number, and that is how far it is off.
    """
    x = x.at_least(-87.5).at_most(89.0)
    rounded = fma(x, LOG2_E, ROUND + 126)
    r = fnma(rounded - (ROUND + 126), math.log(2), x)
    return horner(r, _TWICE_EXP) * (rounded.bits() << 23).as_float()


def exp2(x: Lanes, fused: bool = True) -> Lanes:
    """2^x, of f32; `fused` as of `_scaled`."""
    x = x.at_least(-151.0).at_most(129.0)
    rounded = fma(x, 0.5, ROUND + 127)
    r = fnma(rounded - (ROUND + 127), 2.0, x)
    return _scaled(horner(r, _EXP2), rounded, x < -126.0, fused)


def _scaled(p: Lanes, rounded: Lanes, low: Lanes, fused: bool) -> Lanes:
    """p * 2^(2m), with m in the low bits of `rounded` and `low` where the result is denormal.

    A product that is denormal takes some processors more than a hundred cycles, and masked scores of attention are all
    products that vanish. A sum takes no longer than others: so where the result is low 2^-126 is added, which rounds
    it, and taken off again. Where product and sum are one instruction (`fused`) the product is never seen; elsewhere
    it is made 2^126 times as large, rounded by adding 1, and moved to its place between 2^-126 and 2^-125.
    """
    if fused:
        s = (rounded.bits() << 23).as_float()
        # That of integers is not in the way of multiply-adds. Where it misses some, the product is denormal.
        low = rounded.bits() < _ALL_LOW
        base = low.where(p.constant(2.0**-126), 0.0)
        return fma(p * s, s, base) - base
    s = (low.where(rounded + 63.0, rounded).bits() << 23).as_float()
    result = p * s * s
    moved = ((result + 1.0).bits() - (126 << 23)).as_float()
    return low.where(moved - 2.0**-126, result)


def expm1(x: Lanes) -> Lanes:
    """e^x - 1, of f32, exact in its sign and relative error near zero.

    With 2^(n-1) in place of 2^n, which overflows first: 2 * (2^(n-1) * expm1(r) + (2^(n-1) - 0.5)).
    """
    x = x.at_least(-20.0).at_most(89.0)
    rounded = fma(x, LOG2_E, ROUND + 126)
    n = rounded - (ROUND + 126)
    s = (rounded.bits() << 23).as_float()
    # Both parts of ln 2 are positive, so that the r of -0 is -0.
    r = fnma(n, _LN2[1], fnma(n, _LN2[0], x))
    p = r * horner(r, _EXPM1)
    return n.equals(0.0).where(p, fma(s, p, s - 0.5) * 2.0)


def expm1_small(x: Lanes) -> Lanes:
    """e^x - 1, of f32 from 0 to 80 or NaN."""
    rounded = fma(x, LOG2_E, ROUND + 127)
    n = rounded - (ROUND + 127)
    s = (rounded.bits() << 23).as_float()
    r = fnma(n, _LN2[1], fnma(n, _LN2[0], x))
    return fma(s, r * horner(r, _EXPM1), s - 1.0)


def _half_exp(x: Lanes) -> Lanes:
    """exp(|x|) / 2, finite wherever that is."""
    p, s = _parts(x.abs().at_most(90.0))
    return p * (s * 0.5) * s


def cosh(x: Lanes) -> Lanes:
    """The hyperbolic cosine of f32."""
    h = _half_exp(x)
    return h + 0.25 / h


def sinh(x: Lanes) -> Lanes:
    """The hyperbolic sine of f32: a polynomial below 1."""
    h = _half_exp(x)
    square = x * x
    small = fma(x * square, horner(square, _SINH), x)
    return (x.abs() < 1.0).where(small, (h - 0.25 / h).copysign(x))


def exp2_of_f64(x: Lanes) -> Lanes:
    """2^x of f64 with a relative error of 2^-29, for results that are rounded to f32; 2^-200 stands for less."""
    x = x.at_least(-200.0).at_most(200.0)
    rounded = x + (ROUND64 + 1023)
    r = x - (rounded - (ROUND64 + 1023))
    return horner(r, _EXP2_64) * (rounded.bits() << 52).as_float()


UNFUSED = {"math.exp": partial(exp, fused=False), "math.exp2": partial(exp2, fused=False)}
"""What is written otherwise for machines without fused multiply-add."""
TO_ZERO = {"math.exp": exp_to_zero}
"""What is written where denormal results may be zero."""
APPROXIMATE = {"math.exp": exp_of_difference}
"""What is written where the result may be approximate, for machines with fused multiply-add."""
FUNCTIONS = {"math.exp": exp, "math.exp2": exp2, "math.expm1": expm1, "math.cosh": cosh, "math.sinh": sinh}
