"""Building `linalg.generic` operations: maps, bodies, copies, and the functions that hold them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence

from neomlir.mlir import ir, linalg
from neomlir.passes.functions import defined_functions

PARALLEL, REDUCTION = "parallel", "reduction"


def straight_line(module: ir.Module) -> list[ir.Operation]:
    """The defined functions of one block that stand directly in a module."""
    return [f for f in defined_functions(module.operation) if len(f.regions[0].blocks) == 1]


class Operations(list):
    """Operations of a block as they stood; whoever walks them meets none that `erase` or `replace` has erased since.

    An erased operation is memory that may be another's: to ask for its name can be the end of the process. By number
    it is None.
    """

    def __init__(self, operations: Iterable[ir.Operation]) -> None:
        super().__init__(operations)
        self.places = {op: place for place, op in enumerate(list.__iter__(self))}
        _LISTS[id(self)] = self

    def forget(self, op: ir.Operation) -> None:
        """Walk past `op` from now on. It must not be erased yet: of one that is, not even a hash can be asked for."""
        place = self.places.pop(op, None)
        if place is not None:
            self[place] = None

    def __iter__(self) -> Iterator[ir.Operation]:
        return (op for op in super().__iter__() if op is not None)

    def __reversed__(self) -> Iterator[ir.Operation]:
        return (op for op in super().__reversed__() if op is not None)


_LISTS: weakref.WeakValueDictionary[int, Operations] = weakref.WeakValueDictionary()


def operations(function: ir.Operation) -> Operations:
    """The operations that stand directly in a function of one block, in order."""
    return Operations(op.operation for op in function.regions[0].blocks[0].operations)


def maker(value: ir.Value) -> ir.Operation | None:
    """The operation that makes `value`; None for a block argument."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.operation


def shape(value: ir.Value) -> list[int]:
    """The extents of a ranked tensor, negative where dynamic."""
    return list(ir.RankedTensorType(value.type).shape)


def element_type(value: ir.Value) -> ir.Type:
    """The element type of a ranked tensor."""
    return ir.RankedTensorType(value.type).element_type


def has_static_shape(value: ir.Value) -> bool:
    """Whether `value` is a ranked tensor without dynamic extents."""
    return isinstance(value.type, ir.RankedTensorType) and value.type.has_static_shape


def one_use(value: ir.Value) -> bool:
    """Whether exactly one operand reads `value`."""
    uses = iter(value.uses)
    return next(uses, None) is not None and next(uses, None) is None


# Maps


def dims(positions: Iterable[int]) -> list[ir.AffineExpr]:
    """The expression of each loop number."""
    return [ir.AffineDimExpr.get(p) for p in positions]


def positions(map_: ir.AffineMap) -> list[int | None]:
    """Each result as the loop it names, None for any other expression."""
    return [e.position if isinstance(e, ir.AffineDimExpr) else None for e in map_.results]


def is_constant(expr: ir.AffineExpr, value: int = 0) -> bool:
    """Whether an expression is the constant `value`."""
    return isinstance(expr, ir.AffineConstantExpr) and ir.AffineConstantExpr(expr).value == value


def uses_of(expr: ir.AffineExpr) -> set[int]:
    """The loops that an expression reads."""
    if isinstance(expr, ir.AffineDimExpr):
        return {ir.AffineDimExpr(expr).position}
    if isinstance(expr, ir.AffineBinaryExpr):
        binary = ir.AffineBinaryExpr(expr)
        return uses_of(binary.lhs.maybe_downcast()) | uses_of(binary.rhs.maybe_downcast())
    return set()


def substitute(map_: ir.AffineMap, by: Sequence[ir.AffineExpr], loops: int) -> ir.AffineMap:
    """`map_` with loop i written as `by[i]`, an expression over `loops` loops."""
    inner = ir.AffineMap.get(loops, 0, list(by))
    return ir.AffineMap.get(
        loops, 0, [ir.AffineExpr.simplify_affine_expr(e.compose(inner), loops, 0) for e in map_.results]
    )


def permuted(items: Sequence, order: Sequence[int]) -> list:
    """`items[order[0]], items[order[1]], …`"""
    return [items[i] for i in order]


def inverse(order: Sequence[int]) -> list[int]:
    """The permutation that undoes `order`."""
    back = [0] * len(order)
    for new, old in enumerate(order):
        back[old] = new
    return back


def set_maps(op: ir.Operation, maps: Sequence[ir.AffineMap]) -> None:
    """Replace the indexing maps of a generic."""
    op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])


def set_iterators(op: ir.Operation, kinds: Sequence[str]) -> None:
    """Replace the iterator types of a generic."""
    op.attributes["iterator_types"] = iterator_attribute(kinds)


def iterator_attribute(kinds: Sequence[str]) -> ir.ArrayAttr:
    """`parallel` and `reduction` as the attribute of a generic."""
    known = {kind: ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in set(kinds)}
    return ir.ArrayAttr.get([known[kind] for kind in kinds])


# Operations


