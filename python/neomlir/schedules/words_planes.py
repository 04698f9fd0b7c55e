"""How 3x3 convolutions of bytes are cut into tiles, blocks and parts for minimal filtering: `words_winograd.py`."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.schedules.nest import even
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Dim, Root
from neomlir.schedules.units import U8
from neomlir.schedules.winograd_math import TAPS, WHOLE_POINTS, whole_matrices

LOW = 128
"""The largest magnitude of a signed byte, and what is taken off unsigned rows."""
_SCRATCH = 3 << 18
"""Bytes of a cache that scratch memory is cut to, at most: it lies on the stack."""
_STAYS = 5 / 8
"""The share of the second-level cache that a block of tiles may take."""
_FILTERS = 3 / 8
"""The share that a transformed panel may take, or a part of one."""
_INPUTS = 7 / 16
"""The share that the inputs of a block of tiles may take."""
_GAIN = 0.8
"""What share of the direct sums' time is worth it."""
_GATHER, _FILTER, _SPREAD = 0.2, 2, 5
"""What a channel of a tile, a channel of a panel, and a panel of a tile cost beside the products, in products, at each
place of the transform."""
_HEIGHTS = (6, 5, 4)


@dataclass(frozen=True)
class Planes:
    """The loops of a 3x3 convolution of stride 1, and how its tiles are cut."""

    h: Dim
    w: Dim
    taps: tuple[int, int]
    """Loops of the reduction along h and w."""
    channels: int
    """The loop over the input channels."""
    m: int
    """Results of a tile in both directions."""
    tiles: tuple[int, int]
    """Rows and columns of tiles."""
    part: int
    """Channels of a part of the reduction."""
    parts: int
    block: int
    """Tiles of a work item."""
    height: int
    """Tiles of a strip."""

    @property
    def n(self) -> int:
        return self.m + TAPS - 1

    @property
    def places(self) -> int:
        return self.n * self.n

    @property
    def count(self) -> int:
        return self.tiles[0] * self.tiles[1]

    @property
    def padded(self) -> int:
        """Tiles of a work item, whole strips."""
        return -(-self.block // self.height) * self.height

    @staticmethod
    def of(root: Root, panels: Panels, plan: Plan, machine) -> Planes | None:
        """None where the kernel is something else, or direct sums are as fast."""
        place, extents = panels.places[0], root.extents
        if plan.batch or len(plan.rows) < 2 or len(root.reduced) != TAPS or panels.width != 2 * panels.unit.lanes:
            return None
        h, w = plan.rows[-2:]
        c = panels.merged[-1]
        stride = {d: place.terms.get(root.reduced_probes[d]) for d in root.reduced}
        a, b = ([d for d in root.reduced if d != c and stride[d] == place.terms.get(dim.probe)] for dim in (h, w))
        if len(a) != 1 or len(b) != 1 or a == b or (extents[a[0]], extents[b[0]]) != (TAPS, TAPS):
            return None
        columns = plan.columns.size
        if None in (h.size, w.size, columns) or columns % panels.width or extents[c] % machine.lanes(16):
            return None
        if len(h.loops) != 1 or len(w.loops) != 1:
            return None
        direct = TAPS * TAPS * extents[c] * h.size * w.size * _GAIN
        found = {}
        for m in WHOLE_POINTS:
            planes = Planes._cut(h, w, (a[0], b[0]), c, m, extents[c], panels, machine)
            if planes is not None:
                found[m] = planes, planes._cost(extents[c], columns // panels.width)
        best = min(found, key=lambda m: found[m][1], default=0)
        analytic = best if best and found[best][1] < direct else 0
        told = root.kernel.parameter("winograd", analytic, (0, *found)) if found else 0
        return found[told][0] if told else None

    @staticmethod
    def _cut(h: Dim, w: Dim, taps: tuple[int, int], c: int, m: int, depth: int, panels: Panels, machine):
        """The planes in tiles of m x m; None where scratch memory holds too few.

        The reduction has parts of which each is exact, and whose transformed filters stay in the cache.
        """
        *_, factor = whole_matrices(m)
        largest = LOW * (2 * LOW if panels.unit.columns == U8 else LOW) * TAPS * TAPS
        exact = ((1 << 31) - 1) // (largest * power_of_two(factor * factor))
        places, cache = (m + TAPS - 1) ** 2, min(machine.l2, _SCRATCH)
        most = min(exact, int(cache * _FILTERS) // (places * panels.width * 2))
        part = next((n for n in range(most, 0, -1) if depth % n == 0 and n % machine.lanes(16) == 0), 0)
        if not part:
            return None
        inputs, products = places * depth * 2, places * panels.width * 4
        if part < depth:
            products += m * m * panels.width * 4
        most = int(min(cache * _INPUTS // inputs, cache * _STAYS // (inputs + products)))
        if not most:
            return None
        tiles = (-(-h.size // m), -(-w.size // m))
        count = tiles[0] * tiles[1]
        block = -(-count // even(-(-count // most), count))
        height = min(_HEIGHTS, key=lambda n: (-(-block // n) * n, -n))
        return Planes(h, w, taps, c, m, tiles, part, depth // part, block, height)

    def _cost(self, depth: int, panels: int) -> float:
        """How long a panel takes, in products of a pair of each row with a panel's."""
        blocks = -(-self.count // self.block)
        steps = blocks * depth * (self.padded + _FILTER) + self.count * (
            _SPREAD * self.parts + _GATHER * depth / panels
        )
        return steps * self.places


def power_of_two(value: int) -> int:
    """The largest power of two that divides a number."""
    return value & -value
