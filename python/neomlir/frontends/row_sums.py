"""The orders in which frameworks add up the numbers of a row: the same order gives the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Add = Callable[[str, str], str]
"""Emits the sum of two values; its name."""

_EINSUM_BITS = 128
"""The vectors that numpy's einsum is built for on x86-64, without fused multiply-adds."""


def in_order(values: Sequence[str], add: Add) -> str:
    """One after the other: ONNX Runtime's `Normalizer`."""
    total = values[0]
    for value in values[1:]:
        total = add(total, value)
    return total


def pairwise(values: Sequence[str], add: Add) -> str:
    """`numpy.sum` of neighbours: eight sums side by side, halves of what is longer than 128."""
    if len(values) < 8:
        return in_order(values, add)
    if len(values) > 128:
        half = len(values) // 16 * 8
        return add(pairwise(values[:half], add), pairwise(values[half:], add))
    sums, whole = list(values[:8]), len(values) // 8 * 8
    for i in range(8, whole, 8):
        sums = [add(s, v) for s, v in zip(sums, values[i : i + 8], strict=True)]
    return in_order([_halves(sums, add), *values[whole:]], add)


def lanes(values: Sequence[str], add: Add, bits: int) -> str:
    """`numpy.einsum("ij,ij->i")` of numbers of `bits`, which are the products: vectors of sums, four at a time."""
    width = _EINSUM_BITS // bits
    vectors = [list(values[i : i + width]) for i in range(0, len(values), width)]
    whole = len(values) // (4 * width) * 4
    order = [i + k for i in range(0, whole, 4) for k in (3, 2, 1, 0)] + list(range(whole, len(vectors)))
    sums: list[str | None] = [None] * width
    for place in order:
        for lane, value in enumerate(vectors[place]):
            before = sums[lane]
            sums[lane] = value if before is None else add(before, value)
    return _halves([s for s in sums if s is not None], add)


def _halves(values: list[str], add: Add) -> str:
    while len(values) > 1:
        values = [in_order(values[i : i + 2], add) for i in range(0, len(values), 2)]
    return values[0]
