"""Compute a transposed convolution whose windows do not overlap as the product that it is."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import sums_products
from neomlir.passes.dataflow import indexing_maps, iterators, number_of_inputs
from neomlir.passes.layouts import unit_reshape


@register
@dataclass(frozen=True)
class SplitTransposedConvs(ModulePass):
    """Rewrite a convolution over a tensor spread with zeros, where window and spread are one size s, without zeros.

    Importers lower a transposed convolution to a strided `tensor.insert_slice` into zeros and a convolution with the
    flipped filter. Where stride and window are both s and nothing is cropped, output pixel `s h + a` is made of input
    pixel h and tap `s - 1 - a` alone: one contraction into `[…, h, a, …]`, whose collapse is the output. That is
    s^2 times less arithmetic in two dimensions. The elementwise operation behind it moves to the split dimensions
    too, so that it stays next to it. Static shapes only.
    """

    name = "neo-split-transposed-convs"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        _split(op)


@dataclass(frozen=True)
class _Window:
    """One spread dimension: output loop, window loop, s, and the extent of the input."""

    out: int
    tap: int
    size: int
    extent: int


def _split(op: ir.Operation) -> None:
    if len(op.operands) != 3 or len(op.results) != 1 or s.is_parallel(op) or not sums_products(op):
        return
    maps = indexing_maps(op)
    spread, maps[0] = through_view(op.operands[0], maps[0])
    if spread is None or spread.name != "tensor.insert_slice" or not zeros(spread.operands[1]):
        return
    windows = _windows(op, spread, maps)
    fill = s.maker(op.operands[2])
    if not windows or fill is None or fill.name != "linalg.fill" or None in s.positions(maps[2]):
        return
    with ir.InsertionPoint(op), op.location:
        split = _Split(windows, maps[0].n_dims)
        expanded = _contract(op, spread, fill.operands[0], maps, split)
        groups = split.groups(maps[2])
        collapsed = tensor.collapse_shape(op.results[0].type, expanded, groups)
    s.replace(op, [collapsed])
    move_epilogue(s.maker(collapsed), groups)


def through_view(value: ir.Value, map_: ir.AffineMap) -> tuple[ir.Operation | None, ir.AffineMap]:
    """What makes `value`, and how it is read, looking through a reshape that drops dimensions of extent 1."""
    maker = s.maker(value)
    if maker is not None and maker.name == "tensor.collapse_shape":
        back = unit_reshape(maker)
        if back is not None:
            return s.maker(maker.operands[0]), s.substitute(back, list(map_.results), map_.n_dims)
    return maker, map_


@dataclass(frozen=True)
class _Split:
    """Loops after the split: each window's tap loop counts pixels inside its block, as a parallel loop."""

    windows: list[_Window]
    loops: int

    def groups(self, map_: ir.AffineMap) -> list[list[int]]:
        """Which dimensions of the split result make up each dimension of a tensor that is read by `map_`."""
        taps = {w.out: w.tap for w in self.windows}
        groups, at = [], 0
        for place in s.positions(map_):
            width = 2 if place in taps else 1
            groups.append(list(range(at, at + width)))
            at += width
        return groups

    def expand(self, places: list[int]) -> list[int]:
        """Loops with each output loop of a window followed by its block loop."""
        taps = {w.out: w.tap for w in self.windows}
        return [p for place in places for p in ((place, taps[place]) if place in taps else (place,))]


def zeros(value: ir.Value) -> bool:
    """Whether a static tensor is filled with zero."""
    fill = s.maker(value)
    if fill is None or fill.name != "linalg.fill" or not s.has_static_shape(value):
        return False
    attribute = s.constant_of(fill.operands[0])
    return isinstance(attribute, ir.FloatAttr) and attribute.value == 0.0


def _windows(op: ir.Operation, spread: ir.Operation, maps: list[ir.AffineMap]) -> list[_Window]:
    """The spread dimensions of `op`; none if any of them is not as the pass needs it."""
    source, weight = spread.operands[0], op.operands[1]
    offsets, sizes, strides = (
        list(ir.DenseI64ArrayAttr(spread.attributes[name]))
        for name in ("static_offsets", "static_sizes", "static_strides")
    )
    if not s.has_static_shape(source) or len(spread.operands) != 2 or kept_dims(sizes, s.shape(source)) is None:
        return []
    taps = s.positions(maps[1])
    out, kinds = s.positions(maps[2]), iterators(op)
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
        size = s.shape(weight)[taps.index(tap[0])]
        extent = s.shape(op.results[0])[out.index(pixel[0])]
        fits = strides[dim] == size and offsets[dim] == size - 1 and extent == sizes[dim] * size
        if not fits or ir.AffineExpr.simplify_affine_expr(expr, len(kinds), 0) != total:
            return []
        found.append(_Window(pixel[0], tap[0], size, sizes[dim]))
    return found


