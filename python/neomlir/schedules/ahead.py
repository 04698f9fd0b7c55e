"""Weights are brought to the second-level cache while the panel before them is in use.

A panel of weights is read from the cache once a register tile; the first time it would come from memory, which takes
as long as the arithmetic of several tiles. So every tile fetches a share of the next panel, an element of a line in
each step of its reduction (LIBXSMM does the same with whole operands: A. Heinecke et al., SC 2016).
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules.builder import Size
from neomlir.schedules.index import Index, Part, Var, of
from neomlir.schedules.memory import Memory
from neomlir.schedules.root import Dim, Root

_L2 = 2
"""The locality hint of data for the second-level cache."""


class Ahead:
    """Fetches the panel behind the one in use."""

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

    @staticmethod
    def of(root: Root, columns: Dim, order: list[int], memory: Memory, tiles: Size, line: int) -> Ahead | None:
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
        return Ahead(memory, memory.of(value), [stride[d] for d in order], tiles, line // width)

    def tile(self, panel: Index, number: Index) -> None:
        """The register tile that comes is the `number`th of a panel."""
        b = self.b
        following = b.min(b.add(b.compute(panel), 1), self.last)
        share = b.compute(number)
        if self.shift:
            share = b.value("arith.andi", b.index_type, share, b.index((1 << self.shift) - 1))
        self.start = b.size(b.mul(following, self.size << self.shift))
        self.start = b.size(b.add(self.start, b.mul(share, self.size)))

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
            b.fetch(self.flat, b.size(b.add(element, offset)), _L2)
