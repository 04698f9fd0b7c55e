"""Index expressions: sums of loop variables, vector lanes, and quotients or remainders of such sums.

The bindings' affine expressions know neither the range nor the stride of a loop variable, and only those tell that
`(32 * p + lane + 16) floordiv 32` is `p`. These do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable

_idents = count()


@dataclass(eq=False, frozen=True)
class Var:
    """A loop variable: a multiple of `multiple` in `[low, high]` (`high` is None where it is not known)."""

    value: ir.Value | None
    multiple: int = 1
    low: int = 0
    high: int | None = None
    ident: int = field(default_factory=lambda: next(_idents))

    def bounds(self, coefficient: int) -> tuple[int | None, int | None]:
        """The range of `coefficient * self`; None stands for unbounded."""
        low, high = self.low * coefficient, None if self.high is None else self.high * coefficient
        return (low, high) if coefficient >= 0 else (high, low)


@dataclass(frozen=True)
class Part:
    """`index floordiv divisor` or `index mod divisor`, kept until a lane is put in or it is computed."""

    kind: str
    index: Index
    divisor: int
    multiple: int = 1

    @property
    def ident(self) -> tuple:
        return (self.kind, self.index.key, self.divisor)

    def bounds(self, coefficient: int) -> tuple[int | None, int | None]:
        if self.kind == "mod":
            return tuple(sorted((0, (self.divisor - 1) * coefficient)))
        low, high = self.index.bounds()
        low = None if low is None else low // self.divisor * coefficient
        high = None if high is None else high // self.divisor * coefficient
        return (low, high) if coefficient >= 0 else (high, low)


_LANES: dict[int, Var] = {}


def lane(width: int) -> Var:
    """The lane of a vector of `width` lanes: 0 to `width - 1`."""
    return _LANES.setdefault(width, Var(None, 1, 0, width - 1))


@dataclass(eq=False, frozen=True)
class Run(Var):
    """The lanes of a vector of unknown length from `start` on; those past `high` are off."""

    start: Index | None = None

    @staticmethod
    def of(start: Index, high: int | None = None) -> Index:
        """The index of a lane of the vector that begins at `start`; equal ones are one variable."""
        low = start.bounds()[0] or 0
        return Index({Run(None, 1, low, high, ("run", start.key, high), start): 1})


MERGED = Var(None)
"""Stands for a dimension that is merged with the one after it."""


class Index:
    """`sum(coefficient * variable) + constant`; immutable and hashable."""

    __slots__ = ("const", "key", "terms")

    def __init__(self, terms: dict[Var | Part, int] | None = None, const: int = 0):
        self.terms = {v: c for v, c in (terms or {}).items() if c}
        self.const = const
        self.key = (const, frozenset((v.ident, c) for v, c in self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Index) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.const + other)
        terms = dict(self.terms)
        for v, c in other.terms.items():
            terms[v] = terms.get(v, 0) + c
        return Index(terms, self.const + other.const)

    def __mul__(self, factor: int) -> Index:
        return Index({v: c * factor for v, c in self.terms.items()}, self.const * factor)

    def is_(self, variable: Var) -> bool:
        """Whether this is the variable itself."""
        return self.const == 0 and len(self.terms) == 1 and self.terms.get(variable) == 1

    @property
    def constant(self) -> int | None:
        return None if self.terms else self.const

    def uses(self, variable: Var) -> bool:
        return any(v is variable or (isinstance(v, Part) and v.index.uses(variable)) for v in self.terms)

    @property
    def lane(self) -> Var | None:
        """The lane variable that occurs in the index."""
        for v in self.terms:
            if isinstance(v, Part):
                found = v.index.lane
                if found is not None:
                    return found
            elif isinstance(v, Run) or (_LANES and v.value is None and _LANES.get((v.high or 0) + 1) is v):
                return v
        return None

    def put_lane(self, value: Index | int) -> Index:
        """Substitute a number or an index for the lane."""
        found = self.lane
        value = Index({}, value) if isinstance(value, int) else value
        if isinstance(found, Run):
            value = found.start + value
        return self if found is None else self.put(found, value)

    def put(self, variable: Var, value: Index) -> Index:
        """Substitute `value` for `variable`."""
        if not self.uses(variable):
            return self
        result = Index({}, self.const)
        for v, c in self.terms.items():
            if v is variable:
                term = value
            elif isinstance(v, Part) and v.index.uses(variable):
                term = split(v.index.put(variable, value), v.divisor)[0 if v.kind == "floordiv" else 1]
            else:
                term = Index({v: 1})
            result = result + term * c
        return result

    def bounds(self) -> tuple[int | None, int | None]:
        """The least and the greatest value, None where it is not known."""
        low: int | None = self.const
        high: int | None = self.const
        for v, c in self.terms.items():
            ends = v.bounds(c)
            low = None if low is None or ends[0] is None else low + ends[0]
            high = None if high is None or ends[1] is None else high + ends[1]
        return low, high


def of(variable: Var) -> Index:
    return Index({variable: 1})


def lane_like(index: Index) -> bool:
    """Whether the index moves by one from lane to lane."""
    found = index.lane
    return index.terms.get(found) == 1 and not any(isinstance(v, Part) and v.index.uses(found) for v in index.terms)


def split(index: Index, divisor: int) -> tuple[Index, Index]:
    """`index` floordiv and mod `divisor`, simplified where the ranges of the variables allow."""
    whole = {v: c // divisor for v, c in index.terms.items() if (c * v.multiple) % divisor == 0 and c % divisor == 0}
    odd = {v: c for v, c in index.terms.items() if (c * v.multiple) % divisor == 0 and c % divisor}
    rest = Index({v: c for v, c in index.terms.items() if v not in whole and v not in odd}, index.const % divisor)
    quotient = Index(whole, index.const // divisor)
    for v, c in odd.items():
        quotient = quotient + Index({Part("floordiv", Index({v: c}), divisor): 1})
    low, high = rest.bounds()
    if low is not None and high is not None and low >= 0 and high < divisor:
        return quotient, rest
    return quotient + Index({Part("floordiv", rest, divisor): 1}), Index({Part("mod", rest, divisor): 1})


def joined(outer: Index, inner: Index, divisor: int) -> Index:
    """The index that `split` makes `outer` and `inner` of."""
    terms = list(inner.terms)
    if len(terms) == 1 and isinstance(terms[0], Part) and inner.is_(terms[0]) and terms[0].divisor == divisor:
        whole = Part("floordiv", terms[0].index, divisor)
        if terms[0].kind == "mod" and outer.terms.get(whole) == 1:
            return (outer + Index({whole: -1})) * divisor + terms[0].index
    return outer * divisor + inner


def apply(expr: ir.AffineExpr, dims: list[Index]) -> Index:
    """The value of an affine expression without symbols at the given dimensions.

    Raises NotApplicable for a product of two dimensions, a division by one, or a symbol.
    """
    if isinstance(expr, ir.AffineDimExpr):
        return dims[expr.position]
    if isinstance(expr, ir.AffineConstantExpr):
        return Index({}, expr.value)
    if isinstance(expr, ir.AffineAddExpr):
        return apply(expr.lhs, dims) + apply(expr.rhs, dims)
    if isinstance(expr, ir.AffineMulExpr):
        lhs, rhs = apply(expr.lhs, dims), apply(expr.rhs, dims)
        if rhs.constant is not None:
            return lhs * rhs.constant
        if lhs.constant is not None:
            return rhs * lhs.constant
    if isinstance(expr, ir.AffineFloorDivExpr | ir.AffineCeilDivExpr | ir.AffineModExpr):
        lhs, divisor = apply(expr.lhs, dims), apply(expr.rhs, dims).constant
        if divisor is not None and divisor > 0:
            if isinstance(expr, ir.AffineModExpr):
                return split(lhs, divisor)[1]
            return split(lhs + (divisor - 1 if isinstance(expr, ir.AffineCeilDivExpr) else 0), divisor)[0]
    raise NotApplicable(f"the index {expr} is not affine in the loops")
