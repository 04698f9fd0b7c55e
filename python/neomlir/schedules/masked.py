"""Reductions that combine an element where something holds, and else leave what they have.

`acc = select(holds, combine(acc, element), acc)`: written down so, a scan is over the elements up to the result's own,
and a scatter over the updates whose index it is. A schedule that knows which those are need not look at the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.index import Var, apply, of
from neomlir.schedules.kernel import Generic

_WIDE = 32
"""Bits of an integer, at least, that has room for every index of a tensor."""


@dataclass(frozen=True)
class Masked:
    """The body of such a reduction; values of it."""

    accumulator: ir.Value
    holds: ir.Value
    new: ir.Value
    """What the accumulator becomes where that holds."""

    @staticmethod
    def of(generic: Generic) -> Masked | None:
        """None where a body does anything else, or has more than one result."""
        if len(generic.results) != 1 or not any(generic.reduction):
            return None
        select, accumulator = maker(generic.yields[0]), list(generic.body.arguments)[-1]
        if select is None or select.name != "arith.select" or select.operands[2] != accumulator:
            return None
        holds, new, _ = select.operands
        return Masked(accumulator, holds, new) if isinstance(holds.type, ir.IntegerType) else None

    @property
    def conditions(self) -> list[ir.Value]:
        """What must hold, all of it."""
        found, left = [], [self.holds]
        while left:
            value = left.pop()
            op = maker(value)
            if op is not None and op.name == "arith.andi":
                left += reversed(list(op.operands))
            else:
                found.append(value)
        return found


def compared(value: ir.Value, names: tuple[str, ...]) -> tuple[str, ir.Value, ir.Value] | None:
    """What a value says of two integers: one of `names` (`eq`, `sle` …), and both without casts of indices."""
    op = maker(value)
    if op is None or op.name != "arith.cmpi":
        return None
    predicate = _PREDICATES.get(ir.IntegerAttr(op.attributes["predicate"]).value)
    return (predicate, *map(uncast, op.operands)) if predicate in names else None


_PREDICATES = {0: "eq", 2: "slt", 3: "sle", 4: "sgt", 5: "sge"}


def uncast(value: ir.Value) -> ir.Value:
    """What stands before casts between indices and integers that keep every index of a tensor."""
    op = maker(value)
    while op is not None and op.name == "arith.index_cast" and _is_wide(op.operands[0]) and _is_wide(value):
        value = op.operands[0]
        op = maker(value)
    return value


def _is_wide(value: ir.Value) -> bool:
    return isinstance(value.type, ir.IndexType) or value.type.width >= _WIDE


def loop_of(value: ir.Value) -> int | None:
    """The loop whose number a value is."""
    op = maker(value)
    return ir.IntegerAttr(op.attributes["dim"]).value if op is not None and op.name == "linalg.index" else None


def loops_of(generic: Generic, value: ir.Value, besides: ir.Value | None = None) -> set[int]:
    """The loops that a value of the body depends on, but for those of `besides`, an argument of the body."""
    arguments = {a: i for i, a in enumerate(generic.body.arguments) if besides is None or a != besides}
    probes = [Var(None) for _ in range(generic.rank)]
    found: set[int] = set()
    seen: set[ir.Value] = set()
    left = [value]
    while left:
        value = left.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in arguments:
            places = [apply(e, [of(probe) for probe in probes]) for e in generic.maps[arguments[value]].results]
            found |= {d for d, probe in enumerate(probes) if any(place.uses(probe) for place in places)}
        elif (d := loop_of(value)) is not None:
            found.add(d)
        elif value in generic.local:
            left += value.owner.operands
    return found


def maker(value: ir.Value) -> ir.Operation | None:
    """The operation that gives a value of the body, None for an argument."""
    return None if isinstance(value.owner, ir.Block) else value.owner.operation
