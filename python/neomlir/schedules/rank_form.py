"""Which kernel is a rank: how many elements of a row come before each, equal ones in their order."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.kernel import Generic
from neomlir.schedules.masked import compared, loop_of, maker

LEAST = 128
"""Elements of a row, at least, to be sorted: of fewer, vectors compare every two sooner than bytes are counted."""


@dataclass(frozen=True)
class RankForm:
    """`acc = acc + (there < here or (there == here and j < i))` of the elements `i` and `j` of an operand of integers:
    the places of its elements in a stable sort. Or the smaller of that and a number: all places behind are alike."""

    generic: Generic
    keys: ir.Value
    here: int
    """The loop `i`, along the result."""
    there: int
    """The loop `j`, which is reduced."""
    limit: int | None
    """The number that no rank is above."""

    @staticmethod
    def of(generic: Generic) -> RankForm | None:
        """None where a generic is no such reduction."""
        reduced = [d for d, kind in enumerate(generic.reduction) if kind]
        if len(generic.results) != 1 or len(reduced) != 1 or len(generic.inputs) != 2:
            return None
        if generic.inputs[0] != generic.inputs[1]:
            return None
        places = [[e.position if isinstance(e, ir.AffineDimExpr) else None for e in m.results] for m in generic.maps]
        (there,) = reduced
        mine = next((n for n, place in enumerate(places[:2]) if there not in place), None)
        if mine is None or None in {p for place in places for p in place} or places[mine] != places[2]:
            return None
        moved = [(a, b) for a, b in zip(places[mine], places[1 - mine], strict=True) if a != b]
        if len(moved) != 1 or moved[0][1] != there or len(set(places[2])) != generic.rank - 1:
            return None
        arguments = list(generic.body.arguments)
        here = moved[0][0]
        total, limit = _limited(generic.yields[0])
        if not _counts(total, arguments[2], arguments[mine], arguments[1 - mine], here, there):
            return None
        return RankForm(generic, generic.inputs[0], here, there, limit)


def _limited(value: ir.Value) -> tuple[ir.Value, int | None]:
    """What a value is the smaller of, and the constant that it is at most; None where there is none."""
    op = maker(value)
    if op is not None and op.name == "arith.minsi":
        for total, most in (list(op.operands), list(op.operands)[::-1]):
            constant = maker(most)
            if constant is not None and constant.name == "arith.constant":
                return total, ir.IntegerAttr(constant.attributes["value"]).value
    return value, None


def _counts(total: ir.Value, accumulator: ir.Value, mine: ir.Value, other: ir.Value, here: int, there: int) -> bool:
    """Whether a body adds one for each element that comes before its own."""
    add = maker(total)
    if add is None or add.name != "arith.addi" or accumulator not in list(add.operands):
        return False
    count = maker(next((o for o in add.operands if o != accumulator), accumulator))
    if count is None or count.name != "arith.extui":
        return False
    either = maker(count.operands[0])
    if either is None or either.name != "arith.ori":
        return False
    for less, both in (list(either.operands), list(either.operands)[::-1]):
        equal = maker(both)
        if equal is None or equal.name != "arith.andi" or not _is(less, "slt", other, mine):
            continue
        for same, left in (list(equal.operands), list(equal.operands)[::-1]):
            if (_is(same, "eq", other, mine) or _is(same, "eq", mine, other)) and _is_left(left, here, there):
                return True
    return False


def _is(value: ir.Value, predicate: str, x: ir.Value, y: ir.Value) -> bool:
    return compared(value, (predicate,)) == (predicate, x, y)


def _is_left(value: ir.Value, here: int, there: int) -> bool:
    found = compared(value, ("slt",))
    return found is not None and loop_of(found[1]) == there and loop_of(found[2]) == here
