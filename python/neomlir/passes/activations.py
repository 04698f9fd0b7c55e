"""The activation functions of ONNX's recurrent layers, as scalar code."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, math

_DEFAULTS = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, 0.0),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, 0.0),
    "Relu": (0.0, 0.0),
    "ScaledTanh": (1.0, 1.0),
    "Sigmoid": (0.0, 0.0),
    "Softplus": (0.0, 0.0),
    "Softsign": (0.0, 0.0),
    "Tanh": (0.0, 0.0),
    "ThresholdedRelu": (1.0, 0.0),
}
"""Alpha and beta where a model gives none."""


@dataclass(frozen=True)
class Function:
    """A function by ONNX's name (https://onnx.ai/onnx/operators/onnx__LSTM.html), with its constants."""

    name: str
    alpha: float
    beta: float

    @staticmethod
    def of(name: str, alpha: float | None = None, beta: float | None = None) -> Function:
        """With ONNX's own constants where none are given. Raises KeyError for a name that it does not have."""
        known = {key.lower(): key for key in _DEFAULTS}
        name = known[name.lower()]
        own = _DEFAULTS[name]
        return Function(name, own[0] if alpha is None else alpha, own[1] if beta is None else beta)

    def apply(self, x: ir.Value) -> ir.Value:
        """The function of a float, at the current insertion point."""

        def number(value: float) -> ir.Value:
            return arith.constant(x.type, float(value))

        def scaled(value: ir.Value, by: float, plus: float = 0.0) -> ir.Value:
            value = value if by == 1 else arith.mulf(value, number(by))
            return value if plus == 0 else arith.addf(value, number(plus))

        def negative(then: ir.Value, bound: float = 0.0) -> ir.Value:
            return arith.select(arith.cmpf(arith.CmpFPredicate.OLT, x, number(bound)), then, x)

        a, b = self.alpha, self.beta
        match self.name:
            case "Affine":
                return scaled(x, a, b)
            case "Elu":
                return negative(scaled(math.expm1(x), a))
            case "HardSigmoid":
                return arith.minimumf(arith.maximumf(scaled(x, a, b), number(0)), number(1))
            case "LeakyRelu":
                return negative(scaled(x, a))
            case "Relu":
                return arith.maximumf(x, number(0))
            case "ScaledTanh":
                return scaled(math.tanh(scaled(x, b)), a)
            case "Sigmoid":
                return arith.divf(number(1), arith.addf(math.exp(arith.negf(x)), number(1)))
            case "Softplus":
                # The exponential of a large number has no bound, its logarithm of one more is that number.
                tail = math.log1p(math.exp(arith.negf(math.absf(x))))
                return arith.addf(arith.maximumf(x, number(0)), tail)
            case "Softsign":
                return arith.divf(x, arith.addf(math.absf(x), number(1)))
            case "ThresholdedRelu":
                return arith.select(arith.cmpf(arith.CmpFPredicate.OGT, x, number(a)), x, number(0))
            case _:
                return math.tanh(x)
