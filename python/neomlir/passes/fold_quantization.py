"""Let contractions of dequantised values multiply the 8-bit integers themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import Contraction, starts_from_zero, sums_products
from neomlir.passes.dataflow import indexing_maps, iterators, loop_extents
from neomlir.passes.pack_contractions import pad_high
from neomlir.passes.quantized import Affine, Factor, Resolver
from neomlir.passes.quantized_bodies import (
    choose_signs,
    dequantise_in_readers,
    drop_quantisers,
    normalise_quantisers,
    pool_integers,
    split_zero_points,
)

_GROUP = 4
_FEWEST = 3
"""Channels of a group of a convolution, at least: fewer would mostly be multiplied with the zeros that fill a group."""
_LARGEST_SUM = (1 << 31) // (255 * 128)
"""Longer sums of products of 8-bit integers may not fit 32 bits."""


@register
@dataclass(frozen=True)
class FoldQuantization(ModulePass):
    """Rewrite contractions of dequantised values as contractions of 8-bit integers with 32-bit sums.

    `sum((a - za) * sa * (b - zb) * sb)` becomes `(sum(a * b) - za * sum(b) - zb * sum(a) + k * za * zb) * (sa * sb)`,
    where the sums over weights, and all of that where the zero points are known, are computed from weights, for
    `neo-hoist-constants`. Scales and zero points are numbers, vectors along a dimension that is not summed over, or
    scalars computed at run time. Pads with zero become pads with the zero point; reshapes, transposes and slices are
    applied to the integers. The operand that is no weight is made unsigned and the weight signed, which is what
    dot-product instructions take (Rodriguez et al., "Lower Numerical Precision Deep Learning Inference and Training",
    2018), by adding 128 where need be; with `signed` both are signed.

    What quantises (divides by a scale, rounds half to even, adds the zero point, clamps) is brought to a form without
    conversions of vectors to narrow integers, and dequantisation moves into whatever reads it, so that tensors between
    layers are of 8-bit integers. Expects `linalg.generic` only, and contractions that start from zero.
    """

    name = "neo-fold-quantization"

    signed: bool = False
    """Let both factors be signed: for targets whose dot product takes no unsigned by signed integers."""

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                split_zero_points(function)
                choose_signs(function, self.signed)
                self._contractions(function)
                pool_integers(function)
                drop_quantisers(function)
                dequantise_in_readers(function)
                _erase_dead(function)
                normalise_quantisers(function)

    def _contractions(self, function: ir.Operation) -> None:
        constants = Constants.of(function)
        resolver = Resolver()
        for op in s.operations(function):
            if op.name != "linalg.generic" or len(op.operands) != 3 or s.is_parallel(op) or len(op.results) != 1:
                continue
            if not sums_products(op) or not starts_from_zero(op) or not _has_known_sizes(op):
                continue
            found = [resolver.of(op.operands[i]) for i in (0, 1)]
            if None not in found and _Product(op, found, constants, self.signed).rewrite():
                count("contractions")


def _has_known_sizes(op: ir.Operation) -> bool:
    """Whether a tensor like the result of a contraction that fills its destination can be made."""
    empty = s.maker(s.maker(op.operands[2]).operands[1])
    return s.has_static_shape(op.results[0]) or (empty is not None and empty.name == "tensor.empty")


class _Product:
    """A contraction of two quantised tensors."""

    def __init__(self, op: ir.Operation, factors: list[Affine], constants: Constants, signed: bool):
        self.op, self.factors = op, factors
        self.maps, self.kinds, self.extents = indexing_maps(op), iterators(op), loop_extents(op)
        self.places = s.positions(self.maps[2])
        self.constant = [op.operands[i] in constants for i in (0, 1)]
        self.signed = signed
        self.reduced = [d for d, kind in enumerate(self.kinds) if kind == s.REDUCTION]

    def rewrite(self) -> bool:
        """Put the integer contraction in place of the other; whether that can be."""
        depth = [self.extents[d] for d in self.reduced]
        if None in self.places or all(self.constant) or None in depth or math.prod(depth) > _LARGEST_SUM:
            return False
        if not all(self._carries(i) for i in (0, 1)) or self._in_small_groups():
            return False
        zeros = [f.zero for f in self.factors]
        # With a zero point the other factor is summed, which takes its own map without windows where it is no weight.
        for i in (0, 1):
            if zeros[i] != 0 and not self._summable(1 - i):
                return False
        with ir.InsertionPoint(self.op), self.op.location:
            self._choose_signs()
            sums = self._sums()
            finished = self._finish(sums)
        s.replace(self.op, [finished])
        return True

    def _carries(self, i: int) -> bool:
        """Whether zero point and scale of factor i vary along dimensions of the result only."""
        for d in self.factors[i].dims():
            loop = s.positions(self.maps[i])[d]
            if loop is None or loop not in self.places:
                return False
        return True

    def _channels(self) -> list[int]:
        """The loops of the reduction that each go along one dimension of both factors."""
        places = [s.positions(m) for m in self.maps[:2]]
        return [d for d in self.reduced if places[0].count(d) == places[1].count(d) == 1]

    def _in_small_groups(self) -> bool:
        """Whether both factors and the result have a dimension in common, and hardly any channels are summed."""
        places = [s.positions(m) for m in self.maps[:2]]
        grouped = any(d in places[0] and d in places[1] for d in self.places)
        channels = [self.extents[d] for d in self._channels()]
        return grouped and len(channels) == 1 and 1 < channels[0] < _FEWEST

    def _summable(self, i: int) -> bool:
        return None not in s.positions(self.maps[i]) or None not in self.extents

    def _choose_signs(self) -> None:
        """The weight signed and the other factor unsigned, or both signed."""
        weight = self.constant.index(True) if any(self.constant) else self._second()
        for i in (0, 1):
            wanted = self.signed or i == weight
            found = self.factors[i]
            if found.signed == wanted:
                continue
            shift = -128 if wanted else 128
            if isinstance(found.zero, Factor):
                zero: int | Factor = self._shifted_zero(found.zero, shift)
            else:
                zero = found.zero + shift
            self.factors[i] = replace(found, source=_shifted(found.source), signed=wanted, zero=zero)

    def _second(self) -> int:
        found = Contraction.match(self.op)
        return 1 if found is None else found.b

    def _shifted_zero(self, zero: Factor, shift: int) -> Factor:
        """A zero point in 32 bits, moved."""
        i32 = ir.IntegerType.get_signless(32)
        shape = s.shape(zero.value)
        empty = ir.Operation.create("tensor.empty", results=[ir.RankedTensorType.get(shape, i32)]).results[0]
        identity = ir.AffineMap.get_identity(len(shape))
        op, block = s.build_generic(
            [zero.value], [empty], [identity] * 2, [s.PARALLEL] * len(shape), ir.Location.current
        )
        with ir.InsertionPoint(block):
            wide = _wide(block.arguments[0], zero.signed)
            moved = arith.AddIOp(wide, _int(shift)).result
        s.yield_(block, [moved])
        return Factor(op.results[0], zero.dims)

    def _sums(self) -> ir.Value:
        """The contraction of the integers."""
        i32 = ir.IntegerType.get_signless(32)
        sources = self._whole_groups([f.source for f in self.factors])
        op, block = s.build_generic(sources, [self._filled(i32)], self.maps, self.kinds, self.op.location)
        with ir.InsertionPoint(block):
            wide = [_wide(block.arguments[i], self.factors[i].signed) for i in (0, 1)]
            total = arith.AddIOp(block.arguments[2], arith.MulIOp(*wide).result).result
        s.yield_(block, [total])
        return op.results[0]

    def _whole_groups(self, sources: list[ir.Value]) -> list[ir.Value]:
        """The integers with more channels, of which the weights are zero, where they are no whole groups.

        Dot-product instructions take four neighbours at a time.
        """
        places = [s.positions(m) for m in self.maps]
        channels = self._channels()
        if len(channels) != 1 or not any(self.constant):
            return sources
        missing = -self.extents[channels[0]] % _GROUP
        if not missing or self.extents[channels[0]] < 2:
            return sources
        return [_longer(v, p.index(channels[0]), missing) for v, p in zip(sources, places, strict=False)]

    def _empty(self, element: ir.Type) -> ir.Value:
        """A tensor like the result."""
        result = self.op.results[0]
        sizes = [] if s.has_static_shape(result) else list(s.maker(s.maker(self.op.operands[2]).operands[1]).operands)
        type_ = ir.RankedTensorType.get(list(result.type.shape), element)
        return ir.Operation.create("tensor.empty", results=[type_], operands=sizes).results[0]

    def _filled(self, element: ir.Type) -> ir.Value:
        return linalg.fill(_int(0), outs=[self._empty(element)])

    def _sum_of(self, i: int) -> Factor:
        """Factor i summed over all that is summed, along what is left of its loops."""
        map_ = self.maps[i]
        loops = sorted({d for e in map_.results for d in s.uses_of(e)} | set(self.reduced))
        kept = [d for d in loops if d not in self.reduced]
        number = {d: n for n, d in enumerate(loops)}
        by = [ir.AffineDimExpr.get(number.get(d, 0)) for d in range(len(self.kinds))]
        i32 = ir.IntegerType.get_signless(32)
        sizes = [self._extent(i, d) for d in kept]
        shape = [self.extents[d] if self.extents[d] is not None else ir.ShapedType.get_dynamic_size() for d in kept]
        type_ = ir.RankedTensorType.get(shape, i32)
        empty = ir.Operation.create(
            "tensor.empty", results=[type_], operands=[v for v in sizes if v is not None]
        ).results[0]
        # The window has no extent of its own in what it moves over: an operand that nobody reads gives it.
        window = [d for d in self.reduced if d not in s.positions(map_)]
        byte = ir.IntegerType.get_signless(8)
        inputs, maps = [self.factors[i].source], [s.substitute(map_, by, len(loops))]
        if window:
            extents = ir.RankedTensorType.get([self.extents[d] for d in window], byte)
            inputs.append(ir.Operation.create("tensor.empty", results=[extents]).results[0])
            maps.append(ir.AffineMap.get(len(loops), 0, s.dims(number[d] for d in window)))
        maps.append(ir.AffineMap.get(len(loops), 0, s.dims(number[d] for d in kept)))
        kinds = [s.REDUCTION if d in self.reduced else s.PARALLEL for d in loops]
        op, block = s.build_generic(inputs, [linalg.fill(_int(0), outs=[empty])], maps, kinds, self.op.location)
        with ir.InsertionPoint(block):
            wide = _wide(block.arguments[0], self.factors[i].signed)
            total = arith.AddIOp(block.arguments[len(inputs)], wide).result
        s.yield_(block, [total])
        return Factor(op.results[0], tuple(self.places.index(d) for d in kept))

    def _extent(self, i: int, loop: int) -> ir.Value | None:
        """The extent of a loop where it is dynamic."""
        if self.extents[loop] is not None:
            return None
        at = ir.IntegerAttr.get(ir.IndexType.get(), s.positions(self.maps[i]).index(loop))
        index = arith.ConstantOp(ir.IndexType.get(), at).result
        return tensor.DimOp(self.factors[i].source, index).result

    def _finish(self, sums: ir.Value) -> ir.Value:
        """What the sums stand for: corrected by the zero points, times the scales."""
        inputs, positions = [sums], [list(range(len(self.places)))]
        terms: list[tuple[int, int | None, int | None]] = []  # (number, input, another input): products to be added
        depth = math.prod(self.extents[d] for d in self.reduced)

        def argument(factor: Factor) -> int:
            inputs.append(factor.value)
            positions.append(list(factor.dims))
            return len(inputs) - 1

        zeros = [f.zero for f in self.factors]
        zero_at: list[int | None] = [None, None]
        for i in (0, 1):
            if isinstance(zeros[i], Factor):
                zero_at[i] = argument(self._in_result(i, zeros[i]))
        for i in (0, 1):
            if zeros[i] == 0:
                continue
            total = self._sum_of(1 - i)
            if zero_at[i] is None and self.constant[1 - i]:
                # All of it is known at compile time, the product of the zero points too where that is a number.
                both = 0 if i or zero_at[1] is not None else depth * zeros[0] * zeros[1]
                terms.append((1, argument(_times(total, -zeros[i], both)), None))
                if not i and zero_at[1] is not None:
                    terms.append((depth * zeros[0], zero_at[1], None))
            else:
                terms.append((-1 if zero_at[i] is not None else -zeros[i], argument(total), zero_at[i]))
                if not i and zeros[1] != 0:
                    number = depth * math.prod(z for z, at in zip(zeros, zero_at, strict=True) if at is None)
                    known = [at for at in zero_at if at is not None]
                    terms.append((number, *[*known, None, None][:2]))
        scales = [f.scale for f in self.factors]
        number = math.prod(scale for scale in scales if not isinstance(scale, Factor))
        vectors = [self._in_result(i, scale) for i, scale in enumerate(scales) if isinstance(scale, Factor)]
        if vectors and number != 1.0:
            vectors[0], number = _times(vectors[0], number), 1.0
        scale_at = [argument(vector) for vector in vectors]

        element = s.element_type(self.op.results[0])
        rank = len(self.places)
        maps = [ir.AffineMap.get(rank, 0, s.dims(p)) for p in positions]
        op, block = s.build_generic(
            inputs,
            [self._empty(element)],
            [*maps, ir.AffineMap.get_identity(rank)],
            [s.PARALLEL] * rank,
            self.op.location,
        )
        signs = {at: zeros[i].signed for i, at in enumerate(zero_at) if at is not None}
        with ir.InsertionPoint(block):
            value = block.arguments[0]
            for times, first, second in terms:
                product = None if times == 1 and first is not None else _int(times)
                for at in (first, second):
                    if at is not None:
                        other = _wide(block.arguments[at], signs.get(at, True))
                        product = other if product is None else arith.MulIOp(product, other).result
                value = arith.AddIOp(value, product).result
            value = _converted(value, element)
            for at in scale_at:
                value = arith.MulFOp(value, block.arguments[at]).result
            if number != 1.0:
                value = arith.MulFOp(value, arith.ConstantOp(element, ir.FloatAttr.get(element, number)).result).result
        s.yield_(block, [value])
        return op.results[0]

    def _in_result(self, i: int, factor: Factor) -> Factor:
        """A vector along dimensions of factor i as one along dimensions of the result."""
        loops = s.positions(self.maps[i])
        return replace(factor, dims=tuple(self.places.index(loops[d]) for d in factor.dims))


def _longer(value: ir.Value, at: int, count: int) -> ir.Value:
    """8-bit integers with `count` more behind dimension `at`: zeros, or what they are padded with already."""
    pad = s.maker(value)
    if pad is None or pad.name != "tensor.pad" or len(pad.operands) > 1:
        return pad_high(value, at, count)
    longer = pad.clone()
    high = list(ir.DenseI64ArrayAttr(pad.attributes["static_high"]))
    shape = s.shape(value)
    high[at], shape[at] = high[at] + count, shape[at] + count
    longer.attributes["static_high"] = ir.DenseI64ArrayAttr.get(high)
    longer.results[0].set_type(ir.RankedTensorType.get(shape, s.element_type(value)))
    return longer.results[0]


def _times(factor: Factor, number: float, plus: int = 0) -> Factor:
    """A vector times a number, plus a number."""
    shape, element = s.shape(factor.value), s.element_type(factor.value)
    rank = len(shape)
    empty = ir.Operation.create("tensor.empty", results=[factor.value.type]).results[0]
    identity = ir.AffineMap.get_identity(rank)
    op, block = s.build_generic([factor.value], [empty], [identity] * 2, [s.PARALLEL] * rank, ir.Location.current)
    with ir.InsertionPoint(block):
        if isinstance(element, ir.F32Type):
            by = arith.ConstantOp(element, ir.FloatAttr.get(element, number)).result
            value = arith.MulFOp(block.arguments[0], by).result
        else:
            value = arith.MulIOp(block.arguments[0], _int(number)).result
            value = arith.AddIOp(value, _int(plus)).result if plus else value
    s.yield_(block, [value])
    return replace(factor, value=op.results[0])


def _shifted(value: ir.Value) -> ir.Value:
    """8-bit integers plus 128, that is, unsigned ones for signed ones and the other way round."""
    byte = ir.IntegerType.get_signless(8)
    rank = len(s.shape(value))
    sizes = [
        tensor.DimOp(value, arith.ConstantOp(ir.IndexType.get(), ir.IntegerAttr.get(ir.IndexType.get(), d)).result)
        for d, extent in enumerate(s.shape(value))
        if extent < 0
    ]
    empty = ir.Operation.create("tensor.empty", results=[value.type], operands=[d.result for d in sizes]).results[0]
    identity = ir.AffineMap.get_identity(rank)
    op, block = s.build_generic([value], [empty], [identity] * 2, [s.PARALLEL] * rank, ir.Location.current)
    with ir.InsertionPoint(block):
        half = arith.ConstantOp(byte, ir.IntegerAttr.get(byte, -128)).result
        moved = arith.AddIOp(block.arguments[0], half).result
    s.yield_(block, [moved])
    return op.results[0]


def _wide(value: ir.Value, signed: bool) -> ir.Value:
    """An integer in 32 bits."""
    i32 = ir.IntegerType.get_signless(32)
    if value.type == i32:
        return value
    return (arith.ExtSIOp if signed else arith.ExtUIOp)(i32, value).result


def _int(number: int) -> ir.Value:
    i32 = ir.IntegerType.get_signless(32)
    return arith.ConstantOp(i32, ir.IntegerAttr.get(i32, number)).result


def _converted(value: ir.Value, element: ir.Type) -> ir.Value:
    if isinstance(element, ir.F32Type):
        return arith.SIToFPOp(element, value).result
    return value if value.type == element else arith.ExtSIOp(element, value).result


def _erase_dead(function: ir.Operation) -> None:
    for op in reversed(s.operations(function)):
        pure = op.name.split(".")[0] in ("linalg", "tensor", "arith")
        if pure and len(op.results) and all(next(iter(r.uses), None) is None for r in op.results):
            s.erase(op)
