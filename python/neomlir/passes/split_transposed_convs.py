"""Compute a transposed convolution whose windows do not overlap as the product that it is."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import iterators
from neomlir.passes.spread import Spread, Window, move_epilogue


@register
@dataclass(frozen=True)
class SplitTransposedConvs(ModulePass):
    """Rewrite a convolution over a tensor spread with zeros, where window and spread are one size s, without zeros.

    Importers lower a transposed convolution to a strided `tensor.insert_slice` into zeros and a convolution with the
    flipped filter. Where stride and window are both s and nothing is cropped, output pixel `s h + a` is made of input
    pixel h and tap `s - 1 - a` alone: one contraction into `[…, h, a, …]`, whose collapse is the output. That is
    s^2 times less arithmetic in two dimensions. So it is with any stride where the input is one pixel. The elementwise
    operation behind it moves to the split dimensions too, so that it stays next to it. Static shapes only.
    """

    name = "neo-split-transposed-convs"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    _split(op)


def _split(op: ir.Operation) -> None:
    spread = Spread.of(op)
    if spread is None or not all(map(_is_apart, spread.windows)):
        return
    with ir.InsertionPoint(op), op.location:
        split = _Split(spread.windows, spread.maps[0].n_dims)
        groups = split.groups(spread.maps[2])
        collapsed = tensor.collapse_shape(op.results[0].type, _contract(spread, split), groups)
    s.replace(op, [collapsed])
    move_epilogue(s.maker(collapsed), groups)


def _is_apart(window: Window) -> bool:
    """Whether windows are as large as their stride, or there is one only, and nothing is cropped."""
    taps = window.taps
    return (
        (window.stride == taps or window.extent == 1)
        and window.offset == taps - 1
        and window.size == window.extent * taps
    )


@dataclass(frozen=True)
class _Split:
    """Loops after the split: each window's tap loop counts pixels inside its block, as a parallel loop."""

    windows: list[Window]
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


def _contract(spread: Spread, split: _Split) -> ir.Value:
    """The product of input pixels and flipped taps, with blocks as dimensions of their own."""
    op, maps = spread.op, spread.maps
    by_tap = {w.tap: w for w in split.windows}
    by_out = {w.out: w for w in split.windows}
    weight = op.operands[1]
    rank = len(s.shape(weight))
    flips = [
        ir.AffineExpr.get_add(ir.AffineConstantExpr.get(by_tap[p].taps - 1), -1 * ir.AffineDimExpr.get(d))
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
    for expr in s.permuted(list(maps[0].results), spread.kept):
        pixel = [loop for loop in s.uses_of(expr) if loop in by_out]
        read.append(ir.AffineDimExpr.get(pixel[0]) if pixel else expr)
    places = s.positions(maps[2])
    extents = [
        e
        for p, extent in zip(places, s.shape(op.results[0]), strict=True)
        for e in ((by_out[p].extent, by_out[p].taps) if p in by_out else (extent,))
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
        [spread.source, flipped.results[0]],
        [linalg.fill(spread.zero, outs=[empty])],
        [s.substitute(m, back, split.loops) for m in new_maps],
        s.permuted(kinds, order),
        op.location,
    )
    s.clone_body(op, block)
    return product.results[0]
