"""Layouts of tensors as permutations of their dimensions, and how operations carry them.

A layout `p` of a tensor says that its dimension `i` in memory is its dimension `p[i]` in the program. None is the
plain layout.
"""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import arith, ir, tensor
from neomlir.passes import structured as s

Layout = tuple[int, ...] | None

_UNIFORM = frozenset({"tensor.cast", "tensor.concat", "tensor.extract_slice", "tensor.insert_slice", "tensor.pad"})
RESHAPES = frozenset({"tensor.collapse_shape", "tensor.expand_shape"})
# Made again in whatever layout a reader wants.
FLUID = frozenset({"linalg.fill", "tensor.empty"})


def plain(layout: Sequence[int]) -> Layout:
    """A permutation as a layout."""
    return None if list(layout) == list(range(len(layout))) else tuple(layout)


def order_of(layout: Layout, rank: int) -> list[int]:
    """A layout as a permutation."""
    return list(range(rank)) if layout is None else list(layout)


def rank_of(value: ir.Value) -> int:
    """The rank of a ranked tensor, 0 for anything else."""
    return value.type.rank if isinstance(value.type, ir.RankedTensorType) else 0


def is_uniform(op: ir.Operation) -> bool:
    """Whether all tensors of `op` have one rank and may take one layout together."""
    if op.name not in _UNIFORM:
        return False
    tensors = [v for v in (*op.operands, *op.results) if isinstance(v.type, ir.RankedTensorType)]
    if len({v.type.rank for v in tensors}) != 1:
        return False
    return op.name != "tensor.pad" or len(op.regions[0].blocks[0].operations) == 1


def groups_of(op: ir.Operation) -> list[list[int]]:
    """The reassociation of a reshape."""
    return [[ir.IntegerAttr(i).value for i in group] for group in op.attributes["reassociation"]]


def expanded_side(op: ir.Operation) -> ir.Value:
    """The tensor of higher rank of a reshape."""
    return op.operands[0] if op.name == "tensor.collapse_shape" else op.results[0]


def collapse_layout(
    op: ir.Operation, layout: Layout, extents: Sequence[int] = ()
) -> tuple[Layout, list[list[int]]] | None:
    """The layout of the collapsed side of a reshape whose expanded side has `layout`, and the groups in memory.

    None where the collapsed side would need its elements moved, or is a scalar. Dimensions of extent 1 stand anywhere.
    `extents` are those of the expanded side in the program, where its type no longer is what stands there.
    """
    groups = groups_of(op)
    if not groups:
        return None
    extents = extents or s.shape(expanded_side(op))
    physical = order_of(layout, len(extents))
    group_of = {d: g for g, members in enumerate(groups) for d in members}
    order: dict[int, None] = {}
    for d in physical:
        if extents[d] != 1 or all(extents[other] == 1 for other in groups[group_of[d]]):
            order.setdefault(group_of[d])
    if len(order) != len(groups):
        return None
    sequence = list(order)
    remaining = [sum(extents[d] != 1 for d in members) for members in groups]
    runs: list[list[int]] = [[] for _ in sequence]
    last = [-1] * len(groups)
    at = 0
    for position, d in enumerate(physical):
        group = group_of[d]
        if group != sequence[at] and not remaining[sequence[at]] and runs[at] and sequence[at + 1 : at + 2] == [group]:
            at += 1
        if extents[d] != 1:
            if group != sequence[at] or d < last[group]:
                return None
            last[group] = d
            remaining[group] -= 1
        runs[at].append(position)
    return (plain(sequence), runs) if all(runs) else None


def unit_reshape(op: ir.Operation) -> ir.AffineMap | None:
    """Where element e of a reshape's result stands in its source, if only dimensions of extent 1 come or go."""
    extents = s.shape(expanded_side(op))
    kept = []
    for group in groups_of(op):
        moving = [d for d in group if extents[d] != 1]
        if len(moving) > 1:
            return None
        kept.append(moving[0] if moving else group[0])
    if op.name == "tensor.expand_shape":
        return ir.AffineMap.get(len(extents), 0, s.dims(kept))
    zero = ir.AffineConstantExpr.get(0)
    place = {d: g for g, d in enumerate(kept)}
    results = [ir.AffineDimExpr.get(place[d]) if d in place else zero for d in range(len(extents))]
    return ir.AffineMap.get(len(kept), 0, results)


def expand_layout(op: ir.Operation, layout: Layout) -> Layout:
    """The layout of the expanded side of a reshape whose collapsed side has `layout`."""
    groups = groups_of(op)
    return plain([d for g in order_of(layout, len(groups)) for d in groups[g]])


def permuted_type(value: ir.Value, layout: Layout) -> ir.Type:
    """The type of plain `value` in `layout`."""
    if layout is None:
        return value.type
    return ir.RankedTensorType.get(s.permuted(list(value.type.shape), layout), value.type.element_type)


