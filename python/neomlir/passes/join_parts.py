"""Slices that are read where they lie, by every kernel that wants them, and concatenations of what is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neomlir.mlir import ir
from neomlir.passes.dataflow import Block
from neomlir.passes.groups import Groups
from neomlir.passes.in_place import RESHAPES
from neomlir.passes.places import type_bytes

_LINE = 64
"""Bytes that lie together, at least, in a part that is read or written where it is: loops over less are short."""


def join_parts(groups: Groups) -> None:
    """Let kernels read slices, and compute what is concatenated.

    A static slice, with the reshapes behind it, is cloned into its readers if all of them are kernels that work point
    by point or by rows, concatenations, or slices of that kind. An elementwise kernel whose results only a
    concatenation reads joins that.
    """
    block = groups.block
    for number in reversed(range(len(block.ops))):
        op = block.ops[number]
        if op.name == "tensor.extract_slice" and groups.is_kernel(number) and _lies_in_lines(op):
            behind = list(_views_behind(block, number))
            readers = {user for view in behind for user in block.users.get(block.ops[view].results[0], ())}
            readers.difference_update(behind)
            if readers and all(_reads_slices(groups, reader) for reader in readers):
                groups.cloned.update(behind)
    for number, op in enumerate(block.ops):
        if op.name == "tensor.concat" and groups.is_kernel(number) and _is_static(op):
            for value in op.operands:
                _join_piece(groups, number, value)


def _is_static(op: ir.Operation) -> bool:
    return all(ir.RankedTensorType(value.type).has_static_shape for value in (*op.operands, *op.results))


def _lies_in_lines(op: ir.Operation) -> bool:
    """Whether a slice is static, and its elements stand together by cache lines at least."""
    if len(op.operands) > 1 or not _is_static(op):
        return False
    source = ir.RankedTensorType(op.operands[0].type)
    sizes, strides = list(op.attributes["static_sizes"]), list(op.attributes["static_strides"])
    run = 1
    for size, stride, extent in zip(sizes[::-1], strides[::-1], source.shape[::-1], strict=True):
        run *= size if stride == 1 else 1
        if size != extent:
            break
    return run * type_bytes(source.element_type) >= _LINE


def _views_behind(block: Block, number: int) -> Iterator[int]:
    """An operation and all reshapes of its result."""
    yield number
    for user in block.users.get(block.ops[number].results[0], ()):
        if block.ops[user].name in RESHAPES and _is_static(block.ops[user]):
            yield from _views_behind(block, user)


def _reads_slices(groups: Groups, reader: int) -> bool:
    """Whether the kernel of an operation can read any part of a tensor as well as a whole one."""
    if reader in groups.cloned:
        return True
    if not groups.is_kernel(reader) or len(groups.members[groups.group[reader]]) >= groups.max_ops:
        return False
    return groups.block.ops[reader].name == "tensor.concat" or groups.kind[groups.group[reader]] in (
        "elementwise",
        "row",
    )


def _join_piece(groups: Groups, number: int, value: ir.Value) -> None:
    """Compute an operand of a concatenation where it is written, if nothing else reads what computes it."""
    block, views = groups.block, []
    type_, dim = ir.RankedTensorType(value.type), ir.IntegerAttr(block.ops[number].attributes["dim"]).value
    if math.prod(type_.shape[dim:]) * type_bytes(type_.element_type) < _LINE:
        return
    while (maker := block.maker.get(value)) is not None and block.ops[maker].name in RESHAPES:
        if len(block.users[value]) > 1 or maker in groups.cloned:
            return
        views.append(maker)
        value = block.ops[maker].operands[0]
    if maker is None or not groups.is_kernel(maker) or groups.kind.get(groups.group[maker]) != "elementwise":
        return
    here, there = groups.group[number], groups.group[maker]
    last = views[-1] if views else number
    inside = {*groups.members[there], last}
    made = [result for member in groups.members[there] for result in block.ops[member].results]
    if here == there or any(user not in inside for result in made for user in block.users.get(result, ())):
        return
    if not groups.may_merge(there, here, views):
        return
    for view in views:
        groups.merge(here, groups.group[view])
    groups.merge(here, there)
