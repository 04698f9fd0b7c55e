"""Give the tensors around convolutions and poolings their channels innermost."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes import layouts as lay
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import Contraction
from neomlir.passes.dataflow import Block, captured_values, indexing_maps, iterators
from neomlir.passes.layouts import Layout
from neomlir.passes.relayout import Relayout


@register
@dataclass(frozen=True)
class ChannelsLast(ModulePass):
    """Let convolutions and poolings of any rank read and write channels-last tensors.

    The layout spreads from them over everything that can carry it: elementwise operations, reductions, padding,
    slices, concatenation, reshapes that keep dimensions apart. Operations change in place (types, indexing maps,
    loop order); copies that transpose stand only where an argument, a result or another operation needs the plain
    layout. Loops of every generic are ordered: those of the output, outermost first, then the reductions as the
    first input has them.
    """

    name = "neo-channels-last"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                chosen = _Spread(function).layouts
                Relayout(function, chosen).run()


class _Spread:
    """Which values of a function take which layout: from the seeds outwards, the first to come wins."""

    def __init__(self, function: ir.Operation):
        self.block = Block.of(function)
        self.layouts: dict[ir.Value, tuple[int, ...]] = {}
        self.queue: list[ir.Value] = []
        self.windowed = {n for n, op in enumerate(self.block.ops) if op.name == "linalg.generic" and _is_windowed(op)}
        for number in sorted(self.windowed):
            self._seed(self.block.ops[number])
        while self.queue:
            value = self.queue.pop(0)
            near = {self.block.maker[value], *self.block.users.get(value, ())}
            for number in sorted(near):
                if number not in self.windowed:
                    self._through(self.block.ops[number], value)

    def _assign(self, value: ir.Value, layout: Layout) -> None:
        if layout is None or value in self.layouts or value not in self.block.maker:
            return
        op = self.block.made_by(value)
        able = op.name == "linalg.generic" or lay.is_uniform(op) or op.name in lay.RESHAPES
        if not able or (op.name == "tensor.expand_shape" and lay.collapse_layout(op, layout) is None):
            return
        self.layouts[value] = layout
        self.queue.append(value)

    def _seed(self, op: ir.Operation) -> None:
        maps = indexing_maps(op)
        spatial = _window_loops(maps[0])
        self._assign(op.operands[0], _channels_last(maps[0], spatial))
        for result in op.results:
            self._assign(result, _channels_last(maps[-1], spatial))

    def _through(self, op: ir.Operation, value: ir.Value) -> None:
        layout = self.layouts[value]
        if op.name == "linalg.generic":
            self._through_generic(op, value, layout)
        elif lay.is_uniform(op):
            for other in (*op.operands, *op.results):
                if lay.rank_of(other) == len(layout):
                    self._assign(other, layout)
        elif op.name in lay.RESHAPES:
            other = op.results[0] if value == op.operands[0] else op.operands[0]
            if value == lay.expanded_side(op):
                found = lay.collapse_layout(op, layout)
                self._assign(other, found[0] if found else None)
            else:
                self._assign(other, lay.expand_layout(op, layout))

    def _through_generic(self, op: ir.Operation, value: ir.Value, layout: tuple[int, ...]) -> None:
        if Contraction.match(op):
            return
        maps = indexing_maps(op)
        values = [*op.operands, *op.results]
        maps = [*maps, *maps[-len(op.results) :]]
        if value in values:
            map_ = s.positions(maps[values.index(value)])
        elif len(layout) == maps[-1].n_dims:
            map_ = list(range(len(layout)))  # read by coordinates inside the body, as an upsampling does
        else:
            return
        rank_in_memory = {loop: at for at, loop in enumerate(s.permuted(map_, layout)) if loop is not None}
        for other, other_map in zip(values, maps, strict=True):
            if not lay.rank_of(other) or other == value:
                continue
            places = s.positions(other_map)
            if len(places) == len(layout) and all(p is None or p == m for p, m in zip(places, map_, strict=True)):
                self._assign(other, layout)
            elif None not in places and all(p in rank_in_memory for p in places) and len(set(places)) == len(places):
                order = sorted(range(len(places)), key=lambda d, at=rank_in_memory, p=places: at[p[d]])
                self._assign(other, lay.plain(order))
        for other in captured_values(op):
            if other not in values and lay.rank_of(other) == len(layout) == maps[-1].n_dims:
                self._assign(other, layout)


def _is_windowed(op: ir.Operation) -> bool:
    """A generic whose first input is read at sums of an output loop and a reduction loop."""
    if len(op.operands) < 2 or s.is_parallel(op):
        return False
    maps = indexing_maps(op)
    plain_output = all(isinstance(e, ir.AffineDimExpr) for e in maps[-1].results)
    return plain_output and bool(_window_loops(maps[0])) and "reduction" in iterators(op)


def _window_loops(map_: ir.AffineMap) -> set[int]:
    loops = [s.uses_of(e) for e in map_.results]
    return set().union(*(found for found in loops if len(found) > 1))


def _channels_last(map_: ir.AffineMap, spatial: set[int]) -> Layout:
    """Batch, then what windows move over, then the rest."""
    places = [bool(s.uses_of(e) & spatial) for e in map_.results]
    rest = [d for d, is_spatial in enumerate(places) if not is_spatial]
    batch = rest[:1] if len(rest) > 1 and rest[0] == 0 else []
    order = [*batch, *(d for d, is_spatial in enumerate(places) if is_spatial), *rest[len(batch) :]]
    return lay.plain(order)
