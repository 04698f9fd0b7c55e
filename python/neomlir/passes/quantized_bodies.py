"""The scalar code around quantised tensors: what quantises, and what dequantises inside its readers."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import sums_products
from neomlir.passes.dataflow import indexing_maps, is_identity, iterators, number_of_inputs
from neomlir.passes.quantized import Affine, Resolver, affine_of

ROUNDER = 12582912.0
"""1.5 * 2**23: added to a small f32 it leaves the nearest integer, ties to even, in the low bits of the sum."""


@dataclass(frozen=True)
class Quantiser:
    """The end of a body: `value` rounded half to even, plus `zero`, clamped to `low` and `high`, as 8 bits."""

    value: ir.Value
    zero: int
    low: int
    high: int


def quantiser_of(op: ir.Operation) -> Quantiser | None:
    """The quantisation that a parallel generic of one 8-bit result ends in; None where there is none."""
    if op.name != "linalg.generic" or len(op.results) != 1 or not s.is_parallel(op):
        return None
    last = s.maker(s.yielded(op)[0])
    if last is None or last.name not in ("arith.fptoui", "arith.fptosi") or last.parent != op:
        return None
    if last.results[0].type != ir.IntegerType.get_signless(8) or not isinstance(last.operands[0].type, ir.F32Type):
        return None
    value, bounds, zero = last.operands[0], {}, 0.0
    for name in ("arith.minimumf", "arith.maximumf"):
        clamp = s.maker(value)
        if clamp is None or clamp.name != name or (number := _constant(clamp.operands[1])) is None:
            return None
        bounds[name], value = number, clamp.operands[0]
    add = s.maker(value)
    if add is not None and add.name == "arith.addf":
        zero = _constant(add.operands[1])
        value = add.operands[0]
    rounded = s.maker(value)
    if rounded is None or rounded.name != "math.roundeven" or zero is None:
        return None
    low, high = bounds["arith.maximumf"], bounds["arith.minimumf"]
    if not all(number.is_integer() for number in (zero, low, high)):
        return None
    return Quantiser(rounded.operands[0], int(zero), int(low), int(high))


def _constant(value: ir.Value) -> float | None:
    attribute = s.constant_of(value)
    return float(attribute.value) if isinstance(attribute, ir.FloatAttr) else None


def split_zero_points(function: ir.Operation) -> None:
    """Write contractions that take scalar zero points, as `linalg.conv_2d_nchw_fchw_q` does, as those of differences.

    `out + (a - za) * (b - zb)` of four inputs, in 32 bits, becomes two elementwise subtractions, a contraction of two
    inputs from zero on, and an addition of what it started from.
    """
    for op in s.operations(function):
        signs = _signs_beside_zeros(op)
        if signs is not None and all(s.has_static_shape(v) for v in (*list(op.operands)[:2], op.results[0])):
            _split_zero_points(op, signs)


def _signs_beside_zeros(op: ir.Operation) -> list[bool] | None:
    """Whether the factors of such a contraction are signed; None for any other operation."""
    if op.name != "linalg.generic" or s.is_parallel(op) or len(op.results) != 1 or number_of_inputs(op) != 4:
        return None
    i32, block = ir.IntegerType.get_signless(32), op.regions[0].blocks[0]
    a, b, za, zb, out = block.arguments
    if any(v.type != i32 for v in list(op.operands)[2:4]) or out.type != i32:
        return None
    total = s.maker(s.yielded(op)[0])
    if total is None or total.name != "arith.addi" or out not in list(total.operands):
        return None
    product = s.maker(next((v for v in total.operands if v != out), out))
    if product is None or product.name != "arith.muli":
        return None
    signs = []
    for factor, narrow, zero in zip(product.operands, (a, b), (za, zb), strict=True):
        minus = s.maker(factor)
        wide = s.maker(minus.operands[0]) if minus is not None and minus.name == "arith.subi" else None
        if wide is None or minus.operands[1] != zero or wide.name not in ("arith.extsi", "arith.extui"):
            return None
        if wide.operands[0] != narrow:
            return None
        signs.append(wide.name == "arith.extsi")
    return signs


def _split_zero_points(op: ir.Operation, signs: list[bool]) -> None:
    i32, operands, maps = ir.IntegerType.get_signless(32), list(op.operands), indexing_maps(op)
    with ir.InsertionPoint(op), op.location:
        factors = []
        for value, zero, signed in zip(operands[:2], operands[2:4], signs, strict=True):
            kind = ir.RankedTensorType.get(list(value.type.shape), i32)
            identity = ir.AffineMap.get_identity(kind.rank)
            empty = ir.Operation.create("tensor.empty", results=[kind]).results[0]
            made, block = s.build_generic([value], [empty], [identity] * 2, [s.PARALLEL] * kind.rank, op.location)
            with ir.InsertionPoint(block):
                wide = (arith.ExtSIOp if signed else arith.ExtUIOp)(i32, block.arguments[0]).result
                less = arith.SubIOp(wide, zero).result
            s.yield_(block, [less])
            factors.append(made.results[0])
        kind = ir.RankedTensorType(op.results[0].type)
        empty = ir.Operation.create("tensor.empty", results=[kind]).results[0]
        start = linalg.fill(arith.ConstantOp(i32, ir.IntegerAttr.get(i32, 0)).result, outs=[empty])
        sums, block = s.build_generic(factors, [start], [*maps[:2], maps[-1]], iterators(op), op.location)
        with ir.InsertionPoint(block):
            product = arith.MulIOp(block.arguments[0], block.arguments[1]).result
            total = arith.AddIOp(block.arguments[2], product).result
        s.yield_(block, [total])
        identity = ir.AffineMap.get_identity(kind.rank)
        added, block = s.build_generic(
            [sums.results[0], operands[4]], [empty], [identity] * 3, [s.PARALLEL] * kind.rank, op.location
        )
        with ir.InsertionPoint(block):
            total = arith.AddIOp(block.arguments[0], block.arguments[1]).result
        s.yield_(block, [total])
    s.replace(op, [added.results[0]])


def choose_signs(function: ir.Operation, signed: bool) -> None:
    """Let tensors that are quantised and only dequantised again be signed, 128 lower, or unsigned, 128 higher."""
    shift = -128 if signed else 128
    quantisers = [op for op in s.operations(function) if quantiser_of(op) is not None]
    for op in quantisers:
        found = quantiser_of(op)
        if (found.low < 0) == signed:
            continue
        readers = {use.owner.operation for use in op.results[0].uses}
        affine = {reader: affine_of(reader) for reader in readers}
        if not readers or any(a is None or a.source != op.results[0] or not a.plain for a in affine.values()):
            continue
        if any(len(reader.operands) != 2 for reader in readers):
            continue
        _quantise(op, Quantiser(found.value, found.zero + shift, found.low + shift, found.high + shift))
        for reader, a in affine.items():
            made = _dequantised(reader, Affine(a.source, signed, a.zero + shift, a.scale))
            s.replace(reader, [made])


def _dequantised(reader: ir.Operation, a: Affine) -> ir.Value:
    """A generic like `reader` that dequantises as `a` says."""
    with ir.InsertionPoint(reader), reader.location:
        made, block = s.build_generic(
            [a.source],
            list(reader.operands)[1:],
            [ir.AffineMap.get_identity(a.source.type.rank)] * 2,
            iterators(reader),
            reader.location,
        )
        with ir.InsertionPoint(block):
            value = _value(block.arguments[0], a, s.element_type(reader.results[0]))
        s.yield_(block, [value])
    return made.results[0]


def _value(q: ir.Value, a: Affine, element: ir.Type) -> ir.Value:
    """`(q - zero) * scale` at the current insertion point, through 32-bit integers."""
    i32 = ir.IntegerType.get_signless(32)
    value = (arith.ExtSIOp if a.signed else arith.ExtUIOp)(i32, q).result
    if a.zero:
        value = arith.SubIOp(value, arith.ConstantOp(i32, ir.IntegerAttr.get(i32, a.zero)).result).result
    if not isinstance(element, ir.F32Type):
        return value if element == i32 else arith.ExtSIOp(element, value).result
    value = arith.SIToFPOp(element, value).result
    if a.scale == 1.0:
        return value
    return arith.MulFOp(value, arith.ConstantOp(element, ir.FloatAttr.get(element, a.scale)).result).result


def dequantise_in_readers(function: ir.Operation) -> None:
    """Let generics that read dequantised tensors read the integers, and dequantise in their bodies.

    Weights are left: what depends on them alone is computed once. Contractions keep their operands as they are.
    """
    constants = Constants.of(function)
    for op in s.operations(function):
        if op.name != "linalg.generic" or (not s.is_parallel(op) and len(op.operands) == 3 and sums_products(op)):
            continue
        inputs = number_of_inputs(op)
        found = {}
        for number in range(inputs):
            value = op.operands[number]
            a = affine_of(s.maker(value)) if value not in constants else None
            if a is not None and a.plain and a.source not in constants:
                found[number] = a
        if found:
            _read_integers(op, found)


def _read_integers(op: ir.Operation, found: dict[int, Affine]) -> None:
    inputs, operands = number_of_inputs(op), list(op.operands)
    with ir.InsertionPoint(op), op.location:
        new, block = s.build_generic(
            [found[n].source if n in found else operands[n] for n in range(inputs)],
            operands[inputs:],
            indexing_maps(op),
            iterators(op),
            op.location,
        )
        mapping = dict(zip(op.regions[0].blocks[0].arguments, block.arguments, strict=True))
        with ir.InsertionPoint(block):
            for number, a in found.items():
                element = s.element_type(operands[number])
                mapping[op.regions[0].blocks[0].arguments[number]] = _value(block.arguments[number], a, element)
        s.yield_(block, s.copy_body(op, block, mapping))
    s.replace(op, list(new.results))


def pool_integers(function: ir.Operation) -> None:
    """Let maxima of dequantised values be maxima of the integers, dequantised behind.

    The order of the integers is that of the values, and a border below all values is the least integer.
    """
    for op in s.operations(function):
        if op.name != "linalg.generic" or s.is_parallel(op) or len(op.results) != 1:
            continue
        if number_of_inputs(op) not in (1, 2) or not _is_maximum(op):
            continue
        a = Resolver(lowest=True).of(op.operands[0])
        if a is not None and a.plain and a.scale > 0:
            _pool(op, a)


def _is_maximum(op: ir.Operation) -> bool:
    """Whether a generic takes maxima of its first input, from a start below all values of f32."""
    block = op.regions[0].blocks[0]
    last, fill = s.maker(s.yielded(op)[0]), s.maker(op.operands[len(op.operands) - 1])
    if last is None or last.name != "arith.maximumf" or last.parent != op or fill is None or fill.name != "linalg.fill":
        return False
    start, empty = _constant(fill.operands[0]), s.maker(fill.operands[1])
    ends = {block.arguments[0], block.arguments[len(op.operands) - 1]}
    lowest = start is not None and start <= -3.4e38 and empty is not None and empty.name == "tensor.empty"
    return lowest and set(last.operands) == ends and isinstance(last.results[0].type, ir.F32Type)


def _pool(op: ir.Operation, a: Affine) -> None:
    byte = ir.IntegerType.get_signless(8)
    operands, kind = list(op.operands), ir.RankedTensorType(op.results[0].type)
    sizes = list(s.maker(s.maker(operands[-1]).operands[1]).operands)
    with ir.InsertionPoint(op), op.location:
        least = arith.ConstantOp(byte, ir.IntegerAttr.get(byte, -128 if a.signed else 0)).result
        type_ = ir.RankedTensorType.get(list(kind.shape), byte)
        empty = ir.Operation.create("tensor.empty", results=[type_], operands=sizes).results[0]
        start = linalg.fill(least, outs=[empty])
        pooled, block = s.build_generic(
            [a.source, *operands[1:-1]], [start], indexing_maps(op), iterators(op), op.location
        )
        with ir.InsertionPoint(block):
            largest = arith.MaxSIOp if a.signed else arith.MaxUIOp
            value = largest(block.arguments[0], block.arguments[len(operands) - 1]).result
        s.yield_(block, [value])
        identity = ir.AffineMap.get_identity(kind.rank)
        floats = ir.Operation.create("tensor.empty", results=[kind], operands=sizes).results[0]
        made, block = s.build_generic(
            [pooled.results[0]], [floats], [identity] * 2, [s.PARALLEL] * kind.rank, op.location
        )
        with ir.InsertionPoint(block):
            value = _value(block.arguments[0], a, kind.element_type)
        s.yield_(block, [value])
    s.replace(op, [made.results[0]])


def drop_quantisers(function: ir.Operation) -> None:
    """Let what is quantised just as it was before stay as it is: behind poolings, reshapes and slices."""
    for op in s.operations(function):
        q = quantiser_of(op)
        if q is None or len(op.operands) != 2:
            continue
        block = op.regions[0].blocks[0]
        scaled = s.maker(q.value)
        if scaled is None or scaled.name not in ("arith.mulf", "arith.divf"):
            continue
        if scaled.operands[0] != block.arguments[0] or not all(is_identity(m) for m in indexing_maps(op)):
            continue
        by, a = _constant(scaled.operands[1]), Resolver().of(op.operands[0])
        if by is None or a is None or not a.plain or a.zero != q.zero or a.signed != (q.low < 0):
            continue
        scale = 1 / by if scaled.name == "arith.mulf" else by
        if abs(scale / a.scale - 1) < 1e-6 and (q.low, q.high) == ((-128, 127) if a.signed else (0, 255)):
            s.replace(op, [a.source])


def normalise_quantisers(function: ir.Operation) -> None:
    """Write the ends of quantising bodies so that a vector of f32 becomes one of bytes in few instructions."""
    for op in s.operations(function):
        found = quantiser_of(op)
        if found is not None:
            _round(op, found)


def _quantise(op: ir.Operation, q: Quantiser) -> None:
    """Let `op` end in the quantisation `q`, in the form that `quantiser_of` reads."""
    old = s.maker(s.yielded(op)[0])
    f32 = q.value.type
    with ir.InsertionPoint(old), op.location:
        value = ir.Operation.create("math.roundeven", results=[f32], operands=[q.value]).results[0]
        value = arith.AddFOp(value, _number(f32, q.zero)).result
        value = arith.MaximumFOp(value, _number(f32, q.low)).result
        value = arith.MinimumFOp(value, _number(f32, q.high)).result
        byte = (arith.FPToUIOp if q.low >= 0 else arith.FPToSIOp)(old.results[0].type, value).result
    old.results[0].replace_all_uses_with(byte)
    old.erase()


def _round(op: ir.Operation, q: Quantiser) -> None:
    """Clamp first, which comes to the same between integers, and round by adding a large number.

    NaN becomes the lower bound.
    """
    old = s.maker(s.yielded(op)[0])
    f32, i32, byte = q.value.type, ir.IntegerType.get_signless(32), ir.IntegerType.get_signless(8)
    with ir.InsertionPoint(old), op.location:
        low, high = _number(f32, q.low - q.zero), _number(f32, q.high - q.zero)
        above = arith.CmpFOp(arith.CmpFPredicate.OGT, q.value, low).result
        value = arith.SelectOp(above, q.value, low).result
        below = arith.CmpFOp(arith.CmpFPredicate.OLT, value, high).result
        value = arith.SelectOp(below, value, high).result
        bits = arith.BitcastOp(i32, arith.AddFOp(value, _number(f32, ROUNDER)).result).result
        if q.zero:
            bits = arith.AddIOp(bits, arith.ConstantOp(i32, ir.IntegerAttr.get(i32, q.zero)).result).result
        made = arith.TruncIOp(byte, bits).result
    old.results[0].replace_all_uses_with(made)
    old.erase()


def _number(type_: ir.Type, number: float) -> ir.Value:
    return arith.ConstantOp(type_, ir.FloatAttr.get(type_, float(number))).result
