"""Divide a row by its sum with one division: multiply by the sum's reciprocal."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir import targets
from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, is_identity, iterators, number_of_inputs
from neomlir.passes.share_maxima import is_maximum

_MAXIMA = ("arith.maximumf", "arith.maxnumf")


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

    target: str = "host"
    """The target of which it depends whether maxima pass over NaN."""

    def run(self, module: ir.Module) -> None:
        passes_over = targets.get(self.target).architecture == "x86_64"
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                made: dict[ir.Value, ir.Value] = {}
                for op in s.operations(function):
                    if op.name == "linalg.generic" and s.is_parallel(op):
                        _multiply(op, made)
                if passes_over:
                    for total, inverse in made.items():
                        _pass_over_nan(total, inverse)


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
    maximum = s.maker(_read(weights, difference.operands[1])[0])
    found = maximum is not None and maximum.name == "linalg.generic" and is_maximum(maximum, _MAXIMA)
    return exponential if found else None


def _read(op: ir.Operation, argument: ir.Value) -> tuple[ir.Value, ir.AffineMap | None]:
    """The operand of a generic that an argument of its body is an element of, and at which place; else the argument."""
    arguments = list(op.regions[0].blocks[0].arguments)
    if argument not in arguments:
        return argument, None
    number = arguments.index(argument)
    return op.operands[number], indexing_maps(op)[number]


def _pass_over_nan(total: ir.Value, inverse: ir.Value) -> None:
    """Let the maximum of the softmax with that sum pass over NaN, if that is in the sum then, and in every result."""
    sums = s.maker(total)
    weights = s.maker(sums.operands[0])
    difference = s.maker(s.maker(s.yielded(weights)[0]).operands[0])
    x, place = _read(weights, difference.operands[0])
    largest, row = _read(weights, difference.operands[1])
    maximum, reads = s.maker(largest), indexing_maps(sums)
    if place is None or not all(is_identity(m) for m in (place, reads[0], indexing_maps(weights)[-1])):
        return
    same = indexing_maps(maximum) == reads and iterators(maximum) == iterators(sums) and maximum.operands[0] == x
    if not same or row != reads[1] or not s.one_use(largest) or len(weights.results) != 1:
        return
    if not all(
        use.owner.operation == sums or _scales(use.owner.operation, use, inverse) for use in weights.results[0].uses
    ):
        return
    body = maximum.regions[0].blocks[0]
    last = s.maker(s.yielded(maximum)[0])
    if last.name == "arith.maximumf":
        with ir.InsertionPoint(body.operations[len(body.operations) - 1]), last.location:
            new = arith.MaxNumFOp(*last.operands).result
        last.results[0].replace_all_uses_with(new)
        last.erase()


def _scales(op: ir.Operation, use: ir.OpOperand, inverse: ir.Value) -> bool:
    """Whether an operation does nothing to what it reads there but multiply it by the reciprocal of a sum."""
    if op.name != "linalg.generic" or not s.is_parallel(op) or inverse not in list(op.operands):
        return False
    arguments = op.regions[0].blocks[0].arguments
    factors = {arguments[use.operand_number], arguments[list(op.operands).index(inverse)]}
    return all(
        u.owner.operation.name == "arith.mulf" and set(u.owner.operation.operands) == factors
        for u in arguments[use.operand_number].uses
    )


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
