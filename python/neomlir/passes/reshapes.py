"""Tensors in another shape: dimensions that become one, or several, and destinations of such a shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.layouts import index_constant

Groups = list[list[int]]
"""Dimensions of the longer shape, by dimension of the shorter one."""


def collapsed(value: ir.Value, groups: Groups) -> ir.Value:
    """`value` with each of `groups` as one dimension, at the current insertion point."""
    if all(len(group) == 1 for group in groups):
        return value
    extents = s.shape(value)
    parts = [[extents[d] for d in group] for group in groups]
    shape = [math.prod(part) if min(part) >= 0 else ir.ShapedType.get_dynamic_size() for part in parts]
    return tensor.collapse_shape(ir.RankedTensorType.get(shape, s.element_type(value)), value, groups)


def expanded(value: ir.Value, groups: Groups, extents: Sequence[int], sizes: Callable[[int], ir.Value]) -> ir.Value:
    """`value` with dimension i as `groups[i]`; `sizes(d)` is the size of dimension d where `extents[d]` is dynamic."""
    if all(len(group) == 1 for group in groups):
        return value
    kind = ir.RankedTensorType.get(list(extents), s.element_type(value))
    dynamic = [sizes(d) for d, extent in enumerate(extents) if extent < 0]
    return tensor.expand_shape(kind, value, groups, dynamic, list(extents))


def destination(
    value: ir.Value, extents: Sequence[int], sizes: Callable[[int], ir.Value], reshape: Callable[[ir.Value], ir.Value]
) -> ir.Value:
    """A destination of those extents for `value`: made anew where that holds nothing, or a scalar; else a `reshape`."""
    maker = s.maker(value)
    if maker is not None and maker.name == "linalg.fill":
        return linalg.fill(maker.operands[0], outs=[destination(maker.operands[1], extents, sizes, reshape)])
    if maker is None or maker.name != "tensor.empty":
        return reshape(value)
    kind = ir.RankedTensorType.get(list(extents), s.element_type(value))
    dynamic = [sizes(d) for d, extent in enumerate(extents) if extent < 0]
    return ir.Operation.create("tensor.empty", results=[kind], operands=dynamic).results[0]


def size(value: ir.Value, dimension: int) -> ir.Value:
    """The size of a dimension, at the current insertion point."""
    return tensor.DimOp(value, index_constant(dimension)).result
