"""Divide a row by its sum with one division: multiply by the sum's reciprocal."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, number_of_inputs
from neomlir.passes.share_maxima import is_maximum


@register
@dataclass(frozen=True)
class InvertSums(ModulePass):
    """Rewrite `x / sum` as `x * (1 / sum)` where the sum is that of a softmax and has fewer dimensions than x.

    The sum of `exp(x - max(x))` is at least 1, so its reciprocal neither overflows nor loses digits; the result may
    differ in the last one. A vector of divisions takes as long as some ten of multiplications.

    The exponentials are marked `fastmath<afn>`: `neo-expand-math` then writes zero for those that are denormal, which
    are nothing beside that sum. Scores that are masked with -100 are such, and products with them take a hundred times
    as long as others.
    """

    name = "neo-invert-sums"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                made: dict[ir.Value, ir.Value] = {}
                for op in s.operations(function):
                    if op.name == "linalg.generic" and s.is_parallel(op):
                        _multiply(op, made)


def _multiply(op: ir.Operation, made: dict[ir.Value, ir.Value]) -> None:
    block, maps = op.regions[0].blocks[0], indexing_maps(op)
    for division in [o.operation for o in block.operations if o.operation.name == "arith.divf"]:
        divisor = division.operands[1]
        if divisor not in list(block.arguments)[: number_of_inputs(op)] or not s.one_use(divisor):
            continue
        number = list(block.arguments).index(divisor)
        total = op.operands[number]
        exponential = softmax_exponential(total) if len(set(s.positions(maps[number]))) < maps[number].n_dims else None
        if exponential is None:
            continue
        exponential.attributes["fastmath"] = ir.Attribute.parse("#arith.fastmath<afn>")
        if total not in made:
            made[total] = _reciprocal(total)
        op.operands[number] = made[total]
        with ir.InsertionPoint(division), division.location:
            product = arith.MulFOp(division.operands[0], divisor).result
        division.results[0].replace_all_uses_with(product)
        division.erase()


def softmax_exponential(value: ir.Value) -> ir.Operation | None:
    """The `exp(x - max)` that it is the sum of, the maximum one of rows; None where it is none."""
    total = s.maker(value)
    if total is None or total.name != "linalg.generic" or len(total.operands) != 2 or s.is_parallel(total):
        return None
    last = s.maker(s.yielded(total)[0])
    if last is None or last.name != "arith.addf" or set(last.operands) != set(total.regions[0].blocks[0].arguments):
        return None
    weights = s.maker(total.operands[0])
    if weights is None or weights.name != "linalg.generic" or not s.is_parallel(weights):
        return None
    exponential = s.maker(s.yielded(weights)[0])
    if exponential is None or exponential.name != "math.exp":
        return None
    difference = s.maker(exponential.operands[0])
    if difference is None or difference.name != "arith.subf":
        return None
    arguments = list(weights.regions[0].blocks[0].arguments)
    if difference.operands[1] not in arguments:
        return None
    maximum = s.maker(weights.operands[arguments.index(difference.operands[1])])
    found = maximum is not None and maximum.name == "linalg.generic" and is_maximum(maximum)
    return exponential if found else None


def _reciprocal(total: ir.Value) -> ir.Value:
    """1 / `total`, behind what computes it."""
    maker, kind, element = s.maker(total), ir.RankedTensorType(total.type), s.element_type(total)
    identity = ir.AffineMap.get_identity(kind.rank)
    after = ir.InsertionPoint.after(maker)
    with after, maker.location:
        empty = s.maker(maker.operands[1])
        destination = empty.operands[1] if empty is not None and empty.name == "linalg.fill" else maker.operands[1]
        inverse, block = s.build_generic(
            [total], [destination], [identity] * 2, [s.PARALLEL] * kind.rank, maker.location
        )
    with ir.InsertionPoint(block), maker.location:
        one = arith.ConstantOp(element, ir.FloatAttr.get(element, 1.0)).result
        linalg.YieldOp([arith.DivFOp(one, block.arguments[0]).result])
    return inverse.results[0]
