"""Scatters of elements along one dimension, which importers write as one of a row with the indices of each element."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.dataflow import number_of_inputs


@dataclass(frozen=True)
class Elements:
    """`result[…, index[p], …] = update[p]` for each place `p` of the updates, `index` along `dimension`."""

    updates: ir.Value
    index: ir.Value
    dimension: int

    @staticmethod
    def of(op: ir.Operation) -> Elements | None:
        """None where a `tm_tensor.scatter` is another, or does not go over whole other dimensions of the result."""
        updates, indices, original = op.operands
        flat = s.maker(updates)
        shape = s.shape(original)
        if flat is None or flat.name != "linalg.generic" or number_of_inputs(flat) or not s.is_parallel(flat):
            return None
        yields = dict(zip(flat.results, s.yielded(flat), strict=True))
        read = s.maker(yields[updates])
        if read is None or read.name != "tensor.extract" or min(shape) < 0 or not s.has_static_shape(read.operands[0]):
            return None
        source, *places = read.operands
        extents = s.shape(source)
        if len(extents) != len(shape) or not _counts(places, extents, s.shape(updates)[0]):
            return None
        mapped = list(ir.DenseI64ArrayAttr(op.attributes["dimension_map"]))
        index, dimension = None, None
        for k, d in enumerate(mapped):
            column = yields.get(_column(indices, k))
            made = None if column is None else s.maker(column)
            if made is None:
                return None
            if made.name == "arith.index_cast" and made.operands[0] == places[d] and extents[d] == shape[d]:
                continue
            if index is not None or made.name != "tensor.extract" or list(made.operands)[1:] != places:
                return None
            index, dimension = made.operands[0], d
        whole = sorted(mapped) == list(range(len(shape)))
        return Elements(source, index, dimension) if whole and index is not None else None

    def scattered(self, op: ir.Operation) -> ir.Value:
        """The result of the scatter `op`, whose body says what becomes of old and new, as a generic."""
        original = op.operands[2]
        rank = len(s.shape(original))
        read, write, kinds = s.along(rank, self.dimension)
        inputs = [self.updates, self.index]
        made, block = s.build_generic(inputs, [original], [read, read, write], kinds, op.location)
        element, place, old = block.arguments
        with ir.InsertionPoint(block):
            here = arith.index_cast(place.type, linalg.IndexOp(self.dimension).result)
            hit = arith.cmpi(arith.CmpIPredicate.eq, here, place)
        body = op.regions[0].blocks[0]
        (new,) = s.copy_body(op, block, {body.arguments[0]: element, body.arguments[1]: old})
        with ir.InsertionPoint(block):
            chosen = arith.select(hit, new, old)
        s.yield_(block, [chosen])
        return made.results[0]


def _column(indices: ir.Value, k: int) -> ir.Value:
    """What was put into column `k` of a matrix, or the matrix itself where that is not known."""
    value = indices
    while (op := s.maker(value)) is not None and op.name == "tensor.insert_slice" and len(op.operands) == 2:
        offsets, sizes = (list(ir.DenseI64ArrayAttr(op.attributes[f"static_{name}"])) for name in ("offsets", "sizes"))
        if sizes != [s.shape(indices)[0], 1] or offsets[0]:
            return indices
        if offsets[1] == k:
            return op.operands[0]
        value = op.operands[1]
    return indices


def _counts(places: list[ir.Value], extents: list[int], count: int) -> bool:
    """Whether `places` are those of the number of an element, among elements of these extents, in their order."""
    if math.prod(extents) != count:
        return False
    left: ir.Value | None = None
    for d in range(len(extents) - 1, -1, -1):
        # index % last, (index / last) % the one before, and so on.
        rest = s.maker(places[d])
        if rest is None or rest.name != "arith.remsi" or _number(rest.operands[1]) != extents[d]:
            return False
        value = rest.operands[0]
        if left is None:
            made = s.maker(value)
            if made is None or made.name != "linalg.index":
                return False
        else:
            made = s.maker(value)
            if made is None or made.name != "arith.divsi" or made.operands[0] != left:
                return False
            if _number(made.operands[1]) != extents[d + 1]:
                return False
        left = value
    return True


def _number(value: ir.Value) -> int | None:
    attribute = s.constant_of(value)
    return attribute.value if isinstance(attribute, ir.IntegerAttr) else None
