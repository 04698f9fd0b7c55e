"""The arithmetic and memory a kernel needs, counted on its linalg operations."""

from __future__ import annotations

import math

from neomlir.mlir import ir
from neomlir.passes.dataflow import is_tensor, loop_extents
from neomlir.passes.functions import functions
from neomlir.passes.plan_memory import type_bytes

FREE = frozenset({"linalg.yield", "linalg.index", "arith.constant", "tensor.extract", "arith.index_cast"})
"""What does not count as arithmetic in a body."""


def kernel_costs(nested: ir.Operation) -> tuple[int | None, int | None]:
    """(operations, bytes) of one call of a kernel at level `kernels`; None where extents are dynamic.

    Operations count every arithmetic operation of every body once an iteration; bytes are those of all arguments.
    """
    function = functions(nested)[0]
    flops: int | None = 0
    for op in (o.operation for o in function.regions[0].blocks[0].operations):
        if op.name != "linalg.generic":
            continue
        extents = loop_extents(op)
        work = sum(inner.operation.name not in FREE for inner in op.regions[0].blocks[0].operations)
        flops = None if None in extents or flops is None else flops + work * math.prod(extents)
    size: int | None = 0
    for argument in function.regions[0].blocks[0].arguments:
        if not is_tensor(argument):
            continue
        type_ = ir.RankedTensorType(argument.type)
        if not type_.has_static_shape or size is None:
            size = None
        else:
            size += math.prod(type_.shape) * type_bytes(type_.element_type)
    return flops, size
