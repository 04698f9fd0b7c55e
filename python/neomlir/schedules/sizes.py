"""Arithmetic on sizes and indices: numbers where they are known while compiling, else values of the code."""

from __future__ import annotations

from neomlir.mlir import arith, ir

Size = int | ir.Value


class Sizes:
    """What a builder does with sizes; it says how operations and constants are emitted."""

    context: ir.Context
    index_type: ir.Type
    i1: ir.Type
    _nsw: ir.Attribute

    def value(self, name: str, result: ir.Type, *operands: ir.Value, **attributes: ir.Attribute) -> ir.Value:
        """The result of an operation."""
        raise NotImplementedError

    def constant(self, attribute: ir.Attribute) -> ir.Value:
        """A constant."""
        raise NotImplementedError

    def index(self, number: int) -> ir.Value:
        return self.constant(ir.IntegerAttr.get(self.index_type, number))

    def size(self, size: Size) -> ir.Value:
        return self.index(size) if isinstance(size, int) else size

    def add(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if b == 0 and isinstance(b, int):
            return a
        if a == 0 and isinstance(a, int):
            return b
        return self.value("arith.addi", self.index_type, self.size(a), self.size(b), overflowFlags=self._nsw)

    def sub(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return self.value("arith.subi", self.index_type, self.size(a), self.size(b), overflowFlags=self._nsw)

    def mul(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if isinstance(a, int):
            a, b = b, a
        if b == 1 and isinstance(b, int):
            return a
        return self.value("arith.muli", self.index_type, self.size(a), self.size(b), overflowFlags=self._nsw)

    def div(self, a: Size, b: Size) -> Size:
        """Quotient of numbers that are not negative."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        if isinstance(b, int) and b == 1:
            return a
        return self.value("arith.divui", self.index_type, self.size(a), self.size(b))

    def rem(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return a % b
        return self.value("arith.remui", self.index_type, self.size(a), self.size(b))

    def ceildiv(self, a: Size, b: int) -> Size:
        return self.div(self.add(a, b - 1), b)

    def min(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self.value("arith.minsi", self.index_type, self.size(a), self.size(b))

    def max(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self.value("arith.maxsi", self.index_type, self.size(a), self.size(b))

    def less(self, a: Size, b: Size, signed: bool = True) -> ir.Value:
        return self._compare(arith.CmpIPredicate.slt if signed else arith.CmpIPredicate.ult, a, b)

    def equal(self, a: Size, b: Size) -> ir.Value:
        return self._compare(arith.CmpIPredicate.eq, a, b)

    def _compare(self, how: arith.CmpIPredicate, a: Size, b: Size) -> ir.Value:
        predicate = ir.IntegerAttr.get(ir.IntegerType.get_signless(64, self.context), int(how))
        return self.value("arith.cmpi", self.i1, self.size(a), self.size(b), predicate=predicate)
