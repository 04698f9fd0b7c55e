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

    Behind a convolution of several groups stands a `tensor.collapse_shape` of its channels. Generics that alone read
    that run on the expanded shape, and collapse their result.
    """

    name = "neo-sink-reshapes"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                made: set[ir.Operation] = set()
                for op in s.operations(function):
                    if op.name == "linalg.generic" and not _sink(op, made):
                        _sink_collapse(op, made)


def _sink(op: ir.Operation, made: set[ir.Operation]) -> bool:
    maps, kinds, inputs = indexing_maps(op), iterators(op), number_of_inputs(op)
    found = (_expansion(value, map_, made) for value, map_ in zip(op.operands, maps, strict=True))
    expand = next((e for e in found if e is not None), None)
    if expand is None:
        return False
    groups = groups_of(expand)
    if any(len({kinds[loop] for loop in group}) > 1 for group in groups) or s.counts_loops(op):
        return False
    dims = [_dimensions(map_, groups) for map_ in maps]
    if None in dims or not all(_in_order(map_, groups) for map_ in maps[inputs:]):
        return False
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
    return True


def _sink_collapse(op: ir.Operation, made: set[ir.Operation]) -> None:
    """Run an elementwise generic on the shape of what is collapsed for it alone."""
    maps, inputs = indexing_maps(op), number_of_inputs(op)
    found = (_collapse(value, map_, made) for value, map_ in zip(op.operands, maps, strict=True))
    collapse = next((c for c in found if c is not None), None)
    if collapse is None or not s.is_parallel(op) or s.counts_loops(op):
        return
    groups, extents = groups_of(collapse), s.shape(collapse.operands[0])
    split = {loop for loop, group in enumerate(groups) if len(group) > 1}
    simple = all(isinstance(e, ir.AffineDimExpr) or not split & s.uses_of(e) for m in maps for e in m.results)
    if not simple or any(None in s.positions(m) for m in maps[inputs:]):
        return
    loops = len(extents)
    by = s.dims(group[0] for group in groups)

    def wide(map_: ir.AffineMap) -> tuple[ir.AffineMap, Groups, list[int]]:
        """A map over the loops of the expanded shape, the dimensions that become several, and their extents."""
        results, dims, sizes = [], [], []
        for result, loop in zip(s.substitute(map_, by, loops).results, s.positions(map_), strict=True):
            parts = s.dims(groups[loop]) if loop in split else [result]
            dims.append(list(range(len(results), len(results) + len(parts))))
            sizes.append([extents[d] for d in groups[loop]] if loop in split else None)
            results.extend(parts)
        return ir.AffineMap.get(loops, 0, results), dims, sizes

    with ir.InsertionPoint(op), op.location:
        wides = [wide(map_) for map_ in maps]

        def of(value: ir.Value, dims: Groups, sizes: list) -> list[int]:
            whole = s.shape(value)
            return [n for extent, part in zip(whole, sizes, strict=True) for n in (part or [extent])]

        def reshaped(value: ir.Value, dims: Groups, sizes: list) -> ir.Value:
            return expanded(value, dims, of(value, dims, sizes), lambda d: size(value, _home(dims, d)))

        operands = [
            reshaped(value, dims, sizes) for value, (_, dims, sizes) in zip(op.operands, wides[:inputs], strict=False)
        ]
        for value, (_, dims, sizes) in zip(list(op.operands)[inputs:], wides[inputs:], strict=True):
            operands.append(
                destination(
                    value,
                    of(value, dims, sizes),
                    lambda d, value=value, dims=dims: size(value, _home(dims, d)),
                    lambda given, dims=dims, sizes=sizes: reshaped(given, dims, sizes),
                )
            )
        new, block = s.build_generic(
            operands[:inputs], operands[inputs:], [m for m, _, _ in wides], [s.PARALLEL] * loops, op.location
        )
        s.clone_body(op, block)
        results = [collapsed(value, dims) for value, (_, dims, _) in zip(new.results, wides[inputs:], strict=True)]
    made.add(new)
    s.replace(op, results)


def _home(dims: Groups, dimension: int) -> int:
    """The dimension of the collapsed tensor that a dynamic one of the expanded tensor is."""
    return next(number for number, group in enumerate(dims) if dimension in group)


def _collapse(value: ir.Value, map_: ir.AffineMap, made: set[ir.Operation]) -> ir.Operation | None:
    """The reshape that makes `value` of a reduction's or an epilogue's result, for one reader at the loops' place."""
    collapse = s.maker(value)
    if collapse is None or collapse.name != "tensor.collapse_shape" or not s.one_use(value):
        return None
    groups, extents = groups_of(collapse), s.shape(collapse.operands[0])
    static = all(extents[d] >= 0 for group in groups if len(group) > 1 for d in group)
    if not static or map_ != ir.AffineMap.get_identity(map_.n_dims) or len(groups) != map_.n_dims:
        return None
    return collapse if _comes_from_reduction(collapse.operands[0], made) else None


def _comes_from_reduction(value: ir.Value, made: set[ir.Operation]) -> bool:
    source = s.maker(value)
    if source in made or _reduces(source):
        return True
    behind = [] if source is None or source.name != "linalg.generic" else list(source.operands)
    return any(_reduces(s.maker(operand)) for operand in behind)


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
    return expand if _comes_from_reduction(expand.operands[0], made) else None


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
