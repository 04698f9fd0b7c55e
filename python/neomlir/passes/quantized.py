"""Recognising quantised values: tensors of 8-bit integers that stand for `(q - zero) * scale`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neomlir.mlir import arith, ir, tensor
from neomlir.passes import structured as s
from neomlir.passes.dataflow import indexing_maps, is_identity, number_of_inputs
from neomlir.passes.layouts import RESHAPES, groups_of

_WIDEN = {"arith.extsi": True, "arith.sitofp": True, "arith.extui": False, "arith.uitofp": False}
"""Conversions to something wider, and whether they take their operand for signed."""


@dataclass(frozen=True)
class Factor:
    """A zero point or a scale that is no number: a tensor whose dimension `i` lies along dimension `dims[i]`."""

    value: ir.Value
    dims: tuple[int, ...]
    signed: bool = True

    def cut(self, into: list[dict[int, int]]) -> Factor:
        """The same with each dimension along those of `into` instead, at the current insertion point."""
        dims = tuple(d for group in into for d in group)
        if all(len(group) == 1 for group in into):
            return replace(self, dims=dims)
        numbers = iter(range(len(dims)))
        groups = [[next(numbers) for _ in group] for group in into]
        extents = [extent for group in into for extent in group.values()]
        kind = ir.RankedTensorType.get(extents, self.value.type.element_type)
        return replace(self, value=tensor.ExpandShapeOp(kind, self.value, groups, [], extents).result, dims=dims)


@dataclass(frozen=True)
class Affine:
    """A tensor that is `(source - zero) * scale` element by element, `source` of 8-bit integers."""

    source: ir.Value
    signed: bool
    zero: int | Factor = 0
    scale: float | Factor = 1.0

    @property
    def plain(self) -> bool:
        """Whether zero point and scale are numbers."""
        return not isinstance(self.zero, Factor) and not isinstance(self.scale, Factor)

    def dims(self) -> set[int]:
        """The dimensions along which zero point or scale vary."""
        return {d for f in (self.zero, self.scale) if isinstance(f, Factor) for d in f.dims}

    def along(self, dims: dict[int, dict[int, int]]) -> Affine:
        """The same with dimension `d` called or cut into the dimensions `dims[d]`, whose extents it gives too."""

        def moved(factor):
            return factor.cut([dims[d] for d in factor.dims]) if isinstance(factor, Factor) else factor

        return replace(self, zero=moved(self.zero), scale=moved(self.scale))


def affine_of(op: ir.Operation | None) -> Affine | None:
    """What the one result of a generic is, if it only dequantises; None for anything else."""
    if op is None or op.name != "linalg.generic" or len(op.results) != 1 or not s.is_parallel(op):
        return None
    maps, block = indexing_maps(op), op.regions[0].blocks[0]
    arguments = list(block.arguments)
    inputs = number_of_inputs(op)

    def outer(value: ir.Value) -> ir.Value | None:
        """What the body reads for `value`: an operand, or a scalar from around."""
        if value in arguments:
            at = arguments.index(value)
            return op.operands[at] if at < inputs else None
        maker = s.maker(value)
        return value if maker is None or maker.parent != op else None

    def factor(value: ir.Value, signed: bool = True) -> int | float | Factor | None:
        """A zero point or a scale: a number, or what is read along some of the dimensions."""
        maker = s.maker(value)
        if maker is not None and maker.name in _WIDEN:
            return factor(maker.operands[0], _WIDEN[maker.name])
        read = outer(value) if s.constant_of(value) is None else value
        if read is None:
            return None
        number = s.constant_of(read)
        if isinstance(number, ir.DenseElementsAttr) and number.is_splat:
            number = number.get_splat_value()
        if isinstance(number, ir.FloatAttr | ir.IntegerAttr):
            return _number(number, signed)
        if value in arguments:
            places = s.positions(maps[arguments.index(value)])
            constant = [s.is_constant(e) for e in maps[arguments.index(value)].results]
            if any(constant):
                return None
            return Factor(read, tuple(places), signed) if None not in places else None
        extract = s.maker(read)
        if extract is not None and extract.name == "tensor.extract" and len(extract.operands) == 1:
            return Factor(extract.operands[0], (), signed)
        return None

    def follow(value: ir.Value) -> Affine | None:
        if value in arguments:
            at = arguments.index(value)
            if at >= inputs or not is_identity(maps[at]):
                return None
            found = affine_of(s.maker(op.operands[at]))
            if found is not None:
                return found
            kind = op.operands[at].type.element_type
            return Affine(op.operands[at], True) if isinstance(kind, ir.IntegerType) and kind.width == 8 else None
        inner = s.maker(value)
        if inner is None or inner.parent != op:
            return None
        if inner.name in _WIDEN:
            found = follow(inner.operands[0])
            raw = found is not None and inner.operands[0] in arguments and found.zero == 0 and found.scale == 1.0
            return replace(found, signed=_WIDEN[inner.name]) if raw and found.source in list(op.operands) else found
        if inner.name in ("arith.subi", "arith.subf"):
            found, zero = follow(inner.operands[0]), factor(inner.operands[1])
            if found is None or zero is None or found.zero != 0 or found.scale != 1.0:
                return None
            if isinstance(zero, float) and not zero.is_integer():
                return None
            return replace(found, zero=zero if isinstance(zero, Factor) else int(zero))
        if inner.name == "arith.mulf":
            for data, scale in (list(inner.operands), list(inner.operands)[::-1]):
                found = follow(data)
                if found is not None and found.scale == 1.0:
                    by = factor(scale)
                    return replace(found, scale=by) if isinstance(by, float | Factor) else None
        return None

    last = s.yielded(op)[0]
    if last in arguments or not is_identity(maps[-1]):
        return None
    kind = last.type
    if not isinstance(kind, ir.F32Type) and not (isinstance(kind, ir.IntegerType) and kind.width in (32, 64)):
        return None
    return follow(last)


def _number(attribute: ir.Attribute, signed: bool) -> int | float:
    """A constant as a number; the bits of integers read as `signed` says."""
    if isinstance(attribute, ir.FloatAttr):
        return float(attribute.value)
    value, width = attribute.value, getattr(attribute.type, "width", 64)
    return value % (1 << width) if not signed and width <= 32 else value


class Resolver:
    """Finds the integers behind the operands of a function, and moves them as the dequantised values were moved."""

    def __init__(self, lowest: bool = False) -> None:
        """With `lowest`, pads with what lies below every f32 are followed too, and become the least integer."""
        self.lowest = lowest
        self.found = s.Facts()

    def of(self, value: ir.Value) -> Affine | None:
        """What `value` is; where it was reshaped, padded with zeros, transposed or sliced, the integers are too."""
        if value not in self.found:
            self.found[value] = self._resolve(value)
        return self.found[value]

    def _resolve(self, value: ir.Value) -> Affine | None:
        op = s.maker(value)
        if op is None or not isinstance(value.type, ir.RankedTensorType):
            return None
        direct = affine_of(op)
        if direct is not None:
            return direct
        if op.name not in ("tensor.pad", "tensor.extract_slice", "tensor.cast", *RESHAPES) and not s.is_copy(op):
            return None
        inner = self.of(op.operands[0])
        dims = None if inner is None else _moved_dims(op, inner, self.lowest)
        if dims is None:
            return None
        with ir.InsertionPoint(op), op.location:
            made = self._again(op, inner)
            return None if made is None else replace(inner.along(dims), source=made)

    def _again(self, op: ir.Operation, inner: Affine) -> ir.Value | None:
        """The integers of `inner`, moved as `op` moves their values."""
        byte = ir.IntegerType.get_signless(8)
        result = ir.RankedTensorType(op.results[0].type)
        type_ = ir.RankedTensorType.get(list(result.shape), byte)
        if s.is_copy(op):
            sizes = _sizes(op)
            if sizes is None:
                return None
            empty = ir.Operation.create("tensor.empty", results=[type_], operands=sizes).results[0]
            maps = indexing_maps(op)
            copy, block = s.build_generic(
                [inner.source], [empty], maps, [s.PARALLEL] * maps[0].n_dims, ir.Location.current
            )
            s.yield_(block, [block.arguments[0]])
            return copy.results[0]
        attributes = {name: op.attributes[name] for name in op.attributes}
        operands = [inner.source, *list(op.operands)[1:]]
        made = ir.Operation.create(
            op.name, results=[type_], operands=operands, attributes=attributes, regions=len(op.regions)
        )
        if op.name == "tensor.pad":
            number = _border(op)
            least = -128 if inner.signed else 0
            border = ir.IntegerAttr.get(byte, least if number else _wrapped(inner.zero))
            border = arith.ConstantOp(byte, border, ip=ir.InsertionPoint(made)).result
            types = [ir.IndexType.get()] * result.rank
            block = made.regions[0].blocks.append(*types, arg_locs=[ir.Location.current] * result.rank)
            ir.Operation.create("tensor.yield", operands=[border], ip=ir.InsertionPoint(block))
        return made.results[0]


def _wrapped(value: int) -> int:
    return (value + 128) % 256 - 128


def _sizes(op: ir.Operation) -> list[ir.Value] | None:
    """The dynamic extents of a generic's destination."""
    maker = s.maker(op.operands[len(op.operands) - 1])
    if s.has_static_shape(op.results[0]):
        return []
    return list(maker.operands) if maker is not None and maker.name == "tensor.empty" else None