def permute_uniform(op: ir.Operation, layout: Layout) -> None:
    """Let the attributes of a uniform operation speak of the dimensions in memory."""
    if layout is None or op.name == "tensor.cast":
        return
    if op.name == "tensor.concat":
        dim = ir.IntegerAttr(op.attributes["dim"])
        op.attributes["dim"] = ir.IntegerAttr.get(dim.type, layout.index(dim.value))
        return
    if op.name == "tensor.pad":
        at = 1
        for name in ("static_low", "static_high"):
            at = permute_mixed(op, name, at, layout)
        return
    at = 1 if op.name == "tensor.extract_slice" else 2
    for name in ("static_offsets", "static_sizes", "static_strides"):
        at = permute_mixed(op, name, at, layout)


def permute_mixed(op: ir.Operation, name: str, at: int, layout: Sequence[int]) -> int:
    """Permute an array of static numbers whose dynamic entries are operands from `at` on; gives where they end."""
    static = list(ir.DenseI64ArrayAttr(op.attributes[name]))
    dynamic = ir.ShapedType.get_dynamic_size()
    values: list[ir.Value | int] = []
    end = at
    for number in static:
        values.append(op.operands[end] if number == dynamic else number)
        end += number == dynamic
    moved = s.permuted(values, layout)
    op.attributes[name] = ir.DenseI64ArrayAttr.get([v if isinstance(v, int) else dynamic for v in moved])
    for number, value in enumerate(v for v in moved if not isinstance(v, int)):
        op.operands[at + number] = value
    return end


def index_constant(value: int) -> ir.Value:
    """An `index` constant at the current insertion point."""
    return arith.ConstantOp(ir.IndexType.get(), ir.IntegerAttr.get(ir.IndexType.get(), value)).result


def pad_zeros(value: ir.Value, low: Sequence[int], high: Sequence[int]) -> ir.Value:
    """`value` with zeros before and behind each dimension, at the current insertion point."""
    element, location = s.element_type(value), ir.Location.current
    extents = [n if n < 0 else n + x + y for n, x, y in zip(value.type.shape, low, high, strict=True)]
    is_float = not isinstance(element, ir.IntegerType | ir.IndexType)
    zero = arith.ConstantOp(element, ir.FloatAttr.get(element, 0.0) if is_float else ir.IntegerAttr.get(element, 0))
    op = tensor.PadOp(ir.RankedTensorType.get(extents, element), value, [], [], list(low), list(high))
    block = op.regions[0].blocks.append(*[ir.IndexType.get()] * len(extents), arg_locs=[location] * len(extents))
    with ir.InsertionPoint(block):
        tensor.YieldOp(zero.result)
    return op.result


def pads_zeros(op: ir.Operation | None) -> bool:
    """Whether an operation is a pad of static amounts that adds zeros."""
    if op is None or op.name != "tensor.pad" or len(op.operands) != 1:
        return False
    block = op.regions[0].blocks[0]
    number = s.constant_of(block.operations[len(block.operations) - 1].operands[0])
    return isinstance(number, ir.FloatAttr | ir.IntegerAttr) and number.value == 0


def transpose(value: ir.Value, order: Sequence[int]) -> ir.Value:
    """`value` with dimension i of the result its dimension `order[i]`, at the current insertion point.

    A reshape where only dimensions of extent 1 move, else a generic that copies.
    """
    order = list(order)
    if order == list(range(len(order))):
        return value
    extents = s.shape(value)
    type_ = ir.RankedTensorType.get(s.permuted(list(value.type.shape), order), s.element_type(value))
    moving = [d for d in order if extents[d] != 1]
    if moving == sorted(moving) and moving and value.type.has_static_shape:
        small = ir.RankedTensorType.get([extents[d] for d in moving], s.element_type(value))
        flat = tensor.collapse_shape(small, value, _around(extents))
        target = s.permuted(extents, order)
        return tensor.expand_shape(type_, flat, _around(target), [], target)
    sizes = [tensor.DimOp(value, index_constant(d)).result for d in order if extents[d] < 0]
    empty = ir.Operation.create("tensor.empty", results=[type_], operands=sizes).results[0]
    rank = len(order)
    source = ir.AffineMap.get(rank, 0, s.dims(s.inverse(order)))
    op, block = s.build_generic(
        [value], [empty], [source, ir.AffineMap.get_identity(rank)], [s.PARALLEL] * rank, ir.Location.current
    )
    s.yield_(block, [block.arguments[0]])
    return op.results[0]


def _around(extents: Sequence[int]) -> list[list[int]]:
    """One group a dimension that is not 1; dimensions of extent 1 join the next group, or the last."""
    groups: list[list[int]] = []
    pending: list[int] = []
    for number, extent in enumerate(extents):
        pending.append(number)
        if extent != 1:
            groups.append(pending)
            pending = []
    groups[-1].extend(pending)
    return groups
