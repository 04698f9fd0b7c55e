"""Which dimension of a product plays which part, and how large its register tile is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import GRANULE
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.root import Dim, Root
from neomlir.schedules.sets import rows_that_stay
from neomlir.schedules.tiles import register_tile

_ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28)
"""Heights of a register tile that are worth a measurement."""
_LATENCY = 4
"""Cycles after which a sum can be added to again."""
GUESS = 256
"""What an extent is taken for where it is dynamic and only a cost hangs on it."""


def is_large(rows: int, columns: int, depth: int, kernel: Kernel, l2: int) -> bool:
    """Whether both factors of a product are larger than half the second-level cache."""
    return min(rows, columns) * depth * kernel.element_bits // 8 > l2 // 2


@dataclass
class Plan:
    """Which dimensions play which part, and the register tile."""

    columns: Dim
    rows: list[Dim]
    """Dimensions along which the panel is used again, the last one in registers."""
    inner: Dim | None
    """A short dimension that lies whole inside the register tile, inside `rows[-1]`."""
    batch: list[Dim]
    lanes: int
    """Of a scalable vector: those of a granule."""
    vectors: int
    """Vectors of a register tile's row."""
    height: int
    """Rows of a register tile, at most."""
    panel: int | None
    width: int = 0
    """Columns of a register tile, or, where vectors are scalable, of the panels that tiles step along together."""
    panels: int = 1
    """Panels that a register tile is spread over where vectors are scalable; in each lie as many of its vectors."""

    def __post_init__(self):
        self.width = self.width or self.lanes * self.vectors

    @staticmethod
    def folded(root: Root, kernel: Kernel, target) -> Plan:
        """That of `make`, with all rows of `root` as one dimension where that makes better register tiles or blocks."""
        plan = Plan.make(root, kernel, target)
        if not plan.can_be_folded(root):
            return plan
        if plan.is_better_folded(max(1, target.vector.fma_ports)) or plan.has_gaps(root, kernel, target):
            root.fold(plan.rows)
            return Plan.make(root, kernel, target)
        return plan

    def can_be_folded(self, root: Root) -> bool:
        """Whether there are several dimensions of rows, all of known size and side by side."""
        sizes = [dim.size for dim in self.rows]
        if len(sizes) < 2 or None in sizes or self.inner or self.batch or self.panels > 1:
            return False
        first = root.dims.index(self.rows[0])
        return root.dims[first : first + len(sizes)] == self.rows

    def has_gaps(self, root: Root, kernel: Kernel, target) -> bool:
        """Whether the rows of a large product lie apart, as a window that moves by two leaves every other one out.

        In place they share half of the sets of a cache. As one dimension they are copied side by side, block by block.
        """
        if len(root.reduced) != 1 or target.vector.scalable or self.panel not in (None, self.width):
            return False
        loop, place = root.reduced[0], root.linear(1 if root.depends(0, self.columns) else 0)
        rows, columns, depth = math.prod(dim.size for dim in self.rows), self.columns.size, root.extents[loop]
        if None in (columns, depth, place) or not is_large(rows, columns, depth, kernel, target.cache.l2):
            return False
        return place.terms.get(root.reduced_probes[loop]) == 1 and place.terms.get(self.rows[-1].probe, 0) > depth

    def is_better_folded(self, ports: int) -> bool:
        """Whether tiles across the ends of a dimension's rows save a tenth: too few sums wait for each other."""
        sizes = [dim.size for dim in self.rows]

        def cycles(size: int) -> float:
            strips = -(-size // self.height)
            low, taller = divmod(size, strips)
            heights = [low + 1] * taller + [low] * (strips - taller)
            return sum(max(height * self.vectors / ports, _LATENCY) for height in heights)

        return cycles(math.prod(sizes)) < 0.9 * math.prod(sizes[:-1]) * cycles(sizes[-1])

    @staticmethod
    def make(root: Root, kernel: Kernel, target) -> Plan:
        if root.product() is None:
            raise NotApplicable("the reduction is not a sum of products")
        if not root.dims:
            raise NotApplicable("there is no dimension to vectorise")
        columns = Plan.columns_of(root)
        across = [i for i in range(2) if root.depends(i, columns)]
        others = [d for d in root.dims if d is not columns]
        rows = [d for d in others if not any(root.depends(i, d) for i in across)]
        batch = [d for d in others if d not in rows]
        is_scalable = target.vector.scalable
        lanes = max(1, target.vector.bits // kernel.element_bits)
        panel = root.panel(columns)
        if is_scalable:
            if columns.size is not None and columns.size < GRANULE // kernel.element_bits:
                raise NotApplicable("the columns fill no scalable vector")
        elif panel is not None:
            lanes = math.gcd(lanes, panel)
        if columns.size is not None and columns.size < lanes:
            lanes = 1 << (columns.size - 1).bit_length()
        height, wide = register_tile(target, kernel.element_bits)
        vectors = max(1, wide // lanes if lanes * kernel.element_bits == target.vector.bits else 2)
        if panel is not None and panel <= 4 * lanes:
            vectors = max(1, panel // lanes)
        if columns.size is not None:
            vectors = min(vectors, -(-columns.size // lanes))
        budget = target.vector.registers
        # Beside the sums: the columns in use, a row's number, and without multiply-adds their product.
        others = vectors + (1 if target.vector.fma_ports else 2)
        height = max(1, min((budget - others) // vectors, 28 if budget > 16 else 12))
        inner = None
        if len(rows) > 1 and rows[-1].size is not None and rows[-1].size * 2 <= height:
            inner = rows.pop()
        tall = (rows[-1].size or height) * (inner.size if inner else 1) if rows else 1
        if tall * vectors < 14:
            # Few rows: more columns, so that enough independent sums hide the latency of the multiply-add, and weights
            # come from memory as several streams.
            more = max(1, min(8, (budget - 2) // (tall + 1)) // vectors)
            if columns.size is not None:
                more = min(more, max(1, columns.size // (vectors * lanes)))
            vectors *= more
        most = 8 if columns.size is None else min(8, -(-columns.size // lanes))
        fits = [
            v
            for v in (1, 2, 3, 4, 6, 8)
            if v <= most and (panel is None or not max(panel, v * lanes) % min(panel, v * lanes))
        ]
        analytic, vectors = vectors, kernel.parameter("vectors", vectors, fits)
        if vectors != analytic:
            height = max(1, min((budget - vectors - 2) // vectors, height))
        plain = len(rows) == 1 and not (inner or batch) and panel in (None, vectors * lanes)
        if rows and not (plain and Plan.is_copied(root, rows[0], columns, kernel, target)):
            operand = 1 if root.depends(0, columns) else 0
            height = rows_that_stay(root, operand, rows[-1], inner, height, target.cache)
        height = kernel.parameter(
            "rows", height, [r for r in _ROWS if r * vectors + vectors < budget and r < 2 * height]
        )
        if not is_scalable:
            return Plan(columns, rows, inner, batch, lanes, vectors, height, panel)
        width, panels = vectors * lanes, 1
        if panel is not None:
            inside = min(vectors, max(1, panel // lanes))
            panels = max(1, vectors // inside)
            width, vectors = panels * panel, panels * inside
        lanes = GRANULE // kernel.element_bits
        return Plan(columns, rows, inner, batch, lanes, vectors, height, panel, width, panels)

    @staticmethod
    def is_copied(root: Root, rows: Dim, columns: Dim, kernel: Kernel, target) -> bool:
        """Whether the rows of a product are read from a copy, as `five_loops` makes it of large ones."""
        sizes = [rows.size, columns.size, *(root.extents[loop] for loop in root.reduced)]
        return len(root.reduced) == 1 and None not in sizes and is_large(*sizes, kernel, target.cache.l2)

    @staticmethod
    def columns_of(root: Root) -> Dim:
        """The dimension that is vectorised: contiguous in what depends on it, and best in the result as well."""
        fit = []
        for place, dim in enumerate(root.dims):
            across = [i for i in range(2) if root.depends(i, dim)]
            if len(across) == 1 and all(root.contiguous(i, dim) for i in across):
                last = place == len(root.dims) - 1
                fit.append(((dim.size or GUESS) >= 4, last, dim.size or GUESS, -place, dim))
        if not fit:
            raise NotApplicable("no dimension lies contiguous in one factor and not in the other")
        return max(fit, key=lambda f: f[:-1])[-1]
