"""Give a batched contraction the batch dimensions of what it reads."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import is_product
from neomlir.passes.dataflow import indexing_maps, iterators
from neomlir.passes.layouts import groups_of
from neomlir.passes.reshapes import Groups, collapsed, destination, expanded, size


@register
@dataclass(frozen=True)
class SplitBatches(ModulePass):
    """Split the batch loop of a contraction in two or more where an input's batch dimensions were collapsed to one.

    A product of tensors of rank four arrives as one of rank three between reshapes, through which neither a transpose
    of its factors (heads of attention, in a batch of several sequences) can be read nor a softmax be fused.
    """

    name = "neo-split-batches"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if is_product(op):
                        _split(op)


def _split(op: ir.Operation) -> None:
    maps, kinds = indexing_maps(op), iterators(op)
    places = [s.positions(map_) for map_ in maps]
    batch = {loop for loop in range(len(kinds)) if all(found.count(loop) == 1 for found in places)}
    if any(batch & s.uses_of(e) for map_ in maps for e in map_.results if not isinstance(e, ir.AffineDimExpr)):
        return
    origin = _collapsed_batches(op, places, batch)
    if not origin:
        return
    widths = [len(origin[loop][1]) if loop in origin else 1 for loop in range(len(kinds))]
    starts = [sum(widths[:loop]) for loop in range(len(kinds))]
    loops = sum(widths)
    by = s.dims(starts)
    new_maps = []
    for map_, found in zip(maps, places, strict=True):
        results = []
        for result, loop in zip(s.substitute(map_, by, loops).results, found, strict=True):
            more = s.dims(range(starts[loop], starts[loop] + widths[loop])) if loop in origin else [result]
            results.extend(more)
        new_maps.append(ir.AffineMap.get(loops, 0, results))
    with ir.InsertionPoint(op), op.location:
        operands = [_Split(value, found, origin) for value, found in zip(op.operands, places, strict=True)]
        new, block = s.build_generic(
            [operand.read() for operand in operands[:2]],
            [operands[2].written()],
            new_maps,
            [kind for kind, width in zip(kinds, widths, strict=True) for _ in range(width)],
            op.location,
        )
        s.clone_body(op, block)
        result = collapsed(new.results[0], operands[2].groups)
    s.replace(op, [result])


Origin = dict[int, tuple[ir.Value, list[int]]]
"""For each loop that is split, a tensor that has its parts as dimensions, and which these are."""


def _collapsed_batches(op: ir.Operation, places: list[list[int | None]], batch: set[int]) -> Origin:
    origin: Origin = {}
    for value, found in zip(list(op.operands)[:2], places, strict=False):
        maker = s.maker(value)
        if maker is None or maker.name != "tensor.collapse_shape":
            continue
        for group, loop in zip(groups_of(maker), found, strict=True):
            if len(group) > 1 and loop in batch:
                origin.setdefault(loop, (maker.operands[0], group))
    return origin


class _Split:
    """An operand, with the dimensions of split loops as several."""

    def __init__(self, value: ir.Value, places: list[int | None], origin: Origin):
        self.value = value
        self.groups: Groups = []
        self.at: list[tuple[ir.Value, int]] = []
        """Where the size of each dimension can be asked for."""
        for dimension, loop in enumerate(places):
            parts = [(value, dimension)] if loop not in origin else [(origin[loop][0], d) for d in origin[loop][1]]
            self.groups.append(list(range(len(self.at), len(self.at) + len(parts))))
            self.at.extend(parts)
        self.extents = [s.shape(tensor)[d] for tensor, d in self.at]

    def read(self) -> ir.Value:
        """As an input: what it was collapsed from, where that has the dimensions wanted."""
        maker = s.maker(self.value)
        if maker is not None and maker.name == "tensor.collapse_shape":
            source, groups = maker.operands[0], groups_of(maker)
            wide = {number for number, group in enumerate(self.groups) if len(group) > 1}
            if all(self._is(source, groups[number], number) for number in wide):
                kept = [[[d] for d in group] if n in wide else [group] for n, group in enumerate(groups)]
                return collapsed(source, [part for parts in kept for part in parts])
        return expanded(self.value, self.groups, self.extents, self._size)

    def _is(self, source: ir.Value, group: list[int], number: int) -> bool:
        """Whether dimensions `group` of `source` are those that dimension `number` becomes."""
        wanted = [self.extents[d] for d in self.groups[number]]
        same = [self.at[d] for d in self.groups[number]] == [(source, d) for d in group]
        return same or (min(wanted) >= 0 and [s.shape(source)[d] for d in group] == wanted)

    def written(self) -> ir.Value:
        """As a destination."""
        return destination(
            self.value,
            self.extents,
            self._size,
            lambda given: expanded(given, self.groups, self.extents, self._size),
        )

    def _size(self, dimension: int) -> ir.Value:
        return size(*self.at[dimension])
