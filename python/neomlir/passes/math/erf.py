"""erf and erfc of f32.

erf is x / 4 + x P(x^2) / Q(x^2), of which 1 / 4 + P / Q is one quotient, minimax in the relative error up to where erf
rounds to 1. There x / 4 is nearly all of it and exact, so the rounding errors of P and Q count little. erfc needs
relative accuracy far out, where it is 1e-44, so (1 + 2x) exp(x^2) erfc(x) is a polynomial in (x - 3) / (x + 3) (the
transformation is M. Shepherd and J. Laframboise's, Chebyshev Approximation of (1 + 2x) exp(x^2) erfc(x), 1981),
evaluated in f64.
"""

from __future__ import annotations

from neomlir.passes.math.exp import LOG2_E, exp2_of_f64
from neomlir.passes.math.lanes import Lanes, even_odd, fma, horner

_ONE_FROM = 3.925
_P = (
    1.4688186645507812, 0.10875074565410614, 0.040506646037101746, 4.480453208088875e-05, -1.0240997653454542e-05,
    -1.248444095836021e-05,
)  # fmt: skip
_Q = (
    1.672192096710205, 0.8398482203483582, 0.1909368634223938, 0.025055082514882088, 0.0019462286727502942,
    6.362305430229753e-05,
)  # fmt: skip
_ERFC = (
    1.2530080592156854, -0.1356211401318903, -0.04756240966672051, 0.12964643365774306, -0.1192707954156361,
    0.06829575016733262, -0.023798538385101688, 0.002566561229893245, 0.0020033523186782074, -0.0007751187288763427,
    -0.00026717995222312217,
)  # fmt: skip


def erf(x: Lanes) -> Lanes:
    """The error function of f32."""
    x = x.at_least(-_ONE_FROM).at_most(_ONE_FROM)
    square = x * x
    fourth = square * square
    return fma(x, 0.25, x * even_odd(square, fourth, _P) / even_odd(square, fourth, _Q))


def erfc(x: Lanes) -> Lanes:
    """1 - erf(x) of f32, in relative accuracy."""
    a = x.f64().abs().at_most(10.2)
    tail = horner((a - 3.0) / (a + 3.0), _ERFC) / (a * 2.0 + 1.0) * exp2_of_f64(a * a * -LOG2_E)
    return (x < 0.0).where(2.0 - tail, tail).f32()


FUNCTIONS = {"math.erf": erf, "math.erfc": erfc}
