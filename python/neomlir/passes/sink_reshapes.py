"""Compute on the shape that a contraction gives, and reshape behind that."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, iterators, number_of_inputs
from neomlir.passes.layouts import groups_of
from neomlir.passes.reshapes import Groups, collapsed, destination, expanded, size


@register
@dataclass(frozen=True)
class SinkReshapes(ModulePass):
    """Move the `tensor.expand_shape` of a reduction's result behind the generics that read it.

    A linear layer on more than two dimensions is a product between a `tensor.collapse_shape` and a
    `tensor.expand_shape`. What follows (an activation, a residual, a softmax) runs on the collapsed shape then, where
    fusion makes it the product's epilogue, and the two reshapes in front of the next product cancel out. Loops of a
    generic are collapsed if they are of one kind and each of its tensors has all of them, next to each other and in
    their order, or none.
    """

    name = "neo-sink-reshapes"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                made: set[ir.Operation] = set()
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        _sink(op, made)


def _sink(op: ir.Operation, made: set[ir.Operation]) -> None:
    maps, kinds, inputs = indexing_maps(op), iterators(op), number_of_inputs(op)
    found = (_expansion(value, map_, made) for value, map_ in zip(op.operands, maps, strict=True))
    expand = next((e for e in found if e is not None), None)
    if expand is None:
        return
    groups = groups_of(expand)
    if any(len({kinds[loop] for loop in group}) > 1 for group in groups) or s.counts_loops(op):
        return
    dims = [_dimensions(map_, groups) for map_ in maps]
    if None in dims or not all(_in_order(map_, groups) for map_ in maps[inputs:]):
        return
    loop_of = {loop: number for number, group in enumerate(groups) for loop in group}
    by = s.dims(loop_of[loop] for loop in range(len(kinds)))
    firsts = [
        ir.AffineMap.get(m.n_dims, 0, [m.results[d[0]] for d in found]) for m, found in zip(maps, dims, strict=True)
    ]
    new_maps = [s.substitute(map_, by, len(groups)) for map_ in firsts]
    with ir.InsertionPoint(op), op.location:
        read = [collapsed(value, found) for value, found in zip(list(op.operands)[:inputs], dims, strict=False)]
        written = [
            _destination(value, found, expand, s.positions(map_))
            for value, found, map_ in zip(list(op.operands)[inputs:], dims[inputs:], new_maps[inputs:], strict=True)
        ]
        new, block = s.build_generic(read, written, new_maps, [kinds[group[0]] for group in groups], op.location)
        s.clone_body(op, block)
        results = [
            _result(result, found, s.shape(old), expand, s.positions(map_))
            for result, old, found, map_ in zip(new.results, op.results, dims[inputs:], maps[inputs:], strict=True)
        ]
    made.add(new)
    s.replace(op, results)


def _destination(value: ir.Value, dims: Groups, expand: ir.Operation, loops: list[int]) -> ir.Value:
    """Where a result goes: dimension i is as wide as dimension `loops[i]` of what was expanded."""
    source = expand.operands[0]
    extents = [s.shape(source)[loop] for loop in loops]
    return destination(value, extents, lambda d: size(source, loops[d]), lambda given: collapsed(given, dims))


def _result(value: ir.Value, dims: Groups, extents: list[int], expand: ir.Operation, loops: list[int]) -> ir.Value:
    """A result as it was: dimension i is as wide as dimension `loops[i]` of the expanded shape."""
    return expanded(value, dims, extents, lambda d: size(expand.results[0], loops[d]))


def _expansion(value: ir.Value, map_: ir.AffineMap, made: set[ir.Operation]) -> ir.Operation | None:
    """The reshape of a reduction's or an epilogue's result that makes `value`, if it is read at the loops' place."""
    expand = s.maker(value)
    if expand is None or expand.name != "tensor.expand_shape" or map_ != ir.AffineMap.get_identity(map_.n_dims):
        return None
    source = s.maker(expand.operands[0])
    if source in made or _reduces(source):
        return expand
    behind = [] if source is None or source.name != "linalg.generic" else list(source.operands)
    return expand if any(_reduces(s.maker(value)) for value in behind) else None


def _reduces(op: ir.Operation | None) -> bool:
    return op is not None and op.name == "linalg.generic" and not s.is_parallel(op)


def _dimensions(map_: ir.AffineMap, groups: Groups) -> Groups | None:
    """The dimensions of a tensor that become one; None where it has a group in part or in another order."""
    loops, found, at = s.positions(map_), [], 0
    while at < len(loops):
        group = next((g for g in groups if loops[at] == g[0]), None)
        if group is not None and loops[at : at + len(group)] == group:
            found.append(list(range(at, at + len(group))))
        elif loops[at] is None and not s.uses_of(map_.results[at]):
            found.append([at])
        else:
            return None
        at += len(found[-1])
    return found


def _in_order(map_: ir.AffineMap, groups: Groups) -> bool:
    """Whether a result has its groups in their order, each once, and nothing else."""
    loops = s.positions(map_)
    return loops == [loop for group in groups if group[0] in loops for loop in group]
