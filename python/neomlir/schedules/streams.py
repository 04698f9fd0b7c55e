"""Tensors that come from memory while something long is computed: what follows is asked for by instructions.

A core looks a few hundred operations ahead, which is less than what is computed for two lines of the cache where there
is an elementary function, and stores wait for their lines one behind the other. How far ahead, where the hardware does
not do that by itself, is a fact of the target (`ahead` of its cache).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from neomlir.mlir import ir
from neomlir.schedules.builder import Chunk
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import MERGED, Index, Part, lane_like

_L1 = 3
"""The locality hint of data for the first-level cache."""

Access = tuple[ir.Value, tuple[Index, ...], bool]
"""A tensor argument, a place in it whose last index is a vector's, and whether it is written."""


def pays(frame: Frame) -> bool:
    """Whether the tensors of a kernel come from memory on a target whose hardware does not fetch far enough."""
    return frame.machine.ahead > 0 and is_large(frame)


def is_large(frame: Frame) -> bool:
    """Whether the tensors of a kernel come from behind the second-level cache."""
    return not frame.b.scalable and size(frame) > frame.machine.l2


def size(frame: Frame) -> int:
    """Bytes of all tensors of a kernel; 0 where that is not known."""
    sizes = [bytes_of(a.type) for a in frame.kernel.args if isinstance(a.type, ir.RankedTensorType)]
    return 0 if None in sizes else sum(sizes)


def bytes_of(kind: ir.Type) -> int | None:
    """Of a tensor of static shape; None of anything else."""
    if not isinstance(kind, ir.RankedTensorType) or not kind.has_static_shape:
        return None
    return math.prod(kind.shape) * _bits(kind.element_type) // 8


def fetch(frame: Frame, accesses: Iterable[Access], chunk: Chunk, least: int = 0, within: bool = False) -> None:
    """Ask for what comes after a vector, at least `least` elements on; `within`: what is written is near, if so far."""
    if chunk.width == 1 or chunk.mask is not None:
        return
    for value, place, write in accesses:
        if value is None or not place or not all(_known(index) for index in place):
            continue
        if not place[-1].lane or not lane_like(place[-1]) or any(index.lane for index in place[:-1]):
            continue
        bits = _bits(value.type.element_type)
        ahead = frame.machine.ahead * 8 // bits
        ahead = 0 if write and within and least >= ahead else max(ahead, least)
        for lane in range(0, chunk.width, frame.machine.line * 8 // bits):
            at = (*place[:-1], place[-1] + ahead)
            frame.memory.fetch(frame.memory.of(value), at, _L1, write, lane)


def _bits(element: ir.Type) -> int:
    return max(8, getattr(element, "width", 64))


def _known(index: Index) -> bool:
    """Whether all that an index depends on is known where it is computed."""
    return all(
        _known(v.index) if isinstance(v, Part) else v.value is not None or v in (MERGED, index.lane)
        for v in index.terms
    )
