"""Slices of tensors with offsets and extents that are numbers or values, at the current insertion point."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import ir, tensor
from neomlir.passes import structured as s
from neomlir.passes.layouts import index_constant
from neomlir.schedules.kernel import DYNAMIC

Number = int | ir.Value


def extent(value: ir.Value, d: int) -> Number:
    """The extent of a dimension: a number, or a `tensor.dim` where it is dynamic."""
    found = s.shape(value)[d]
    return found if found >= 0 else tensor.dim(value, index_constant(d))


def take(source: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number], dropped: int = 0) -> ir.Value:
    """The part of `source` from `offsets` on, without its first `dropped` dimensions, which are of extent 1."""
    kept = [n if isinstance(n, int) else DYNAMIC for n in sizes[dropped:]]
    kind = ir.RankedTensorType.get(kept, s.element_type(source))
    ones = [1] * len(offsets)
    (moving, fixed), (open_, known) = _mixed(offsets), _mixed(sizes)
    return tensor.extract_slice(kind, source, moving, open_, [], fixed, known, ones)


def put(part: ir.Value, into: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number]) -> ir.Value:
    """`into` with `part` from `offsets` on; dimensions that `part` does not have are of size 1."""
    ones = [1] * len(offsets)
    (moving, fixed), (open_, known) = _mixed(offsets), _mixed(sizes)
    return tensor.insert_slice(part, into, moving, open_, [], fixed, known, ones)


def _mixed(numbers: Sequence[Number]) -> tuple[list[ir.Value], list[int]]:
    """The operands, and the static list with a mark for each of them."""
    return [n for n in numbers if not isinstance(n, int)], [n if isinstance(n, int) else DYNAMIC for n in numbers]
