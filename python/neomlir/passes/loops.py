"""Loops in straight-line functions: the operations in their bodies, and where their results are written."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.schedules.kernel import LOOP


def with_loops(function: ir.Operation) -> list[ir.Operation]:
    """The operations that stand in a function of one block, those in the body of each loop before the loop."""
    found: list[ir.Operation] = []
    for op in s.operations(function):
        if op.name == LOOP:
            found.extend(inner.operation for inner in op.regions[0].blocks[0].operations)
        found.append(op)
    return found


def outside(op: ir.Operation, value: ir.Value) -> ir.Operation:
    """`op`, or the loop around it that stands where `value` is made."""
    block = value.owner if isinstance(value.owner, ir.Block) else value.owner.operation.block
    while op.block != block and op.parent is not None and op.parent.operation.name == LOOP:
        op = op.parent.operation
    return op


def write_over_states(function: ir.Operation) -> None:
    """Let each operation of a loop that makes the new value of something carried write it over the old one.

    Only where nothing behind it reads the old one, and itself at most point by point.
    """
    for loop in s.operations(function):
        if loop.name != LOOP:
            continue
        block = loop.regions[0].blocks[0]
        ops = [op.operation for op in block.operations]
        for old, new in zip(list(block.arguments)[1:], ops[-1].operands, strict=True):
            maker = s.maker(new)
            view = None
            if maker is not None and maker.name == "tensor.expand_shape":
                # What has one element is computed without dimensions.
                view, new = maker, maker.operands[0]
                maker = s.maker(new)
            if maker is None or maker.name != "linalg.generic" or not s.is_parallel(maker):
                continue
            place = len(maker.operands) - len(maker.results) + list(maker.results).index(new)
            empty = s.maker(maker.operands[place])
            readers = [use.owner.operation for use in old.uses]
            if empty is None or empty.name != "tensor.empty" or not _is_last(ops, maker, readers):
                continue
            if view is not None:
                maker.operands[place] = _collapsed(old, new, view, maker)
            elif _reads_in_place(maker, old, place):
                maker.operands[place] = old


def _collapsed(old: ir.Value, new: ir.Value, view: ir.Operation, before: ir.Operation) -> ir.Value:
    """`old` as `view` was before it got its dimensions."""
    groups = view.attributes["reassociation"]
    return ir.Operation.create(
        "tensor.collapse_shape",
        results=[new.type],
        operands=[old],
        attributes={"reassociation": groups},
        loc=before.location,
        ip=ir.InsertionPoint(before),
    ).results[0]


def ask_before_loops(function: ir.Operation) -> None:
    """Ask for the extents of what a loop carries before the loop, where each step keeps them.

    As upstream's `scf-for-loop-canonicalization` does, but for states that structured operations write as well.
    """
    for loop in s.operations(function):
        if loop.name != LOOP:
            continue
        block = loop.regions[0].blocks[0]
        end = block.operations[len(block.operations) - 1]
        carried = list(block.arguments)[1:]
        for value, new, first, result in zip(carried, end.operands, list(loop.operands)[3:], loop.results, strict=True):
            if not _keeps_shape(value, new):
                continue
            for asked in (value, result):
                for use in list(asked.uses):
                    if use.owner.operation.name == "tensor.dim":
                        use.owner.operation.operands[0] = first


def _keeps_shape(old: ir.Value, new: ir.Value) -> bool:
    """Whether what a step carries on is as large as what it was given: that, or a value that is written over it."""
    if new == old:
        return True
    maker = s.maker(new)
    if maker is None:
        return False
    if maker.name == "tensor.insert_slice":
        return _keeps_shape(old, maker.operands[1])
    if maker.name in ("tensor.expand_shape", "tensor.collapse_shape"):
        # Views of what is written over the old one, there and back.
        return _keeps_shape(old, maker.operands[0])
    if maker.name != "linalg.generic":
        return False
    place = len(maker.operands) - len(maker.results) + list(maker.results).index(new)
    return _keeps_shape(old, maker.operands[place])


def _is_last(ops: list[ir.Operation], maker: ir.Operation, readers: list[ir.Operation]) -> bool:
    """Whether all who read a value stand before `maker`, or are it."""
    behind = ops[ops.index(maker) + 1 :]
    return not any(reader in behind for reader in readers)


def _reads_in_place(maker: ir.Operation, old: ir.Value, place: int) -> bool:
    """Whether `maker` reads `old` only where it writes."""
    maps = [attribute.value for attribute in maker.attributes["indexing_maps"]]
    return all(maps[i] == maps[place] for i, value in enumerate(maker.operands) if value == old)
