"""Keep the weights of matrix products as 8-bit or 4-bit integers, and multiply what these stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neomlir import targets
from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import Contraction
from neomlir.passes.dataflow import captured_values
from neomlir.passes.layouts import transpose
from neomlir.passes.pack_contractions import panels
from neomlir.schedules.nibbles import panel_of

BITS = (0, 4, 8)
QUANTIZED = "neo.quantized"
"""The attribute of a global that weights as integers are computed from."""
_LEAST = 1024
"""Elements of a weight that is worth it."""
_SHORTEST_GROUP = 16


@register
@dataclass(frozen=True)
class QuantizeWeights(ModulePass):
    """Round the weights of matrix products in f32 to integers; what they are multiplied by, and sums, stay in f32.

    Of `C[m, n] += A[m, k] * B[k, n]` with a weight B of two dimensions: with `bits=8` B becomes 8-bit integers, a
    column at a time, `q = round(B / s)` with `s[n] = max |B[:, n]| / 127`, and the scale multiplies the sums. With
    `bits=4` a scale belongs to `group` neighbours along k (to the largest half of that which divides k; 8 bits are
    taken where none does), `s = m / -8` for the m of largest magnitude in it: weights that were such integers before
    are found again. Two neighbours along k are one byte, the first the low half, each 8 higher:
    `[n floordiv r, k floordiv 2, n mod r]`, scales `[n floordiv r, k floordiv group, n mod r]`, r columns a panel. The
    contraction reads them so:

        out + (a[2 k] * (low(q) - 8) + a[2 k + 1] * (high(q) - 8)) * s

    Integers and scales are computed from weights, for `neo-hoist-constants`, so that a program holds nothing else.
    Weights of fewer than 1024 elements, of convolutions with windows, and tables that are gathered from stay. The
    globals that weights come from are marked `neo.quantized`: what is not finite in one has no scale, which is an error
    when the weight is computed.
    """

    name = "neo-quantize-weights"

    bits: int = 0
    """8 or 4; 0 leaves everything as it is."""
    group: int = 32
    """How many neighbours along the reduction share a scale, a power of two, where `bits` is 4."""
    target: str = "host"
    """The target whose vectors give the width of the panels."""

    def run(self, module: ir.Module) -> None:
        if self.bits not in BITS:
            raise PassFailure(f"{self.name}: bits={self.bits} is none of {', '.join(map(str, BITS))}")
        if self.group < _SHORTEST_GROUP or self.group & (self.group - 1):
            raise PassFailure(
                f"{self.name}: group={self.group} is no power of two of at least {_SHORTEST_GROUP}, as 32, 64 or 128"
            )
        if not self.bits:
            return
        target = targets.get(self.target)
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                constants = Constants.of(function)
                for op in s.operations(function):
                    found = Contraction.match(op)
                    if found is None or not _takes(found, constants):
                        continue
                    _mark(module, found.op.operands[found.b])
                    group = _group(found, self.group) if self.bits == 4 else 0
                    if group:
                        _nibbles(found, group, panel_of(target.vector.bits))
                    else:
                        _bytes(found)
                    count(f"weights of {4 if group else 8} bits")


def _mark(module: ir.Module, weight: ir.Value) -> None:
    """Let the globals that a weight is computed from say so: their numbers have to be finite."""
    seen, todo = set(), [weight]
    while todo:
        op = s.maker(todo.pop())
        if op is None or op in seen:
            continue
        seen.add(op)
        todo.extend(captured_values(op))
        if op.name == "ml_program.global_load_const":
            name = ir.FlatSymbolRefAttr(op.attributes["global"]).value
            for each in (o.operation for o in module.body.operations):
                if each.name == "ml_program.global" and ir.StringAttr(each.attributes["sym_name"]).value == name:
                    each.attributes[QUANTIZED] = ir.UnitAttr.get()


def quantized_globals(module: ir.Module) -> list[str]:
    """The names of the weights that integers stand for."""
    globals_ = [op.operation for op in module.body.operations if op.operation.name == "ml_program.global"]
    return [ir.StringAttr(op.attributes["sym_name"]).value for op in globals_ if QUANTIZED in op.attributes]


def _takes(c: Contraction, constants: Constants) -> bool:
    """Whether a contraction is a matrix product in f32 with a weight as its second factor."""
    weight = c.op.operands[c.b]
    if c.depthwise or not constants.weights(weight) or not s.has_static_shape(weight):
        return False
    if any(not isinstance(s.element_type(v), ir.F32Type) for v in (*c.op.operands, *c.op.results)):
        return False
    rows, columns = s.positions(c.maps[c.a]), s.positions(c.maps[c.b])
    if None in rows or len(c.reductions) != 1 or sorted(columns, key=str) != sorted([c.n, *c.reductions], key=str):
        return False
    if s.positions(c.maps[2]).count(None) or c.reductions[0] not in rows:
        return False
    extents = s.shape(weight)
    fill = s.maker(c.op.operands[2])
    return extents[0] * extents[1] >= _LEAST and min(extents) > 1 and fill is not None and fill.name == "linalg.fill"


def _group(c: Contraction, group: int) -> int:
    """The length of a group that divides the reduction; 0 where there is none."""
    depth = c.extents[c.reductions[0]]
    while group >= _SHORTEST_GROUP and depth % group:
        group //= 2
    return group if group >= _SHORTEST_GROUP else 0


def _generic(
    inputs: list[ir.Value],
    out: ir.Value,
    maps: list[list[ir.AffineExpr]],
    kinds: str,
    body: Callable[..., ir.Value],
) -> ir.Value:
    """A generic at the insertion point: `maps` of inputs and result, a letter a loop, `body(*arguments)`."""
    op, block = s.build_generic(
        inputs,
        [out],
        [ir.AffineMap.get(len(kinds), 0, m) for m in maps],
        [s.REDUCTION if kind == "r" else s.PARALLEL for kind in kinds],
        ir.Location.current,
    )
    with ir.InsertionPoint(block):
        value = body(*block.arguments)
    s.yield_(block, [value])
    return op.results[0]


def _empty(shape: list[int], element: ir.Type) -> ir.Value:
    return ir.Operation.create("tensor.empty", results=[ir.RankedTensorType.get(shape, element)]).results[0]


def _f32(number: float) -> ir.Value:
    f32 = ir.F32Type.get()
    return arith.ConstantOp(f32, ir.FloatAttr.get(f32, number)).result


def _i32(number: int) -> ir.Value:
    i32 = ir.IntegerType.get_signless(32)
    return arith.ConstantOp(i32, ir.IntegerAttr.get(i32, number)).result


def _one(name: str, value: ir.Value) -> ir.Value:
    return ir.Operation.create(name, results=[value.type], operands=[value]).results[0]


def _largest(
    weight: ir.Value, maps: list[list[ir.AffineExpr]], kinds: str, shape: list[int], body: Callable
) -> ir.Value:
    """A reduction of a weight from zero on."""
    start = linalg.fill(_f32(0.0), outs=[_empty(shape, ir.F32Type.get())])
    return _generic([weight], start, maps, kinds, body)


def _nonzero(scale: ir.Value) -> ir.Value:
    """A scale, 1 in place of 0: what it scales is zero throughout."""
    is_zero = arith.CmpFOp(arith.CmpFPredicate.OEQ, scale, _f32(0.0)).result
    return arith.SelectOp(is_zero, _f32(1.0), scale).result


def _rounded(w: ir.Value, scale: ir.Value, low: int, high: int) -> ir.Value:
    """`w / scale` rounded half to even and clamped, in 32 bits."""
    whole = _one("math.roundeven", arith.DivFOp(w, scale).result)
    whole = arith.MinimumFOp(arith.MaximumFOp(whole, _f32(low)).result, _f32(high)).result
    return arith.FPToSIOp(ir.IntegerType.get_signless(32), whole).result


def _bytes(c: Contraction) -> None:
    """8-bit integers with a scale a column, which the sums are multiplied by."""
    weight, op = c.op.operands[c.b], c.op
    byte = ir.IntegerType.get_signless(8)
    at = s.positions(c.maps[c.b]).index(c.n)
    shape = s.shape(weight)
    both, column = s.dims([0, 1]), s.dims([at])
    with ir.InsertionPoint(op), op.location:
        kinds = "".join("p" if d == at else "r" for d in (0, 1))
        most = _largest(
            weight,
            [both, column],
            kinds,
            [shape[at]],
            lambda w, out: arith.MaximumFOp(out, _one("math.absf", w)).result,
        )
        first = s.dims([0])
        scale = _generic(
            [most],
            _empty([shape[at]], ir.F32Type.get()),
            [first, first],
            "p",
            lambda m, _: _nonzero(arith.MulFOp(m, _f32(1 / 127)).result),
        )
        quantised = _generic(
            [weight, scale],
            _empty(shape, byte),
            [both, column, both],
            "pp",
            lambda w, step, _: arith.TruncIOp(byte, _rounded(w, step, -127, 127)).result,
        )
        operands = [quantised if i == c.b else op.operands[i] for i in (0, 1)]
        new, block = s.build_generic(operands, [op.operands[2]], c.maps, c.kinds, op.location)
        with ir.InsertionPoint(block):
            factors = list(block.arguments)[:2]
            factors[c.b] = arith.SIToFPOp(ir.F32Type.get(), factors[c.b]).result
            total = arith.AddFOp(block.arguments[2], arith.MulFOp(*factors).result).result
        s.yield_(block, [total])
        rank = len(s.shape(op.results[0]))
        every = s.dims(range(rank))
        along = s.dims([s.positions(c.maps[2]).index(c.n)])
        scaled = _generic(
            [new.results[0], scale],
            s.maker(op.operands[2]).operands[1],
            [every, along, every],
            "p" * rank,
            lambda value, step, _: arith.MulFOp(value, step).result,
        )
    s.replace(op, [scaled])


def _nibbles(c: Contraction, group: int, width: int) -> None:
    """4-bit integers, two in a byte, with a scale a group."""
    op, k = c.op, c.reductions[0]
    depth, byte = c.extents[k], ir.IntegerType.get_signless(8)
    with ir.InsertionPoint(op), op.location:
        at = s.positions(c.maps[c.b]).index(c.n)
        split = panels(op.operands[c.b], at, width)
        packed = transpose(split, [at, 2 if at == 0 else 0, at + 1])
        number = s.shape(packed)[0]
        scale = _group_scales(packed, number, depth, group, width)
        p, h, j = s.dims(range(3))

        def pair(low: ir.Value, high: ir.Value, step: ir.Value, _: ir.Value) -> ir.Value:
            halves = [arith.AddIOp(_rounded(w, step, -8, 7), _i32(8)).result for w in (low, high)]
            joined = arith.OrIOp(halves[0], arith.ShLIOp(halves[1], _i32(4)).result).result
            return arith.TruncIOp(byte, joined).result

        per = ir.AffineExpr.get_floor_div(h, group // 2)
        quantised = _generic(
            [packed, packed, scale],
            _empty([number, depth // 2, width], byte),
            [[p, h * 2, j], [p, h * 2 + 1, j], [p, per, j], [p, h, j]],
            "ppp",
            pair,
        )
        new = _product(c, quantised, scale, group, width)
    s.replace(op, [new])


def _group_scales(packed: ir.Value, number: int, depth: int, group: int, width: int) -> ir.Value:
    """The number of largest magnitude in each group by -8."""
    shape = [number, depth // group, group, width]
    type_ = ir.RankedTensorType.get(shape, ir.F32Type.get())
    groups = tensor.expand_shape(type_, packed, [[0], [1, 2], [3]], [], shape)
    p, g, _, j = every = s.dims(range(4))
    small = [number, depth // group, width]
    ends = [
        _largest(groups, [every, [p, g, j]], "pprp", small, lambda w, out, end=end: end(out, w).result)
        for end in (arith.MaximumFOp, arith.MinimumFOp)
    ]

    def scale(high: ir.Value, low: ir.Value, _: ir.Value) -> ir.Value:
        above = arith.CmpFOp(arith.CmpFPredicate.OGT, high, arith.NegFOp(low).result).result
        return _nonzero(arith.MulFOp(arith.SelectOp(above, high, low).result, _f32(-1 / 8)).result)

    three = s.dims(range(3))
    return _generic(ends, _empty(small, ir.F32Type.get()), [three] * 3, "ppp", scale)


def _product(c: Contraction, quantised: ir.Value, scale: ir.Value, group: int, width: int) -> ir.Value:
    """The contraction of pairs along k; its loop k counts bytes."""
    op, k = c.op, c.reductions[0]
    n, half = ir.AffineDimExpr.get(c.n), ir.AffineDimExpr.get(k)
    by = s.dims(range(len(c.kinds)))
    reads = []
    for offset in (0, 1):
        by[k] = half * 2 + offset
        reads.append(s.substitute(c.maps[c.a], by, len(by)))
    div, mod = ir.AffineExpr.get_floor_div, ir.AffineExpr.get_mod
    loops = len(by)
    maps = [
        reads[0],
        ir.AffineMap.get(loops, 0, [div(n, width), half, mod(n, width)]),
        reads[1],
        ir.AffineMap.get(loops, 0, [div(n, width), div(half, group // 2), mod(n, width)]),
        c.maps[2],
    ]
    rows = op.operands[c.a]
    new, block = s.build_generic([rows, quantised, rows, scale], [op.operands[2]], maps, c.kinds, op.location)
    f32, i32 = ir.F32Type.get(), ir.IntegerType.get_signless(32)
    with ir.InsertionPoint(block):
        first, both, second, step, total = block.arguments
        wide = arith.ExtUIOp(i32, both).result
        halves = [arith.AndIOp(wide, _i32(15)).result, arith.ShRUIOp(wide, _i32(4)).result]
        low, high = (arith.SIToFPOp(f32, arith.SubIOp(half, _i32(8)).result).result for half in halves)
        pair = arith.AddFOp(arith.MulFOp(first, low).result, arith.MulFOp(second, high).result).result
        value = arith.AddFOp(total, arith.MulFOp(pair, step).result).result
    s.yield_(block, [value])
    return new.results[0]
