"""Reads at places that follow from the loops alone, as indexing maps: what resizing a picture is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import indexing_maps, number_of_inputs
from neomlir.passes.index_tables import Tables


@register
@dataclass(frozen=True)
class ResolveGathers(ModulePass):
    """Rewrite `tensor.extract` in bodies of parallel `linalg.generic`s where each place follows from one loop.

    The places are computed for every point of a loop, through whatever arithmetic and tables of constants lead to them.
    Where all of them are `d + c`, `d * k + c` or `d floordiv k` of some loop d, the tensor becomes an input with that
    indexing map: a picture resized to the nearest points is then a copy, which fuses like any other. Where others are
    left (interpolation stops at the border), those places become that simple, so that reads along the innermost loop
    are contiguous. Either way reads of a transposed copy become reads of its source.
    """

    name = "neo-resolve-gathers"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                tables = Tables()
                for op in s.operations(function):
                    if op.name == "linalg.generic" and s.is_parallel(op):
                        _resolve(op, tables)


def _resolve(op: ir.Operation, tables: Tables) -> None:
    body = [o.operation for o in op.regions[0].blocks[0].operations]
    for extract in [o for o in body if o.name == "tensor.extract"]:
        source = extract.operands[0]
        if not s.has_static_shape(source) or tables.extents(op) is None:
            continue
        forms = [
            _form(tables.along(op, place), extent)
            for place, extent in zip(list(extract.operands)[1:], s.shape(source), strict=True)
        ]
        if any(form is not None for form in forms):
            _through_copies(extract, forms)
            _simplify(extract, forms)
    inputs = [o for o in body if o.name == "tensor.extract"]
    maps = [_map(op, extract, tables) for extract in inputs]
    if any(m is not None for m in maps):
        _read_by_maps(op, [(x, m) for x, m in zip(inputs, maps, strict=True) if m is not None])


Form = tuple[int | None, int, int, int]
"""(d, k, c, q): the place `(d * k + c) floordiv q` of loop d, of none where it is constant."""


def _form(found: tuple[int | None, np.ndarray] | None, extent: int) -> Form | None:
    """The places that a loop takes as an expression; None where there is none, or one is outside of `extent`."""
    if found is None:
        return None
    d, places = found
    if places.min() < 0 or places.max() >= extent:
        return None
    if d is None or np.all(places == places[0]):
        return None, 1, int(places[0]), 1
    points = np.arange(len(places))
    step, start = int(places[1] - places[0]), int(places[0])
    if step > 0 and np.array_equal(places, points * step + start):
        return d, step, start, 1
    times = int(np.argmax(places > 0))
    return (d, 1, 0, times) if times > 1 and np.array_equal(places, points // times) else None


def _through_copies(extract: ir.Operation, forms: list[Form | None]) -> None:
    """Read the source of transposed copies, with the places (and their `forms`) in its order."""
    while True:
        copy = s.maker(extract.operands[0])
        if not s.is_copy(copy):
            return
        read, written = (s.positions(m) for m in indexing_maps(copy))
        if None in read or None in written or sorted(read) != sorted(written):
            return
        places, old = list(extract.operands)[1:], list(forms)
        for axis, loop in enumerate(read):
            extract.operands[axis + 1] = places[written.index(loop)]
            forms[axis] = old[written.index(loop)]
        extract.operands[0] = copy.operands[0]


def _simplify(extract: ir.Operation, forms: list[Form | None]) -> None:
    """Compute each place that has a form by it."""
    with ir.InsertionPoint(extract), extract.location:

        def number(n: int) -> ir.Value:
            return arith.ConstantOp(ir.IndexType.get(), n).result

        for axis, form in enumerate(forms):
            if form is None:
                continue
            d, factor, start, divisor = form
            place = number(start) if d is None else linalg.IndexOp(d).result
            if d is not None:
                place = arith.muli(place, number(factor)) if factor != 1 else place
                place = arith.addi(place, number(start)) if start else place
                place = arith.divui(place, number(divisor)) if divisor != 1 else place
            extract.operands[axis + 1] = place


def _map(op: ir.Operation, extract: ir.Operation, tables: Tables) -> ir.AffineMap | None:
    """The places that an extract reads as an indexing map of its generic; None where they are no such thing."""
    source, extents = extract.operands[0], tables.extents(op)
    if extents is None or not s.has_static_shape(source):
        return None
    results = []
    for place, extent in zip(list(extract.operands)[1:], s.shape(source), strict=True):
        form = _form(tables.along(op, place), extent)
        if form is None:
            return None
        d, factor, start, divisor = form
        if d is None:
            expression = ir.AffineConstantExpr.get(start)
        else:
            expression = ir.AffineDimExpr.get(d)
            if (factor, start, divisor) == (1, 0, 1) and extents[d] != extent:
                return None  # a loop is as long as what it walks
            expression = ir.AffineExpr.get_floor_div(expression * factor + start, divisor)
        results.append(expression)
    return ir.AffineMap.get(len(extents), 0, results)


def _read_by_maps(op: ir.Operation, extracts: list[tuple[ir.Operation, ir.AffineMap]]) -> None:
    """The generic with an input in place of each extract."""
    inputs, maps = number_of_inputs(op), indexing_maps(op)
    operands = list(op.operands)
    sources = [extract.operands[0] for extract, _ in extracts]
    with ir.InsertionPoint(op):
        made, block = s.build_generic(
            [*operands[:inputs], *sources],
            operands[inputs:],
            [*maps[:inputs], *(m for _, m in extracts), *maps[inputs:]],
            [s.PARALLEL] * maps[0].n_dims,
            op.location,
        )
    arguments, old = list(block.arguments), list(op.regions[0].blocks[0].arguments)
    mapping = dict(zip(old, [*arguments[:inputs], *arguments[inputs + len(sources) :]], strict=True))
    for (extract, _), argument in zip(extracts, arguments[inputs:], strict=False):
        mapping[extract.results[0]] = argument
    gone = {extract for extract, _ in extracts}
    ops = [o.operation for o in op.regions[0].blocks[0].operations]
    s.clone_into([o for o in ops[:-1] if o not in gone], mapping, ir.InsertionPoint(block))
    s.yield_(block, [mapping.get(v, v) for v in ops[-1].operands])
    s.replace(op, list(made.results))
