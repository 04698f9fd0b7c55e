"""Which contractions are the two products of attention, with a softmax between them, and share a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.dataflow import (
    indexing_maps,
    is_contraction,
    is_tensor,
    iterators,
    number_of_inputs,
    results_of,
)
from neomlir.passes.groups import Groups
from neomlir.passes.layouts import pads_zeros
from neomlir.passes.places import type_bytes
from neomlir.schedules.tiles import SCORE_ROWS

_SHARED = 32
"""Rows of a head, at least, whose keys or values are another's as well: fewer are computed as rows of one head."""


@dataclass(frozen=True)
class Scores:
    """Of which scores and weights may be held within a kernel."""

    limit: int
    """Bytes of the rows that are at least held at a time: `SCORE_ROWS` of one head, or all that it has."""

    def fit(self, scores: ir.Value, weights: ir.Value) -> bool:
        """Whether these may be; where they have one type, weights take the place of scores."""
        kinds = [ir.RankedTensorType(value.type) for value in (scores, weights)]
        if kinds[0].shape != kinds[1].shape:
            return False
        size = sum(type_bytes(kind.element_type) for kind in set(kinds))
        return min(kinds[0].shape[-2], SCORE_ROWS) * kinds[0].shape[-1] * size <= self.limit


def join_attention(groups: Groups, number: int, options: Scores) -> None:
    """Make one group of the contraction `number`, of the rows that it reads, and of the contraction before them.

    Only where nobody else reads the two matrices between them. A pad that makes the rows longer for the second product,
    as dot-product units take them, is part of the group.
    """
    block, op = groups.block, groups.block.ops[number]
    if number_of_inputs(op) != 2 or len(op.operands) != 3:
        return
    for operand in list(op.operands)[:2]:
        weights, pad = _behind_pad(groups, operand)
        rows = _producer(groups, weights)
        if rows is None or groups.kind.get(rows) != "row" or not _sums_rows(op, operand):
            continue
        last = groups.group[number]
        scores = _scores(groups, rows, last, weights, pad, options)
        if scores is None:
            continue
        first = groups.group[block.maker[scores]]
        parts = [first, rows, *pad, last]
        if len(set(parts)) < len(parts) or not groups.may_merge(first, rows):
            continue
        if sum(len(groups.members[part]) for part in parts) > groups.max_ops:
            continue
        groups.merge(first, rows)
        if groups.may_merge(first, last, pad):
            for part in parts[2:]:
                groups.merge(first, part)
            groups.kind[first] = "attention"
        return


def _behind_pad(groups: Groups, operand: ir.Value) -> tuple[ir.Value, list[int]]:
    """What a pad of zeros behind each row, which a product alone reads, makes longer, and the pad; else no pad."""
    block, number = groups.block, groups.block.maker.get(operand)
    pad = block.ops[number] if number is not None else None
    if not pads_zeros(pad) or len(groups.members[groups.group[number]]) > 1 or len(block.users[operand]) > 1:
        return operand, []
    if any(pad.attributes["static_low"]) or any(list(pad.attributes["static_high"])[:-1]):
        return operand, []
    return pad.operands[0], [groups.group[number]]


def _producer(groups: Groups, value: ir.Value) -> int | None:
    """The group of kernel operations that makes a value."""
    number = groups.block.maker.get(value)
    return groups.group[number] if number is not None and groups.is_kernel(number) else None


def _only_output(groups: Groups, group: int, value: ir.Value) -> bool:
    """Whether others read nothing of a group but `value`."""
    block = groups.block
    return all(
        result == value or all(groups.group[user] == group for user in block.users.get(result, ()))
        for m in groups.members[group]
        for result in block.ops[m].results
    )


def _readers(groups: Groups, group: int, value: ir.Value) -> int:
    """How many operations of other groups read what `group` makes."""
    return sum(groups.group[user] != group for user in groups.block.users[value])


