"""Formulas on scalars and vectors of any shape that read like formulas and build `arith` operations."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import arith, ir, math, vector

_CONTRACT = arith.FastMathFlags.contract
Operand = "Lanes | float | int"


class Lanes:
    """One value a lane: a scalar or a vector (fixed or scalable) of floats, integers or truth values.

    Arithmetic is that of the element type, integers are signed, and Python numbers become splat constants.
    """

    __slots__ = ("value",)

    def __init__(self, value: ir.Value):
        self.value = value

    @property
    def element(self) -> ir.Type:
        """The type of one lane."""
        return element_type(self.value.type)

    @property
    def is_float(self) -> bool:
        return isinstance(self.element, ir.FloatType)

    def constant(self, number: float | int) -> Lanes:
        """`number` in every lane. An integer may be given as the unsigned value of its bits."""
        element, type_ = self.element, self.value.type
        if self.is_float:
            attribute = ir.FloatAttr.get(element, number)
        else:
            bits = ir.IntegerType(element).width
            number &= (1 << bits) - 1
            attribute = ir.IntegerAttr.get(
                element, number - (1 << bits) if number >> (bits - 1) and bits > 1 else number
            )
        if isinstance(type_, ir.VectorType):
            attribute = ir.DenseElementsAttr.get_splat(type_, attribute)
        return Lanes(arith.ConstantOp(type_, attribute).result)

    def _other(self, other: Operand) -> ir.Value:
        return other.value if isinstance(other, Lanes) else self.constant(other).value

    def _binary(self, other: Operand, of_floats, of_integers, *, reflected: bool = False) -> Lanes:
        build = of_floats if self.is_float else of_integers
        a, b = self.value, self._other(other)
        return Lanes(build(b, a) if reflected else build(a, b))

    def __add__(self, other: Operand) -> Lanes:
        return self._binary(other, arith.addf, arith.addi)

    def __sub__(self, other: Operand) -> Lanes:
        return self._binary(other, arith.subf, arith.subi)

    def __rsub__(self, other: Operand) -> Lanes:
        return self._binary(other, arith.subf, arith.subi, reflected=True)

    def __mul__(self, other: Operand) -> Lanes:
        return self._binary(other, arith.mulf, arith.muli)

    def __truediv__(self, other: Operand) -> Lanes:
        return Lanes(arith.divf(self.value, self._other(other)))

    def __rtruediv__(self, other: Operand) -> Lanes:
        return Lanes(arith.divf(self._other(other), self.value))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Lanes:
        return Lanes(arith.negf(self.value))

    def __and__(self, other: Operand) -> Lanes:
        return Lanes(arith.andi(self.value, self._other(other)))

    def __or__(self, other: Operand) -> Lanes:
        return Lanes(arith.ori(self.value, self._other(other)))

    def __xor__(self, other: Operand) -> Lanes:
        return Lanes(arith.xori(self.value, self._other(other)))

    def __invert__(self) -> Lanes:
        return self ^ -1

    def __lshift__(self, count: Operand) -> Lanes:
        return Lanes(arith.shli(self.value, self._other(count)))

    def __rshift__(self, count: Operand) -> Lanes:
        """With copies of the sign."""
        return Lanes(arith.shrsi(self.value, self._other(count)))

    def shift_right_logical(self, count: Operand) -> Lanes:
        """With zeros."""
        return Lanes(arith.shrui(self.value, self._other(count)))

    def _compare(self, other: Operand, of_floats: str, of_integers: str) -> Lanes:
        if self.is_float:
            return Lanes(arith.cmpf(getattr(arith.CmpFPredicate, of_floats), self.value, self._other(other)))
        return Lanes(arith.cmpi(getattr(arith.CmpIPredicate, of_integers), self.value, self._other(other)))

    def __lt__(self, other: Operand) -> Lanes:
        """False where either is NaN; so are the other comparisons but `differs` and `greater_or_nan`."""
        return self._compare(other, "OLT", "slt")

    def __gt__(self, other: Operand) -> Lanes:
        return self._compare(other, "OGT", "sgt")

    def equals(self, other: Operand) -> Lanes:
        return self._compare(other, "OEQ", "eq")

    def differs(self, other: Operand) -> Lanes:
        return self._compare(other, "UNE", "ne")

    def greater_or_nan(self, other: Operand) -> Lanes:
        return self._compare(other, "UGT", "sgt")

    def where(self, yes: Operand, no: Operand) -> Lanes:
        """`yes` in the lanes where this truth value holds, else `no`; one of them is not a Python number."""
        model = yes if isinstance(yes, Lanes) else no
        return Lanes(arith.select(self.value, model._other(yes), model._other(no)))

    def at_most(self, limit: float) -> Lanes:
        """The smaller of both; NaN stays NaN."""
        bound = self.constant(limit)
        return (bound < self).where(bound, self)

    def at_least(self, limit: float) -> Lanes:
        """The larger of both; NaN stays NaN."""
        bound = self.constant(limit)
        return (bound > self).where(bound, self)

    def bits(self) -> Lanes:
        """The floats' bits as integers of their width."""
        integer = ir.IntegerType.get_signless(ir.FloatType(self.element).width)
        return Lanes(arith.bitcast(_with_element(self.value.type, integer), self.value))

    def as_float(self) -> Lanes:
        """The floats whose bits these integers are."""
        float_ = {32: ir.F32Type, 64: ir.F64Type}[ir.IntegerType(self.element).width].get()
        return Lanes(arith.bitcast(_with_element(self.value.type, float_), self.value))

    def to(self, element: ir.Type) -> Lanes:
        """Converted by value: between floats, from signed integers to floats, or to wider or narrower integers.

        Widening of integers is with zeros.
        """
        type_, old = _with_element(self.value.type, element), self.element
        if old == element:
            return self
        if not self.is_float:
            if isinstance(element, ir.FloatType):
                return Lanes(arith.sitofp(type_, self.value))
            wider = ir.IntegerType(element).width > ir.IntegerType(old).width
            return Lanes((arith.extui if wider else arith.trunci)(type_, self.value))
        wider = ir.FloatType(element).width > ir.FloatType(old).width
        return Lanes((arith.extf if wider else arith.truncf)(type_, self.value))

    def f32(self) -> Lanes:
        return self.to(ir.F32Type.get())

    def f64(self) -> Lanes:
        return self.to(ir.F64Type.get())

    def i64(self) -> Lanes:
        return self.to(ir.IntegerType.get_signless(64))

    def abs(self) -> Lanes:
        return Lanes(math.absf(self.value))

    def sqrt(self) -> Lanes:
        return Lanes(math.sqrt(self.value))

    def trunc(self) -> Lanes:
        """The whole part."""
        return Lanes(math.trunc(self.value))

    def copysign(self, sign: Lanes) -> Lanes:
        return Lanes(math.copysign(self.value, sign.value))

    def any(self) -> ir.Value:
        """Whether a truth value holds in some lane, as an `i1`."""
        type_ = self.value.type
        if not isinstance(type_, ir.VectorType):
            return self.value
        rows = [self.value]
        for extent in type_.shape[:-1]:
            rows = [vector.extract(row, [], [i]) for row in rows for i in range(extent)]
        row = rows[0]
        for other in rows[1:]:
            row = arith.ori(row, other)
        if not type_.rank:
            return vector.extract(row, [], [])
        return vector.reduction(self.element, vector.CombiningKind.OR, row)


