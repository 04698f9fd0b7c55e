"""Transposed convolutions as importers lower them: a convolution over a tensor spread with zeros."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, tensor
from neomlir.passes import structured as s
from neomlir.passes.contraction import is_product
from neomlir.passes.dataflow import indexing_maps, iterators, number_of_inputs
from neomlir.passes.layouts import unit_reshape


@dataclass(frozen=True)
class Window:
    """A dimension with a window: loops of output and taps, the distance of inputs, and where the first one stands."""

    out: int
    tap: int
    taps: int
    stride: int
    offset: int
    extent: int
    size: int
    """Of the output."""


@dataclass(frozen=True)
class Spread:
    """A strided `tensor.insert_slice` into zeros, and the generic `op` that convolves it, from a fill."""

    op: ir.Operation
    maps: list[ir.AffineMap]
    source: ir.Value
    """What was inserted."""
    kept: list[int]
    """The dimensions of the spread tensor that the source has."""
    zero: ir.Value
    """What the sums start from."""
    windows: list[Window]
    lost: bool
    """Whether a window moves along a dimension of one element that the source has not."""

    @staticmethod
    def of(op: ir.Operation) -> Spread | None:
        """None where `op` is something else, or of dynamic shape."""
        if not is_product(op):
            return None
        maps = indexing_maps(op)
        spread, maps[0] = _through_view(op.operands[0], maps[0])
        if spread is None or spread.name != "tensor.insert_slice" or not _zeros(spread.operands[1]):
            return None
        source, fill = spread.operands[0], s.maker(op.operands[2])
        if fill is None or fill.name != "linalg.fill" or None in s.positions(maps[2]):
            return None
        if not s.has_static_shape(source) or len(spread.operands) != 2:
            return None
        kept = _kept_dims(list(ir.DenseI64ArrayAttr(spread.attributes["static_sizes"])), s.shape(source))
        windows = _windows(op, spread, maps)
        if not windows or kept is None:
            return None
        lost = any(len(s.uses_of(expr)) > 1 for dim, expr in enumerate(maps[0].results) if dim not in kept)
        return Spread(op, maps, source, kept, fill.operands[0], windows, lost)


def _through_view(value: ir.Value, map_: ir.AffineMap) -> tuple[ir.Operation | None, ir.AffineMap]:
    """What makes `value`, and how it is read, looking through a reshape that drops dimensions of extent 1."""
    maker = s.maker(value)
    if maker is not None and maker.name == "tensor.collapse_shape":
        back = unit_reshape(maker)
        if back is not None:
            return s.maker(maker.operands[0]), s.substitute(back, list(map_.results), map_.n_dims)
    return maker, map_


def _zeros(value: ir.Value) -> bool:
    """Whether a static tensor is filled with zero."""
    fill = s.maker(value)
    if fill is None or fill.name != "linalg.fill" or not s.has_static_shape(value):
        return False
    attribute = s.constant_of(fill.operands[0])
    return isinstance(attribute, ir.FloatAttr) and attribute.value == 0.0


def _windows(op: ir.Operation, spread: ir.Operation, maps: list[ir.AffineMap]) -> list[Window]:
    """The spread dimensions of `op`; none if any of them is no plain window."""
    offsets, sizes, strides = (
        list(ir.DenseI64ArrayAttr(spread.attributes[name]))
        for name in ("static_offsets", "static_sizes", "static_strides")
    )
    taps, out, kinds = s.positions(maps[1]), s.positions(maps[2]), iterators(op)
    found = []
    for dim, expr in enumerate(maps[0].results):
        loops = s.uses_of(expr)
        if len(loops) < 2:
            if offsets[dim] or strides[dim] != 1 or sizes[dim] != s.shape(spread.results[0])[dim]:
                return []
            continue
        tap = [loop for loop in loops if kinds[loop] == s.REDUCTION]
        pixel = [loop for loop in loops if loop in out]
        if len(tap) != 1 or len(pixel) != 1 or taps.count(tap[0]) != 1 or pixel[0] in taps:
            return []
        total = ir.AffineExpr.get_add(ir.AffineDimExpr.get(pixel[0]), ir.AffineDimExpr.get(tap[0]))
        if ir.AffineExpr.simplify_affine_expr(expr, len(kinds), 0) != total:
            return []
        count, size = s.shape(op.operands[1])[taps.index(tap[0])], s.shape(op.results[0])[out.index(pixel[0])]
        found.append(Window(pixel[0], tap[0], count, strides[dim], offsets[dim], sizes[dim], size))
    return found


def _kept_dims(sizes: list[int], extents: list[int]) -> list[int] | None:
    """Which dimensions of a slice its source of smaller rank has; None where it drops others than those of extent 1."""
    kept: list[int] = []
    missing = len(sizes) - len(extents)
    for dim, size in enumerate(sizes):
        if len(kept) < len(extents) and size == extents[len(kept)] and not (size == 1 and missing > dim - len(kept)):
            kept.append(dim)
        elif size != 1:
            return None
    return kept if len(kept) == len(extents) else None


def move_epilogue(collapse: ir.Operation, groups: list[list[int]]) -> None:
    """Let the one elementwise reader of `collapse` work on the tensor before it."""
    value = collapse.results[0]
    if not s.one_use(value):
        return
    epilogue = next(iter(value.uses)).owner.operation
    if epilogue.name != "linalg.generic" or not s.is_parallel(epilogue) or len(epilogue.results) != 1:
        return
    maps, inputs = indexing_maps(epilogue), number_of_inputs(epilogue)
    loops = s.positions(maps[list(epilogue.operands).index(value)])
    places = [s.positions(m) for m in maps]
    out = s.maker(epilogue.operands[inputs])
    if None in loops or sorted(loops) != list(range(maps[0].n_dims)) or s.counts_loops(epilogue) or out is None:
        return
    if out.name != "tensor.empty" or any(None in p for p in places) or places[-1] != loops:
        return
    # Loop i of the epilogue becomes the loops of dimension i of the collapsed tensor.
    number = {loop: groups[d] for d, loop in enumerate(loops)}
    sizes = s.shape(collapse.operands[0])
    with ir.InsertionPoint(epilogue), epilogue.location:
        operands, new_maps = [], []
        for operand, read in zip(list(epilogue.operands)[:inputs], places, strict=False):
            wide = [p for place in read for p in number[place]]
            if operand == value:
                operand = collapse.operands[0]
            elif len(wide) != len(read):
                operand = _expand(operand, [[sizes[p] for p in number[place]] for place in read])
            operands.append(operand)
            new_maps.append(ir.AffineMap.get(len(sizes), 0, s.dims(wide)))
        wide = [p for place in places[-1] for p in number[place]]
        type_ = ir.RankedTensorType.get(s.permuted(sizes, wide), s.element_type(epilogue.results[0]))
        empty = ir.Operation.create("tensor.empty", results=[type_]).results[0]
        new_maps.append(ir.AffineMap.get(len(sizes), 0, s.dims(wide)))
        new, block = s.build_generic(operands, [empty], new_maps, [s.PARALLEL] * len(sizes), epilogue.location)
        s.clone_body(epilogue, block)
        result = tensor.collapse_shape(epilogue.results[0].type, new.results[0], groups)
    s.replace(epilogue, [result])
    s.erase(collapse)


def _expand(value: ir.Value, extents: list[list[int]]) -> ir.Value:
    groups, at = [], 0
    for group in extents:
        groups.append(list(range(at, at + len(group))))
        at += len(group)
    flat = [e for group in extents for e in group]
    return tensor.expand_shape(ir.RankedTensorType.get(flat, s.element_type(value)), value, groups, [], flat)
