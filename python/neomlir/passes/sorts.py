"""Sorts of values with their numbers, as importers have them, written as structured operations."""

from __future__ import annotations

from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.dataflow import indexing_maps, is_identity
from neomlir.schedules.rank_form import LEAST

_DOWN = {
    arith.CmpFPredicate.OGE: True,
    arith.CmpFPredicate.OGT: True,
    arith.CmpFPredicate.UGE: True,
    arith.CmpFPredicate.UGT: True,
    arith.CmpFPredicate.OLE: False,
    arith.CmpFPredicate.OLT: False,
    arith.CmpFPredicate.ULE: False,
    arith.CmpFPredicate.ULT: False,
}
_INTEGERS_DOWN = {
    arith.CmpIPredicate.sge: (True, True),
    arith.CmpIPredicate.sgt: (True, True),
    arith.CmpIPredicate.sle: (False, True),
    arith.CmpIPredicate.slt: (False, True),
    arith.CmpIPredicate.uge: (True, False),
    arith.CmpIPredicate.ugt: (True, False),
    arith.CmpIPredicate.ule: (False, False),
    arith.CmpIPredicate.ult: (False, False),
}
"""Whether the greatest come first, and whether numbers have a sign."""


def sort(op: ir.Operation) -> None:
    """Replace a `tm_tensor.sort` of values, and of numbers along with them, by generics; stable, NaN the greatest.

    Raises PassFailure for other operands, and for another order than that of the values.
    """
    if len(op.operands) != 2:
        raise PassFailure(f"a tm_tensor.sort of other than values and indices is not supported (at {op.location})")
    values, numbers = op.operands
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    down, signed = _order(op)
    wanted = _first(op, dimension)
    keys = _keys(values, down, signed)
    few = wanted is not None and s.shape(values)[dimension] >= LEAST and 0 < wanted < s.shape(values)[dimension]
    ranks = _ranks(keys, dimension, wanted if few else None)
    indices = _placed(numbers, ranks, dimension, wanted)
    chosen = _chosen(values, indices, dimension)
    for result, new in zip(op.results, (chosen, indices), strict=True):
        _replace(result, new)
    op.erase()


def _order(op: ir.Operation) -> tuple[bool, bool]:
    """Whether the greatest come first, and whether numbers have a sign."""
    block = op.regions[0].blocks[0]
    compare = s.maker(list(block.operations)[-1].operands[0])
    found = None
    if compare is not None and list(compare.operands) == list(block.arguments)[:2]:
        number = ir.IntegerAttr(compare.attributes["predicate"]).value
        if compare.name == "arith.cmpf" and arith.CmpFPredicate(number) in _DOWN:
            found = (_DOWN[arith.CmpFPredicate(number)], True)
        elif compare.name == "arith.cmpi" and arith.CmpIPredicate(number) in _INTEGERS_DOWN:
            found = _INTEGERS_DOWN[arith.CmpIPredicate(number)]
    if found is None:
        raise PassFailure(f"a tm_tensor.sort by something else than its values is not supported (at {op.location})")
    return found


def _first(op: ir.Operation, dimension: int) -> int | None:
    """How many places are read from the start on, where all readers are slices of so many; else None."""
    found = set()
    for result in op.results:
        for use in result.uses:
            user = use.owner.operation
            if user.name != "tensor.extract_slice" or len(user.operands) > 1:
                return None
            sizes, offsets, strides = (
                list(ir.DenseI64ArrayAttr(user.attributes[f"static_{name}"]))
                for name in ("sizes", "offsets", "strides")
            )
            whole = [n for d, n in enumerate(s.shape(result)) if d != dimension]
            rest = [n for d, n in enumerate(sizes) if d != dimension]
            if any(offsets) or {*strides} != {1} or rest != whole or s.shape(user.results[0]) != sizes:
                return None
            found.add(sizes[dimension])
    return found.pop() if len(found) == 1 and min(found) >= 0 else None


def _replace(result: ir.Value, new: ir.Value) -> None:
    """Read `new` instead, which has what slices of the result take where it is smaller."""
    if new.type == result.type:
        result.replace_all_uses_with(new)
        return
    for user in [use.owner.operation for use in result.uses]:
        user.results[0].replace_all_uses_with(new)
        user.erase()


def _empty(value: ir.Value, element: ir.Type, changed: dict[int, int] | None = None) -> ir.Value:
    """A tensor as large as `value`, but for the extents in `changed`."""
    sizes: list = []
    for d, extent in enumerate(s.shape(value)):
        if changed and d in changed:
            sizes.append(changed[d])
        else:
            sizes.append(extent if extent >= 0 else tensor.dim(value, arith.constant(ir.IndexType.get(), d)))
    return tensor.empty(sizes, element)


