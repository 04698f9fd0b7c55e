"""How the partial results of a reduction are put together: sums, products, extremes, logical operations."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir
from neomlir.schedules.builder import Builder, number
from neomlir.schedules.kernel import Generic

_KINDS = {
    "arith.addf": ("add", 0.0),
    "arith.mulf": ("mul", 1.0),
    "arith.maximumf": ("maximumf", float("-inf")),
    "arith.minimumf": ("minimumf", float("inf")),
    "arith.maxnumf": ("maxnumf", float("-inf")),
    "arith.minnumf": ("minnumf", float("inf")),
    "arith.addi": ("add", 0),
    "arith.muli": ("mul", 1),
    "arith.ori": ("or", 0),
    "arith.xori": ("xor", 0),
    "arith.maxui": ("maxui", 0),
    "arith.maxsi": ("maxsi", "low"),
    "arith.minsi": ("minsi", "high"),
    "arith.andi": ("and", -1),
    "arith.minui": ("minui", -1),
}


_EXTREMES = {"arith.maximumf": "maxnumf", "arith.minimumf": "minnumf"}
"""What hands NaN on, and what does the same where there is none."""
_PASSES_OVER = {"arith.maxnumf": arith.CmpFPredicate.OGT, "arith.minnumf": arith.CmpFPredicate.OLT}
"""What passes over NaN, and what is true where the second of two numbers, of which the first is none, is taken."""


@dataclass(frozen=True)
class Combination:
    """`result = name(accumulator, value)`: associative, commutative, with a neutral element."""

    name: str
    value: ir.Value
    """What is combined into the accumulator, a value of the body."""

    def combine(self, b: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        return b.value(self.name, x.type, x, y)

    def gather(self, b: Builder, x: ir.Value, y: ir.Value, loses_nan: bool = False) -> ir.Value:
        """The same, where x came of nothing but the neutral element and such combinations; `loses_nan`: as of a
        machine, which then has an instruction for it if NaN is passed over: x is none."""
        predicate = _PASSES_OVER.get(self.name)
        if not loses_nan or predicate is None:
            return self.combine(b, x, y)
        return b.value("arith.select", y.type, compared(b, predicate, y, x), y, x)

    @property
    def is_extreme(self) -> bool:
        """Whether it is the largest or the smallest, and hands NaN on."""
        return self.name in _EXTREMES

    @property
    def is_scalable(self) -> bool:
        """Whether the lanes of a vector of unknown length can be combined: machines have no product of them."""
        return _KINDS[self.name][0] != "mul"

    def neutral(self, b: Builder, element: ir.Type, lanes: int) -> ir.Value:
        """A vector of neutral elements."""
        n = _KINDS[self.name][1]
        if n in ("low", "high"):
            n = -(1 << (element.width - 1)) if n == "low" else (1 << (element.width - 1)) - 1
        return b.splat(b.constant(number(element, n)), lanes)

    def across(self, b: Builder, vector: ir.Value, loses_nan: bool = False) -> ir.Value:
        """The lanes of a vector combined to one; `loses_nan`: as of a machine."""
        if not isinstance(vector.type, ir.VectorType):
            return vector
        kind = _KINDS[self.name][0]
        if loses_nan and self.name in _PASSES_OVER:
            # What was gathered is no NaN.
            return reduced(b, kind, vector, _ordered(b))
        if not (loses_nan and self.is_extreme):
            return reduced(b, kind, vector)
        # Asked for once, and not at each of the steps, which wait for each other.
        odd = reduced(b, "or", compared(b, arith.CmpFPredicate.UNO, vector, vector))
        found = reduced(b, _EXTREMES[self.name], vector, _ordered(b))
        nan = b.constant(number(ir.VectorType(vector.type).element_type, float("nan")))
        return b.value("arith.select", found.type, odd, nan, found)


def compared(b: Builder, predicate: arith.CmpFPredicate | arith.CmpIPredicate, x: ir.Value, y: ir.Value) -> ir.Value:
    """`arith.cmpf` or `arith.cmpi`, as the predicate is, of two numbers or vectors of them."""
    attribute = ir.IntegerAttr.get(ir.IntegerType.get_signless(64, b.context), int(predicate))
    kind = ir.VectorType.get(x.type.shape, b.i1) if isinstance(x.type, ir.VectorType) else b.i1
    name = "arith.cmpf" if isinstance(predicate, arith.CmpFPredicate) else "arith.cmpi"
    return b.value(name, kind, x, y, predicate=attribute)


def _ordered(b: Builder) -> ir.Attribute:
    return ir.Attribute.parse("#arith.fastmath<nnan,nsz>", b.context)


def reduced(b: Builder, kind: str, vector: ir.Value, fastmath: ir.Attribute | None = None) -> ir.Value:
    """The lanes of a vector combined to one by `vector.reduction` of a kind."""
    options = {"fastmath": fastmath} if fastmath else {}
    kind = ir.Attribute.parse(f"#vector.kind<{kind}>", b.context)
    return b.value("vector.reduction", ir.VectorType(vector.type).element_type, vector, kind=kind, **options)


def combinations(root: Generic) -> list[Combination] | None:
    """How each result of a reduction is combined, or None where the body is not `acc = op(acc, value)` for all."""
    found = []
    accumulators = list(root.body.arguments)[len(root.inputs) :]
    for accumulator, total in zip(accumulators, root.yields, strict=True):
        each = combination(total, accumulator)
        if each is None or len(list(accumulator.uses)) != 1 or _reads(each.value, accumulators):
            return None
        found.append(each)
    return found


def combination(total: ir.Value, accumulator: ir.Value) -> Combination | None:
    """How a value of a body combines the accumulator and something that does not read it, or None."""
    op = total.owner
    if isinstance(op, ir.Block) or op.name not in _KINDS:
        return None
    x, y = op.operands
    value = y if x == accumulator else x if y == accumulator else None
    return None if value is None or _reads(value, [accumulator]) else Combination(op.name, value)


def _reads(value: ir.Value, accumulators: list[ir.Value]) -> bool:
    """Whether a value of the body depends on an accumulator."""
    if value in accumulators:
        return True
    return not isinstance(value.owner, ir.Block) and any(_reads(o, accumulators) for o in value.owner.operands)
