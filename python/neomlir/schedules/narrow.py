"""The schedule of products with very few columns: the rows of the result are the lanes.

Rows of the input lie the other way round, so square blocks of them are transposed in registers; each column of a block
is then multiplied with one weight for every column of the result. The last transposed convolution of a segmentation
network, with one output channel, is such a product.
"""

from __future__ import annotations

import itertools
import math

from neomlir.mlir import ir
from neomlir.schedules.accumulate import Accumulator
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Chunk, Size
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import lane_index
from neomlir.schedules.root import Dim, Root

_COLUMNS = 4
"""Columns of the result, at most; with more, lanes along them do."""
_DEPTH = 64
"""Steps of the reduction that are written out, at most."""
_ITEM = 100_000
"""Multiply-adds of a work item, about."""


class Narrow(Schedule):
    name = "narrow"
    order = 95

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2 and target.vector.bits >= 256

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        lanes = max(1, target.vector.bits // kernel.element_bits)
        rows, columns, depth = _split(root, lanes)
        return Frame(kernel, target).made_by(lambda frame: _emit(frame, root, rows, columns, depth, lanes))


def _split(root: Root, lanes: int) -> tuple[list[Dim], list[Dim], int]:
    """The dimensions that the input has, those that only the weights have, and the length of the reduction."""
    if root.product() is None or len(root.reduced) != 1:
        raise NotApplicable("the reduction is not a sum of products over one loop")
    depth = root.extents[root.reduced[0]]
    probe = root.reduced_probes[root.reduced[0]]
    if depth is None or not lanes <= depth <= _DEPTH:
        raise NotApplicable("the reduction is too short for a block, or too long to be written out")
    rows = [d for d in root.dims if root.depends(0, d)]
    columns = [d for d in root.dims if not root.depends(0, d)]
    if not rows or any(root.depends(1, d) for d in rows) or len(root.accesses[0]) != 1:
        raise NotApplicable("the factors are not an input and weights")
    value, access = root.accesses[0][0]
    if value is None or not access[-1].is_(probe) or len(access) < 2 or access[-2].terms.get(rows[-1].probe) != 1:
        raise NotApplicable("the input's rows do not lie one behind the other")
    sizes = [d.size for d in columns]
    if None in sizes or math.prod(sizes) > _COLUMNS or rows[-1].size is None or rows[-1].size < lanes:
        raise NotApplicable("there are more columns, or too few rows")
    return rows, columns, depth


def _emit(frame: Frame, root: Root, rows: list[Dim], columns: list[Dim], depth: int, lanes: int) -> None:
    if borders(frame):
        raise NotApplicable("the result is padded")
    b, memory, g = frame.b, frame.memory, root.generic
    sums = Accumulator(frame, root)
    loop, inner = root.reduced[0], rows[-1].size
    points = [
        dict(zip(map(id, columns), at, strict=True)) for at in itertools.product(*(range(d.size) for d in columns))
    ]

    def tile(outer: list[Index], base: Index, width: int) -> None:
        """The results of `width` rows."""
        fixed = {id(d): i for d, i in zip(rows, [*outer, lane_index(base, width)], strict=True)}
        places = [
            root.loops([fixed[id(d)] if id(d) in fixed else Index({}, at[id(d)]) for d in root.dims]) for at in points
        ]
        chunk = Chunk(width)
        with b.scope():
            held = [sums.start(loops, chunk)[0] for loops in places]
            for k in range(depth):
                if width > 1:
                    memory.block = (Index({}, min(k // lanes * lanes, depth - lanes)), lanes, lanes)
                for number, loops in enumerate(places):
                    here = list(loops)
                    here[loop] = Index({}, k)
                    held[number] = sums.add(here, chunk, [held[number]])[0]
            memory.block = None
            for loops, value in zip(places, held, strict=True):
                sums.finish(loops, chunk, [value])

    sizes = g.sizes()
    outer: list[Size] = []
    for dim in rows[:-1]:
        size: Size = 1
        for d in dim.loops:
            size = b.mul(size, memory.dim(*sizes[d], frame.evaluator))
        outer.append(size)
    full = inner // lanes * lanes
    target = max(lanes, _ITEM // (depth * len(points)) // lanes * lanes)
    step = min(full, frame.kernel.parameter("item", target, (target * 4,)))
    blocks = -(-full // step)

    def item(indices: list[Index]) -> None:
        *before, block = indices
        low = b.compute(block * step) if block.terms else 0
        high = b.min(b.add(low, step), full)
        b.loop(low, high, lanes, lambda base: tile(before, base, lanes))
        if full < inner:
            last = b.less(b.compute(block), blocks - 1) if block.terms else None

            def rest() -> None:
                b.loop(full, inner, 1, lambda base: tile(before, base, 1))

            if last is None:
                rest()
            else:
                b.when(last, lambda: None, rest)

    b.items([([*outer, blocks], item)])


SCHEDULE = Narrow()
