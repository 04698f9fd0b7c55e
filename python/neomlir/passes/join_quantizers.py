"""Round in f32 what is quantised and dequantised again inside one body."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.quantized_bodies import ROUNDER


@register
@dataclass(frozen=True)
class JoinQuantizers(ModulePass):
    """Rewrite the conversion of an f32 to an 8-bit integer and back as a rounding that stays in f32.

    Where the body of a generic clamps, rounds and narrows a value as `neo-fold-quantization` writes it, and widens the
    integer again to take off a zero point, the same whole number is there without either conversion: `(x + c) - c`
    with c = 1.5 * 2**23. That is what `neo-fuse-elementwise` makes of a residual connection between quantised layers.
    Of the sum of two such tensors, `(x * a + y * b) * c` with numbers a, b and c, is left `x * (a * c) + y * (b * c)`,
    which may be a multiplication and a fused multiply-add.
    """

    name = "neo-join-quantizers"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        body = op.regions[0].blocks[0]
                        for inner in [o.operation for o in body.operations]:
                            if inner.name == "arith.sitofp":
                                _join(inner)
                        for inner in [o.operation for o in body.operations if o.operation.name == "arith.mulf"]:
                            _merge_scales(inner)


def _join(op: ir.Operation) -> None:
    minus, value, taken = _shift("arith.subi", op.operands[0])
    wide = s.maker(value)
    if wide is None or wide.name not in ("arith.extui", "arith.extsi") or wide.results[0].type.width != 32:
        return
    narrow = s.maker(wide.operands[0])
    if narrow is None or narrow.name != "arith.trunci" or narrow.results[0].type.width != 8:
        return
    plus, value, zero = _shift("arith.addi", narrow.operands[0])
    bits = s.maker(value)
    if bits is None or bits.name != "arith.bitcast":
        return
    rounded = s.maker(bits.operands[0])
    if rounded is None or rounded.name != "arith.addf" or _number(rounded.operands[1]) != ROUNDER:
        return
    bounds = _bounds(rounded.operands[0])
    least = 0 if wide.name == "arith.extui" else -128
    if bounds is None or bounds[0] + zero < least or bounds[1] + zero > least + 255:
        return
    f32 = rounded.results[0].type
    with ir.InsertionPoint(op), op.location:
        whole = arith.SubFOp(rounded.results[0], rounded.operands[1]).result
        if zero != taken:
            shift = arith.ConstantOp(f32, ir.FloatAttr.get(f32, float(zero - taken))).result
            whole = arith.AddFOp(whole, shift).result
    op.results[0].replace_all_uses_with(whole)
    for dead in (op, minus, wide, narrow, plus, bits):
        if dead is not None and dead.name in _STEPS and all(next(iter(r.uses), None) is None for r in dead.results):
            dead.erase()


def _merge_scales(op: ir.Operation) -> None:
    """Multiply both addends of a sum of dequantised values by the number that the sum is multiplied with."""
    total, scale = s.maker(op.operands[0]), _number(op.operands[1])
    f32 = op.results[0].type
    if scale is None or total is None or total.name != "arith.addf" or not isinstance(f32, ir.F32Type):
        return
    addends = [s.maker(value) for value in total.operands]
    if total.operands[0] == total.operands[1] or not all(
        s.one_use(value) for value in [*total.results, *total.operands]
    ):
        return
    numbers = [_number(a.operands[1]) if a is not None and a.name == "arith.mulf" else None for a in addends]
    if None in numbers or not all(_is_whole(a.operands[0]) for a in addends):
        return
    fused = arith.FastMathFlags.contract
    with ir.InsertionPoint(op), op.location:
        scaled = []
        for addend, number in zip(addends, numbers, strict=True):
            product = arith.ConstantOp(f32, ir.FloatAttr.get(f32, number * scale)).result
            scaled.append(arith.MulFOp(addend.operands[0], product, fastmath=fused).result)
        result = arith.AddFOp(*scaled, fastmath=fused).result
    op.results[0].replace_all_uses_with(result)
    for dead in (op, total, *addends):
        dead.erase()


def _is_whole(value: ir.Value) -> bool:
    """Whether a value is the whole number that an integer stands for: converted, or rounded in f32."""
    made = s.maker(value)
    if made is not None and made.name == "arith.subf":
        return _number(made.operands[1]) == ROUNDER
    return made is not None and made.name in ("arith.sitofp", "arith.uitofp")


_STEPS = frozenset(
    {"arith.sitofp", "arith.subi", "arith.extui", "arith.extsi", "arith.trunci", "arith.addi", "arith.bitcast"}
)


def _shift(name: str, value: ir.Value) -> tuple[ir.Operation | None, ir.Value, int]:
    """The operation `name` by a constant that made a value, what it shifted and by how much; else None, `value`, 0."""
    made = s.maker(value)
    number = s.constant_of(made.operands[1]) if made is not None and made.name == name else None
    return (made, made.operands[0], number.value) if isinstance(number, ir.IntegerAttr) else (None, value, 0)


def _bounds(value: ir.Value) -> tuple[float, float] | None:
    """What a value is clamped to by two selections, the lower bound first."""
    found = []
    for _ in range(2):
        select = s.maker(value)
        number = _number(select.operands[2]) if select is not None and select.name == "arith.select" else None
        compare = s.maker(select.operands[0]) if number is not None else None
        if compare is None or compare.name != "arith.cmpf" or list(compare.operands) != list(select.operands)[1:]:
            return None
        found.append(number)
        value = select.operands[1]
    return found[1], found[0]


def _number(value: ir.Value) -> float | None:
    attribute = s.constant_of(value)
    return attribute.value if isinstance(attribute, ir.FloatAttr) else None
