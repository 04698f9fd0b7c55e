"""Write every structured operation as a `linalg.generic`, so that later passes know one form only."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register

# Fills stay: they say "this buffer starts as a constant" and cost nothing. The others have no loops of their own.
_KEPT = frozenset({"linalg.generic", "linalg.fill", "linalg.index", "linalg.yield", "linalg.softmax"})


@register
@dataclass(frozen=True)
class Generalize(ModulePass):
    """Rewrite the named operations of linalg (convolutions, poolings, matmuls, transposes, …) as `linalg.generic`.

    Unlike upstream's `linalg-generalize-named-ops` it keeps `linalg.fill`. Operations without loops of their own
    (`linalg.softmax`, `linalg.pack`, Winograd transforms) are left as they are. Concatenations take their operands with
    the static extents that these have in front of a cast, and none without elements.
    """

    name = "neo-generalize"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                found: list[ir.Operation] = []
                _collect(function, found)
                for op in found:
                    _generalize(op)
                for op in s.operations(function):
                    if op.name == "tensor.concat":
                        _uncast(op)
                        _without_empty(op)


def _collect(op: ir.Operation, found: list[ir.Operation]) -> None:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                inner = inner.operation
                if inner.name.startswith("linalg.") and inner.name not in _KEPT:
                    found.append(inner)
                else:
                    _collect(inner, found)


def _uncast(op: ir.Operation) -> None:
    """Concatenate what was cast to extents that are not static (as PyTorch's rolls are imported)."""
    if not s.has_static_shape(op.results[0]):
        return  # Its type would have to follow.
    for number, value in enumerate(op.operands):
        cast = s.maker(value)
        if cast is not None and cast.name == "tensor.cast" and s.has_static_shape(cast.operands[0]):
            op.operands[number] = cast.operands[0]


def _without_empty(op: ir.Operation) -> None:
    """Concatenate nothing that has no elements (as a roll by no place leaves it): no buffer begins behind another."""
    dim = ir.IntegerAttr(op.attributes["dim"]).value
    parts = [value for value in op.operands if s.shape(value)[dim] != 0]
    if not parts or len(parts) == len(op.operands):
        return
    result = op.results[0]
    if len(parts) > 1:
        with ir.InsertionPoint(op), op.location:
            parts = ir.Operation.create(
                "tensor.concat", results=[result.type], operands=parts, attributes={"dim": op.attributes["dim"]}
            ).results
    elif parts[0].type != result.type:
        with ir.InsertionPoint(op), op.location:
            parts = [tensor.CastOp(result.type, parts[0]).result]
    s.replace(op, [parts[0]])


def _generalize(op: ir.Operation) -> None:
    if not op.regions or len(op.regions[0].blocks) != 1 or not len(op.results):
        return
    maps = linalg.get_indexing_maps(op)
    if maps is None or len(maps) != len(op.operands):
        return
    maps = [attribute.value for attribute in maps]
    outputs = len(op.results)
    parallel = set().union(*(s.uses_of(e) for m in maps[-outputs:] for e in m.results))
    kinds = [s.PARALLEL if loop in parallel else s.REDUCTION for loop in range(maps[0].n_dims)]
    operands = list(op.operands)
    source = op.regions[0].blocks[0]
    with ir.InsertionPoint(op), op.location:
        generic, block = s.build_generic(operands[:-outputs], operands[-outputs:], maps, kinds, op.location)
    # Some named operations (linalg.map, linalg.transpose) give their body no argument for the destination.
    mapping = dict(zip(source.arguments, block.arguments, strict=False))
    s.yield_(block, s.copy_body(op, block, mapping))
    s.replace(op, list(generic.results))
