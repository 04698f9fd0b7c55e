"""Which kernel is a scan: each result combines the elements along one dimension up to its own."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.combine import Combination, combination
from neomlir.schedules.kernel import Generic
from neomlir.schedules.masked import Masked, compared, loop_of, loops_of


@dataclass(frozen=True)
class ScanForm:
    """`acc = select(before <= here, new, acc)`, or `<`: `before` is the reduced loop, `here` one along the result."""

    generic: Generic
    before: int
    here: int
    inclusive: bool
    """Whether a result's own element counts."""
    masked: Masked
    combination: Combination | None
    """How elements are combined, where that is a combination with a neutral element."""

    @staticmethod
    def of(generic: Generic) -> ScanForm | None:
        """None where a generic is no such reduction."""
        masked = Masked.of(generic)
        reduced = [d for d, kind in enumerate(generic.reduction) if kind]
        if masked is None or len(reduced) != 1 or len(masked.conditions) != 1:
            return None
        ordered = _ordered(masked.conditions[0])
        if ordered is None or ordered[0] != reduced[0]:
            return None
        before, here, inclusive = ordered
        places = [e.position if isinstance(e, ir.AffineDimExpr) else None for e in generic.output_map().results]
        if generic.reduction[here] or sorted(p for p in places if p is not None) != _all_but(generic.rank, before):
            return None
        if here in loops_of(generic, masked.new, masked.accumulator):
            return None
        return ScanForm(generic, before, here, inclusive, masked, combination(masked.new, masked.accumulator))


def _all_but(rank: int, loop: int) -> list[int]:
    return [d for d in range(rank) if d != loop]


def _ordered(value: ir.Value) -> tuple[int, int, bool] | None:
    """The loop whose number must be at most, or below, another's, that one, and whether it may be equal."""
    found = compared(value, ("sle", "slt", "sge", "sgt"))
    if found is None:
        return None
    predicate, first, second = found
    if predicate in ("sge", "sgt"):
        first, second = second, first
    before, here = loop_of(first), loop_of(second)
    return None if before is None or here is None else (before, here, predicate in ("sle", "sge"))
