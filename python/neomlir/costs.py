"""The arithmetic and memory a kernel needs, counted on its linalg and forest operations."""

from __future__ import annotations

import math

import numpy as np

from neomlir.mlir import ir
from neomlir.passes.dataflow import is_tensor, iterators, loop_extents, number_of_inputs
from neomlir.passes.functions import functions
from neomlir.passes.loops import LOOP
from neomlir.passes.places import type_bytes
from neomlir.schedules.sparing import sparing
from neomlir.schedules.winograd_math import operations
from neomlir.trees import Trees

_WIDENING = frozenset({"arith.extf", "arith.extsi", "arith.extui"})
"""A product's instruction, or its load, widens for nothing."""
FREE = frozenset({"linalg.yield", "linalg.index", "arith.constant", "tensor.extract", "arith.index_cast"}) | _WIDENING
"""What does not count as arithmetic in a body."""

_TREES = {"forest.score": 1, "forest.heap": 4, "forest.ragged": 4}
"""The operand that has an entry a tree (of `forest.ragged` one more)."""


def work(op: ir.Operation) -> int:
    """Operations an iteration of a `linalg.generic`, or a row of an operation of the dialect `forest`; else 0.

    A row of a forest takes, whatever the strategy, at most a comparison a level of the deepest tree in each tree, and
    an addition a tree and column of `values`; with linear leaves two operations more a term of the mean leaf.
    """
    if op.name == "linalg.generic":
        return sum(inner.operation.name not in FREE for inner in op.regions[0].blocks[0].operations)
    if op.name == "forest.branches":
        trees = Trees.of(op)
        return len(trees.roots) * (int(trees.depths().max(initial=0)) + trees.values.shape[1])
    if op.name == "forest.total":
        return ir.RankedTensorType(op.operands[0].type).shape[1]
    if op.name not in _TREES:
        return 0
    shapes = [ir.RankedTensorType(operand.type).shape for operand in op.operands]
    depth = ir.IntegerAttr(op.attributes["depth"]).value
    if op.name != "forest.score":
        return (shapes[_TREES[op.name]][0] - (op.name == "forest.ragged")) * (depth + 1)
    trees, (leaves, width), terms = shapes[1][0], shapes[5], shapes[11][0]
    linear = 2 * trees * terms // leaves if ir.BoolAttr(op.attributes["linear"]).value else 0
    return trees * (depth + width) + linear


def kernel_costs(nested: ir.Operation) -> tuple[int | None, int | None]:
    """(operations, bytes) of one call of a kernel at level `kernels`; None where extents are dynamic.

    Operations count every arithmetic operation of every body once an iteration, or once an update of a scatter and an
    element of a scan or a rank, those of trees as `work` says, and those of Winograd's transforms as they are done, by
    rows and columns; those in a loop once a step. Bytes are those of all arguments, tables of trees among them.
    """
    block = functions(nested)[0].regions[0].blocks[0]
    flops, size = _operations(block), 0
    for argument in block.arguments:
        if not is_tensor(argument):
            continue
        type_ = ir.RankedTensorType(argument.type)
        if not type_.has_static_shape or size is None:
            size = None
        else:
            size += math.prod(type_.shape) * type_bytes(type_.element_type)
    return flops, size


def _operations(block: ir.Block) -> int | None:
    total = 0
    for op in (o.operation for o in block.operations):
        if op.name == LOOP:
            each, extents = _operations(op.regions[0].blocks[0]), [_steps(op)]
        else:
            each = work(op)
            extents = walked(op, loop_extents(op)) if op.name == "linalg.generic" else _rows(op) if each else []
        if is_transform(op):
            each, extents = _transform_work(op, extents)
        if each is None or (each and None in extents):
            return None
        total += each * math.prod(extents) if each else 0
    return total


def walked(op: ir.Operation, extents: list[int | None]) -> list[int | None]:
    """The extents of a generic's loops, of those as 1 that scatters, scans and ranks leave out."""
    found = sparing(op)
    return extents if found is None else [1 if d in found[1] else extent for d, extent in enumerate(extents)]


def _steps(loop: ir.Operation) -> int | None:
    """How often the body of a loop is run."""
    makers = [None if isinstance(v.owner, ir.Block) else v.owner.operation for v in list(loop.operands)[:3]]
    if any(m is None or m.name != "arith.constant" for m in makers):
        return None
    low, high, by = (m.attributes["value"].value for m in makers)
    return max(0, -(-(high - low) // by))


def is_transform(op: ir.Operation) -> bool:
    """Whether a generic is a transform of a Winograd convolution: products with a constant matrix from two sides."""
    if op.name != "linalg.generic" or number_of_inputs(op) != 3 or "reduction" not in iterators(op):
        return False
    makers = [None if isinstance(v.owner, ir.Block) else v.owner.operation for v in list(op.operands)[1:3]]
    if any(m is None or m.name != "arith.constant" for m in makers):
        return False
    values = [m.attributes["value"] for m in makers]
    return values[0] == values[1] and isinstance(values[0], ir.DenseFPElementsAttr) and len(values[0].type.shape) == 2


def _transform_work(op: ir.Operation, extents: list[int | None]) -> tuple[int, list[int | None]]:
    """What a transform takes row by row and column by column, a square of results, and how many squares there are."""
    attribute = op.operands[1].owner.operation.attributes["value"]
    matrix = np.array(attribute, np.float64).reshape(attribute.type.shape)
    rows, columns = matrix.shape
    outer = [n for n, kind in zip(extents, iterators(op), strict=True) if kind == "parallel"]
    if None in outer:
        return 1, [None]
    return operations(matrix) * (rows + columns), [-(-math.prod(outer) // (rows * rows))]


def _rows(op: ir.Operation) -> list[int | None]:
    type_ = ir.RankedTensorType(op.operands[0].type)
    return [None if type_.is_dynamic_dim(0) else type_.get_dim_size(0)]
