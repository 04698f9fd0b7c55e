"""Lay the second operand of each contraction out as its micro-kernel reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir import targets
from neomlir.mlir import ir, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.choices import parse_choices
from neomlir.passes.constants import Constants, width
from neomlir.passes.contraction import Contraction
from neomlir.passes.layouts import pad_zeros, pads_zeros, transpose
from neomlir.passes.loops import LOOP, outside, with_loops
from neomlir.schedules.tiles import panel_width, register_tile
from neomlir.schedules.units import Unit, factor_types, step_unit, unit_of

_WIDEST = 1024
"""Columns of a panel, at most."""
_WORTH = 16
"""Rows that repay putting groups of a factor side by side for an instruction on vectors."""
_STEPS = 1.5
"""Steps of a reduction by tiles, over the fewest that there can be, from which on zeros that save them are worth it."""
_WORTH_COPY = 128
"""Rows that repay putting the columns of a panel side by side."""
_MANY = 8
"""Panels of which one may be short."""
_FAR = 2
"""How many times the first-level cache a factor is whose rows are met in it no more."""


@register
@dataclass(frozen=True)
class PackContractions(ModulePass):
    """Pack the weights of contractions into panels as wide as the register tile of the target.

    Of `C[m, n] += A[m, k] * B[k, n]` (n is C's innermost dimension; m, k are any number of loops, so convolutions and
    batched products count) a weight B becomes `[n floordiv r, batch…, k…, n mod r]`, padded with zeros where r does
    not divide n, and is read through that map. Where the target has a dot-product unit for the types of A and B, groups
    of g of A's innermost k lie side by side: `[n floordiv r, batch…, k…, k floordiv g, n mod r, k mod g]` with r of one
    to three vectors, as `neomlir.schedules.panels` has it; A is padded with zeros to whole groups, and for tiles to
    equal steps near the longest. A weight of a depthwise convolution gets its channels innermost. An operand B that is
    not a weight is packed so for a dot-product unit if many rows share it, or if the unit is one of tiles and nothing
    has to be padded; else it is put in panels as a weight is, if it is of floats as wide as the sums, twice as large as
    the first-level cache, and many rows share it; else it is transposed if n is not its innermost dimension. The
    transposes of weights are ordinary operations on weights, for `neo-hoist-constants` to move.
    """

    name = "neo-pack-contractions"

    target: str = "host"
    """The target whose register tile gives r, and whose dot-product units give g."""

    panels: str = ""
    """`SIGNATURE:COLUMNS` with `;` between them: another r for single contractions. `neo-tune` finds them,
    `neo-compile` writes them here."""

    def run(self, module: ir.Module) -> None:
        target = targets.get(self.target)
        told = parse_choices(self.name, self.panels, [str(n) for n in range(1, _WIDEST + 1)])
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                constants = Constants.of(function)
                for op in with_loops(function):
                    found = Contraction.match(op)
                    if found is None or not isinstance(op.operands[found.b].type, ir.RankedTensorType):
                        continue
                    # The loops of `recurrence` are those of products without anything around them.
                    in_loop = op.parent.operation.name == LOOP
                    if constants.weights(op.operands[found.b]):
                        unit = _unit_in_loop(found, target) if in_loop else _unit(found, target)
                        _rows, columns = register_tile(target, width(s.element_type(op.results[0])))
                        _pack(found, columns, unit, int(told.get(found.signature, 0)))
                    elif not found.depthwise and (
                        in_loop or not (_pack_for_unit(found, target) or _pack_factor(found, target))
                    ):
                        _put_innermost(found)


def _unit(c: Contraction, target) -> Unit | None:
    """The dot-product unit that a contraction is packed for; None where there is none, or the rows do not fit it."""
    types = None if c.depthwise else factor_types(c.op)
    rows, columns = (s.positions(c.maps[number]) for number in (c.a, c.b))
    if types is None or c.n in rows or rows[-1] not in c.reductions or rows[-1] not in columns:
        return None
    channels = c.extents[rows[-1]]
    if channels is None:
        return None
    return unit_of(target, types[c.a], types[c.b], channels, s.has_static_shape(c.op.operands[c.a]))


def _unit_in_loop(c: Contraction, target) -> Unit | None:
    """The same for a step of a loop, which reads its rows as they are, on the units that `recurrence` knows."""
    types, rows = factor_types(c.op), s.positions(c.maps[c.a])
    if _unit(c, target) is None or list(c.reductions) != rows[-1:]:
        return None
    return step_unit(target, types[c.a], types[c.b], c.extents[rows[-1]])


def panel_choices(c: Contraction, target) -> tuple[int, ...]:
    """The r that are worth a measurement for a weight that is packed, the analytic one first; empty for others."""
    bits = width(s.element_type(c.op.results[0]))
    extent, (_rows, columns) = c.extents[c.n], register_tile(target, bits)
    if c.depthwise or _unit(c, target) is not None or extent is None or not s.has_static_shape(c.op.operands[c.b]):
        return ()
    lanes = max(1, columns // 2)
    # A tile of one vector a row loads as often as it multiplies: it comes last.
    others = [r for r in (2 * lanes, 3 * lanes, 4 * lanes, lanes) if r < extent + lanes]
    return tuple(dict.fromkeys([panel_width(columns, extent), *others]))


def _pack(c: Contraction, columns: int, dot: Unit | None, told: int) -> None:
    """Panels of a weight, of `told` columns unless that is 0, or channels innermost for a depthwise filter."""
    weight, map_ = c.op.operands[c.b], c.maps[c.b]
    loops = s.positions(map_)
    named = [p for p in loops if p is not None]
    unit = all(
        p is not None or (s.is_constant(e) and extent == 1)
        for p, e, extent in zip(loops, map_.results, s.shape(weight), strict=True)
    )
    if (
        not unit
        or len(set(named)) != len(named)
        or not s.has_static_shape(weight)
        or len(named) < 2
        or c.extents[c.n] == 1
    ):
        return
    order = _weight_order(c, named)
    with ir.InsertionPoint(outside(c.op, weight)), c.op.location:
        weight = _drop_units(weight, loops)
        if dot:
            _pack_groups(c, weight, named, dot)
            return
        if c.depthwise:
            if order != named:
                _read(c, transpose(weight, [named.index(loop) for loop in order]), s.dims(order))
            return
        _pack_panels(c, weight, named, told or panel_width(columns, c.extents[c.n]))


def _pack_panels(c: Contraction, value: ir.Value, named: list[int], r: int) -> None:
    """Panels of r columns of an operand whose dimensions are the loops `named`, at the current insertion point."""
    at, order = named.index(c.n), _weight_order(c, named)
    split = panels(value, at, r)
    # After the split, dimension `at` counts panels and `at + 1` counts columns in a panel.
    place = {loop: p if p < at else p + 1 for p, loop in enumerate(named)}
    inner = [place[loop] for loop in order if loop != c.n]
    packed = transpose(split, [at, *inner, at + 1])
    n = ir.AffineDimExpr.get(c.n)
    middle = s.dims(loop for loop in order if loop != c.n)
    _read(c, packed, [ir.AffineExpr.get_floor_div(n, r), *middle, ir.AffineExpr.get_mod(n, r)])


def _pack_groups(c: Contraction, weight: ir.Value, named: list[int], unit: Unit) -> None:
    """Panels for a dot-product unit, at the current insertion point; `named` are the loops of the weight."""
    inner = s.positions(c.maps[c.a])[-1]
    depth = _depth(c, inner, unit)
    if depth > c.extents[inner]:
        c.op.operands[c.a] = _made_longer(c.op.operands[c.a], depth)
        weight = pad_high(weight, named.index(inner), depth - c.extents[inner])
    at = named.index(c.n)
    extent = s.shape(weight)[at]
    r = unit.panel(extent)
    split, loops = panels(weight, at, r), [*named[:at], c.n, None, *named[at + 1 :]]
    between = [loop for loop in _weight_order(c, named) if loop not in (c.n, inner)]
    n, k = ir.AffineDimExpr.get(c.n), ir.AffineDimExpr.get(inner)
    div, mod = ir.AffineExpr.get_floor_div, ir.AffineExpr.get_mod
    if unit.group == 1:
        packed = transpose(split, [*(loops.index(loop) for loop in (c.n, *between, inner)), loops.index(c.n) + 1])
        _read(c, packed, [div(n, r), *s.dims(between), k, mod(n, r)])
        return
    group = loops.index(inner)
    split = panels(split, group, unit.group)
    # Dimension `group` counts groups now, and the one behind it what is in a group.
    loops = [*loops[: group + 1], None, *loops[group + 1 :]]
    order = [loops.index(loop) for loop in (c.n, *between, inner)]
    packed = transpose(split, [*order, loops.index(c.n) + 1, loops.index(inner) + 1])
    _read(c, packed, [div(n, r), *s.dims(between), div(k, unit.group), mod(n, r), mod(k, unit.group)])


def _depth(c: Contraction, inner: int, unit: Unit) -> int:
    """The extent of the innermost loop of the reduction with the zeros behind it: whole groups.

    Tiles take it in equal steps. What is made longer anyway, or has no divisor near the most that a step takes, gets
    zeros for as few steps as there can be.
    """
    extent = c.extents[inner]
    groups = -(-extent // unit.group) * unit.group
    if not unit.tiles or list(c.reductions) != [inner] or not s.has_static_shape(c.op.operands[c.a]):
        return groups
    steps = -(-extent // unit.most)
    if groups == extent and extent // unit.step(extent) <= _STEPS * steps:
        return groups
    return steps * (-(-extent // (steps * unit.group)) * unit.group)


def _made_longer(value: ir.Value, extent: int) -> ir.Value:
    """`value` with zeros behind its innermost dimension, up to `extent`; before a pad of zeros, if it is one."""
    pad = s.maker(value)
    missing = extent - s.shape(value)[-1]
    if not pads_zeros(pad) or not s.one_use(value):
        return pad_high(value, len(s.shape(value)) - 1, missing)
    high = list(ir.DenseI64ArrayAttr(pad.attributes["static_high"]))
    high[-1] += missing
    pad.attributes["static_high"] = ir.DenseI64ArrayAttr.get(high)
    value.set_type(ir.RankedTensorType.get([*s.shape(value)[:-1], extent], s.element_type(value)))
    return value


def _weight_order(c: Contraction, named: list[int]) -> list[int]:
    """Batch loops, reductions, and n last."""
    reductions = [loop for loop in c.reductions if loop in named]
    batch = [loop for loop in named if loop != c.n and loop not in reductions]
    return [*batch, *reductions, c.n]


def _pack_for_unit(c: Contraction, target) -> bool:
    """Panels of an operand that is not a weight, where a dot-product unit reads them."""
    unit, value = _unit(c, target), c.op.operands[c.b]
    loops = s.positions(c.maps[c.b])
    if unit is None or unit.group == 1 or unit.words or None in loops or len(set(loops)) != len(loops):
        return False
    if not s.has_static_shape(value):
        return False
    inner = s.positions(c.maps[c.a])[-1]
    channels, columns = c.extents[inner], c.extents[c.n]
    fits = unit.tiles and columns % (2 * unit.lanes) == 0 and _depth(c, inner, unit) == channels
    if not fits and (_rows(c) < _WORTH or 2 * columns < unit.lanes):
        return False
    with ir.InsertionPoint(c.op), c.op.location:
        _pack_groups(c, value, loops, unit)
    return True


def _pack_factor(c: Contraction, target) -> bool:
    """Panels of an operand that is not a weight, where so many rows share it that a copy costs little.

    As it lies its rows are far apart: each row of a panel is in another page, and no hardware fetches the next in time.
    """
    value, loops = c.op.operands[c.b], s.positions(c.maps[c.b])
    element = s.element_type(c.op.results[0])
    if None in loops or len(set(loops)) != len(loops) or len(loops) < 2 or not s.has_static_shape(value):
        return False
    if not isinstance(element, ir.FloatType) or any(s.element_type(c.op.operands[i]) != element for i in (c.a, c.b)):
        return False
    inner = [c.extents[loop] for loop in loops if loop == c.n or loop in c.reductions]
    _height, columns = register_tile(target, width(element))
    if math.prod(inner) * width(element) // 8 < _FAR * target.cache.l1d or _rows(c) < _WORTH_COPY:
        return False
    if c.extents[c.n] < columns or 1 in inner:
        return False
    # Of many columns the last panel matters little, and tiles of the usual height suit what is computed in one kernel.
    r = columns if c.extents[c.n] >= _MANY * columns else panel_width(columns, c.extents[c.n])
    with ir.InsertionPoint(c.op), c.op.location:
        _pack_panels(c, value, loops, r)
    return True


def _rows(c: Contraction) -> int:
    """Rows that share the operand B, 0 where they are dynamic."""
    shared = {loop for e in c.maps[c.b].results for loop in s.uses_of(e)}
    extents = [c.extents[loop] for loop, kind in enumerate(c.kinds) if kind == s.PARALLEL and loop not in shared]
    return 0 if None in extents else math.prod(extents)


def _put_innermost(c: Contraction) -> None:
    """An explicit transpose of an operand that is not a weight, if n is not its innermost dimension."""
    loops = s.positions(c.maps[c.b])
    if None in loops or len(set(loops)) != len(loops) or loops[-1] == c.n:
        return
    order = _weight_order(c, loops)
    with ir.InsertionPoint(outside(c.op, c.op.operands[c.b])), c.op.location:
        moved = transpose(c.op.operands[c.b], [loops.index(loop) for loop in order])
    _read(c, moved, s.dims(order))


def _read(c: Contraction, value: ir.Value, results: list[ir.AffineExpr]) -> None:
    c.op.operands[c.b] = value
    maps = list(c.maps)
    maps[c.b] = ir.AffineMap.get(len(c.kinds), 0, results)
    s.set_maps(c.op, maps)


def _drop_units(value: ir.Value, loops: list[int | None]) -> ir.Value:
    """`value` without the dimensions of extent 1 that no loop names."""
    if None not in loops:
        return value
    groups: list[list[int]] = []
    pending: list[int] = []
    for number, loop in enumerate(loops):
        pending.append(number)
        if loop is not None:
            groups.append(pending)
            pending = []
    groups[-1].extend(pending)
    extents = s.shape(value)
    kept = [extent for loop, extent in zip(loops, extents, strict=True) if loop is not None]
    return tensor.collapse_shape(ir.RankedTensorType.get(kept, s.element_type(value)), value, groups)


def panels(value: ir.Value, at: int, r: int) -> ir.Value:
    """Split dimension `at` into panels of r, the last padded with zeros."""
    extents = s.shape(value)
    element = s.element_type(value)
    missing = -extents[at] % r
    if missing:
        extents[at] += missing
        value = pad_high(value, at, missing)
    split = [*extents[:at], extents[at] // r, r, *extents[at + 1 :]]
    groups = [[p] if p < at else [at, at + 1] if p == at else [p + 1] for p in range(len(extents))]
    return tensor.expand_shape(ir.RankedTensorType.get(split, element), value, groups, [], split)


def pad_high(value: ir.Value, at: int, count: int) -> ir.Value:
    """`value` with `count` zeros behind dimension `at`, at the current insertion point."""
    rank = len(s.shape(value))
    return pad_zeros(value, [0] * rank, [count if p == at else 0 for p in range(rank)])
