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
    """Tiles of a work item, in strips of `rows` that are a register tile, and the items that share their tiles."""

    strips: int
    rows: int
    blocks: int
    groups: int
    """Work items that divide the output channels of a block, and each transform the block's inputs."""

    @property
    def tiles(self) -> int:
        return self.strips * self.rows


def error(m: int, inputs: int) -> float:
    """The largest error to expect of F(m x m, 3 x 3), relative to the largest result, for random data."""
    return ERROR[m] * _ROUNDING * math.sqrt(inputs)


def scratch(tiles: int, m: int, inputs: int, panel: int) -> int:
    """Bytes of the transformed inputs and products of so many tiles."""
    return (m + 2) ** 2 * tiles * (inputs + panel) * 4


def blocking(target, m: int, shape_tiles: int, inputs: int, outputs: int, panel: int) -> Blocking | None:
    """How `shape_tiles` tiles (a guess where that is dynamic) are cut; None where scratch memory holds too few."""
    rows, _ = register_tile(target, 32)
    lanes = max(1, target.vector.bits // 32)
    vectors = max(1, panel // lanes)
    # Beside the sums: the filters in use, an input, and without multiply-adds their product.
    others = vectors + (1 if target.vector.fma_ports else 2)
    rows = max(1, min(rows, (target.vector.registers - others) // vectors))
    n = m + 2
    most = min(_SCRATCH, target.cache.l2 // 2) // scratch(1, m, inputs, panel)
    if most < min(shape_tiles, 4):
        return None
    # Filters that stay in the cache are read again by every block; others come from afar, so blocks are large.
    near = n * n * inputs * outputs * 4 <= target.cache.l2 // 2
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
    groups = 1 if blocks > 1 else max(1, min(2, outputs // 128))
    return Blocking(max(1, strips), rows, blocks, groups)


def cycles(target, m: int, shape: Shape) -> float | None:
    """About how long F(m, 3) takes; None where it can't be blocked."""
    lanes, ports = max(1, target.vector.bits // 32), max(1, target.vector.fma_ports)
    panel = panel_width(register_tile(target, 32)[1], shape.outputs)
    vectors = max(1, panel // lanes)
    tiles = shape.tiles(m)
    cut = blocking(target, m, tiles, shape.inputs, shape.outputs, panel)
    if cut is None:
        return None
    n, panels = m + 2, -(-shape.outputs // panel)
    step = max(cut.rows * vectors / ports, (cut.rows + vectors) / 2, _LATENCY)
    product = n * n * shape.inputs * panels * cut.strips * cut.blocks * step
    filters = n * n * shape.inputs * panels * panel * 4
    if filters > target.cache.l2 // 2:
        product = max(product, filters * cut.blocks / target.cache.stream)
    a, _, b = matrices(m)
    gathered = (operations(b) * 2 * n / ports + n * n) * -(-shape.inputs // lanes) * cut.groups
    spread = (operations(a) * (n + m) / ports + n * n) * panels * vectors
    return product + tiles * (gathered + spread)


def direct_cycles(target, shape: Shape) -> float:
    """About how long the direct convolution takes."""
    lanes, ports = max(1, target.vector.bits // 32), max(1, target.vector.fma_ports)
    panel = panel_width(register_tile(target, 32)[1], shape.outputs)
    columns = -(-shape.outputs // panel) * max(1, panel // lanes)
    return shape.planes * shape.height * shape.width * shape.inputs * TAPS * TAPS * columns / ports / 0.92


def choose(target, shape: Shape) -> int | None:
    """The m of F(m, 3) that is worth it and exact enough, or None for the direct convolution.

    Its schedule needs vectors of a known length; the direct one does not.
    """
    if shape.planes * shape.height * shape.width * shape.inputs * shape.outputs * TAPS * TAPS < _LEAST:
        return None
    limit = _GAIN * direct_cycles(target, shape)
    costs = {m: cycles(target.fixed, m, shape) for m in POINTS if error(m, shape.inputs) <= _BOUND}
    fit = {m: cost for m, cost in costs.items() if cost is not None and cost < limit}
    return min(fit, key=fit.__getitem__) if fit else None


def choices(target, shape: Shape) -> tuple[int, ...]:
    """The m of F(m, 3) that are exact enough and can be blocked, and 0 for the direct convolution; `choose`'s first."""
    exact = [m for m in POINTS if error(m, shape.inputs) <= _BOUND and cycles(target.fixed, m, shape) is not None]
    return tuple(dict.fromkeys([choose(target, shape) or 0, 0, *exact]))
