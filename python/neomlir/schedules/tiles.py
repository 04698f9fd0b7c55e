"""How large the register tile of a contraction is on a target; weights are packed to it, schedules compute it."""

from __future__ import annotations


def register_tile(target, bits: int) -> tuple[int, int]:
    """Rows and columns of the accumulator tile for elements of `bits` bits on `target`.

    Two vectors a row; as many rows as leave registers for the two vectors of B and one of A (Goto and van de Geijn,
    ACM TOMS 2008): 14 x 32 for f32 on AVX-512, 6 x 16 on AVX2, 14 x 8 on 128-bit vectors with 32 registers.
    """
    return tile_of(target.vector.bits, target.vector.registers, bits)


def tile_of(vector_bits: int, registers: int, bits: int) -> tuple[int, int]:
    """`register_tile` from the facts themselves; a target without vectors counts as one with four lanes."""
    lanes = max(vector_bits // bits, 1)
    if lanes == 1:
        return 2, 4
    rows = max((registers - 3) // 2, 1)
    return rows, 2 * lanes


def panel_width(columns: int, extent: int) -> int:
    """How many columns of `extent` are packed into one panel on a target whose register tile has `columns`.

    `columns`, three halves of them or a half, whichever pads least; the half counts for more, since a tile of one
    vector a row loads as often as it multiplies. Fewer for narrow outputs: the next power of two.
    """
    half = max(columns // 2, 1)
    if extent < half:
        return 1 << (extent - 1).bit_length()
    return min((columns, 3 * half, half), key=lambda width: -(-extent // width) * width * (12 if width == half else 11))


SCORE_ROWS = 16
"""Rows of scores, at least, that a block of a head of attention has: keys and values pass by once a block."""


def scores_bytes(target) -> int:
    """How large the scores of a block of rows of a head of attention may be: they are scratch memory, on the stack."""
    return min(target.cache.l2 // 2, 1 << 19)
