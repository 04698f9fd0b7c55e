"""Static offsets for buffers of known lifetimes in one arena."""

from __future__ import annotations

from dataclasses import dataclass

ALIGNMENT = 64


@dataclass
class Buffer:
    """`bytes` needed from step `first` to step `last`, both included; `offset` is the answer."""

    bytes: int
    first: int
    last: int
    offset: int = 0


def align(bytes_: int) -> int:
    """The next multiple of the alignment."""
    return -(-bytes_ // ALIGNMENT) * ALIGNMENT


def assign_offsets(buffers: list[Buffer]) -> int:
    """Give each buffer an offset so that no two that live at the same time overlap; returns the arena's bytes.

    Greedy by size, best fit (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
    """
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.bytes, b.first, b.last)):
        size = align(buffer.bytes)
        busy = sorted(
            (other.offset, other.offset + align(other.bytes))
            for other in placed
            if other.first <= buffer.last and buffer.first <= other.last
        )
        best, best_gap, end = None, None, 0
        for start, stop in busy:
            gap = start - end
            if gap >= size and (best_gap is None or gap < best_gap):
                best, best_gap = end, gap
            end = max(end, stop)
        buffer.offset = end if best is None else best
        placed.append(buffer)
    return max((b.offset + align(b.bytes) for b in buffers), default=0)
