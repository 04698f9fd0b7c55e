"""Sums of columns in parts of their rows, so that each part reads whole rows and is a work item of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir import targets
from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, is_contraction, iterators, loop_extents, number_of_inputs
from neomlir.schedules.builder import number
from neomlir.schedules.tall import WHOLE

_NEUTRAL = {
    "arith.addf": 0.0,
    "arith.maximumf": -math.inf,
    "arith.minimumf": math.inf,
    "arith.maxnumf": -math.inf,
    "arith.minnumf": math.inf,
}
"""What combines two results, and what changes none."""
_PARTS = (8, 6, 4, 10, 12, 2)
"""Into how many parts rows are cut: the first that divides them. Even, for two threads."""
_LARGE = 4
"""How often the second-level cache holds what is read, at most, where nothing is split."""


@register
@dataclass(frozen=True)
class SplitColumns(ModulePass):
    """Write the sum, or the largest or least, of each column of a large matrix as that of some of its parts.

    `y[c] = sum(f(x[r, c]))` with rows of at most two pages becomes `z[p, c] = sum(f(x[p, r, c]))` and the sum of these.
    Work items that were parts of rows are whole rows, which the hardware reads ahead of whoever walks them.
    """

    name = "neo-split-columns"

    target: str = "host"
    """The target whose cache is too small for what is split."""

    def run(self, module: ir.Module) -> None:
        least = _LARGE * targets.get(self.target).cache.l2
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if op.name == "linalg.generic" and (parts := _parts_of(op, least)):
                        _split(op, parts)


def _parts_of(op: ir.Operation, least: int) -> int:
    """Into how many parts the rows that `op` reduces are split; 0: it stays."""
    kinds, extents, maps = iterators(op), loop_extents(op), indexing_maps(op)
    reduced = [loop for loop, kind in enumerate(kinds) if kind == s.REDUCTION]
    if len(reduced) != 1 or len(kinds) < 2 or None in extents or len(op.results) != 1:
        return 0
    if is_contraction(op) and number_of_inputs(op) > 1:
        return 0
    (rows,), out = reduced, s.positions(maps[-1])
    element = s.element_type(op.results[0])
    columns = out[-1] if out else None
    if columns is None or not isinstance(element, ir.FloatType) or _combined(op) is None or s.counts_loops(op):
        return 0
    width = math.prod(extents) // extents[rows] * element.width // 8
    if math.prod(extents) // extents[rows] != extents[columns] or width > 2 * WHOLE or width * extents[rows] < least:
        return 0
    for value, map_ in zip(op.operands, maps[:-1], strict=False):
        used = [rows in s.uses_of(e) for e in map_.results]
        places = s.positions(map_)
        if any(used) and (None in places or places[-1] != columns or not s.has_static_shape(value)):
            return 0
    return next((parts for parts in _PARTS if extents[rows] % parts == 0), 0)


def _combined(op: ir.Operation) -> str | None:
    """The operation by which each element comes to its result, if it is one that can be done in any order."""
    accumulator, total = list(op.regions[0].blocks[0].arguments)[-1], s.maker(s.yielded(op)[0])
    if total is None or total.name not in _NEUTRAL or [o == accumulator for o in total.operands].count(True) != 1:
        return None
    return total.name if s.one_use(accumulator) else None


def _split(op: ir.Operation, parts: int) -> None:
    kinds, extents, maps = iterators(op), loop_extents(op), indexing_maps(op)
    rows, loops = kinds.index(s.REDUCTION), len(kinds)
    name, shape, element = _combined(op), s.shape(op.results[0]), s.element_type(op.results[0])
    with ir.InsertionPoint(op), op.location:
        # The loop over parts comes first.
        later, inputs, reads = s.dims(range(1, loops + 1)), [], []
        for value, map_ in zip(list(op.operands)[:-1], maps[:-1], strict=True):
            read = list(s.substitute(map_, later, loops + 1).results)
            if rows in s.positions(map_):
                at = s.positions(map_).index(rows)
                sizes = s.shape(value)
                groups = [[d] if d < at else [d, d + 1] if d == at else [d + 1] for d in range(len(sizes))]
                sizes[at : at + 1] = [parts, extents[rows] // parts]
                kind = ir.RankedTensorType.get(sizes, s.element_type(value))
                value = tensor.expand_shape(kind, value, groups, [], sizes)
                read.insert(at, ir.AffineDimExpr.get(0))
            inputs.append(value)
            reads.append(ir.AffineMap.get(loops + 1, 0, read))
        kind = ir.RankedTensorType.get([parts, *shape], element)
        empty = ir.Operation.create("tensor.empty", results=[kind]).results[0]
        neutral = ir.Operation.create(
            "arith.constant", results=[element], attributes={"value": number(element, _NEUTRAL[name])}
        ).results[0]
        written = [ir.AffineDimExpr.get(0), *s.substitute(maps[-1], later, loops + 1).results]
        reads.append(ir.AffineMap.get(loops + 1, 0, written))
        start = linalg.fill(neutral, outs=[empty])
        some, block = s.build_generic(inputs, [start], reads, [s.PARALLEL, *kinds], op.location)
        s.clone_body(op, block)
        rank = len(shape)
        last = [
            ir.AffineMap.get(rank + 1, 0, s.dims([rank, *range(rank)])),
            ir.AffineMap.get(rank + 1, 0, s.dims(range(rank))),
        ]
        kinds = [s.PARALLEL] * rank + [s.REDUCTION]
        whole, block = s.build_generic(some.results, [op.operands[len(maps) - 1]], last, kinds, op.location)
        with ir.InsertionPoint(block):
            made = ir.Operation.create(name, results=[element], operands=list(block.arguments)).results
        s.yield_(block, made)
    s.replace(op, whole.results)
