"""Panels of narrow weights in scratch memory, as wide as they are multiplied.

A weight of 16 or 8 bits takes one to three instructions to become a float. In the register tile they would be repeated
for every few rows; where many rows pass by a panel it is widened once, before the first, and read from the cache as a
panel of floats is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from neomlir.mlir import ir
from neomlir.schedules.builder import Chunk, Tile
from neomlir.schedules.index import Index
from neomlir.schedules.root import Root

if TYPE_CHECKING:
    from neomlir.schedules.contraction import Nest

STRIPS = 3
"""Register tiles, one above the other, that are worth the stores."""
SCRATCH = 1 << 19
"""Bytes of scratch memory, at most: it lies on the stack."""


def wide_factor(root: Root, operand: int) -> ir.Value | None:
    """The factor of a product that is input `operand` made wider; None where it is multiplied as it is read."""
    arguments = list(root.generic.body.arguments)
    narrow = arguments[operand].type
    for value in (root.product() or ())[:2]:
        if _bits(value.type) > _bits(narrow) and _inputs(value, arguments) == {operand}:
            return value
    return None


def pays(nest: Nest, rows: int | None) -> ir.Value | None:
    """The factor that is better widened before `rows` rows pass by a panel of columns; None where there is none."""
    plan, root = nest.plan, nest.root
    if nest.b.scalable or not isinstance(rows, int) or rows < STRIPS * nest.strips.height:
        return None
    if plan.batch or len(plan.columns.loops) != 1 or plan.panel != plan.width:
        return None
    return wide_factor(root, 1 - nest.rows_operand)


class Widened:
    """Scratch memory for some panels of a nest."""

    def __init__(self, nest: Nest, factor: ir.Value, panels: int):
        self.nest, self.factor = nest, factor
        extents = [nest.root.extents[d] for d in nest.sums.order]
        self.buffer = nest.frame.memory.scratch([panels, *extents, nest.plan.width], factor.type)

    @staticmethod
    def of(nest: Nest, rows: int | None, panels: int = 1) -> Widened | None:
        """For `panels` panels at a time by which `rows` rows pass; None where that does not pay, or they are large."""
        factor = pays(nest, rows) if nest.plan.rows else None
        extents = [nest.root.extents[d] for d in nest.sums.order]
        if factor is None or None in extents:
            return None
        size = panels * math.prod(extents) * nest.plan.width * _bits(factor.type) // 8
        return Widened(nest, factor, panels) if size <= min(SCRATCH, nest.frame.machine.l2 // 2) else None

    def fill(self, slot: Index, p: Index, tile: Tile) -> None:
        """Widen the columns `tile` of panel `p` into place `slot`."""
        nest, b = self.nest, self.nest.b
        order, first = nest.sums.order, p * -nest.plan.width

        def steps(inner: list[Index]) -> None:
            if len(inner) < len(order):
                b.loop(0, nest.root.extents[order[len(inner)]], 1, lambda k: steps([*inner, k]))
                return
            where = dict(zip(order, inner, strict=True))
            for index, chunk in tile:
                value = widened(nest, self.factor, index, chunk, where)
                nest.frame.memory.store(self.buffer, (slot, *inner, index + first), chunk, value)

        steps([])

    def use(self, slot: Index, p: Index) -> None:
        """Let register tiles read panel `p` at place `slot`."""
        nest, first = self.nest, p * -self.nest.plan.width
        order, columns = nest.sums.order, nest.plan.columns.loops[-1]

        def read(loops: list[Index], chunk: Chunk) -> ir.Value:
            place = (slot, *(loops[d] for d in order), loops[columns] + first)
            return nest.frame.memory.load(self.buffer, place, chunk)

        nest.sums.made_wide[self.factor] = read


def widened(nest: Nest, factor: ir.Value, column: Index, chunk: Chunk, reduced: dict[int, Index]) -> ir.Value:
    """Elements of a factor that depends on the columns and the reduced loops only."""
    root, b = nest.root, nest.b
    loops = root.loops([column if d is nest.plan.columns else Index() for d in root.dims])
    for d, index in reduced.items():
        loops[d] = index
    (value,) = nest.frame.evaluator.body(root.generic, loops, chunk, {}, [factor])
    return b.splat(value, chunk.width)


def _bits(kind: ir.Type) -> int:
    return getattr(kind, "width", 64)


def _inputs(value: ir.Value, arguments: list[ir.Value]) -> set[int]:
    """The numbers of the body's arguments that a value of it depends on."""
    if value in arguments:
        return {arguments.index(value)}
    if isinstance(value.owner, ir.Block):
        return set()
    return {number for operand in value.owner.operands for number in _inputs(operand, arguments)}