def element_type(type_: ir.Type) -> ir.Type:
    """The type of one lane of a scalar or vector type."""
    return type_.element_type if isinstance(type_, ir.VectorType) else type_


def _with_element(type_: ir.Type, element: ir.Type) -> ir.Type:
    if not isinstance(type_, ir.VectorType):
        return element
    return ir.VectorType.get(type_.shape, element, scalable=type_.scalable_dims if type_.scalable else None)


def fma(a: Lanes, b: Operand, c: Operand) -> Lanes:
    """`a * b + c`, fused by the back end where the target has such an instruction and rounded twice elsewhere.

    No formula may lean on the single rounding: `math.fma` would promise it, and costs a library call a lane on
    processors without the instruction.
    """
    product = arith.mulf(a.value, a._other(b), fastmath=_CONTRACT)
    return Lanes(arith.addf(product, a._other(c), fastmath=_CONTRACT))


def fnma(a: Lanes, b: Operand, c: Lanes) -> Lanes:
    """`c - a * b`, as `fma`."""
    product = arith.mulf(a.value, a._other(b), fastmath=_CONTRACT)
    return Lanes(arith.subf(c.value, product, fastmath=_CONTRACT))


def even_odd(x: Lanes, square: Lanes, coefficients: Sequence[float]) -> Lanes:
    """The same as `horner` in half as many steps, of half the rounding where all terms count; `square` is x^2."""
    return fma(horner(square, coefficients[1::2]), x, horner(square, coefficients[::2]))


def horner(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """The polynomial whose coefficients are given from the constant term up."""
    result = x.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = fma(result, x, coefficient)
    return result
