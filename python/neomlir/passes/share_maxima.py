"""Answer "is the whole row minus infinity?" from the row's maximum."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, is_identity, iterators


@register
@dataclass(frozen=True)
class ShareMaxima(ModulePass):
    """Rewrite the conjunction of `x == -inf` over a dimension as `max(x) == -inf`, where the maximum is there already.

    Attention guards its softmax against rows that are masked entirely; the maximum of a row tells as much (a NaN
    makes both comparisons false).
    """

    name = "neo-share-maxima"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                maxima: dict[tuple, ir.Operation] = {}
                for op in s.operations(function):
                    if op.name != "linalg.generic" or len(op.operands) != 2 or s.is_parallel(op):
                        continue
                    if is_maximum(op):
                        maxima.setdefault(_key(op, op.operands[0]), op)
                        continue
                    compared = _compared(op)
                    if compared is not None and _key(op, compared) in maxima:
                        _share(op, maxima[_key(op, compared)].results[0])


def _key(op: ir.Operation, value: ir.Value) -> tuple:
    """What two reductions of `value` have in common."""
    return (value, tuple(indexing_maps(op)), tuple(iterators(op)))


def _minus_infinity(value: ir.Value) -> bool:
    attribute = s.constant_of(value)
    return isinstance(attribute, ir.FloatAttr) and attribute.value == -math.inf


def _filled_with(value: ir.Value) -> ir.Value | None:
    fill = s.maker(value)
    return fill.operands[0] if fill is not None and fill.name == "linalg.fill" else None


def is_maximum(op: ir.Operation, names: tuple[str, ...] = ("arith.maximumf",)) -> bool:
    """Whether it is the maximum, by one of the operations `names`, over its reduced loops."""
    block, start = op.regions[0].blocks[0], _filled_with(op.operands[1])
    last = s.maker(s.yielded(op)[0])
    if start is None or not _minus_infinity(start) or last is None or last.name not in names:
        return False
    return set(last.operands) == set(block.arguments)


def _compared(op: ir.Operation) -> ir.Value | None:
    """The tensor of which a reduction asks whether it is -inf throughout, by itself or by an operation before it."""
    block, start = op.regions[0].blocks[0], _filled_with(op.operands[1])
    both = s.maker(s.yielded(op)[0])
    if start is None or both is None or both.name != "arith.andi":
        return None
    true = s.constant_of(start)
    others = [v for v in both.operands if v != block.arguments[1]]
    if not isinstance(true, ir.IntegerAttr | ir.BoolAttr) or not true.value or len(others) != 1:
        return None
    if others[0] != block.arguments[0]:
        return op.operands[0] if len(block.operations) == 3 and _is_minus_infinity(others[0], block) else None
    before = s.maker(op.operands[0])
    if before is None or before.name != "linalg.generic" or len(before.operands) != 2 or not s.is_parallel(before):
        return None
    body, same = before.regions[0].blocks[0], all(is_identity(m) for m in indexing_maps(before))
    asks = same and len(body.operations) == 2 and _is_minus_infinity(s.yielded(before)[0], body)
    return before.operands[0] if asks else None


def _is_minus_infinity(value: ir.Value, block: ir.Block) -> bool:
    """Whether a value of a body says that the first argument is -inf."""
    compare = s.maker(value)
    if compare is None or compare.name != "arith.cmpf" or compare.operands[0] != block.arguments[0]:
        return False
    equal = ir.IntegerAttr(compare.attributes["predicate"]).value == arith.CmpFPredicate.OEQ
    return equal and _minus_infinity(compare.operands[1])


def _share(op: ir.Operation, maximum: ir.Value) -> None:
    rank = len(s.shape(maximum))
    element = s.element_type(maximum)
    identity = ir.AffineMap.get_identity(rank)
    empty = s.maker(op.operands[1]).operands[1]
    with ir.InsertionPoint(op), op.location:
        asked, block = s.build_generic([maximum], [empty], [identity] * 2, [s.PARALLEL] * rank, op.location)
    with ir.InsertionPoint(block), op.location:
        low = arith.ConstantOp(element, ir.FloatAttr.get(element, -math.inf)).result
        linalg.YieldOp([arith.CmpFOp(arith.CmpFPredicate.OEQ, block.arguments[0], low).result])
    s.replace(op, list(asked.results))
