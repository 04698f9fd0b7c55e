"""The matrices of Winograd's minimal filtering, and how they are applied to vectors in registers.

F(m, r) gives m neighbouring results of a filter of r taps by m + r - 1 multiplications (S. Winograd, Arithmetic
Complexity of Computations, 1980; for convolutions A. Lavin and S. Gray, CVPR 2016): `A^T [(G g) * (B^T d)]` for taps g
and inputs d. The matrices follow from the points at which polynomials are evaluated (Cook and Toom).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from neomlir.mlir import ir
from neomlir.schedules.builder import Builder, number

TAPS = 3
POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2)),
}
"""The finite points of F(m, 3); infinity is the last one.

Those of F(4, 3) are not the usual 1 and 2: with powers closer to one, sums lose four times less (the search is that of
B. Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution, ACM TOMS 2020), and since their
product is one, so are two coefficients of B.
"""
WHOLE_POINTS = {m: tuple(map(Fraction, points)) for m, points in ((2, (0, 1, -1)), (4, (0, 1, -1, 2, -2)))}
"""Those of F(m, 3) on integers."""
ERROR = {2: 1.1, 4: 4.5}
"""The largest error of F(m x m, 3 x 3), relative to the largest result, over 2^-24 times the square root of the input
channels: measured on random data, and half as much again."""


def matrices(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T (m x n), G (n x 3) and B^T (n x n) of F(m, 3), n = m + 2, as float64."""
    return tuple(np.array([[float(x) for x in row] for row in rows]) for rows in _fractions(m, POINTS[m]))


def whole_matrices(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """A^T, G and B^T of F(m, 3) in whole numbers, as float64, and how many times too large the results are."""
    a, g, b = _fractions(m, WHOLE_POINTS[m])
    scales = [math.lcm(*(x.denominator for x in row)) for row in g]
    factor = math.lcm(*scales)
    a = [[x * factor / scale for x, scale in zip(row, scales, strict=True)] for row in a]
    g = [[x * scale for x in row] for row, scale in zip(g, scales, strict=True)]
    return *(np.array([[float(x) for x in row] for row in rows]) for rows in (a, g, b)), factor


def _fractions(m: int, points: Sequence[Fraction]) -> tuple[list[list[Fraction]], ...]:
    a = [[p**i for p in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    g, b = [], []
    for p in points:
        others = [q for q in points if q != p]
        scale = Fraction(1)
        for q in others:
            scale *= p - q
        g.append([p**i / scale for i in range(TAPS)])
        b.append([*_product(others), Fraction(0)])
    g.append([Fraction(0)] * (TAPS - 1) + [Fraction(1)])
    b.append(_product(points))
    return a, g, b


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the monic polynomial with these roots, the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        found = [x - root * y for x, y in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


class Arithmetic(Protocol):
    """What `multiply` computes with."""

    def add(self, x: Any, y: Any, sign: int) -> Any:
        """x + sign * y."""

    def scale(self, factor: float, x: Any) -> Any:
        """factor * x."""

    def accumulate(self, factor: float, x: Any, total: Any) -> Any:
        """total + factor * x."""


def multiply(on: Arithmetic, matrix: np.ndarray, values: Sequence[Any]) -> list[Any]:
    """The product of a matrix with a vector of values.

    Two columns that differ in signs alone meet in the sum and the difference of their values first; two rows that do
    are the sum and the difference of what they have in common.
    """
    matrix, values = np.array(matrix, np.float64), list(values)
    while (pair := _pair(matrix.T)) is not None:
        i, j = pair
        x, even = matrix[:, i], matrix[:, i] == matrix[:, j]
        both = [on.add(values[i], values[j], 1), on.add(values[i], values[j], -1)]
        kept = [k for k in range(len(values)) if k not in pair]
        halves = [np.where(even, x, 0.0), np.where(even, 0.0, x)]
        matrix = np.column_stack([*halves, *(matrix[:, k] for k in kept)])
        values = [*both, *(values[k] for k in kept)]
    found: list[Any] = [None] * len(matrix)
    open_rows = list(range(len(matrix)))
    while (pair := _pair(matrix[open_rows])) is not None:
        i, j = (open_rows[k] for k in pair)
        even = matrix[i] == matrix[j]
        halves = [_sum(on, np.where(half, matrix[i], 0.0), values) for half in (even, ~even)]
        found[i], found[j] = on.add(*halves, 1), on.add(*halves, -1)
        open_rows = [k for k in open_rows if k not in (i, j)]
    for i in open_rows:
        found[i] = _sum(on, matrix[i], values)
    return found


def _pair(rows: np.ndarray) -> tuple[int, int] | None:
    """Two rows that are equal but for signs, in some places equal and in others opposite."""
    for i, x in enumerate(rows):
        for j in range(i + 1, len(rows)):
            y = rows[j]
            some = x != 0
            if (np.abs(x) == np.abs(y)).all() and (some & (x == y)).any() and (some & (x == -y)).any():
                return i, j
    return None


def _sum(on: Arithmetic, row: np.ndarray, values: Sequence[Any]) -> Any:
    """The sum of the values that have a coefficient, those of coefficient one first."""
    terms = sorted((k for k in range(len(row)) if row[k]), key=lambda k: (row[k] != 1.0, abs(row[k]) != 1.0, k))
    if not terms:
        raise ValueError("a row of a transform is zero")
    first, *others = terms
    total = values[first] if row[first] == 1.0 else on.scale(float(row[first]), values[first])
    for k in others:
        if abs(row[k]) == 1.0:
            total = on.add(total, values[k], int(row[k]))
        else:
            total = on.accumulate(float(row[k]), values[k], total)
    return total


class Count:
    """Counts operations instead of computing."""

    def __init__(self) -> None:
        self.operations = 0

    def _one(self, *_: Any) -> None:
        self.operations += 1

    add = scale = accumulate = _one


def operations(matrix: np.ndarray) -> int:
    """How many operations a product with a matrix takes."""
    count = Count()
    multiply(count, matrix, [None] * matrix.shape[1])
    return count.operations


class Vectors:
    """Emits the operations on vectors of floats, or scalars."""

    def __init__(self, builder: Builder, fma: bool):
        self.b, self.fma = builder, fma

    def add(self, x: ir.Value, y: ir.Value, sign: int) -> ir.Value:
        return self.b.value("arith.addf" if sign > 0 else "arith.subf", x.type, x, y)

    def scale(self, factor: float, x: ir.Value) -> ir.Value:
        return self.b.value("arith.mulf", x.type, self._constant(factor, x), x)

    def accumulate(self, factor: float, x: ir.Value, total: ir.Value) -> ir.Value:
        if self.fma:
            return self.b.value("math.fma", x.type, self._constant(factor, x), x, total)
        return self.add(total, self.scale(factor, x), 1)

    def _constant(self, factor: float, like: ir.Value) -> ir.Value:
        if not isinstance(like.type, ir.VectorType):
            return self.b.constant(number(like.type, factor))
        vector = ir.VectorType(like.type)
        return self.b.splat(self.b.constant(number(vector.element_type, factor)), vector.shape[0])
