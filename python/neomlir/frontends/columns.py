"""What comes before trees: matrices of columns made from the columns of the rows, in one type of numbers.

A matrix is a tree of the classes below, from `Rows` up. What is done number by number stays one `Each`, whatever
scalers and encoders it took and wherever its columns come from; only `Product`, `Lookup`, `Norm` and `Join` end one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEUTRAL = {
    "subf": (0.0,), "addf": (-0.0,), "mulf": (1.0,), "divf": (1.0,), "maximumf": (-np.inf,), "minimumf": (np.inf,),
    "fill": (np.nan,), "replace": (np.nan, 0.0), "equals": (np.nan, 0.0, 0.0), "above": (0.0, 0.0), "trunc": (0.0,),
}  # fmt: skip
"""What may be done to a number, and the parameters with which nothing is done.

`subf` to `minimumf` are those of `arith`; `fill(v)` puts v in place of NaN; `replace(m, v)` puts v in place of m;
`equals(k, n, on)` gives 1 where the number is k (or NaN, where n is not 0) and else 0; `above(t, on)` gives 1 above t
and else 0; `trunc(on)` cuts off towards zero. The last three do nothing where `on` is 0.
"""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows as they are given."""

    width: int


@dataclass(frozen=True, eq=False)
class Each:
    """Column c is column `source[c]` of `base` (int64 [F]) after `steps`: names of `NEUTRAL`, each with a vector [F] a
    parameter."""

    base: Matrix
    source: np.ndarray
    steps: tuple[tuple[str, tuple[np.ndarray, ...]], ...] = ()

    @property
    def width(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class Product:
    """Column c is x[s[0]] * (x[s[1]] * (… * x[s[D - 1]])) for s = `sources[:, c]` (int64 [D, F]); -1 stands for 1."""

    base: Matrix
    sources: np.ndarray

    @property
    def width(self) -> int:
        return self.sources.shape[1]


@dataclass(frozen=True, eq=False)
class Lookup:
    """Column c is `codes[c, j]` where the number is `keys[c, j]` ([F, M], NaN equals nothing), `missing[c]` for NaN,
    and else `unknown[c]`."""

    base: Matrix
    keys: np.ndarray
    codes: np.ndarray
    missing: np.ndarray
    unknown: np.ndarray

    @property
    def width(self) -> int:
        return self.base.width


@dataclass(frozen=True, eq=False)
class Norm:
    """Each row over its norm, `l1`, `l2` or `max`; over 1 where that is not above `least`.

    `by` says whose bits: scikit-learn's, which adds up as numpy does, or those of ONNX Runtime, which adds up in order,
    and for `l2` takes the root of each number's share of the squares.
    """

    base: Matrix
    norm: str
    least: float
    by: str

    @property
    def width(self) -> int:
        return self.base.width


@dataclass(frozen=True, eq=False)
class Join:
    """Matrices side by side."""

    parts: tuple[Matrix, ...]

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts)


Matrix = Rows | Each | Product | Lookup | Norm | Join


def as_each(value: Matrix) -> Each:
    """`value` as columns that further steps can be added to."""
    return value if isinstance(value, Each) else Each(value, np.arange(value.width))


def step(value: Matrix, name: str, *numbers: object) -> Each:
    """`value` after one more step; each of `numbers` is one a column, or one for all."""
    value = as_each(value)
    vectors = tuple(np.broadcast_to(np.asarray(n, np.float64), (value.width,)) for n in numbers)
    return Each(value.base, value.source, (*value.steps, (name, vectors)))


def pick(value: Matrix, places: Sequence[int] | np.ndarray) -> Each:
    """The columns `places` of `value`, in that order."""
    value, places = as_each(value), np.asarray(places, np.int64)
    steps = tuple((name, tuple(v[places] for v in vectors)) for name, vectors in value.steps)
    return Each(value.base, value.source[places], steps)


def join(parts: Sequence[Matrix]) -> Matrix:
    """`parts` side by side; one `Each` where all of them read the same matrix."""
    parts = [part for part in parts if part.width]
    if len(parts) == 1:
        return parts[0]
    if parts and all(isinstance(part, Product) and part.base is parts[0].base for part in parts):
        most = max(len(part.sources) for part in parts)
        padded = [np.pad(p.sources, ((0, most - len(p.sources)), (0, 0)), constant_values=-1) for p in parts]
        return Product(parts[0].base, np.concatenate(padded, axis=1))
    every = [as_each(part) for part in parts]
    if not parts or any(each.base is not every[0].base for each in every):
        return Join(tuple(parts))
    width = sum(each.width for each in every)
    source = np.concatenate([each.source for each in every])
    steps: list[tuple[str, list[np.ndarray]]] = []
    first = 0
    for each in every:
        at, mine = 0, slice(first, first + each.width)
        for name, vectors in each.steps:
            # Later parts use the steps that are there, in their order.
            found = next((i for i in range(at, len(steps)) if steps[i][0] == name), len(steps))
            if found == len(steps):
                steps.append((name, [np.full(width, n) for n in NEUTRAL[name]]))
            for whole, vector in zip(steps[found][1], vectors, strict=True):
                whole[mine] = vector
            at = found + 1
        first += each.width
    return Each(every[0].base, source, tuple((name, tuple(vectors)) for name, vectors in steps))
