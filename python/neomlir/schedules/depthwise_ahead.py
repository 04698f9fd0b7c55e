"""The rows of the input that the next row of results reads first are fetched while the one before is computed, and
the weights of a block of channels before it is begun.

Of a strip they are short pieces, one a row of the tensor, which hardware does not foresee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from neomlir.mlir import ir
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.depthwise_form import Border, Form
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, apply, of

_L2 = 2
"""The locality hint of data for the second-level cache."""


@dataclass
class NextRow:
    """Fetches, at every tile of a strip, a part of what the strip below reads first."""

    frame: Frame
    form: Form
    buffer: ir.Value
    low: list[int]
    """Zeros in front of the input, which are not in the buffer."""
    sizes: list[int | None]
    """Extents of the buffer."""

    @staticmethod
    def of(frame: Frame, form: Form, border: Border | None) -> NextRow | None:
        """None where the hardware does it, or where the input is near, or is computed."""
        g, machine = form.generic, frame.machine
        source = g.inputs[0]
        sizes = static_shape(source) if border is None else border.sizes
        size = math.prod(n or 1 for n in sizes) + math.prod(n or 1 for n in static_shape(g.results[0]))
        near = size * frame.kernel.element_bits // 8 <= machine.l2 * form.row.stride
        if not machine.ahead or frame.b.scalable or near or len(form.others) != 1:
            return None
        if not isinstance(source.owner, ir.Block) or None in sizes[1:]:
            return None
        low = [0] * len(sizes) if border is None else border.low
        return NextRow(frame, form, frame.memory.of(source) if border is None else border.buffer, low, sizes)

    def fetch(self, outer: dict[int, Index], base: Index, height: int, tile: Tile, rows: int = 1) -> None:
        """Of the strip of `height` results from `base` on, `rows` below the place `outer` of the loops outside.

        A line of the cache holds the channels of several tiles: each fetches those of every so many points.
        """
        b, form, memory = self.frame.b, self.form, self.frame.memory
        row, window = form.row, form.others[0]
        if any(chunk.mask is not None for _, chunk in tile):
            return
        line = self.frame.machine.line * 8 // self.frame.kernel.element_bits
        lanes = sum(chunk.width for _, chunk in tile)
        loops = [outer.get(d, Index()) for d in range(form.generic.rank)]
        loops[form.channels] = tile[0][0].put_lane(0)
        loops[row.loop] = base
        place = [apply(e, loops) + -n for e, n in zip(form.generic.maps[0].results, self.low, strict=True)]
        share, number = max(1, line // lanes), Index()
        if share > 1:
            number = of(Var(b.size(b.rem(b.div(b.compute(loops[form.channels]), lanes), share)), 1, 0, share - 1))
        # What a strip has in common with the one before is near.
        common = max(0, row.reach - row.stride)
        points = [place[row.place] + common + i for i in range(0, height * row.stride, share)]
        if base.constant is not None:
            points = [p for p in points if 0 <= p.const < self.sizes[row.place]]
        step = rows * window.stride
        reach = step - window.stride + window.reach
        for k in range(min(step, reach)):
            below = b.compute(place[window.place] + reach + k)
            place_below = self._within(below, self.sizes[window.place])
            for point in points:
                at = list(place)
                at[window.place], at[row.place] = place_below, point + number
                for lane in range(0, lanes, line):
                    at[-1] = place[-1] + lane
                    memory.fetch(self.buffer, tuple(at), _L2)

    def _within(self, row: Size, size: int) -> Index:
        """The row, or the nearest that there is."""
        b = self.frame.b
        return of(Var(b.size(b.max(b.min(row, size - 1), 0))))


def fetch_weights(frame: Frame, form: Form, low: Size, high: Size) -> None:
    """Ask for the weights of the channels from `low` to `high`, a line of each tap in turn."""
    b, g, memory = frame.b, form.generic, frame.memory
    if not isinstance(g.inputs[1].owner, ir.Block):
        return
    taps = [*(window.tap for window in form.others), form.row.tap]

    def line(c: Index) -> None:
        for place in product(*(range(g.extents[d]) for d in taps)):
            loops = [Index() for _ in range(g.rank)]
            for d, k in zip(taps, place, strict=True):
                loops[d] = Index({}, k)
            loops[form.channels] = c
            memory.fetch(memory.of(g.inputs[1]), tuple(apply(e, loops) for e in g.maps[1].results), _L2)

    b.loop(low, high, frame.machine.line * 8 // frame.kernel.element_bits, line)
