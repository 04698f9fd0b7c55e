"""Elementwise generics that read rows of a tensor at computed places, as a resized picture does."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.dataflow import indexing_maps, number_of_inputs

_CHAIN = 4
"""Operations that are looked through."""


def gathers_rows(op: ir.Operation, depth: int = _CHAIN) -> bool:
    """Whether a parallel generic, or one that it reads, takes rows from end to end along its innermost dimension.

    Lanes along another dimension would be gathered one by one.
    """
    innermost = s.positions(indexing_maps(op)[-1])[-1:]
    for inner in (o.operation for o in op.regions[0].blocks[0].operations):
        last = s.maker(inner.operands[len(inner.operands) - 1]) if inner.name == "tensor.extract" else None
        is_loop = last is not None and last.name == "linalg.index"
        if is_loop and [ir.IntegerAttr(last.attributes["dim"]).value] == innermost:
            return True
    if not depth:
        return False
    for value, map_ in zip(list(op.operands)[: number_of_inputs(op)], indexing_maps(op), strict=False):
        maker = s.maker(value)
        along = maker is not None and maker.name == "linalg.generic" and s.positions(map_)[-1:] == innermost
        if along and s.is_parallel(maker) and len(maker.results) == 1 and gathers_rows(maker, depth - 1):
            return True
    return False