def kept_dims(sizes: list[int], extents: list[int]) -> list[int] | None:
    """Which dimensions of a slice its source of smaller rank has; None where it drops others than those of extent 1."""
    kept: list[int] = []
    missing = len(sizes) - len(extents)
    for dim, size in enumerate(sizes):
        if len(kept) < len(extents) and size == extents[len(kept)] and not (size == 1 and missing > dim - len(kept)):
            kept.append(dim)
        elif size != 1:
            return None
    return kept if len(kept) == len(extents) else None


def _contract(op, spread: ir.Operation, zero: ir.Value, maps: list[ir.AffineMap], split: _Split) -> ir.Value:
    """The product of input pixels and flipped taps, with blocks as dimensions of their own."""
    by_tap = {w.tap: w for w in split.windows}
    by_out = {w.out: w for w in split.windows}
    weight = op.operands[1]
    rank = len(s.shape(weight))
    flips = [
        ir.AffineExpr.get_add(ir.AffineConstantExpr.get(by_tap[p].size - 1), -1 * ir.AffineDimExpr.get(d))
        if p in by_tap
        else ir.AffineDimExpr.get(d)
        for d, p in enumerate(s.positions(maps[1]))
    ]
    empty = ir.Operation.create("tensor.empty", results=[weight.type]).results[0]
    identity = ir.AffineMap.get_identity(rank)
    flipped, block = s.build_generic(
        [weight], [empty], [ir.AffineMap.get(rank, 0, flips), identity], [s.PARALLEL] * rank, op.location
    )
    s.yield_(block, [block.arguments[0]])

    read = []
    source = spread.operands[0]
    kept = kept_dims(list(ir.DenseI64ArrayAttr(spread.attributes["static_sizes"])), s.shape(source))
    for expr in s.permuted(list(maps[0].results), kept):
        pixel = [loop for loop in s.uses_of(expr) if loop in by_out]
        read.append(ir.AffineDimExpr.get(pixel[0]) if pixel else expr)
    places = s.positions(maps[2])
    extents = [
        e
        for p, extent in zip(places, s.shape(op.results[0]), strict=True)
        for e in ((by_out[p].extent, by_out[p].size) if p in by_out else (extent,))
    ]
    type_ = ir.RankedTensorType.get(extents, s.element_type(op.results[0]))
    empty = ir.Operation.create("tensor.empty", results=[type_]).results[0]
    kinds = [s.PARALLEL if loop in by_tap else kind for loop, kind in enumerate(iterators(op))]
    order = split.expand(places)
    order += [loop for loop in range(split.loops) if loop not in order]
    back = s.dims(s.inverse(order))
    new_maps = [
        ir.AffineMap.get(split.loops, 0, read),
        maps[1],
        ir.AffineMap.get(split.loops, 0, s.dims(split.expand(places))),
    ]
    product, block = s.build_generic(
        [source, flipped.results[0]],
        [linalg.fill(zero, outs=[empty])],
        [s.substitute(m, back, split.loops) for m in new_maps],
        s.permuted(kinds, order),
        op.location,
    )
    s.yield_(block, s.copy_body(op, block, dict(zip(op.regions[0].blocks[0].arguments, block.arguments, strict=True))))
    return product.results[0]


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
    indexed = any(o.operation.name == "linalg.index" for o in epilogue.regions[0].blocks[0].operations)
    if None in loops or sorted(loops) != list(range(maps[0].n_dims)) or indexed or out is None:
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
        arguments = epilogue.regions[0].blocks[0].arguments
        s.yield_(block, s.copy_body(epilogue, block, dict(zip(arguments, block.arguments, strict=True))))
        result = tensor.collapse_shape(epilogue.results[0].type, new.results[0], groups)
    s.replace(epilogue, [result])
    collapse.erase()


def _expand(value: ir.Value, extents: list[list[int]]) -> ir.Value:
    groups, at = [], 0
    for group in extents:
        groups.append(list(range(at, at + len(group))))
        at += len(group)
    flat = [e for group in extents for e in group]
    return tensor.expand_shape(ir.RankedTensorType.get(flat, s.element_type(value)), value, groups, [], flat)
