"""Let contractions start from zero, so that a bias is an elementwise addition behind them."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import is_product
from neomlir.passes.dataflow import indexing_maps
from neomlir.passes.layouts import groups_of, index_constant
from neomlir.passes.reshapes import expanded, size


@register
@dataclass(frozen=True)
class SplitInits(ModulePass):
    """Rewrite `contraction(a, b) outs(init)` as `contraction(a, b) outs(zero) + init`, where init is not zero already.

    Convolutions arrive with their bias broadcast into the destination, those of several groups with a reshape behind
    the broadcast, which then reads the reshaped bias instead.
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
        start, map_ = _before_broadcast(out) or (out, identity)
        added, block = s.build_generic(
            [op.results[0], start], [empty], [identity, map_, identity], [s.PARALLEL] * len(places), op.location
        )
    with ir.InsertionPoint(block), op.location:
        total = (arith.AddFOp if is_float else arith.AddIOp)(block.arguments[0], block.arguments[1])
        linalg.YieldOp([total.result])
    op.results[0].replace_all_uses_except(added.results[0], added)


def _before_broadcast(out: ir.Value) -> tuple[ir.Value, ir.AffineMap] | None:
    """What a broadcast repeats whose result is expanded to `out`, expanded alike, and where it is read."""
    expand = s.maker(out)
    if expand is None or expand.name != "tensor.expand_shape" or not s.has_static_shape(out):
        return None
    copy, groups = s.maker(expand.operands[0]), groups_of(expand)
    if copy is None or not s.is_copy(copy):
        return None
    read, written = (s.positions(m) for m in indexing_maps(copy))
    if written != list(range(len(groups))) or None in read:
        return None
    source, parts = copy.operands[0], [groups[loop] for loop in read]
    ends = [sum(len(part) for part in parts[: d + 1]) for d in range(len(parts))]
    by_dimension = [list(range(end - len(part), end)) for part, end in zip(parts, ends, strict=True)]
    loops = [loop for part in parts for loop in part]
    extents = [s.shape(out)[loop] for loop in loops]
    value = expanded(source, by_dimension, extents, lambda d: size(out, loops[d]))
    return value, ir.AffineMap.get(len(s.shape(out)), 0, s.dims(loops))


def _dynamic_sizes(value: ir.Value):
    return [tensor.DimOp(value, index_constant(d)) for d, extent in enumerate(s.shape(value)) if extent < 0]
