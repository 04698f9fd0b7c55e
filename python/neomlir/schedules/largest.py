"""Register tiles of the largest (or smallest) of windows on x86, whose instruction for it loses NaN on one side.

Handing NaN on costs two instructions more for every element. Here pairs of elements are asked whether one of them is
NaN, and the answers are put together, so that a selection a window is left. Rows of a window come together first: a
column that two windows share is met once.
"""

from __future__ import annotations

import itertools

from neomlir.mlir import arith, ir
from neomlir.schedules.accumulate import Accumulator
from neomlir.schedules.builder import Chunk, number
from neomlir.schedules.combine import combinations, compared
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.root import Root

_PREDICATES = {"arith.maximumf": arith.CmpFPredicate.OGT, "arith.minimumf": arith.CmpFPredicate.OLT}

Met = tuple[ir.Value, ir.Value]
"""The largest of some elements, unless one is NaN, and whether one is."""


def takes(frame: Frame, root: Root, unrolled: frozenset[int]) -> bool:
    """Whether a reduction takes the largest of a window that is written out."""
    ways = combinations(root.generic)
    if ways is None or len(ways) != 1 or ways[0].name not in _PREDICATES:
        return False
    return frame.machine.loses_nan and len(root.reduced) > 0 and set(root.reduced) == unrolled


class Largest(Accumulator):
    """Tiles of the largest of windows."""

    def __init__(self, frame: Frame, root: Root, unrolled: frozenset[int]):
        super().__init__(frame, root, unrolled)
        (self.way,) = combinations(root.generic)

    def _reduce(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        b, found = self.frame.b, []
        *rows, along = self.order
        for (loops, chunk), start in zip(places, held, strict=True):
            columns = []
            for k in range(self.extents[along]):
                elements = []
                for taps in itertools.product(*(range(self.extents[d]) for d in rows)):
                    here = list(loops)
                    for d, tap in zip(self.order, (*taps, k), strict=True):
                        here[d] = Index({}, tap)
                    elements.append(self._element(here, chunk))
                columns.append(self._of(elements, chunk))
            value, odd = columns[0]
            for largest, is_odd in columns[1:]:
                value, odd = self._larger(value, largest), b.value("arith.ori", odd.type, odd, is_odd)
            nan = b.splat(b.constant(number(self.generic.results[0].type.element_type, float("nan"))), chunk.width)
            value = b.value("arith.select", value.type, odd, nan, value)
            if start != self.way.neutral(b, self.generic.results[0].type.element_type, chunk.width):
                value = self.way.combine(b, start, value)
            found.append(value)
        return found

    def _element(self, loops: list[Index], chunk: Chunk) -> ir.Value:
        made = self.frame.evaluator.body(self.generic, loops, chunk, {}, [self.way.value])[0]
        return self.frame.b.splat(made, chunk.width)

    def _of(self, elements: list[ir.Value], chunk: Chunk) -> Met:
        b = self.frame.b
        value, odd = elements[0], None
        for element in elements[1:]:
            value = self._larger(value, element)
        for i in range(0, len(elements), 2):
            pair = compared(b, arith.CmpFPredicate.UNO, elements[i], elements[min(i + 1, len(elements) - 1)])
            odd = pair if odd is None else b.value("arith.ori", pair.type, odd, pair)
        return value, odd

    def _larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        if x == y:
            return x
        b = self.frame.b
        return b.value("arith.select", x.type, compared(b, _PREDICATES[self.way.name], x, y), x, y)
