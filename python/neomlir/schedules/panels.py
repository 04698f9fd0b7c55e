"""The operands of a contraction for a dot-product unit: how they lie in memory, and where a group of them is.

The form, on `linalg`: one `linalg.generic` of two inputs whose body is `acc + ext(a) * ext(b)`, where `ext` is

- `arith.extf` from bf16 (f16 where a unit takes it), with `acc` in f32, or
- `arith.extsi` or `arith.extui` from i8, each input its own, with `acc` in i32.

The row operand `a` is an argument of the kernel with the innermost loop of the reduction (the input channels)
contiguous, and has any number of row, batch and window loops (`[n, h + kh, w + kw, c]`). Its channels are a multiple of
the unit's group g: 2 for bf16 and f16, 4 for i8, twice that for a unit of square blocks, 2 for i8 that is widened.
The column operand `b` is packed in panels of r columns, each group of g side by side: `[n floordiv r, batch…, k…, c
floordiv g, n mod r, c mod g]`, which is what `neo-pack-contractions` makes of weights, padded with zeros where r does
not divide n. r is a multiple of the lanes of the unit. A unit that only widens has groups of one, which the panels do
not show: `[n floordiv r, batch…, k…, c, n mod r]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Builder
from neomlir.schedules.index import Index, Part, Var, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Dim, Root, linear
from neomlir.schedules.units import Unit, factor_types, units_of


@dataclass
class Panels:
    """The parts that operands and loops play."""

    unit: Unit
    rows: int
    """The number of the row operand."""
    columns: Dim
    width: int
    """Columns of a panel."""
    reduced: list[int]
    """Loops of the reduction, the innermost last."""
    depth: int
    """Elements of the row operand that lie side by side along the reduction: channels, or a row of the window."""
    merged: list[int]
    """Loops of the reduction that make up `depth`, the innermost last."""
    places: tuple[Index, Index]
    """Where the row and the column operand are read, in elements."""
    origin: Index = field(default_factory=Index)
    """The element of the row operand with which its buffer begins."""

    @staticmethod
    def of(root: Root, kernel: Kernel, target) -> Panels:
        """Raises NotApplicable where the operands do not lie as a unit of the target takes them."""
        kinds = factor_types(root.generic.op)
        if kinds is None:
            raise NotApplicable("the factors are not widened from what a dot-product unit takes")
        for across in (1, 0):
            accesses = root.accesses[across]
            found = _packed(root, accesses[0][1]) if len(accesses) == 1 else None
            if found is not None:
                break
        else:
            raise NotApplicable("no operand is packed for a dot-product unit")
        columns, width, innermost, group = found
        units = units_of(target, kinds[1 - across], kinds[across])
        unit = next((u for u in units if u.group == group and width % u.lanes == 0), None)
        if unit is None:
            raise NotApplicable("the target has no dot-product unit for these operands")
        places = tuple(_linear(root, i) for i in (1 - across, across))
        if root.depends(1 - across, columns):
            raise NotApplicable("both operands depend on the columns")
        probes = root.reduced_probes
        size = root.extents[innermost]
        if size is None or size % group or places[0].terms.get(probes[innermost]) != 1:
            raise NotApplicable("the innermost loop of the reduction is not whole groups side by side")
        if group == 1 and places[1].terms.get(probes[innermost]) != width:
            raise NotApplicable("the innermost loop of the reduction is not the innermost one of the panels")
        others = [d for d in root.reduced if d != innermost]
        step = {d: (places[0].terms.get(probes[d]), places[1].terms.get(probes[d])) for d in others}
        if any(None in pair for pair in step.values()):
            raise NotApplicable("a loop of the reduction moves in one operand only")
        if any(root.extents[d] is None for d in others):
            raise NotApplicable("the reduction is not static")
        others.sort(key=lambda d: -step[d][1])
        merged, depth = [innermost], size
        while others and step[others[-1]] == (depth, depth * width):
            merged.insert(0, others.pop())
            depth *= root.extents[merged[0]]
        return Panels(unit, 1 - across, columns, width, [*others, *merged], depth, merged, places)

    def plan(self, root: Root, height: int, short: int = 0) -> Plan:
        """Rows in the order of the result, `height` of them in a register tile.

        An innermost dimension of at most `short` lies whole inside a tile of the unit, two of them side by side.
        """
        others = [d for d in root.dims if d is not self.columns]
        rows = [d for d in others if not root.depends(1 - self.rows, d)]
        batch = [d for d in others if d not in rows]
        lanes, inner = self.unit.lanes, None
        if len(rows) > 1 and rows[-1].size is not None and rows[-1].size <= short and rows[-2].size != 1:
            inner = rows.pop()
            height = 2 * inner.size
        return Plan(self.columns, rows, inner, batch, lanes, self.width // lanes, height, self.width)

    def loop(
        self,
        b: Builder,
        root: Root,
        step: Callable,
        held: Sequence[ir.Value] = (),
        by: int = 0,
        rest: Callable | None = None,
    ) -> list[ir.Value]:
        """The loops of the reduction around `step(outer, along, *held)`, which takes `by` elements (or a group).

        `rest` takes a group of what is left where `by` does not divide the depth.
        """
        loops = self.outer
        by = by or self.unit.group
        whole = self.depth // by * by

        def inside(outer: list[Index], held: Sequence[ir.Value]) -> list[ir.Value]:
            if len(outer) == len(loops):
                found = b.loop(0, whole, by, lambda k, *h: step(outer, k, *h), held)
                if self.unit.square:
                    _keep_rolled(found)
                return b.loop(whole, self.depth, self.unit.group, lambda k, *h: rest(outer, k, *h), found)
            extent = root.extents[loops[len(outer)]]
            return b.loop(0, extent, 1, lambda k, *h: inside([*outer, k], h), held)

        return inside([], held)

    @property
    def outer(self) -> list[int]:
        """The loops of the reduction around the depth."""
        return self.reduced[: len(self.reduced) - len(self.merged)]

    def steps(self, root: Root, by: int) -> int:
        """Steps of the reduction, of `by` elements each, which divide the depth."""
        return self.depth // by * math.prod(root.extents[d] for d in self.outer)

    def number(self, b: Builder, root: Root, outer: list[Index], along: Index, by: int) -> Index:
        """The number of the step `along` elements into the depth."""
        number = Index()
        for d, index in zip(self.outer, outer, strict=True):
            number = number * root.extents[d] + index
        return number * (self.depth // by) + of(Var(b.size(b.div(b.compute(along), by))))

    def at(self, root: Root, operand: int, where: dict[int, Index], reduced: list[Index], along: Index) -> Index:
        """The element of an operand (0 the rows, 1 the columns) at a point, `along` elements into the depth."""
        place = self.places[operand]
        for dim in root.dims:
            place = place.put(dim.probe, where[id(dim)])
        for d, index in zip(self.outer, reduced, strict=True):
            place = place.put(root.reduced_probes[d], index)
        for d in self.merged[:-1]:
            place = place.put(root.reduced_probes[d], Index())
        innermost = root.reduced_probes[self.merged[-1]]
        place = place.put(innermost, Index()) + along * (self.width if operand else 1)
        return place if operand else place + self.origin * -1


def _keep_rolled(results: Sequence[ir.Value]) -> None:
    """Let LLVM leave the loop that gives `results` as it is: for cores that work in order it would unroll and spill."""
    if results and not isinstance(results[0].owner, ir.Block) and results[0].owner.name == "scf.for":
        loop = results[0].owner
        loop.attributes["loop_annotation"] = ir.Attribute.parse(
            "#llvm.loop_annotation<unroll = <disable = true>>", loop.context
        )


def _packed(root: Root, access: tuple[Index, ...]) -> tuple[Dim, int, int, int] | None:
    """The columns, the width of a panel, the innermost loop and its group, where an input is read in panels."""
    if len(access) < 3:
        return None
    panel, last = _part(access[0], "floordiv"), _part(access[-1], "mod")
    if None in (panel, last):
        return None
    columns = [dim for dim in root.dims if panel.index.is_(dim.probe)]
    if len(columns) != 1:
        return None
    if panel.ident[1:] == last.ident[1:]:
        alone = [d for d, probe in root.reduced_probes.items() if access[-2].is_(probe)]
        return (columns[0], last.divisor, alone[0], 1) if alone else None
    lane, group = (_part(access[place], kind) for place, kind in ((-2, "mod"), (-3, "floordiv")))
    if None in (lane, group) or panel.ident[1:] != lane.ident[1:] or group.ident[1:] != last.ident[1:]:
        return None
    inner = [d for d, probe in root.reduced_probes.items() if last.index.is_(probe)]
    return (columns[0], lane.divisor, inner[0], last.divisor) if len(inner) == 1 else None


def _part(index: Index, kind: str) -> Part | None:
    """The only term of an index, if it is such a part."""
    terms = list(index.terms.items())
    if index.const or len(terms) != 1 or terms[0][1] != 1:
        return None
    part = terms[0][0]
    return part if isinstance(part, Part) and part.kind == kind else None


def _linear(root: Root, operand: int) -> Index:
    """Where an input reads its only argument, as if that were one row; its first dimension may be dynamic."""
    if len(root.accesses[operand]) != 1:
        raise NotApplicable("an operand is not read from one argument")
    value, access = root.accesses[operand][0]
    if value is None or None in [n if n >= 0 else None for n in ir.RankedTensorType(value.type).shape[1:]]:
        raise NotApplicable("an operand has inner dimensions that are not static")
    return linear(access, ir.RankedTensorType(value.type).shape)
