"""tanh of f32 as expm1(2x) / (expm1(2x) + 2): one quotient, never above 1, and no branch near zero."""

from __future__ import annotations

from neomlir.passes.math.exp import expm1_small
from neomlir.passes.math.lanes import Lanes

_ONE_FROM = 18.1
"""tanh rounds to 1 from half of this on."""


def tanh(x: Lanes) -> Lanes:
    """The hyperbolic tangent of f32."""
    a = x.abs()
    e = expm1_small((a + a).at_most(_ONE_FROM))
    return (e / (e + 2.0)).copysign(x)


FUNCTIONS = {"math.tanh": tanh}
