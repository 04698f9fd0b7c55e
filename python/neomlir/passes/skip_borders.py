"""Leave out the points of a convolution's windows that only meet the zeros around its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.contraction import is_product, starts_from_zero
from neomlir.passes.dataflow import indexing_maps, iterators
from neomlir.passes.layouts import pad_zeros, pads_zeros
from neomlir.passes.slices import take

_MOST_BANDS = 7
_SAVED = 0.25
"""The share of a convolution that bands must save to be worth a kernel each, and another for what follows them."""


@register
@dataclass(frozen=True)
class SkipBorders(ModulePass):
    """Cut from windows what meets a border of zeros wherever the window is, and the rows of wide windows in bands.

    A window of 3 points that are 36 places apart, over 14 places with as many zeros on both sides, meets the input with
    its middle only: what is left is a convolution of one point, without a border. Of one whose points are 12 apart the
    first two and the last two rows meet two points, and those between them one; each of these bands is a convolution of
    its own where that saves a quarter of the products, and the batch is 1, so that bands lie one after another.
    """

    name = "neo-skip-borders"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if is_product(op) and starts_from_zero(op):
                        _skip(op)


@dataclass(frozen=True)
class _Along:
    """How windows walk one dimension of the input: point `t` of window `o` is at `o * stride + t * step - low`."""

    dimension: int
    place: int
    """The dimension of the filter that counts the points of a window."""
    result: int
    """The dimension of the result that counts windows."""
    stride: int
    step: int
    low: int
    size: int
    windows: int
    points: int

    def met(self, o: int) -> tuple[int, int]:
        """The first point of window `o` that meets the input, and the one behind the last."""
        found = [t for t in range(self.points) if 0 <= o * self.stride + t * self.step - self.low < self.size]
        return (found[0], found[-1] + 1) if found else (0, 0)

    def bands(self, several: bool) -> list[tuple[int, int, int, int]]:
        """(first window, the one behind the last, first point, the one behind the last): one band, or several."""
        met = [self.met(o) for o in range(self.windows)]
        some = [m for m in met if m[1]]
        if not some:
            return [(0, self.windows, 0, self.points)]
        first, last = min(m[0] for m in some), max(m[1] for m in some)
        whole = [(0, self.windows, first, last)]
        if not several or self.step == 1 or len(some) < len(met):
            return whole
        found, at = [], 0
        for (begin, end), group in groupby(met):
            number = len(list(group))
            found.append((at, at + number, begin, end))
            at += number
        products = sum((b - a) * (d - c) for a, b, c, d in found)
        saves = products <= (1 - _SAVED) * self.windows * (last - first)
        return found if saves and len(found) <= _MOST_BANDS else whole


def _skip(op: ir.Operation) -> None:
    pad = s.maker(op.operands[0])
    if not pads_zeros(pad) or not all(map(s.has_static_shape, (*op.operands, pad.operands[0]))):
        return
    found = _walks(op, pad)
    alone = found and _is_alone(op)
    cuts = [walk.bands(several=bool(alone) and walk is found[0]) for walk in found]
    if all(cut == [(0, walk.windows, 0, walk.points)] for walk, cut in zip(found, cuts, strict=True)):
        return
    source, filters = pad.operands[0], op.operands[1]
    lows = list(pad.attributes["static_low"])
    made = []
    with ir.InsertionPoint(op), op.location:
        for first in cuts[0]:
            mine = [first, *(cut[0] for cut in cuts[1:])]
            begins, sizes = [-low for low in lows], s.shape(op.operands[0])
            at, points, shape = [0] * len(s.shape(filters)), s.shape(filters), s.shape(op.results[0])
            for walk, (o, until, t, end) in zip(found, mine, strict=True):
                begins[walk.dimension] = o * walk.stride + t * walk.step - walk.low
                sizes[walk.dimension] = (until - o - 1) * walk.stride + (end - t - 1) * walk.step + 1
                at[walk.place], points[walk.place], shape[walk.result] = t, end - t, until - o
            region = _region(source, begins, sizes)
            part = filters if points == s.shape(filters) else take(filters, at, points)
            made.append(_convolution(op, region, part, shape))
        whole = made[0] if len(made) == 1 else tensor.concat(op.results[0].type, found[0].result, made)
    count("convolutions cut")
    s.replace(op, [whole])


def _walks(op: ir.Operation, pad: ir.Operation) -> list[_Along]:
    """The dimensions along which windows move, outermost first."""
    read, filters, out = indexing_maps(op)
    kinds, places, results = iterators(op), s.positions(filters), s.positions(out)
    lows, shape, windows = list(pad.attributes["static_low"]), s.shape(pad.operands[0]), s.shape(op.results[0])
    found = []
    for d, expr in enumerate(read.results):
        terms = _terms(expr)
        if terms is None or len(terms) != 2:
            continue
        moving = [loop for loop in terms if kinds[loop] == s.PARALLEL]
        inside = [loop for loop in terms if kinds[loop] != s.PARALLEL]
        used = [loop for other in (*read.results, *filters.results) for loop in s.uses_of(other)]
        if len(moving) != 1 or used.count(inside[0]) != 2 or used.count(moving[0]) != 1:
            continue
        if places.count(inside[0]) != 1 or results.count(moving[0]) != 1:
            continue
        place, result = places.index(inside[0]), results.index(moving[0])
        steps = terms[moving[0]], terms[inside[0]]
        points = s.shape(op.operands[1])[place]
        found.append(_Along(d, place, result, *steps, lows[d], shape[d], windows[result], points))
    return found


def _terms(expr: ir.AffineExpr) -> dict[int, int] | None:
    """The factor of each loop in a sum of loops times positive constants; None for another expression."""
    if isinstance(expr, ir.AffineDimExpr):
        return {expr.position: 1}
    if isinstance(expr, ir.AffineMulExpr) and isinstance(expr.rhs, ir.AffineConstantExpr) and expr.rhs.value > 0:
        inner = _terms(expr.lhs)
        return inner and {loop: factor * expr.rhs.value for loop, factor in inner.items()}
    if isinstance(expr, ir.AffineAddExpr):
        left, right = _terms(expr.lhs), _terms(expr.rhs)
        return None if left is None or right is None or set(left) & set(right) else left | right
    return None


def _is_alone(op: ir.Operation) -> bool:
    """Whether a convolution is of one picture, and sums over channels: bands of its rows lie one after another."""
    read, _, out = indexing_maps(op)
    walked = {loop for expr in read.results if len(s.uses_of(expr)) > 1 for loop in s.uses_of(expr)}
    batch = {loop for expr in read.results for loop in s.uses_of(expr)} - walked
    several = [
        loop for loop, n in zip(s.positions(out), s.shape(op.results[0]), strict=True) if loop in batch and n > 1
    ]
    return not several


def _region(source: ir.Value, begins: Sequence[int], sizes: Sequence[int]) -> ir.Value:
    """`sizes` places from `begins` on, of which those outside of `source` are zero."""
    shape = s.shape(source)
    inside = [(max(0, begin), min(n, begin + size)) for begin, size, n in zip(begins, sizes, shape, strict=True)]
    cut = [end - first for first, end in inside]
    part = source if cut == shape else take(source, [first for first, _ in inside], cut)
    low = [first - begin for (first, _), begin in zip(inside, begins, strict=True)]
    high = [begin + size - end for (_, end), begin, size in zip(inside, begins, sizes, strict=True)]
    return pad_zeros(part, low, high) if any(low) or any(high) else part


def _convolution(op: ir.Operation, source: ir.Value, filters: ir.Value, shape: Sequence[int]) -> ir.Value:
    """The same products of parts of the input and of the filter."""
    zero = s.maker(op.operands[2]).operands[0]
    filled = linalg.fill(zero, outs=[tensor.empty(list(shape), s.element_type(op.results[0]))])
    new, block = s.build_generic([source, filters], [filled], indexing_maps(op), iterators(op), op.location)
    s.clone_body(op, block)
    return new.results[0]
