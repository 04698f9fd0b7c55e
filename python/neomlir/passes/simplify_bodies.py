"""Bring the scalar code of generics to the forms that later passes know."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, iterators, number_of_inputs

_CMP = arith.CmpFPredicate
_GREATER = frozenset({_CMP.OGT, _CMP.OGE, _CMP.UGT, _CMP.UGE})
_LESS = frozenset({_CMP.OLT, _CMP.OLE, _CMP.ULT, _CMP.ULE})


@register
@dataclass(frozen=True)
class SimplifyBodies(ModulePass):
    """Rewrite scalar code inside `linalg.generic` bodies, and drop results of generics that nobody reads.

    - a comparison and a selection of its operands become `arith.maximumf` or `minimumf`, which hand NaN on as the
      frameworks' clamps do;
    - a division by a constant becomes a multiplication by its reciprocal (within 1 ulp of the quotient);
    - a power with a small constant exponent becomes multiplications, a square root, or both;
    - a constant that is truncated becomes the truncated constant.
    """

    name = "neo-simplify-bodies"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        _simplify(op)
                        _drop_unread(op)


def _simplify(op: ir.Operation) -> None:
    for inner in [o.operation for o in op.regions[0].blocks[0].operations]:
        rule = _RULES.get(inner.name)
        if rule is None:
            continue
        with ir.InsertionPoint(inner), inner.location:
            value = rule(inner)
        if value is not None:
            inner.results[0].replace_all_uses_with(value)
            inner.erase()


def _number(value: ir.Value) -> float | None:
    """A scalar constant as a float; None for anything else."""
    attribute = s.constant_of(value)
    if isinstance(attribute, ir.FloatAttr | ir.IntegerAttr):
        return float(attribute.value)
    return None


def _rounded(number: float, type_: ir.Type) -> float | None:
    """The nearest number of a type; None where this module cannot tell it."""
    if isinstance(type_, ir.F64Type):
        return number
    code = "f" if isinstance(type_, ir.F32Type) else "e" if isinstance(type_, ir.F16Type) else None
    if code is None:
        return None
    try:
        return struct.unpack(code, struct.pack(code, number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


def _constant(type_: ir.Type, number: float) -> ir.Value:
    return arith.ConstantOp(type_, ir.FloatAttr.get(type_, number)).result


def _truncate(op: ir.Operation) -> ir.Value | None:
    number = _number(op.operands[0])
    rounded = None if number is None else _rounded(number, op.results[0].type)
    return None if rounded is None else _constant(op.results[0].type, rounded)


def _divide(op: ir.Operation) -> ir.Value | None:
    number = _number(op.operands[1])
    if number is None or not math.isfinite(number) or number == 0.0:
        return None
    type_ = op.results[0].type
    if not isinstance(type_, ir.F32Type | ir.F64Type):
        return None
    reciprocal = _rounded(1.0 / number, type_)
    smallest = 2.0**-126 if isinstance(type_, ir.F32Type) else 2.0**-1022
    if not math.isfinite(reciprocal) or abs(reciprocal) < smallest:
        return None
    return arith.MulFOp(op.operands[0], _constant(type_, reciprocal)).result


def _power(op: ir.Operation) -> ir.Value | None:
    base, exponent = op.operands[0], _number(op.operands[1])
    if exponent == 1.0:
        return base
    if exponent == 2.0:
        return arith.MulFOp(base, base).result
    if exponent == 3.0:
        return arith.MulFOp(arith.MulFOp(base, base).result, base).result
    if exponent == -1.0:
        return arith.DivFOp(_constant(base.type, 1.0), base).result
    return None


def _select(op: ir.Operation) -> ir.Value | None:
    compare = s.maker(op.operands[0])
    if compare is None or compare.name != "arith.cmpf":
        return None
    left, right = compare.operands
    chosen, other = list(op.operands)[1:]
    if {left, right} != {chosen, other} or left == right:
        # Equal constants are one value after cse; before it they are compared by what they are.
        if _same(left, chosen) and _same(right, other):
            chosen, other = left, right
        elif _same(left, other) and _same(right, chosen):
            chosen, other = right, left
        else:
            return None
    predicate = _CMP(ir.IntegerAttr(compare.attributes["predicate"]).value)
    if predicate not in _GREATER | _LESS:
        return None
    largest = (predicate in _GREATER) == (chosen == left)
    return (arith.MaximumFOp if largest else arith.MinimumFOp)(left, right).result


def _same(a: ir.Value, b: ir.Value) -> bool:
    x, y = s.constant_of(a), s.constant_of(b)
    return a == b or (x is not None and y is not None and x == y)


_RULES = {
    "arith.truncf": _truncate,
    "arith.divf": _divide,
    "math.powf": _power,
    "math.fpowi": _power,
    "arith.select": _select,
}


def _drop_unread(op: ir.Operation) -> None:
    """Write a generic anew without the results that nobody reads and that the others do not need."""
    if len(op.results) < 2:
        return
    inputs = number_of_inputs(op)
    block = op.regions[0].blocks[0]
    yields = s.yielded(op)
    kept = {n for n, result in enumerate(op.results) if next(iter(result.uses), None) is not None}
    if not kept or len(kept) == len(yields):
        return
    known = -1
    while known != len(kept):
        # A result that is kept for its start value needs what it is computed from in turn.
        known = len(kept)
        needed = _behind([yields[n] for n in kept])
        kept |= {n for n in range(len(yields)) if block.arguments[inputs + n] in needed}
    if len(kept) == len(yields):
        return
    order = sorted(kept)
    maps, operands = indexing_maps(op), list(op.operands)
    with ir.InsertionPoint(op):
        new, body = s.build_generic(
            operands[:inputs],
            [operands[inputs + n] for n in order],
            [*maps[:inputs], *(maps[inputs + n] for n in order)],
            iterators(op),
            op.location,
        )
    arguments = list(block.arguments)
    mapping = dict(zip(arguments[:inputs] + [arguments[inputs + n] for n in order], body.arguments, strict=True))
    inner = [o.operation for o in block.operations][:-1]
    s.clone_into([o for o in inner if any(r in needed for r in o.results)], mapping, ir.InsertionPoint(body))
    with ir.InsertionPoint(body), op.location:
        linalg.YieldOp([mapping.get(yields[n], yields[n]) for n in order])
    for number, n in enumerate(order):
        op.results[n].replace_all_uses_with(new.results[number])
    s.erase(op)


def _behind(values: list[ir.Value]) -> set[ir.Value]:
    """Whatever `values` are computed from, themselves included."""
    found, queue = set(values), list(values)
    while queue:
        op = s.maker(queue.pop())
        for operand in op.operands if op is not None else ():
            if operand not in found:
                found.add(operand)
                queue.append(operand)
    return found
