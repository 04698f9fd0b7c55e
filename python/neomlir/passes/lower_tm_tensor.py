"""Rewrite the scans and scatters of the `tm_tensor` dialect as structured operations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.layouts import pad_zeros
from neomlir.passes.slices import take

_LONG = 32
"""A scan of so many elements is one of blocks, and one of what whole blocks give."""


@register
@dataclass(frozen=True)
class LowerTmTensor(ModulePass):
    """Write `tm_tensor.scan` and `tm_tensor.scatter` as `linalg.generic`.

    Each element of a result becomes a masked reduction: over the elements up to its own for a scan, over all updates
    for a scatter. That is a quadratic amount of arithmetic, all of it parallel. A sum of n elements, 32 or more, is
    taken in blocks of the root of n, and over the sums of whole blocks: each result is made of some two roots of n
    elements. Updates are applied in order, so the last of equal indices stays.
    Raises PassFailure for the other operations of the dialect (`sort`, `topk`, `attention`), which have no lowering.
    """

    name = "neo-lower-tm-tensor"

    def run(self, module: ir.Module) -> None:
        found: list[ir.Operation] = []

        def collect(op: ir.Operation) -> ir.WalkResult:
            if op.name.startswith("tm_tensor.") and op.name != "tm_tensor.yield":
                found.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(collect)
        for op in found:
            with module.context, ir.InsertionPoint(op), op.location:
                if op.name == "tm_tensor.scan":
                    _scan(op)
                elif op.name == "tm_tensor.scatter":
                    _scatter(op)
                else:
                    raise PassFailure(f"{op.name} has no lowering (at {op.location})")


def _scan(op: ir.Operation) -> None:
    source, output, initial = op.operands
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    inclusive = ir.BoolAttr(op.attributes["inclusive"]).value
    if next(iter(op.results[1].uses), None) is not None:
        raise PassFailure(f"the accumulator of a tm_tensor.scan is read, which is not supported (at {op.location})")
    rank = len(s.shape(source))
    identity = ir.AffineMap.get_identity(rank)
    rest = ir.AffineMap.get(rank, 0, s.dims(d for d in range(rank) if d != dimension))
    neutral = _neutral(op)
    if inclusive and neutral and s.has_static_shape(source) and s.shape(source)[dimension] >= _LONG:
        total = _in_blocks(op, source, dimension, neutral)
    else:
        start, block = s.build_generic([initial], [output], [rest, identity], [s.PARALLEL] * rank, op.location)
        s.yield_(block, [block.arguments[0]])
        total = _up_to(op, source, start.results[0], dimension, inclusive)
    op.results[0].replace_all_uses_with(total)
    op.erase()


def _up_to(op: ir.Operation, source: ir.Value, start: ir.Value, dimension: int, inclusive: bool) -> ir.Value:
    """Each result of the elements before it along a dimension: one more loop, innermost, walks those up to its own."""
    rank = len(s.shape(source))
    loops = list(range(rank))
    read = ir.AffineMap.get(rank + 1, 0, s.dims(rank if d == dimension else d for d in loops))
    write = ir.AffineMap.get(rank + 1, 0, s.dims(loops))
    kinds = [s.PARALLEL] * rank + [s.REDUCTION]
    total, block = s.build_generic([source], [start], [read, write], kinds, op.location)
    with ir.InsertionPoint(block):
        here, there = linalg.IndexOp(rank).result, linalg.IndexOp(dimension).result
        predicate = arith.CmpIPredicate.sle if inclusive else arith.CmpIPredicate.slt
        counts = arith.cmpi(predicate, here, there)
    element, old = block.arguments
    new = _combined(op, block, old, element)
    with ir.InsertionPoint(block):
        chosen = arith.select(counts, new, old)
    s.yield_(block, [chosen])
    return total.results[0]


def _in_blocks(op: ir.Operation, source: ir.Value, dimension: int, neutral: ir.Value) -> ir.Value:
    """The scan of blocks of some root of the extent each, and behind it the scan of what whole blocks give."""
    shape, element = s.shape(source), s.element_type(source)
    extent = shape[dimension]
    block = math.isqrt(extent - 1) + 1
    number = -(-extent // block)
    behind = [number * block - extent if d == dimension else 0 for d in range(len(shape))]
    if any(behind):
        # What stands there changes no result that is kept.
        source = pad_zeros(source, [0] * len(shape), behind)
    apart = [*shape[:dimension], number, block, *shape[dimension + 1 :]]
    groups = [[d + (d > dimension)] for d in range(len(shape))]
    groups[dimension] = [dimension, dimension + 1]
    wide = tensor.expand_shape(ir.RankedTensorType.get(apart, element), source, groups, [], apart)

    def filled(extents: list[int]) -> ir.Value:
        return linalg.fill(neutral, outs=[tensor.empty(extents, element)])

    inner = _up_to(op, wide, filled(apart), dimension + 1, inclusive=True)
    at, one = [0] * len(apart), list(apart)
    at[dimension + 1], one[dimension + 1] = block - 1, 1
    blocks = [*shape[:dimension], number, *shape[dimension + 1 :]]
    whole = tensor.collapse_shape(ir.RankedTensorType.get(blocks, element), take(inner, at, one), groups)
    before = _up_to(op, whole, filled(blocks), dimension, inclusive=False)
    rank = len(apart)
    identity = ir.AffineMap.get_identity(rank)
    rest = ir.AffineMap.get(rank, 0, s.dims(d for d in range(rank) if d != dimension + 1))
    both, body = s.build_generic(
        [before, inner], [tensor.empty(apart, element)], [rest, identity, identity], [s.PARALLEL] * rank, op.location
    )
    s.yield_(body, [_combined(op, body, body.arguments[0], body.arguments[1])])
    full = [n + more for n, more in zip(shape, behind, strict=True)]
    flat = tensor.collapse_shape(ir.RankedTensorType.get(full, element), both.results[0], groups)
    return take(flat, [0] * len(shape), shape) if any(behind) else flat


def _combined(op: ir.Operation, block: ir.Block, old: ir.Value, new: ir.Value) -> ir.Value:
    """What the body of a scan makes of what was before and of an element, at the end of `block`."""
    body = op.regions[0].blocks[0]
    (made,) = s.copy_body(op, block, {body.arguments[0]: old, body.arguments[1]: new})
    return made


def _neutral(op: ir.Operation) -> ir.Value | None:
    """Zero, where a scan adds, and starts from that."""
    fill = s.maker(op.operands[2])
    total = s.maker(s.yielded(op)[0])
    if fill is None or fill.name != "linalg.fill" or total is None or total.name not in ("arith.addf", "arith.addi"):
        return None
    if {*total.operands} != {*op.regions[0].blocks[0].arguments}:
        return None
    value = s.constant_of(fill.operands[0])
    zero = isinstance(value, ir.FloatAttr | ir.IntegerAttr) and value.value == 0
    return fill.operands[0] if zero else None


def _scatter(op: ir.Operation) -> None:
    updates, indices, original = op.operands
    mapped = list(ir.DenseI64ArrayAttr(op.attributes["dimension_map"]))
    rank, depth = len(s.shape(original)), len(mapped)
    window = s.shape(updates)[1:]
    free = [d for d in range(rank) if d not in mapped]
    if len(window) == rank:
        # A window over every dimension: one element wide along those that an index gives.
        if any(window[d] != 1 for d in mapped):
            raise PassFailure(f"a tm_tensor.scatter of slices at indices is not supported (at {op.location})")
        at = [ir.AffineConstantExpr.get(0) if d in mapped else ir.AffineDimExpr.get(d) for d in range(rank)]
    elif len(window) == len(free):
        at = s.dims(free)
    else:
        raise PassFailure(f"a tm_tensor.scatter of this form is not supported (at {op.location})")
    number = ir.AffineDimExpr.get(rank)
    maps = [ir.AffineMap.get(rank + 1, 0, [number, *at])]
    maps += [ir.AffineMap.get(rank + 1, 0, [number, ir.AffineConstantExpr.get(k)]) for k in range(depth)]
    maps.append(ir.AffineMap.get(rank + 1, 0, s.dims(range(rank))))
    kinds = [s.PARALLEL] * rank + [s.REDUCTION]
    inputs = [updates, *[indices] * depth]
    result, block = s.build_generic(inputs, [original], maps, kinds, op.location)
    element, *wanted, old = block.arguments
    with ir.InsertionPoint(block):
        hit = None
        for dimension, index in zip(mapped, wanted, strict=True):
            here = arith.index_cast(index.type, linalg.IndexOp(dimension).result)
            same = arith.cmpi(arith.CmpIPredicate.eq, here, index)
            hit = same if hit is None else arith.andi(hit, same)
    body = op.regions[0].blocks[0]
    (new,) = s.copy_body(op, block, {body.arguments[0]: element, body.arguments[1]: old})
    with ir.InsertionPoint(block):
        chosen = arith.select(hit, new, old)
    s.yield_(block, [chosen])
    op.results[0].replace_all_uses_with(result.results[0])
    op.erase()
