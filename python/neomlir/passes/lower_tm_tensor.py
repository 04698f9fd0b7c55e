"""Rewrite the scans, scatters and sorts of the `tm_tensor` dialect as structured operations."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.scatter_elements import Elements
from neomlir.passes.sorts import sort


@register
@dataclass(frozen=True)
class LowerTmTensor(ModulePass):
    """Write `tm_tensor.scan`, `tm_tensor.scatter` and `tm_tensor.sort` as `linalg.generic`.

    Each element of a result becomes a masked reduction: over the elements up to its own for a scan, over all updates
    for a scatter. Updates are applied in order, so the last of equal indices stays. One of elements along a dimension,
    which importers write as a row of elements with all their indices, goes along that dimension again. A sort is
    stable, NaN the greatest of all numbers: elements become integers in the same order, each is counted how many come
    before it, and its number is scattered there. The schedules `scan`, `scatter` and `rank` do only what is needed;
    plain loops do a quadratic amount of arithmetic.
    Raises PassFailure for the other operations of the dialect (`topk`, `attention`), which have no lowering.
    """

    name = "neo-lower-tm-tensor"

    def run(self, module: ir.Module) -> None:
        found: list[ir.Operation] = []

        def collect(op: ir.Operation) -> ir.WalkResult:
            if op.name.startswith("tm_tensor.") and op.name != "tm_tensor.yield":
                found.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(collect)
        for op in found:
            with module.context, ir.InsertionPoint(op), op.location:
                if op.name == "tm_tensor.scan":
                    _scan(op)
                elif op.name == "tm_tensor.scatter":
                    _scatter(op)
                elif op.name == "tm_tensor.sort":
                    sort(op)
                else:
                    raise PassFailure(f"{op.name} has no lowering (at {op.location})")


def _scan(op: ir.Operation) -> None:
    source, output, initial = op.operands
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    inclusive = ir.BoolAttr(op.attributes["inclusive"]).value
    if next(iter(op.results[1].uses), None) is not None:
        raise PassFailure(f"the accumulator of a tm_tensor.scan is read, which is not supported (at {op.location})")
    rank = len(s.shape(source))
    identity = ir.AffineMap.get_identity(rank)
    rest = ir.AffineMap.get(rank, 0, s.dims(d for d in range(rank) if d != dimension))
    fill = s.maker(initial)
    if fill is not None and fill.name == "linalg.fill":
        start = linalg.fill(fill.operands[0], outs=[output])
    else:
        broadcast, block = s.build_generic([initial], [output], [rest, identity], [s.PARALLEL] * rank, op.location)
        s.yield_(block, [block.arguments[0]])
        start = broadcast.results[0]
    op.results[0].replace_all_uses_with(_up_to(op, source, start, dimension, inclusive))
    op.erase()


def _up_to(op: ir.Operation, source: ir.Value, start: ir.Value, dimension: int, inclusive: bool) -> ir.Value:
    """Each result of the elements before it along a dimension: one more loop, innermost, walks those up to its own."""
    rank = len(s.shape(source))
    read, write, kinds = s.along(rank, dimension)
    total, block = s.build_generic([source], [start], [read, write], kinds, op.location)
    with ir.InsertionPoint(block):
        here, there = linalg.IndexOp(rank).result, linalg.IndexOp(dimension).result
        predicate = arith.CmpIPredicate.sle if inclusive else arith.CmpIPredicate.slt
        counts = arith.cmpi(predicate, here, there)
    element, old = block.arguments
    body = op.regions[0].blocks[0]
    (new,) = s.copy_body(op, block, {body.arguments[0]: old, body.arguments[1]: element})
    with ir.InsertionPoint(block):
        chosen = arith.select(counts, new, old)
    s.yield_(block, [chosen])
    return total.results[0]


def _scatter(op: ir.Operation) -> None:
    elements = Elements.of(op)
    if elements is not None:
        op.results[0].replace_all_uses_with(elements.scattered(op))
        op.erase()
        return
    updates, indices, original = op.operands
    mapped = list(ir.DenseI64ArrayAttr(op.attributes["dimension_map"]))
    rank, depth = len(s.shape(original)), len(mapped)
    window = s.shape(updates)[1:]
    free = [d for d in range(rank) if d not in mapped]
    if len(window) == rank:
        # A window over every dimension: one element wide along those that an index gives.
        if any(window[d] != 1 for d in mapped):
            raise PassFailure(f"a tm_tensor.scatter of slices at indices is not supported (at {op.location})")
        at = [ir.AffineConstantExpr.get(0) if d in mapped else ir.AffineDimExpr.get(d) for d in range(rank)]
    elif len(window) == len(free):
        at = s.dims(free)
    else:
        raise PassFailure(f"a tm_tensor.scatter of this form is not supported (at {op.location})")
    number = ir.AffineDimExpr.get(rank)
    maps = [ir.AffineMap.get(rank + 1, 0, [number, *at])]
    maps += [ir.AffineMap.get(rank + 1, 0, [number, ir.AffineConstantExpr.get(k)]) for k in range(depth)]
    maps.append(ir.AffineMap.get(rank + 1, 0, s.dims(range(rank))))
    kinds = [s.PARALLEL] * rank + [s.REDUCTION]
    inputs = [updates, *[indices] * depth]
    result, block = s.build_generic(inputs, [original], maps, kinds, op.location)
    element, *wanted, old = block.arguments
    with ir.InsertionPoint(block):
        hit = None
        for dimension, index in zip(mapped, wanted, strict=True):
            here = arith.index_cast(index.type, linalg.IndexOp(dimension).result)
            same = arith.cmpi(arith.CmpIPredicate.eq, here, index)
            hit = same if hit is None else arith.andi(hit, same)
    body = op.regions[0].blocks[0]
    (new,) = s.copy_body(op, block, {body.arguments[0]: element, body.arguments[1]: old})
    with ir.InsertionPoint(block):
        chosen = arith.select(hit, new, old)
    s.yield_(block, [chosen])
    op.results[0].replace_all_uses_with(result.results[0])
    op.erase()
