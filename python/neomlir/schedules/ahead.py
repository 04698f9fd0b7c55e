"""Operands are brought to the second-level cache while the register tiles before them are computed.

A panel of weights is read from the cache once a register tile; the first time it would come from memory, which takes
as long as the arithmetic of several tiles. So every tile fetches a share of the next panel, and, of rows that are too
large to be in the cache, those of the next tile: a line in each step of its reduction (LIBXSMM does the same with whole
operands: A. Heinecke et al., SC 2016).
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules.builder import Size
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Part, Var, of
from neomlir.schedules.memory import Memory
from neomlir.schedules.root import Dim, Root, linear, stored_at

_L1, _L2 = 3, 2
"""The locality hints of data for the first-level and the second-level cache."""
_LONG = 8
"""Lines of a row, at least, for the hardware to be late with it."""


class NextPanel:
    """Fetches the panel of weights behind the one in use."""

    def __init__(self, memory: Memory, buffer: ir.Value, strides: list[int], tiles: int, line: int):
        """`strides`: elements of the panel between steps of each loop of the reduction; `line`: elements of a line."""
        self.b = memory.b
        shape = ir.MemRefType(buffer.type).shape
        self.flat = memory.flat(buffer)
        self.strides = strides
        self.last = shape[0] - 1
        self.size = math.prod(shape[1:])
        # 2^shift tiles have a share of the panel each; a step of a tile uses `shape[-1]` elements of its own panel.
        self.shift = min(tiles, self.size).bit_length() - 1
        self.offsets = range(0, max(1, shape[-1] >> self.shift), line)
        self.start: ir.Value | None = None
        self.aimed: tuple[Index, Index, Index, int] | None = None

    @staticmethod
    def of(root: Root, columns: Dim, order: list[int], memory: Memory, tiles: Size, line: int) -> NextPanel | None:
        """None where the weights are no packed panels of static size.

        `order`: the loops of the reduction; `tiles`: register tiles that use a panel, one after another; `line`: bytes
        of a line of the cache.
        """
        across = [accesses for i, accesses in enumerate(root.accesses) if root.depends(i, columns)]
        if not isinstance(tiles, int) or len(across) != 1 or len(across[0]) != 1:
            return None
        value, access = across[0][0]
        if value is None or not ir.RankedTensorType(value.type).has_static_shape or len(access) != len(order) + 2:
            return None
        panel = list(access[0].terms)
        if len(panel) != 1 or not isinstance(panel[0], Part) or panel[0].kind != "floordiv":
            return None
        shape = ir.RankedTensorType(value.type).shape
        stride = {
            d: math.prod(shape[place + 2 :])
            for place, index in enumerate(access[1:-1])
            for d in order
            if index.is_(root.reduced_probes[d])
        }
        if len(stride) != len(order) or shape[0] == 1:
            return None
        width = ir.RankedTensorType(value.type).element_type.width // 8
        return NextPanel(memory, memory.of(value), [stride[d] for d in order], tiles, line // width)

    def aim(self, panel: Index, place: Index, low: Index, steps: int) -> None:
        """The tiles that come reduce `steps` steps from `low` on; after them come those from `place` on of `panel`."""
        self.aimed = (panel, place, low, steps)

    def tile(self, panel: Index, number: Index) -> None:
        """The register tile that comes is the `number`th of a panel."""
        b = self.b
        if self.aimed:
            self._aimed_tile(number)
            return
        following = b.min(b.add(b.compute(panel), 1), self.last)
        share = b.compute(number)
        if self.shift:
            share = b.value("arith.andi", b.index_type, share, b.index((1 << self.shift) - 1))
        self.start = b.size(b.mul(following, self.size << self.shift))
        self.start = b.size(b.add(self.start, b.mul(share, self.size)))

    def _aimed_tile(self, number: Index) -> None:
        b, (panel, place, low, steps) = self.b, self.aimed
        stride = self.strides[0]
        start = b.mul(b.min(b.compute(panel), self.last), self.size)
        start = b.mul(b.add(start, b.compute(place * stride)), 1 << self.shift)
        share = b.compute(number)
        if self.shift:
            share = b.value("arith.andi", b.index_type, share, b.index((1 << self.shift) - 1))
        # Steps are counted from the start of the panel.
        before = b.compute(low * -stride)
        self.start = b.size(b.add(b.add(start, b.mul(share, steps * stride)), before))

    def step(self, reduced: list[Index]) -> None:
        """Fetch what falls to one step of the reduction, given by its loops."""
        b = self.b
        place = of(Var(self.start))
        for index, stride in zip(reduced, self.strides, strict=True):
            place = place + index * stride
        element = b.compute(place)
        if self.shift:
            element = b.value("arith.shrui", b.index_type, element, b.index(self.shift))
        for offset in self.offsets:
            b.fetch(self.flat, [b.size(b.add(element, offset))], _L2)


class NextRows:
    """Fetches the rows of the register tile behind the one in use."""

    def __init__(self, memory: Memory, buffer: ir.Value, place: Index, row: Var, reduced: list[Var], line: int):
        """`place`: where the buffer is read, in terms of `row`, other dimensions, and the loops of the reduction."""
        self.b = memory.b
        self.flat = memory.flat(buffer)
        self.last = math.prod(ir.MemRefType(buffer.type).shape) - 1
        self.place, self.row, self.reduced, self.line = place, row, reduced, line
        self.start = Index()

    @staticmethod
    def of(root: Root, operand: int, rows: Dim, order: list[int], memory: Memory, line: int) -> NextRows | None:
        """None where the rows of `operand` do not lie along the reduction, by whole lines, at static strides."""
        place = root.linear(operand)
        if place is None or not order:
            return None
        value = root.accesses[operand][0][0]
        reduced = [root.reduced_probes[d] for d in order]
        line //= ir.RankedTensorType(value.type).element_type.width // 8
        plain = all(isinstance(v, Var) for v in place.terms)
        if not plain or place.terms.get(reduced[-1]) != 1 or (root.extents[order[-1]] or 0) < line:
            return None
        return NextRows(memory, memory.of(value), place, rows.probe, reduced, line)

    def tile(self, where: dict[Var, Index], _part: Index) -> None:
        """The register tile that comes is followed by one at `where`, an index for each probe of the dimensions."""
        self.start = self.place
        for probe, index in where.items():
            self.start = self.start.put(probe, index)

    def step(self, reduced: list[Index]) -> None:
        """Fetch what falls to one step of the reduction: the line of the step, of one of `line` rows."""
        b = self.b
        place = self.start
        for probe, index in zip(self.reduced[:-1], reduced[:-1], strict=True):
            place = place.put(probe, index)
        innermost = b.compute(reduced[-1])
        row = b.value("arith.andi", b.index_type, innermost, b.index(self.line - 1))
        along = b.sub(innermost, row)
        place = place.put(self.reduced[-1], of(Var(along)))
        element = b.add(b.compute(place), b.mul(row, self.place.terms[self.row]))
        b.fetch(self.flat, [b.size(b.min(element, self.last))], _L2)


class NextRun:
    """Fetches what the register tile behind the one in use reads or writes, where that lies end to end, in this order.

    A prefetcher that learns from the addresses of instructions is right about it. Left alone it starts anew with each
    row, and the first lines of long rows are waited for; and a tile writes a line or two of each row at a time.
    """

    def __init__(
        self, memory: Memory, buffer: ir.Value, place: Index, share: int, depth: int, parts: int, write: bool = False
    ):
        """`place`: where the buffer is read or written by the dimensions.

        `parts`: register tiles of the same rows, one after another, of which each fetches `share` elements in `depth`
        steps.
        """
        self.b = memory.b
        self.flat = memory.flat(buffer)
        self.place, self.share, self.parts, self.write = place, share, parts, write
        self.stride = -(-share // depth)
        self.last = max(0, math.prod(ir.MemRefType(buffer.type).shape) - self.stride * depth)
        self.start = Index()

    @staticmethod
    def of(
        root: Root, operand: int, rows: Dim, order: list[int], memory: Memory, line: int, height: int, parts: int
    ) -> NextRun | None:
        """None where rows of `operand` are short, or no rows of a matrix, or few of the parts would fetch them all."""
        place = root.linear(operand)
        if place is None or len(order) != 1 or parts >= 2 * height:
            return None
        value, depth, probe = root.accesses[operand][0][0], root.extents[order[0]], root.reduced_probes[order[0]]
        if depth is None or depth * ir.RankedTensorType(value.type).element_type.width < 8 * line * _LONG:
            return None
        plain = all(isinstance(v, Var) for v in place.terms)
        if not plain or place.terms.get(probe) != 1 or place.terms.get(rows.probe) != depth:
            return None
        share = -(-height // parts) * depth
        return NextRun(memory, memory.of(value), place.put(probe, Index()), share, depth, parts)

    @staticmethod
    def of_results(
        frame: Frame, root: Root, columns: Dim, rows: Dim, order: list[int], height: int, parts: int
    ) -> NextRun | None:
        """None where less is written than read, or no whole rows of a matrix that is too large for the cache."""
        kernel = frame.kernel
        depth = root.extents[order[0]] if len(order) == 1 else None
        if None in (depth, columns.size) or len(kernel.destinations) != 1:
            return None
        kind = kernel.destinations[0].type
        if (
            not frame.is_large(kernel.destinations[0])
            or columns.size <= depth
            or depth * parts >= 2 * height * columns.size
        ):
            return None
        at = stored_at(kernel, root.generic, root.loops([of(dim.probe) for dim in root.dims]))[0]
        place = linear(at, kind.shape)
        plain = all(isinstance(v, Var) for v in place.terms)
        if not plain or place.terms.get(columns.probe) != 1 or place.terms.get(rows.probe) != columns.size:
            return None
        share = -(-height * columns.size // parts)
        return NextRun(
            frame.memory, frame.destination(0), place.put(columns.probe, Index()), share, depth, parts, write=True
        )

    def tile(self, where: dict[Var, Index], part: Index) -> None:
        """The tile that comes is the `part`th of its rows; behind these come those from `where` on."""
        place = self.place
        for probe, index in where.items():
            place = place.put(probe, index)
        if self.parts > 1:
            place = place + part * self.share
        self.start = of(Var(self.b.size(self.b.min(self.b.compute(place), self.last))))

    def step(self, reduced: list[Index]) -> None:
        """Fetch what falls to one step of the reduction."""
        place = self.b.size(self.b.compute(self.start + reduced[0] * self.stride))
        self.b.fetch(self.flat, [place], _L1 if self.write else _L2, self.write)
