"""The panel behind the one that register tiles of matrix tiles use, fetched to the second-level cache meanwhile.

Its lines are spread evenly over the steps of the reduction of all register tiles that use the panel: from memory they
come no faster than that, and requests that wait keep the loads of tiles waiting.
"""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of

_L2 = 2
"""The locality hint of data for the second-level cache."""


class NextTiles:
    """Fetches the next panel while `tiles` register tiles use one, in `steps` steps each."""

    def __init__(self, frame: Frame, buffer: ir.Value, tiles: int, steps: int):
        self.b, self.frame, self.buffer, self.tiles, self.steps = frame.b, frame, buffer, tiles, steps
        kind = ir.MemRefType(buffer.type)
        self.panels, self.size = kind.shape[0], math.prod(kind.shape[1:])
        self.line = frame.machine.line * 8 // kind.element_type.width
        self.count = -(-self.size // (self.line * steps * tiles))
        """Lines that one step fetches."""

    def fetch(self, panel: Index, tile: Index, step: Index) -> None:
        """What falls to a step of the register tile with a number, of those that use `panel`."""
        b, share = self.b, self.count * self.line
        # Blocks of rows that use the same panel fetch the same one behind it.
        tile = of(Var(b.size(b.rem(b.compute(tile), self.tiles)), 1, 0, self.tiles - 1))
        following = b.min(b.add(b.compute(panel), 1), self.panels - 1)
        within = b.min(b.compute((tile * self.steps + step) * share), max(0, self.size - share))
        start = b.add(b.mul(following, self.size), within)
        for offset in range(0, share, self.line):
            b.fetch(self.frame.memory.flat(self.buffer), [b.size(b.add(start, offset))], _L2)