def _keys(values: ir.Value, down: bool, signed: bool) -> ir.Value:
    """Integers of 32 or 64 bits whose ascending order is the one wanted."""
    element = s.element_type(values)
    wide = element.width > 32
    kind = ir.IntegerType.get_signless(64 if wide else 32)
    rank = len(s.shape(values))
    identity = ir.AffineMap.get_identity(rank)
    made, block = s.build_generic(
        [values], [_empty(values, kind)], [identity] * 2, [s.PARALLEL] * rank, ir.Location.current
    )
    with ir.InsertionPoint(block):
        x = block.arguments[0]
        if isinstance(element, ir.FloatType):
            key = _bits(x, kind)
        elif element.width == kind.width:
            key = x if signed else arith.xori(x, _constant(kind, -(1 << (kind.width - 1))))
        else:
            key = arith.extsi(kind, x) if signed and element.width > 1 else arith.extui(kind, x)
        if down:
            key = arith.xori(key, _constant(kind, -1))
    s.yield_(block, [key])
    return made.results[0]


def _constant(kind: ir.Type, number: float) -> ir.Value:
    attribute = ir.FloatAttr.get(kind, number) if isinstance(kind, ir.FloatType) else ir.IntegerAttr.get(kind, number)
    return arith.constant(kind, attribute)


def _bits(x: ir.Value, kind: ir.IntegerType) -> ir.Value:
    """The bits of a float, in an order as integers: all but the sign turned where that is set."""
    float_type = ir.F64Type.get() if kind.width == 64 else ir.F32Type.get()
    if x.type != float_type:
        x = arith.extf(float_type, x)
    nan = arith.cmpf(arith.CmpFPredicate.UNO, x, x)
    # Of two zeros none is greater: a sum with 0 is never -0.
    bits = arith.bitcast(kind, arith.addf(x, _constant(float_type, 0.0)))
    sign = arith.shrsi(bits, _constant(kind, kind.width - 1))
    greatest = _constant(kind, (1 << (kind.width - 1)) - 1)
    return arith.select(nan, greatest, arith.xori(bits, arith.andi(sign, greatest)))


def _ranks(keys: ir.Value, dimension: int, limit: int | None) -> ir.Value:
    """How many elements come before each along a dimension, or `limit` where that is less."""
    i32 = ir.IntegerType.get_signless(32)
    rank = len(s.shape(keys))
    start = linalg.fill(_constant(i32, 0), outs=[_empty(keys, i32)])
    other, mine, kinds = s.along(rank, dimension)
    made, block = s.build_generic([keys, keys], [start], [mine, other, mine], kinds, ir.Location.current)
    with ir.InsertionPoint(block):
        here, there, old = block.arguments
        less = arith.cmpi(arith.CmpIPredicate.slt, there, here)
        equal = arith.cmpi(arith.CmpIPredicate.eq, there, here)
        left = arith.cmpi(arith.CmpIPredicate.slt, linalg.IndexOp(rank).result, linalg.IndexOp(dimension).result)
        total = arith.addi(old, arith.extui(i32, arith.ori(less, arith.andi(equal, left))))
        if limit is not None:
            total = arith.minsi(total, _constant(i32, limit))
    s.yield_(block, [total])
    return made.results[0]


def _placed(numbers: ir.Value, ranks: ir.Value, dimension: int, wanted: int | None) -> ir.Value:
    """The numbers, each at its rank, as far as those are wanted."""
    rank, element = len(s.shape(ranks)), s.element_type(numbers)
    changed = {} if wanted is None else {dimension: wanted}
    start = linalg.fill(_constant(element, 0), outs=[_empty(ranks, element, changed)])
    read, write, kinds = s.along(rank, dimension)
    counted = _counted(numbers)
    inputs = [ranks] if counted == dimension else [ranks, numbers]
    made, block = s.build_generic(inputs, [start], [*[read] * len(inputs), write], kinds, ir.Location.current)
    with ir.InsertionPoint(block):
        place = arith.index_cast(ir.IndexType.get(), block.arguments[0])
        hit = arith.cmpi(arith.CmpIPredicate.eq, place, linalg.IndexOp(dimension).result)
        number = block.arguments[1] if len(inputs) > 1 else arith.index_cast(element, linalg.IndexOp(rank).result)
        chosen = arith.select(hit, number, block.arguments[-1])
    s.yield_(block, [chosen])
    return made.results[0]


def _counted(numbers: ir.Value) -> int | None:
    """The dimension along which a tensor counts from zero."""
    made = s.maker(numbers)
    if made is None or made.name != "linalg.generic" or not is_identity(indexing_maps(made)[-1]):
        return None
    cast = s.maker(s.yielded(made)[0])
    index = None if cast is None or cast.name != "arith.index_cast" else s.maker(cast.operands[0])
    if index is None or index.name != "linalg.index":
        return None
    return ir.IntegerAttr(index.attributes["dim"]).value


def _chosen(values: ir.Value, indices: ir.Value, dimension: int) -> ir.Value:
    """The values at indices along a dimension."""
    rank = len(s.shape(indices))
    identity = ir.AffineMap.get_identity(rank)
    start = _empty(indices, s.element_type(values))
    kinds = [s.PARALLEL] * rank
    made, block = s.build_generic([indices], [start], [identity] * 2, kinds, ir.Location.current)
    with ir.InsertionPoint(block):
        places = [linalg.IndexOp(d).result for d in range(rank)]
        places[dimension] = arith.index_cast(ir.IndexType.get(), block.arguments[0])
        found = tensor.extract(values, places)
    s.yield_(block, [found])
    return made.results[0]
