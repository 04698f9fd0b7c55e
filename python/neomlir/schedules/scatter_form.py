"""Which kernel is a scatter: a reduction over updates, each at home where the result's indices are its own."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.kernel import Generic
from neomlir.schedules.masked import Masked, compared, loop_of, loops_of


@dataclass(frozen=True)
class ScatterForm:
    """`acc = select(loop == place, new, acc)`, for one loop or several of those along the result."""

    generic: Generic
    places: dict[int, ir.Value]
    """The place of an update along each loop that is scattered, an integer or an index of the body."""
    conditions: list[ir.Value]
    """What else must hold for an update to count."""
    new: ir.Value
    """What is put there."""
    outer: frozenset[int]
    """The loops that a place depends on and that run along the result."""

    @staticmethod
    def of(generic: Generic) -> ScatterForm | None:
        """None where a generic is no such reduction."""
        masked = Masked.of(generic)
        if masked is None or not _is_permuted(generic):
            return None
        pairs, conditions = [], []
        for value in masked.conditions:
            pair = _place(generic, value)
            (conditions.append if pair is None else pairs.append)(value if pair is None else (value, *pair))
        places: dict[int, ir.Value] = {}
        scattered = {d for _, d, _ in pairs}
        for value, d, place in pairs:
            if d in places or loops_of(generic, place) & scattered:
                conditions.append(value)
            else:
                places[d] = place
        if not places:
            return None
        reduced = {d for d, kind in enumerate(generic.reduction) if kind}
        outer = {d for place in places.values() for d in loops_of(generic, place)} - reduced
        return ScatterForm(generic, places, conditions, masked.new, frozenset(outer))


def _is_permuted(generic: Generic) -> bool:
    """Whether each dimension of the result is a loop of its own."""
    found = [e.position if isinstance(e, ir.AffineDimExpr) else None for e in generic.output_map().results]
    return None not in found and len(set(found)) == len(found)


def _place(generic: Generic, value: ir.Value) -> tuple[int, ir.Value] | None:
    """The loop, and what its number is compared with, where a value says that both are equal."""
    found = compared(value, ("eq",))
    if found is None:
        return None
    for here, place in (found[1:], found[:0:-1]):
        d = loop_of(here)
        if d is not None and not generic.reduction[d] and d not in loops_of(generic, place):
            return d, place
    return None
