"""Which operations share a kernel: the grouping that `neo-form-kernels` outlines."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.contraction import Contraction
from neomlir.passes.dataflow import (
    MATERIALIZE,
    Block,
    captured_values,
    indexing_maps,
    is_contraction,
    is_identity,
    iterators,
    loop_extents,
    number_of_inputs,
    results_of,
    runs_on_host,
)
from neomlir.passes.fuse_attention import Scores, join_attention
from neomlir.passes.fuse_winograd import join_winograd
from neomlir.passes.groups import Groups
from neomlir.passes.join_loops import join_loops
from neomlir.passes.join_parts import join_parts
from neomlir.passes.loops import LOOP
from neomlir.schedules.bordered import loses
from neomlir.schedules.sparing import sparing

Domain = tuple[int | None, ...]


@dataclass
class Role:
    """What one operation is to fusion.

    `kind`: `elementwise`, `row` (reduces its input's innermost loop), `window` (reduces others), `contraction`,
    `scatter`, `scan`, `rank`, `loop` or `other`.
    `domain`: the extents of its loops; `kept`: those of its result, reduced loops as 1.
    """

    kind: str
    domain: Domain = ()
    kept: Domain = ()


def role(op: ir.Operation) -> Role:
    """Classify an operation for fusion."""
    if op.name != "linalg.generic":
        return Role("loop" if op.name == LOOP else "other")
    domain = tuple(loop_extents(op))
    loops = iterators(op)
    maps = indexing_maps(op)
    outputs = maps[number_of_inputs(op) :]
    if "reduction" not in loops:
        return Role("elementwise" if all(is_identity(m) for m in outputs) else "other", domain, domain)
    kept = tuple(1 if kind == "reduction" else extent for extent, kind in zip(domain, loops, strict=True))
    if found := sparing(op):
        return Role(found[0], domain, kept)
    if is_contraction(op) and number_of_inputs(op) > 1:
        return Role("contraction", domain, kept)
    innermost = {results_of(m)[-1] for m in maps[: number_of_inputs(op)] if len(m.results)}
    reduced = {i for i, kind in enumerate(loops) if kind == "reduction"}
    by_rows = is_identity(maps[0]) and innermost <= reduced and max(reduced) == len(loops) - 1
    return Role("row" if by_rows else "window", domain, kept)


def form_groups(block: Block, max_ops: int, scores: Scores | None = None, borders: bool = False) -> Groups:
    """Group the kernel operations of a block.

    A contraction, window or elementwise operation takes the elementwise operations that alone read its result at
    the same index (its epilogue), and the pad that alone reads its result. A reduction of rows joins all operations
    over the same rows: softmax, layer norm. Two contractions with a reduction of rows between them join it where
    the matrix between them, of one head of attention, is one of `scores`. The three reductions of a
    Winograd convolution are one kernel. With `borders`, so are a depthwise or a Winograd convolution, or the
    largest of windows, and the pad of its input, where nothing else writes or reads that. Loops that do not wait
    for each other are one kernel. Slices belong to whatever reads them point by point.
    """
    groups = Groups(block, max_ops)
    roles = [role(op) if groups.is_kernel(i) else Role("other") for i, op in enumerate(block.ops)]
    for number, op in enumerate(block.ops):
        if not groups.is_kernel(number):
            continue
        groups.kind[number] = roles[number].kind
        if roles[number].kind in ("elementwise", "row"):
            _join_producers(groups, roles, number, op)
        elif op.name == "tensor.pad" and _pads_result(groups, op):
            groups.merge(groups.group[block.maker[op.operands[0]]], number)
        elif op.name == MATERIALIZE and groups.is_kernel(producer := block.maker.get(op.operands[0], number)):
            # It only says where the result goes, so it belongs to whatever makes the result.
            groups.merge(groups.group[producer], number)
    for number in range(len(block.ops)):
        if roles[number].kind == "contraction":
            join_winograd(groups, number)
            if scores:
                join_attention(groups, number, scores)
    for number in range(len(block.ops)):
        if borders and roles[number].kind in ("contraction", "window"):
            _join_border(groups, number)
    if max_ops > 1:
        join_loops(groups)
        join_parts(groups)
    return groups


def _pads_result(groups: Groups, pad: ir.Operation) -> bool:
    """Whether a static pad alone reads the result of a kernel that can write it into its place at once."""
    block, source = groups.block, pad.operands[0]
    if source not in block.maker or len(pad.operands) > 1 or not ir.RankedTensorType(source.type).has_static_shape:
        return False
    producer = block.maker[source]
    there = groups.group[producer]
    if groups.kind.get(there) not in ("contraction", "window", "elementwise") or len(block.users[source]) > 1:
        return False
    constant = all(value in block.maker and runs_on_host(block.made_by(value)) for value in captured_values(pad)[1:])
    return constant and groups.may_merge(there, groups.group[block.maker[pad.results[0]]])


def _join_border(groups: Groups, number: int) -> None:
    """Make one group of a convolution, depthwise or Winograd's, and of the static pad of zeros that only it reads; of
    the largest of windows and a pad of what loses against every number as well."""
    block, op = groups.block, groups.block.ops[number]
    padded = op.operands[0]
    held = block.made_by(padded)
    if held is not None and held.name == MATERIALIZE and len(block.users[padded]) == 1:
        padded = held.operands[0]  # Of a batch that is not known: where it would go is said already.
    pad = block.maker.get(padded)
    if pad is None or block.ops[pad].name != "tensor.pad" or len(block.ops[pad].operands) > 1:
        return
    found = Contraction.match(op)
    depthwise = found is not None and found.depthwise and found.a == 0
    expected = 1 if padded == op.operands[0] else 2
    alone = len(groups.members[groups.group[pad]]) == expected and len(block.users[padded]) == 1
    largest = groups.kind[groups.group[number]] == "window" and loses(block.ops[pad], op)
    if not alone or not (depthwise or largest or groups.kind[groups.group[number]] == "winograd"):
        return
    planes = ir.RankedTensorType(op.results[0].type).shape[1:]
    border = captured_values(block.ops[pad])[1:]
    constants = [block.made_by(value) for value in border]
    if min(planes, default=0) < 0 or any(c is None or c.name != "arith.constant" for c in constants):
        return
    if groups.may_merge(groups.group[pad], groups.group[number]):
        groups.merge(groups.group[number], groups.group[pad])


def _join_producers(groups: Groups, roles: list[Role], number: int, op: ir.Operation) -> None:
    block, mine = groups.block, roles[number]
    for position, value in enumerate(op.operands):
        producer = block.maker.get(value)
        if producer is None or not groups.is_kernel(producer) or position >= number_of_inputs(op):
            continue
        here, there = groups.group[number], groups.group[producer]
        if here == there or block.ops[producer].name == "tensor.pad":
            continue
        map_ = indexing_maps(op)[position]
        fits = _is_epilogue(groups, roles, number, there, value, map_) or _shares_rows(
            groups, roles, here, there, mine, roles[producer], map_
        )
        if fits and groups.may_merge(there, here):
            kinds = {groups.kind[here], groups.kind[there]}
            groups.merge(there, here)
            groups.kind[there] = next(k for k in ("contraction", "window", "row", "elementwise") if k in kinds)


def _is_epilogue(
    groups: Groups, roles: list[Role], number: int, there: int, value: ir.Value, map_: ir.AffineMap
) -> bool:
    if roles[number].kind != "elementwise" or groups.kind[there] not in ("contraction", "window", "elementwise"):
        return False
    alone = all(groups.group[user] in (there, groups.group[number]) for user in groups.block.users[value])
    same = is_identity(map_) and tuple(ir.RankedTensorType(value.type).shape) == tuple(
        -(2**63) if extent is None else extent for extent in roles[number].domain
    )
    return alone and same and groups.kind[groups.group[number]] in ("elementwise",)


def _shares_rows(
    groups: Groups, roles: list[Role], here: int, there: int, mine: Role, other: Role, map_: ir.AffineMap
) -> bool:
    if not {groups.kind[here], groups.kind[there]} <= {"row", "elementwise"}:
        return False
    reductions = [roles[i] for g in (here, there) for i in groups.members[g] if roles[i].kind == "row"]
    if mine.kind == "row":
        reductions.append(mine)
    if not reductions:
        return False
    full, kept = reductions[0].domain, reductions[0].kept
    dropped = tuple(e for e, k in zip(full, kept, strict=True) if k == e)
    allowed = {full, kept, dropped}
    if any((r.domain, r.kept) != (full, kept) for r in reductions) or None in full[-1:]:
        return False
    members = [roles[i] for g in (here, there) for i in groups.members[g]]
    return all(r.domain in allowed for r in members) and _aligned(map_) and _reads_aligned(groups, here, there)


def _reads_aligned(groups: Groups, here: int, there: int) -> bool:
    """Whether no operation of one group reads a row of the other's that is not its own, as a column beside the row does
    where a square matrix is scaled on both sides."""
    block = groups.block
    for number in groups.members[here]:
        op = block.ops[number]
        for value, map_ in zip(list(op.operands)[: number_of_inputs(op)], indexing_maps(op), strict=False):
            maker = block.maker.get(value)
            if maker is not None and groups.is_kernel(maker) and groups.group[maker] == there and not _aligned(map_):
                return False
    return True


def _aligned(map_: ir.AffineMap) -> bool:
    return all(loop is None or loop == position for position, loop in enumerate(results_of(map_)))