def _is_of_rows(groups: Groups, rows: int, last: int, weights: ir.Value, pad: list[int]) -> bool:
    """Whether the group `last` alone reads what `rows` makes: `weights`, maybe by a `pad`, and numbers that belong to a
    row of them."""
    block, shape = groups.block, list(ir.RankedTensorType(weights.type).shape)
    for m in groups.members[rows]:
        for result in block.ops[m].results:
            readers = {groups.group[user] for user in block.users.get(result, ())} - {rows}
            if result == weights and readers != {*(pad or [last])}:
                return False
            if result != weights and readers and (readers != {last} or list(result.type.shape) != shape[:-1]):
                return False
    return True


def _scores(
    groups: Groups, rows: int, last: int, weights: ir.Value, pad: list[int], options: Scores
) -> ir.Value | None:
    """The result of a contraction that only the group `rows` reads, as large as what it makes for the group `last`."""
    block, kind = groups.block, ir.RankedTensorType(weights.type)
    if not kind.has_static_shape or kind.rank < 2 or not _is_of_rows(groups, rows, last, weights, pad):
        return None
    if _readers(groups, rows, weights) > 1:
        return None
    for member in groups.members[rows]:
        for value in block.reads[member]:
            group = _producer(groups, value) if is_tensor(value) else None
            if group in (None, rows) or groups.kind.get(group) != "contraction" or not options.fit(value, weights):
                continue
            products = [m for m in groups.members[group] if is_contraction(block.ops[m])]
            alone = all(groups.group[user] == rows for user in block.users[value])
            if alone and len(products) == 1 and _only_output(groups, group, value):
                return value if _makes_rows(block.ops[products[0]], kind.shape) else None
    return None


def _loops(op: ir.Operation, operand: int) -> set[int | None]:
    """The loops that an operand names, None among them for any other expression.

    Those of columns in panels, and of groups in them, count where these are no weight's: what rows of a layer norm are
    multiplied by passes by more of them than a head has.
    """
    results, maker = list(indexing_maps(op)[operand].results), s.maker(op.operands[operand])
    if maker is None or maker.name != "ml_program.global_load_const":
        results = _joined(_joined(results, -3, -1), 0, -1)
    return {e.position if isinstance(e, ir.AffineDimExpr) else None for e in results}


def _joined(results: list[ir.AffineExpr], quotient: int, remainder: int) -> list[ir.AffineExpr]:
    """The loop whose quotient and remainder by a number stand at two places of a map, at the first of them."""
    if len(results) < 3:
        return results
    first, last = results[quotient], results[remainder]
    if not isinstance(first, ir.AffineFloorDivExpr) or not isinstance(last, ir.AffineModExpr):
        return results
    of = [ir.AffineBinaryExpr(e) for e in (first, last)]
    if of[0].lhs != of[1].lhs or of[0].rhs != of[1].rhs:
        return results
    found = list(results)
    found[quotient] = of[0].lhs.maybe_downcast()
    del found[remainder]
    return found


def _makes_rows(op: ir.Operation, shape: Sequence[int]) -> bool:
    """Whether a contraction gives `out[batch…, m, n]` from `a[batch, m, k]` and `b[batch, k, n]`, in any order.

    Keys may be the same for all heads, or for some (`b[k, n]`), where a head has rows enough to pass them by again.
    """
    out, rank = indexing_maps(op)[-1], len(shape)
    if number_of_inputs(op) != 2 or results_of(out) != list(range(rank)):
        return False
    factors = [_loops(op, i) for i in range(2)]
    batch, m, n = set(range(rank - 2)), rank - 2, rank - 1
    rows, keys = factors if m in factors[0] else factors[::-1]
    if None in rows | keys or not batch <= rows or m not in rows or m in keys or n in rows or n not in keys:
        return False
    return batch <= keys or shape[m] >= _SHARED


def _sums_rows(op: ir.Operation, weights: ir.Value) -> bool:
    """Whether a contraction sums along the last dimension of `weights`, whose row the other factor does not know."""
    operand = list(op.operands).index(weights)
    places = results_of(indexing_maps(op)[operand])
    other = _loops(op, 1 - operand)
    if None in places or None in other or len(places) < 2:
        return False
    *batch, m, n = places
    if iterators(op)[n] != "reduction" or n not in other or m in other:
        return False
    return set(batch) <= other or ir.RankedTensorType(weights.type).shape[-2] >= _SHARED
