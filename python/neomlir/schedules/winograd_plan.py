"""Where Winograd's convolutions pay on a target, and how many tiles of a plane are worked on together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.schedules.tiles import panel_width, register_tile
from neomlir.schedules.winograd_math import ERROR, POINTS, TAPS, matrices, operations

_SCRATCH = 1 << 20
"""Bytes of scratch memory, at most: half of the stack of a thread of the runtime's pool."""
_LATENCY = 4
"""Cycles of a multiply-add."""
_GAIN = 0.7
"""What share of the direct convolution's time is worth the larger weights."""
_WORTH = 0.9
"""What share of the time of one panel after the other is worth scratch memory larger than the cache."""
_HUGE = 8
"""Filters that are so many times as large as the second-level cache take memory from all that comes after them."""
_GAIN_OF_HUGE = 0.75
"""What share of the time with smaller filters is worth such ones."""
_ROUNDING = 2.0**-24
_BOUND = 1e-5
"""The error that is allowed, relative to the largest magnitude of the result."""
_LEAST = 1 << 20
"""Multiply-adds of a convolution that is worth the longer code."""


@dataclass(frozen=True)
class Shape:
    """A 3x3 convolution of stride 1: planes of `height` x `width` results, channels in and out, planes in all."""

    height: int
    width: int
    inputs: int
    outputs: int
    planes: int = 1

    def tiles(self, m: int) -> int:
        """Tiles of m x m results."""
        return self.planes * -(-self.height // m) * -(-self.width // m)


@dataclass(frozen=True)
class Blocking:
    """How tiles are cut into work items."""

    tiles: int
    """Of a work item."""
    rows: int
    """Of a register tile, at most."""
    blocks: int
    groups: int
    """Work items that divide the output channels of a block, and each transform the block's inputs."""
    wide: int = 1
    """Panels of output channels that pass by one place of the transform before the next place comes."""

    @property
    def strips(self) -> int:
        """Register tiles, one above the other."""
        return -(-self.tiles // self.rows)

    def heights(self) -> list[int]:
        """Of the strips: they differ by one at most."""
        low, taller = divmod(self.tiles, self.strips)
        return [low + 1] * taller + [low] * (self.strips - taller)


def error(m: int, inputs: int) -> float:
    """The largest error to expect of F(m x m, 3 x 3), relative to the largest result, for random data."""
    return ERROR[m] * _ROUNDING * math.sqrt(inputs)


def scratch(tiles: int, m: int, inputs: int, panel: int) -> int:
    """Bytes of the transformed inputs and products of so many tiles."""
    return (m + 2) ** 2 * tiles * (inputs + panel) * 4


def blocking(target, m: int, tiles: int, inputs: int, outputs: int, panel: int) -> Blocking | None:
    """How `tiles` tiles (a guess where that is dynamic) are cut; None where scratch memory holds too few.

    One panel of output channels comes after the other, unless the filters would come from afar too often: then all of
    a block's panels pass by one place of the transform before the next, so that blocks may be larger than the cache.
    """
    first = _by_panels(target, m, tiles, inputs, outputs, panel)
    if first is None:
        return None
    limit = _WORTH * _cycles(target, m, inputs, outputs, panel, tiles, first)
    costs = {
        cut: _cycles(target, m, inputs, outputs, panel, tiles, cut)
        for cut in _by_places(target, m, tiles, inputs, outputs, panel, first)
    }
    best = min(costs, key=costs.__getitem__, default=first)
    return best if costs.get(best, limit) < limit else first


def _by_panels(target, m: int, shape_tiles: int, inputs: int, outputs: int, panel: int) -> Blocking | None:
    """Blocks whose transformed inputs stay in the second-level cache while one panel after the other passes by."""
    rows = _height(target, panel)
    most = min(_SCRATCH, target.cache.l2 // 2) // scratch(1, m, inputs, panel)
    if most < min(shape_tiles, 4):
        return None
    # Filters that stay in the cache are read again by every block; others come from afar, so blocks are large.
    near = _filters(m, inputs, outputs) <= target.cache.l2 // 2
    wanted = min(most, 2 * rows if near else most, shape_tiles)
    blocks = -(-shape_tiles // wanted)
    if blocks > 1:
        blocks += blocks % 2
    tiles = -(-shape_tiles // blocks)
    strips = -(-tiles // rows)
    rows = -(-tiles // strips)
    if strips * rows > most:
        strips -= 1
        blocks = -(-shape_tiles // (strips * rows))
    return Blocking(max(1, strips) * rows, rows, blocks, _groups(blocks, outputs))


def _by_places(target, m: int, tiles: int, inputs: int, outputs: int, panel: int, first: Blocking) -> list[Blocking]:
    """Fewer blocks than `first` has, with as many panels at a place as scratch memory has room for."""
    found = []
    most = min(_SCRATCH, 2 * target.cache.l2)
    panels = -(-outputs // panel)
    for blocks in range(1, first.blocks):
        size = -(-tiles // blocks)
        groups = _groups(blocks, outputs)
        mine = -(-panels // groups)
        wide = (most - scratch(size, m, inputs, 0)) // scratch(size, m, 0, panel)
        if wide > 0 and (blocks == 1 or not blocks % 2):
            wide = -(-mine // -(-mine // min(mine, wide)))
            found.append(Blocking(size, _height(target, panel), blocks, groups, wide))
    return found


def _height(target, panel: int) -> int:
    """Rows of a register tile for a panel of output channels."""
    rows, _ = register_tile(target, 32)
    vectors = max(1, panel // max(1, target.vector.bits // 32))
    # Beside the sums: the filters in use, an input, and without multiply-adds their product.
    others = vectors + (1 if target.vector.fma_ports else 2)
    return max(1, min(rows, (target.vector.registers - others) // vectors))


def _groups(blocks: int, outputs: int) -> int:
    return 1 if blocks > 1 else max(1, min(2, outputs // 128))


def _filters(m: int, inputs: int, outputs: int) -> int:
    """Bytes of the transformed filters."""
    return (m + 2) ** 2 * inputs * outputs * 4


def cycles(target, m: int, shape: Shape) -> float | None:
    """About how long F(m, 3) takes; None where it can't be blocked."""
    panel = panel_width(register_tile(target, 32)[1], shape.outputs)
    tiles = shape.tiles(m)
    cut = blocking(target, m, tiles, shape.inputs, shape.outputs, panel)
    return cut and _cycles(target, m, shape.inputs, shape.outputs, panel, tiles, cut)


def _cycles(target, m: int, inputs: int, outputs: int, panel: int, tiles: int, cut: Blocking) -> float:
    """About how long F(m, 3) takes when it is cut so."""
    lanes, ports = max(1, target.vector.bits // 32), max(1, target.vector.fma_ports)
    vectors = max(1, panel // lanes)
    n, panels = m + 2, -(-outputs // panel)
    steps = sum(max(rows * vectors / ports, (rows + vectors) / 2, _LATENCY) for rows in cut.heights())
    product = n * n * inputs * panels * cut.blocks * steps
    far = moved = 0
    if _filters(m, inputs, panels * panel) > target.cache.l2 // 2:
        far += _filters(m, inputs, panels * panel) * cut.blocks
    if scratch(cut.tiles, m, inputs, cut.wide * panel) > target.cache.l2 // 2:
        # The transforms write inputs and read products there, the multiplication reads inputs and writes products.
        passes = -(-panels // (cut.groups * cut.wide))
        items, products = cut.groups * cut.blocks, passes * cut.wide * panel
        far += items * scratch(cut.tiles, m, inputs * passes, products)
        moved = items * scratch(cut.tiles, m, inputs, products)
    product = max(product, far / target.cache.stream)
    a, _, b = matrices(m)
    gathered = (operations(b) * 2 * n / ports + n * n) * -(-inputs // lanes) * cut.groups
    spread = (operations(a) * (n + m) / ports + n * n) * panels * vectors
    return product + tiles * (gathered + spread) + moved / target.cache.stream


def direct_cycles(target, shape: Shape) -> float:
    """About how long the direct convolution takes."""
    lanes, ports = max(1, target.vector.bits // 32), max(1, target.vector.fma_ports)
    panel = panel_width(register_tile(target, 32)[1], shape.outputs)
    columns = -(-shape.outputs // panel) * max(1, panel // lanes)
    return shape.planes * shape.height * shape.width * shape.inputs * TAPS * TAPS * columns / ports / 0.92


def is_exact(m: int, inputs: int) -> bool:
    """Whether the error to expect of F(m, 3) over so many channels is allowed."""
    return error(m, inputs) <= _BOUND


def choose(target, shape: Shape) -> int | None:
    """The m of F(m, 3) that is worth it and exact enough, or None for the direct convolution.

    Its schedule needs vectors of a known length; the direct one does not.
    """
    if shape.planes * shape.height * shape.width * shape.inputs * shape.outputs * TAPS * TAPS < _LEAST:
        return None
    limit = _GAIN * direct_cycles(target, shape)
    costs = {m: cycles(target.fixed, m, shape) for m in POINTS if is_exact(m, shape.inputs)}
    best = None
    for m, cost in sorted(costs.items()):
        far = _filters(m, shape.inputs, shape.outputs) > _HUGE * target.cache.l2
        if cost is not None and cost < (limit if best is None or not far else _GAIN_OF_HUGE * limit):
            best, limit = m, cost
    return best


def pays(target, shape: Shape, rate: int = 1) -> bool:
    """Whether `choose`'s F(m, 3) is also worth it beside a direct convolution `rate` times as fast as in f32."""
    m = choose(target, shape)
    return m is not None and cycles(target.fixed, m, shape) < _GAIN / rate * direct_cycles(target, shape)


def choices(target, shape: Shape) -> tuple[int, ...]:
    """The m of F(m, 3) that are exact enough and can be blocked, and 0 for the direct convolution; `choose`'s first."""
    exact = [m for m in POINTS if is_exact(m, shape.inputs) and cycles(target.fixed, m, shape) is not None]
    return tuple(dict.fromkeys([choose(target, shape) or 0, 0, *exact]))
