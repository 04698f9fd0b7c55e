"""Multiply the result of a contraction by a constant instead of its operands."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import is_product, starts_from_zero
from neomlir.passes.dataflow import indexing_maps


@register
@dataclass(frozen=True)
class PullScales(ModulePass):
    """Rewrite `contraction(x * c, y * d)` as `contraction(x, y) * (c * d)` for constants c and d.

    Attention scales its queries, or its queries and keys; behind the contraction the scale costs one multiplication
    in an epilogue that is there anyway, and the operands are read where they stand. Only contractions that start
    from a constant fill of zero, in f32 or f64.
    """

    name = "neo-pull-scales"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if is_product(op):
                        _pull(op)


def _pull(op: ir.Operation) -> None:
    if not starts_from_zero(op):
        return
    result = op.results[0]
    type_ = s.element_type(result)
    places = s.positions(indexing_maps(op)[2])
    if not isinstance(type_, ir.F32Type | ir.F64Type) or None in places or len(set(places)) != len(places):
        return
    scale = 1.0
    for number in (0, 1):
        maker = s.maker(op.operands[number])
        factor = _scale_of(maker)
        if factor is None or not s.one_use(maker.results[0]) or s.element_type(maker.results[0]) != type_:
            continue
        with ir.InsertionPoint(maker), maker.location:
            copy, block = s.build_generic(
                [maker.operands[0]],
                [maker.operands[1]],
                indexing_maps(maker),
                ["parallel"] * _loops(maker),
                maker.location,
            )
        s.yield_(block, [block.arguments[0]])
        s.replace(maker, [copy.results[0]])
        scale *= factor
    if scale == 1.0:
        return
    with ir.InsertionPoint.after(op), op.location:
        identity = ir.AffineMap.get_identity(len(places))
        empty = s.maker(op.operands[2]).operands[1]
        scaled, block = s.build_generic([result], [empty], [identity] * 2, ["parallel"] * len(places), op.location)
    with ir.InsertionPoint(block), op.location:
        factor = arith.ConstantOp(type_, ir.FloatAttr.get(type_, scale)).result
        linalg.YieldOp([arith.MulFOp(block.arguments[0], factor).result])
    result.replace_all_uses_except(scaled.results[0], scaled)


def _loops(op: ir.Operation) -> int:
    return indexing_maps(op)[0].n_dims


def _scale_of(op: ir.Operation | None) -> float | None:
    """The constant c of an operation that is `x * c` and nothing else."""
    if op is None or op.name != "linalg.generic" or len(op.operands) != 2 or not s.is_parallel(op):
        return None
    block = op.regions[0].blocks[0]
    multiply = s.maker(s.yielded(op)[0])
    if multiply is None or multiply.name != "arith.mulf" or block.arguments[0] not in list(multiply.operands):
        return None
    others = [v for v in multiply.operands if v != block.arguments[0]]
    value = s.constant_of(others[0]) if len(others) == 1 else None
    return value.value if isinstance(value, ir.FloatAttr) else None
