"""Convolutions of small groups as depthwise ones, whose channels read all channels of their group."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir import targets
from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import is_product, starts_from_zero
from neomlir.passes.dataflow import indexing_maps, iterators, loop_extents
from neomlir.passes.reshapes import collapsed, destination, expanded
from neomlir.schedules.depthwise_form import TAPS

_MOST = 8
"""Channels of a group, at most: sixteen fill a vector, and use lines of the cache as well by themselves."""


@register
@dataclass(frozen=True)
class JoinGroups(ModulePass):
    """Let the channels of a convolution with small groups be one dimension, of which several groups fill a vector.

    `y[p…, g, k] += x[q…, g, c] * w[g, k, c, a…]` with as many outputs as inputs in a group, at most eight and as many
    as a vector has lanes, becomes `y[p…, n] += x[q…, (n floordiv k) * k + c] * w[n, c, a…]`, between reshapes: a
    depthwise convolution whose channels read all those of their group, one after the other. The schedule `depthwise`
    loads a vector of channels and shuffles it. Convolutions of one point, and windows too long for that, stay.
    """

    name = "neo-join-groups"

    target: str = "host"
    """The target whose vectors hold several groups."""

    def run(self, module: ir.Module) -> None:
        vector = targets.get(self.target).vector
        if vector.scalable:
            return
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                constants = Constants.of(function)
                for op in s.operations(function):
                    if is_product(op) and constants.weights(op.operands[1]) and _fits(op, vector.bits // 32):
                        _join(op)


def _fits(op: ir.Operation, lanes: int) -> bool:
    """Whether it is such a convolution in f32, of static shapes, channels innermost."""
    if not all(s.has_static_shape(v) and isinstance(s.element_type(v), ir.F32Type) for v in op.operands):
        return False
    source, filters, out = indexing_maps(op)
    kinds, extents = iterators(op), loop_extents(op)
    read, weight, written = (s.positions(m) for m in (source, filters, out))
    if None in weight or None in written or len(written) < 3 or len(read) < 3 or not starts_from_zero(op):
        return False
    group, k = written[-2:]
    c = read[-1]
    if read[-2] != group or c is None or kinds[c] != s.REDUCTION or written != sorted(written):
        return False
    if group not in weight or weight[weight.index(group) + 1 :][:1] != [k] or c not in weight:
        return False
    used = [s.uses_of(e) for e in source.results[:-2]]
    if any(group in u or k in u for u in used):
        return False
    # A window of one point is none, and a plane of one row is walked by its taps alone; dimensions of one place go.
    windows = [u for u in used if any(kinds[loop] == s.REDUCTION and extents[loop] > 1 for loop in u)]
    moving = [u for u in used if any(extents[loop] > 1 for loop in u)]
    if not windows or moving[-1] is not windows[-1] or not all(_is_window(u, kinds, extents) for u in windows):
        return False
    size = extents[k]
    return size == extents[c] and 1 < size <= min(lanes, _MOST) and lanes % size == 0


def _is_window(loops: set[int], kinds: list[str], extents: list[int | None]) -> bool:
    """Whether an index moves with a loop of the result and a loop over a few points."""
    taps = [extents[loop] for loop in loops if kinds[loop] == s.REDUCTION]
    places = [extents[loop] for loop in loops if kinds[loop] == s.PARALLEL]
    return len(taps) == len(places) == 1 and places[0] > 1 and taps[0] <= TAPS


def _join(op: ir.Operation) -> None:
    maps, kinds, extents = indexing_maps(op), iterators(op), loop_extents(op)
    group, k = s.positions(maps[2])[-2:]
    c, size = s.positions(maps[0])[-1], extents[k]
    left = [loop for loop in range(len(kinds)) if loop != group]
    loops = len(left)
    by = s.dims(left.index(loop) if loop in left else 0 for loop in range(len(kinds)))
    whole = ir.AffineExpr.get_floor_div(by[k], size) * size

    def merged(map_: ir.AffineMap, at: int, place: ir.AffineExpr) -> ir.AffineMap:
        results = list(s.substitute(map_, by, loops).results)
        return ir.AffineMap.get(loops, 0, [*results[:at], place, *results[at + 2 :]])

    def pairs(rank: int, at: int) -> list[list[int]]:
        return [[d] if d < at else [d, d + 1] if d == at else [d + 1] for d in range(rank - 1)]

    places = [len(maps[0].results) - 2, s.positions(maps[1]).index(group), len(maps[2].results) - 2]
    groups = [pairs(len(m.results), at) for m, at in zip(maps, places, strict=True)]
    found = zip(maps, places, (whole + by[c], by[k], by[k]), strict=True)
    joined = [merged(*each) for each in found]
    shape = s.shape(op.results[0])
    flat = [*shape[:-2], shape[-2] * shape[-1]]
    with ir.InsertionPoint(op), op.location:
        read = [collapsed(value, each) for value, each in zip(list(op.operands)[:2], groups, strict=False)]
        written = destination(op.operands[2], flat, _static, lambda given: collapsed(given, groups[2]))
        new, block = s.build_generic(read, [written], joined, [kinds[loop] for loop in left], op.location)
        s.clone_body(op, block)
        result = expanded(new.results[0], groups[2], shape, _static)
    s.replace(op, [result])


def _static(dimension: int) -> ir.Value:
    raise AssertionError(f"dimension {dimension} is static")