def _border(pad: ir.Operation) -> float | None:
    """The constant that a pad is made of; None where it is none."""
    block = pad.regions[0].blocks[0]
    border = s.constant_of(next(iter(block.operations[len(block.operations) - 1].operands)))
    is_constant = len(block.operations) == 1 and isinstance(border, ir.FloatAttr | ir.IntegerAttr)
    return float(border.value) if is_constant else None


def _moved_dims(op: ir.Operation, inner: Affine, lowest: bool) -> dict[int, dict[int, int]] | None:
    """Where the dimensions along which zero point and scale vary are behind `op`; None where it can't carry them.

    Of each dimension the dimensions that take its place, and their extents.
    """
    wanted, shape = inner.dims(), s.shape(op.results[0])

    def each(places: dict[int, int]) -> dict[int, dict[int, int]]:
        return {d: {place: shape[place]} for d, place in places.items()}

    if op.name == "tensor.pad":
        border = _border(op)
        fits = border == 0 or (lowest and border is not None and border <= -3.4e38)
        return each({d: d for d in wanted}) if fits and not isinstance(inner.zero, Factor) else None
    if op.name == "tensor.cast":
        return each({d: d for d in wanted})
    if not wanted:
        return {}
    if op.name == "tensor.extract_slice":
        return None
    if s.is_copy(op):
        source, out = (s.positions(m) for m in indexing_maps(op))
        if None in source or None in out or len(set(source)) != len(source):
            return None
        return each({d: out.index(source[d]) for d in wanted})
    groups = groups_of(op)
    if op.name == "tensor.collapse_shape":
        long = s.shape(op.operands[0])
        found = {d: next(group for group in groups if d in group) for d in wanted}
        if any([e for e in group if long[e] != 1] not in ([], [d]) for d, group in found.items()):
            return None
        return each({d: groups.index(group) for d, group in found.items()})
    found = {d: [e for e in groups[d] if shape[e] != 1] or groups[d][:1] for d in wanted}
    if any(len(places) > 1 and min(shape[e] for e in places) < 0 for places in found.values()):
        return None
    return {d: {e: shape[e] for e in places} for d, places in found.items()}
