"""Elementary functions as vector code: no call of libm a lane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neomlir.mlir import arith, func, ir, passmanager
from neomlir.mlir import math as math_dialect
from neomlir.passes.base import ModulePass, register
from neomlir.passes.math import arc, erf, erf_table, exp, log, power, tanh, trig
from neomlir.passes.math.lanes import Lanes, element_type

FUNCTIONS: dict[str, Callable] = {
    **arc.FUNCTIONS,
    **erf.FUNCTIONS,
    **exp.FUNCTIONS,
    **log.FUNCTIONS,
    **power.FUNCTIONS,
    **tanh.FUNCTIONS,
    **trig.FUNCTIONS,
}
"""What is expanded: the operation's name and the function that builds its value from `Lanes`."""
_UNFUSED: dict[str, Callable] = {**FUNCTIONS, **exp.UNFUSED}
"""The same for machines without fused multiply-add."""
_NORMAL = 1e-30
"""The least number beside which a denormal f32 is lost, by a wide margin."""
_HELD = "neo.held"
_INLINE = "builtin.module(inline{default-pipeline=})"


@register
@dataclass(frozen=True)
class ExpandMath(ModulePass):
    """Expand `math` operations on f32, f16 and bf16, scalars and vectors of any shape, into arithmetic on lanes.

    The results are within 4 units in the last place for every f32 (docs/math.md has what was measured), with C's rules
    for zeros, infinities, NaN and denormals, whether or not the target has fused multiply-add. f16 and bf16 are
    computed in f32. An `exp` with `fastmath<afn>` is zero where it would be denormal, and so is one that is only added
    to a constant beside which that is nothing, as the 1 of a sigmoid. The former may also be 7 units off. What maps to
    instructions stays (floor, sqrt, fma, …), and so does f64, but for `fpowi`, which becomes `powf`. sin, cos, sincos
    and tan hold an `scf.if`: run this before control flow is lowered.

    Each function is built once a type and inlined; run `cse` behind to merge constants.
    """

    name = "neo-expand-math"

    fused: bool = True
    """Whether the target has fused multiply-add; without, results are the same, of other instructions."""
    tables: bool = False
    """Whether the target looks numbers up in a register (AVX-512): erf is a polynomial that each lane picks."""

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            found: list[ir.Operation] = []

            def collect(op: ir.Operation) -> ir.WalkResult:
                if op.name in FUNCTIONS:
                    found.append(op.operation)
                return ir.WalkResult.ADVANCE

            module.operation.walk(collect)
            functions = FUNCTIONS if self.fused else _UNFUSED
            functions = {**functions, **(erf_table.FUNCTIONS if self.tables else {})}
            approximate = exp.APPROXIMATE if self.fused else exp.TO_ZERO
            templates: dict[tuple, func.FuncOp] = {}
            for op in found:
                kind = element_type(op.operands[0].type)
                if isinstance(kind, (ir.F32Type, ir.F16Type, ir.BF16Type)):
                    _call(op, functions, approximate, templates)
                elif op.name == "math.fpowi" and isinstance(kind, ir.F64Type):
                    _widen_power(op)
            if templates:
                _inline(module, {ir.StringAttr(f.attributes["sym_name"]).value for f in templates.values()})


def _call(
    op: ir.Operation,
    functions: dict[str, Callable],
    approximate: dict[str, Callable],
    templates: dict[tuple, func.FuncOp],
) -> None:
    home = _symbol_table(op)
    exponent = _short_exponent(op)
    operands = list(op.operands)[: 1 if exponent is not None else 2]
    function = functions[op.name]
    if op.name in exp.TO_ZERO and _allows_approximation(op):
        function = approximate[op.name]
    elif op.name in exp.TO_ZERO and _is_added(op):
        function = exp.TO_ZERO[op.name]
    key = (home, op.name, exponent, function, *(str(v.type) for v in operands))
    if key not in templates:
        templates[key] = _template(op, function, home, operands, exponent, len(templates))
    with ir.InsertionPoint(op), op.location:
        call = func.CallOp(templates[key], operands)
    for old, new in zip(op.results, call.results, strict=True):
        old.replace_all_uses_with(new)
    op.erase()


