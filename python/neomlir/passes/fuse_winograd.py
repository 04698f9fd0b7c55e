"""Which reductions are the three of a Winograd convolution, and share a kernel."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.passes.dataflow import is_contraction, number_of_inputs
from neomlir.passes.groups import Groups


def join_winograd(groups: Groups, number: int) -> None:
    """Make one group of the contraction `number` and of the transforms before and behind it, as `neo-winograd` writes.

    Only where nobody else reads what is between them.
    """
    block, op = groups.block, groups.block.ops[number]
    if number_of_inputs(op) != 2 or len(op.operands) != 3:
        return
    before = block.maker.get(op.operands[0])
    readers = block.users.get(op.results[0], [])
    if before is None or len(readers) != 1 or len(block.users[op.operands[0]]) != 1:
        return
    if not all(_is_transform(groups, n) for n in (before, readers[0])):
        return
    first, here, last = (groups.group[n] for n in (before, number, readers[0]))
    if len(groups.members[first]) > 1 or len(groups.members[here]) > 1:
        return
    if groups.may_merge(first, here):
        groups.merge(first, here)
        if groups.may_merge(first, last):
            groups.merge(first, last)
            groups.kind[first] = "winograd"


def _is_transform(groups: Groups, number: int) -> bool:
    """Whether an operation sums products of a tensor with a constant matrix, twice."""
    op = groups.block.ops[number]
    if not is_contraction(op) or number_of_inputs(op) != 3 or op.operands[1] != op.operands[2]:
        return False
    matrix = groups.block.made_by(op.operands[1])
    return matrix is not None and matrix.name == "arith.constant" and ir.RankedTensorType(op.operands[1].type).rank == 2
