"""What a run does, read off a host function of level `memref`: kernels in order, and the life of every intermediate."""

from __future__ import annotations

import math
from typing import NamedTuple

from neomlir.mlir import ir
from neomlir.passes.places import type_bytes


class Buffer(NamedTuple):
    """An intermediate in the arena: bytes from its start, its size, and the steps that first and last use it."""

    offset: int
    bytes: int
    first: int
    last: int


class Steps(NamedTuple):
    """The kernels of a run in order, and the intermediates of static size."""

    kernels: list[str]
    buffers: list[Buffer]


def steps_of(function: ir.Operation) -> Steps:
    """The steps of a host function that `neo-plan-memory` has left: one a `neo.dispatch`."""
    block = function.regions[0].blocks[0]
    arena = list(block.arguments)[-2]
    kernels: list[str] = []
    root: dict[ir.Value, ir.Value] = {}
    places: dict[ir.Value, tuple[int, int]] = {}
    lives: dict[ir.Value, list[int]] = {}
    for op in (o.operation for o in block.operations):
        operands = list(op.operands)
        if op.name == "memref.view" and operands[0] == arena:
            result = op.results[0]
            type_ = ir.MemRefType(result.type)
            if type_.has_static_shape:
                offset = ir.IntegerAttr(operands[1].owner.attributes["value"]).value
                places[result] = offset, math.prod(type_.shape) * type_bytes(type_.element_type)
            root[result] = result
        elif op.name == "neo.dispatch":
            for value in operands[2].owner.operands:
                if root.get(value) in places:
                    lives.setdefault(root[value], []).append(len(kernels))
            kernels.append(ir.FlatSymbolRefAttr(op.attributes["kernel"]).value)
        elif op.name == "memref.load" and root.get(operands[0]) in lives:
            lives[root[operands[0]]].append(max(0, len(kernels) - 1))
        elif operands and len(op.results) == 1 and operands[0] in root and op.name.startswith("memref."):
            root[op.results[0]] = root[operands[0]]
    buffers = [Buffer(*places[value], min(life), max(life)) for value, life in lives.items()]
    return Steps(kernels, buffers)