def _allows_approximation(op: ir.Operation) -> bool:
    return "fastmath" in op.attributes and "afn" in str(op.attributes["fastmath"])


def _is_added(op: ir.Operation) -> bool:
    """Whether the result is only added to constants in which denormal numbers are lost."""
    sums = [use.owner for use in op.results[0].uses]
    addends = [_constant(v) for add in sums if add.name == "arith.addf" for v in add.operands if v != op.results[0]]
    return len(addends) == len(sums) > 0 and all(c is not None and abs(c) >= _NORMAL for c in addends)


def _symbol_table(op: ir.Operation) -> ir.Operation:
    while op.name not in ("builtin.module", "gpu.module"):
        op = op.parent.operation if hasattr(op.parent, "operation") else op.parent
    return op


def _template(
    op: ir.Operation,
    function: Callable,
    home: ir.Operation,
    operands: list[ir.Value],
    exponent: float | None,
    number: int,
) -> func.FuncOp:
    """A private function of the operation's types that computes it."""
    name = f"__neo_{op.name.replace('.', '_')}_{number}"
    types = [v.type for v in operands], [r.type for r in op.results]
    with ir.InsertionPoint.at_block_begin(home.regions[0].blocks[0]), ir.Location.unknown():
        made = func.FuncOp(name, types, visibility="private")
        with ir.InsertionPoint(made.add_entry_block()):
            arguments = [Lanes(a) for a in made.arguments]
            narrow = arguments[0].element
            arguments = [a.f32() if a.is_float else a for a in arguments]
            results = function(*arguments) if exponent is None else power.power_of_constant(*arguments, exponent)
            results = results if isinstance(results, tuple) else (results,)
            func.ReturnOp([r.to(narrow).value for r in results])
    return made


def _short_exponent(op: ir.Operation) -> float | None:
    """The constant exponent of a power, if it is one that needs no logarithm."""
    if op.name not in ("math.powf", "math.fpowi"):
        return None
    exponent = _constant(op.operands[1])
    return exponent if exponent in power.SHORT_EXPONENTS else None


def _constant(value: ir.Value) -> float | None:
    """The number that a value is in every lane."""
    while isinstance(value.owner, (ir.Operation, ir.OpView)) and value.owner.name in ("vector.broadcast", "arith.extf"):
        value = value.owner.operands[0]
    if not isinstance(value.owner, (ir.Operation, ir.OpView)) or value.owner.name != "arith.constant":
        return None
    attribute = value.owner.attributes["value"]
    if isinstance(attribute, ir.DenseElementsAttr):
        if not attribute.is_splat:
            return None
        attribute = attribute.get_splat_value()
    return float(attribute.value)


def _widen_power(op: ir.Operation) -> None:
    """`fpowi` of f64 as `powf`: LLVM's powi is a call of the compiler's run-time library, which is not linked."""
    with ir.InsertionPoint(op), op.location:
        exponent = arith.sitofp(op.operands[0].type, op.operands[1])
        op.results[0].replace_all_uses_with(math_dialect.powf(op.operands[0], exponent))
    op.erase()


def _inline(module: ir.Module, names: set[str]) -> None:
    """Inline the calls of the named functions and no other."""

    def hold(op: ir.Operation) -> ir.WalkResult:
        other = op.name == "func.call" and ir.FlatSymbolRefAttr(op.attributes["callee"]).value not in names
        if other and "no_inline" not in op.attributes:
            op.attributes["no_inline"] = op.attributes[_HELD] = ir.UnitAttr.get()
        return ir.WalkResult.ADVANCE

    # By a mark and a second walk: the inliner may erase dead functions with the calls in them.
    def release(op: ir.Operation) -> ir.WalkResult:
        if op.name == "func.call" and _HELD in op.attributes:
            del op.attributes["no_inline"]
            del op.attributes[_HELD]
        return ir.WalkResult.ADVANCE

    module.operation.walk(hold)
    passmanager.PassManager.parse(_INLINE).run(module.operation)
    module.operation.walk(release)
