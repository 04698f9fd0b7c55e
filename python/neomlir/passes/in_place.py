"""Slices and concatenations that take no copy: parts of a tensor that lie in its memory from end to end."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neomlir.mlir import ir
from neomlir.passes.dataflow import CHEAP, Block, runs_on_host

RESHAPES = frozenset({"tensor.collapse_shape", "tensor.expand_shape"})
PARTS = frozenset({"tensor.concat", "tensor.extract_slice"})
_LOST = frozenset({"tensor.cast", "tensor.reshape"})
"""What gives a buffer extents that are not static, and so no place at an offset."""


def part_offset(op: ir.Operation) -> int | None:
    """How many elements lie before a slice in its source; None where it is not static or not from end to end."""
    source, result = (ir.RankedTensorType(value.type) for value in (op.operands[0], op.results[0]))
    if len(op.operands) > 1 or not (source.has_static_shape and result.has_static_shape) or 0 in result.shape:
        return None
    offsets, sizes, strides = (list(op.attributes[f"static_{name}"]) for name in ("offsets", "sizes", "strides"))
    first = next((d for d, size in enumerate(sizes) if size > 1), len(sizes))
    whole = sizes[first + 1 :] == list(source.shape)[first + 1 :]
    if not whole or any(stride != 1 and size > 1 for size, stride in zip(sizes, strides, strict=True)):
        return None
    return sum(offset * math.prod(source.shape[d + 1 :]) for d, offset in enumerate(offsets))


def piece_offsets(op: ir.Operation) -> list[int] | None:
    """How many elements lie before each operand of a concatenation in its result; None where one is not from end to
    end."""
    result = ir.RankedTensorType(op.results[0].type)
    dim = ir.IntegerAttr(op.attributes["dim"]).value
    types = [ir.RankedTensorType(value.type) for value in op.operands]
    if not all(t.has_static_shape and 0 not in t.shape for t in (result, *types)) or math.prod(result.shape[:dim]) > 1:
        return None
    sizes = [math.prod(t.shape) for t in types]
    return [sum(sizes[:number]) for number in range(len(sizes))]


def made_for(block: Block, value: ir.Value) -> ir.Value:
    """What `value` is a view of: static reshapes are looked through."""
    while (op := block.made_by(value)) is not None and op.name in RESHAPES:
        if not ir.RankedTensorType(op.operands[0].type).has_static_shape:
            break
        value = op.operands[0]
    return value


def views_of_parts(block: Block) -> set[int]:
    """The operations of a block, by number, that only say where in memory something lies.

    Slices from end to end are, and concatenations of them if each operand is the result of a kernel and stands in no
    other place: whoever computes it writes it there.
    """
    slices = (
        number
        for number, op in enumerate(block.ops)
        if op.name == "tensor.extract_slice" and part_offset(op) is not None and _keeps_place(block, op.results[0])
    )
    return {*slices, *(number for number, left in concatenations(block) if not left)}


def concatenations(block: Block) -> Iterator[tuple[int, list[int]]]:
    """Every concatenation, by number, whose operands lie in it from end to end, and which of these no kernel can write
    there: what is no kernel's result, leaves the function, or has a place in another."""
    taken = {made_for(block, value) for value in block.ops[-1].operands}
    for number in reversed(range(len(block.ops))):
        op = block.ops[number]
        if op.name != "tensor.concat" or piece_offsets(op) is None or not _keeps_place(block, op.results[0]):
            continue
        pieces = [made_for(block, value) for value in op.operands]
        left = [i for i, p in enumerate(pieces) if not _is_told(block, p) or p in taken or p in pieces[:i]]
        if not left:
            taken.update(pieces)
        yield number, left


def _is_told(block: Block, value: ir.Value) -> bool:
    """Whether a value is the static result of a kernel, which can be told where to write it."""
    op = block.made_by(value)
    if op is None or op.name in CHEAP or runs_on_host(op) or not ir.RankedTensorType(value.type).has_static_shape:
        return False
    return not (op.name == "tensor.extract_slice" and part_offset(op) is not None)


def _keeps_place(block: Block, value: ir.Value) -> bool:
    """Whether all that is read of a value are its elements, in static extents."""
    for number in block.users.get(value, ()):
        user = block.ops[number]
        if user.name in _LOST:
            return False
        if user.name in RESHAPES:
            static = all(ir.RankedTensorType(v.type).has_static_shape for v in (user.operands[0], user.results[0]))
            if not static or not _keeps_place(block, user.results[0]):
                return False
        elif user.name in PARTS and not _keeps_place(block, user.results[0]):
            return False
    return True
