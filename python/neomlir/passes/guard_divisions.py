"""Keep integer division from ending the process that runs a model."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register

_DIVISIONS = frozenset({"arith.divsi", "arith.divui", "arith.remsi", "arith.remui"})
_EQUAL = 0


@register
@dataclass(frozen=True)
class GuardDivisions(ModulePass):
    """Give integer division a result for every divisor: zero where the divisor is zero, as numpy has it.

    Processors trap on a division by zero, and x86 on the least number by -1, whose result wraps around here. A divisor
    that is a constant and neither is left alone. Works on scalars, indices and vectors.
    """

    name = "neo-guard-divisions"

    def run(self, module: ir.Module) -> None:
        """Rewrite every division whose divisor may be zero or -1."""
        found: list[ir.Operation] = []

        def collect(op: ir.Operation) -> ir.WalkResult:
            if op.name in _DIVISIONS and not _is_harmless(op):
                found.append(op.operation)
            return ir.WalkResult.ADVANCE

        module.operation.walk(collect)
        for op in found:
            with op.location:
                _guard(op)
        count("divisions guarded", len(found))


def _is_harmless(op: ir.Operation) -> bool:
    maker = op.operands[1].owner
    if isinstance(maker, ir.Block) or maker.operation.name != "arith.constant":
        return False
    value = maker.operation.attributes["value"]
    if isinstance(value, ir.DenseElementsAttr):
        if not value.is_splat:
            return False
        value = value.get_splat_value()
    return isinstance(value, ir.IntegerAttr) and value.value not in (0, -1)


def _guard(op: ir.Operation) -> None:
    number, divisor = op.operands
    type_, at = op.results[0].type, ir.InsertionPoint(op)

    def create(name: str, *operands: ir.Value, type_: ir.Type = type_, **attributes: ir.Attribute) -> ir.Value:
        made = ir.Operation.create(name, results=[type_], operands=list(operands), attributes=attributes, ip=at)
        return made.results[0]

    def equals(value: int) -> ir.Value:
        predicate = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), _EQUAL)
        return create("arith.cmpi", divisor, constant(value), type_=_truths(type_), predicate=predicate)

    def constant(value: int) -> ir.Value:
        return create("arith.constant", value=_attribute(type_, value))

    is_zero = equals(0)
    safe = create("arith.select", is_zero, constant(1), divisor)
    signed = op.name in ("arith.divsi", "arith.remsi")
    if signed:
        is_minus_one = equals(-1)
        safe = create("arith.select", is_minus_one, constant(1), safe)
    result = create(op.name, number, safe)
    if op.name == "arith.divsi":
        result = create("arith.select", is_minus_one, create("arith.subi", constant(0), number), result)
    if op.name.startswith("arith.div"):
        result = create("arith.select", is_zero, constant(0), result)
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _attribute(type_: ir.Type, value: int) -> ir.Attribute:
    if isinstance(type_, ir.VectorType):
        return ir.DenseElementsAttr.get_splat(type_, ir.IntegerAttr.get(type_.element_type, value))
    return ir.IntegerAttr.get(type_, value)


def _truths(type_: ir.Type) -> ir.Type:
    """The type of a comparison of two values of a type."""
    i1 = ir.IntegerType.get_signless(1)
    if not isinstance(type_, ir.VectorType):
        return i1
    return ir.Type.parse(str(type_).removesuffix(f"x{type_.element_type}>") + "xi1>")
