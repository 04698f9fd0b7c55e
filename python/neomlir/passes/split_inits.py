"""Let contractions start from zero, so that a bias is an elementwise addition behind them."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import is_product
from neomlir.passes.dataflow import indexing_maps
from neomlir.passes.layouts import index_constant


@register
@dataclass(frozen=True)
class SplitInits(ModulePass):
    """Rewrite `contraction(a, b) outs(init)` as `contraction(a, b) outs(zero) + init`, where init is not zero already.

    Convolutions arrive with their bias broadcast into the destination.
    """

    name = "neo-split-inits"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if is_product(op):
                        _split(op)


def _split(op: ir.Operation) -> None:
    out = op.operands[2]
    places = s.positions(indexing_maps(op)[2])
    fill = s.maker(out)
    if None in places or len(set(places)) != len(places) or (fill is not None and fill.name == "linalg.fill"):
        return
    element = s.element_type(out)
    is_float = not isinstance(element, ir.IntegerType)
    with ir.InsertionPoint(op), op.location:
        sizes = [d.result for d in _dynamic_sizes(out)]
        empty = ir.Operation.create("tensor.empty", results=[out.type], operands=sizes).results[0]
        attribute = ir.FloatAttr.get(element, 0.0) if is_float else ir.IntegerAttr.get(element, 0)
        op.operands[2] = linalg.fill(arith.ConstantOp(element, attribute).result, outs=[empty])
    with ir.InsertionPoint.after(op), op.location:
        identity = ir.AffineMap.get_identity(len(places))
        added, block = s.build_generic(
            [op.results[0], out], [empty], [identity] * 3, [s.PARALLEL] * len(places), op.location
        )
    with ir.InsertionPoint(block), op.location:
        total = (arith.AddFOp if is_float else arith.AddIOp)(block.arguments[0], block.arguments[1])
        linalg.YieldOp([total.result])
    op.results[0].replace_all_uses_except(added.results[0], added)


def _dynamic_sizes(value: ir.Value):
    return [tensor.DimOp(value, index_constant(d)) for d, extent in enumerate(s.shape(value)) if extent < 0]
