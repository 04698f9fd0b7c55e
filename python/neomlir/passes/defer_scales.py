"""Scale what rows sum up to, and not the rows: the softmax of attention divides behind its second product."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import Contraction, starts_from_zero
from neomlir.passes.dataflow import indexing_maps, number_of_inputs
from neomlir.passes.invert_sums import softmax_exponential


@register
@dataclass(frozen=True)
class DeferScales(ModulePass):
    """Rewrite `sum over n of (w[m, n] / sum[m]) * v[n, d]` as `(sum over n of w[m, n] * v[n, d]) / sum[m]`.

    Where the sum is that of a softmax, or its reciprocal is what w is multiplied by, and a row of results is shorter
    than a row of w (in attention d is 64 and n the number of tokens). The weights are then written once, where they
    are exponentials. A choice of zeros for rows that are masked entirely is made behind the product as well. In f32.
    """

    name = "neo-defer-scales"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    found = Contraction.match(op)
                    if found is not None and not found.depthwise and starts_from_zero(op):
                        _defer(found)


def _defer(c: Contraction) -> None:
    weights, result = c.op.operands[c.a], c.op.results[0]
    scale, places = s.maker(weights), s.positions(c.maps[c.a])
    out = s.positions(c.maps[2])
    if None in places or None in out or len(set(places)) != len(places) or len(set(out)) != len(out):
        return
    if scale is None or not s.one_use(weights) or not isinstance(s.element_type(result), ir.F32Type):
        return
    kept = [loop for loop in places if loop not in c.reductions]
    if not _is_shorter(c, places, out) or not all(loop in out for loop in kept):
        return
    rows = _rows_of(scale, places, kept)
    if rows is None:
        return
    number, maps = rows
    with ir.InsertionPoint.after(c.op), c.op.location:
        loops = {loop: d for d, loop in enumerate(out)}
        dims = len(out)
        identity = ir.AffineMap.get_identity(dims)
        values, accesses = [], []
        for i, value in enumerate(list(scale.operands)[: number_of_inputs(scale)]):
            if i == number:
                values.append(result)
                accesses.append(identity)
            else:
                named = s.positions(maps[i])
                values.append(value)
                accesses.append(ir.AffineMap.get(dims, 0, s.dims(loops[places[d]] for d in named)))
        empty = s.maker(c.op.operands[2]).operands[1]
        made, block = s.build_generic(values, [empty], [*accesses, identity], [s.PARALLEL] * dims, c.op.location)
    s.clone_body(scale, block)
    result.replace_all_uses_except(made.results[0], made)
    c.op.operands[c.a] = scale.operands[number]
    s.erase(scale)


def _is_shorter(c: Contraction, places: list[int], out: list[int]) -> bool:
    """Whether a row of the result is shorter than a row of the weights."""
    extents = [[c.extents[loop] for loop in loops] for loops in ([p for p in out if p not in places], c.reductions)]
    return not any(None in e for e in extents) and math.prod(extents[0]) < math.prod(extents[1])


def _rows_of(scale: ir.Operation, places: list[int], kept: list[int]) -> tuple[int, list[ir.AffineMap]] | None:
    """Which input of a generic it multiplies by the reciprocal of a softmax's sum; None if it is none of these.

    All other inputs are rows' own, and nothing is done but that product and a choice between it and zero.
    """
    if scale.name != "linalg.generic" or not s.is_parallel(scale) or len(scale.results) != 1:
        return None
    maps, inputs = indexing_maps(scale), number_of_inputs(scale)
    identity = list(range(len(places)))
    if s.positions(maps[-1]) != identity:
        return None
    whole = [i for i in range(inputs) if s.positions(maps[i]) == identity]
    others = [i for i in range(inputs) if i not in whole]
    if len(whole) != 1 or not others:
        return None
    for i in others:
        named = s.positions(maps[i])
        if None in named or any(places[d] not in kept for d in named):
            return None
    block = scale.regions[0].blocks[0]
    arguments = list(block.arguments)
    product = s.maker(s.yielded(scale)[0])
    if product is not None and product.name == "arith.select":
        zero = s.constant_of(product.operands[1])
        is_zero = isinstance(zero, ir.FloatAttr) and zero.value == 0 and product.operands[0] in arguments
        product = s.maker(product.operands[2]) if is_zero else None
    if product is None or product.name not in ("arith.mulf", "arith.divf"):
        return None
    x, y = product.operands
    if product.name == "arith.mulf" and x != arguments[whole[0]]:
        x, y = y, x
    if x != arguments[whole[0]] or y not in arguments:
        return None
    total = scale.operands[arguments.index(y)]
    if product.name == "arith.mulf":
        total = _inverted(total)
    return (whole[0], maps) if total is not None and softmax_exponential(total) is not None else None


def _inverted(value: ir.Value) -> ir.Value | None:
    """x where `value` is 1 / x."""
    op = s.maker(value)
    if op is None or op.name != "linalg.generic" or number_of_inputs(op) != 1 or not s.is_parallel(op):
        return None
    division = s.maker(s.yielded(op)[0])
    if division is None or division.name != "arith.divf":
        return None
    one = s.constant_of(division.operands[0])
    of = division.operands[1] == op.regions[0].blocks[0].arguments[0]
    return op.operands[0] if of and isinstance(one, ir.FloatAttr) and one.value == 1 else None