def build_generic(
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    maps: Sequence[ir.AffineMap],
    kinds: Sequence[str],
    location: ir.Location,
) -> tuple[ir.Operation, ir.Block]:
    """A generic at the current insertion point and its body: arguments, but no operations yet (add a yield)."""
    types = [v.type.element_type if isinstance(v.type, ir.RankedTensorType) else v.type for v in (*inputs, *outputs)]
    op = linalg.GenericOp(
        [v.type for v in outputs],
        list(inputs),
        list(outputs),
        ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
        iterator_attribute(kinds),
        loc=location,
    ).operation
    return op, op.regions[0].blocks.append(*types, arg_locs=[location] * len(types))


def along(rank: int, dimension: int) -> tuple[ir.AffineMap, ir.AffineMap, list[str]]:
    """How a generic, with a reduction as its last loop, passes by all elements along a dimension for each of its
    results: the map of what it reads, that of what it writes, and the kinds of its loops."""
    loops = list(range(rank))
    read = ir.AffineMap.get(rank + 1, 0, dims(rank if d == dimension else d for d in loops))
    return read, ir.AffineMap.get(rank + 1, 0, dims(loops)), [PARALLEL] * rank + [REDUCTION]


def clone_into(ops: Iterable[ir.Operation], mapping: dict[ir.Value, ir.Value], ip: ir.InsertionPoint) -> None:
    """Clone `ops` at `ip`, reading `mapping[v]` for v (also inside their regions); adds their results to `mapping`."""
    for op in ops:
        copy = op.operation.clone(ip=ip)
        retarget(copy, mapping)
        for old, new in zip(op.results, copy.results, strict=True):
            mapping[old] = new


def retarget(op: ir.Operation, mapping: dict[ir.Value, ir.Value]) -> None:
    """Let `op` and whatever stands in its regions read `mapping[v]` for v."""
    for number, value in enumerate(op.operands):
        if value in mapping:
            op.operands[number] = mapping[value]
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                retarget(inner.operation, mapping)


def copy_body(source: ir.Operation, block: ir.Block, mapping: dict[ir.Value, ir.Value]) -> list[ir.Value]:
    """Clone the body of generic `source` at the end of `block`; gives what it would yield."""
    inner = [op.operation for op in source.regions[0].blocks[0].operations]
    clone_into(inner[:-1], mapping, ir.InsertionPoint(block))
    return [mapping.get(v, v) for v in inner[-1].operands]


def clone_body(source: ir.Operation, block: ir.Block) -> None:
    """Clone the body of generic `source`, its yield too, into the empty `block` of one with as many operands."""
    arguments = source.regions[0].blocks[0].arguments
    yield_(block, copy_body(source, block, dict(zip(arguments, block.arguments, strict=True))))


def yield_(block: ir.Block, values: Sequence[ir.Value]) -> None:
    """End the body of a generic."""
    with ir.InsertionPoint(block):
        linalg.YieldOp(list(values), loc=block.owner.location)


class Facts(dict):
    """What is known of values, by value, for as long as they live.

    A value is its address, and that of an erased one may be a new one's: `erase` and `replace` take their results out.
    """

    def __init__(self) -> None:
        super().__init__()
        _FACTS[id(self)] = self


_FACTS: weakref.WeakValueDictionary[int, Facts] = weakref.WeakValueDictionary()


def erase(op: ir.Operation) -> None:
    """Erase `op`, what is known of its results, and its place in lists of operations."""
    for listed in list(_LISTS.values()):
        listed.forget(op)
    for facts in list(_FACTS.values()):
        for result in op.results:
            facts.pop(result, None)
    op.erase()


def replace(op: ir.Operation, values: Sequence[ir.Value]) -> None:
    """Let `values` stand for the results of `op`, and erase it."""
    for old, new in zip(op.results, values, strict=True):
        old.replace_all_uses_with(new)
    erase(op)


def yielded(op: ir.Operation) -> list[ir.Value]:
    """What the body of a generic yields."""
    block = op.regions[0].blocks[0]
    return list(block.operations[len(block.operations) - 1].operands)


def is_parallel(op: ir.Operation) -> bool:
    """Whether every loop of a generic is parallel."""
    return REDUCTION not in str(op.attributes["iterator_types"])


def counts_loops(op: ir.Operation) -> bool:
    """Whether the body of a generic asks for the number of a loop."""
    return any(inner.operation.name == "linalg.index" for inner in op.regions[0].blocks[0].operations)


def is_copy(op: ir.Operation | None) -> bool:
    """Whether `op` is a generic that only moves its one input: a transpose, a broadcast or a copy."""
    if op is None or op.name != "linalg.generic" or len(op.operands) != 2 or not is_parallel(op):
        return False
    block = op.regions[0].blocks[0]
    return len(block.operations) == 1 and yielded(op) == [block.arguments[0]]


def constant_of(value: ir.Value) -> ir.Attribute | None:
    """The attribute of an `arith.constant`, None if `value` is made by anything else."""
    op = maker(value)
    return op.attributes["value"] if op is not None and op.name == "arith.constant" else None
