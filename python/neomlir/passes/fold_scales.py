"""Fold multiplications and additions a channel into the weights and one bias of the contraction before them."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.mlir import arith, ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import Contraction
from neomlir.passes.dataflow import captured_values, indexing_maps, iterators, number_of_inputs

_AFFINE = frozenset({"arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.negf"})


@register
@dataclass(frozen=True)
class FoldScales(ModulePass):
    """Rewrite `f(contraction(x, w) * scale + shift)` as `f(contraction(x, w * scale) + shift)`.

    Scale and shift are whatever the elementwise operation behind the contraction does to its result first, by
    additions, subtractions, multiplications and divisions with values that depend on weights alone and vary with the
    output channel only: a batch normalisation, a layer scale, a bias before either. The contraction's result must
    have no other reader. The new scale, shift and weights are computed from weights, for `neo-hoist-constants`.
    Behind a contraction of integers, whose weights take no scale, `f((float) sums * scale + shift)` is left: of what
    dequantises, a bias, and what quantises again, one multiplication and one addition.
    """

    name = "neo-fold-scales"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                constants = Constants.of(function)
                for op in s.operations(function):
                    found = Contraction.match(op)
                    if found is not None and constants.weights(op.operands[found.b]):
                        _fold(found, constants)


@dataclass
class _Chain:
    """What an epilogue does to the result of a contraction first: operations, the last one's value, its operands."""

    ops: list[ir.Operation] = field(default_factory=list)
    scales: bool = False


def _fold(c: Contraction, constants: Constants) -> None:
    result, weight = c.op.results[0], c.op.operands[c.b]
    type_ = s.element_type(result)
    integers = type_ == ir.IntegerType.get_signless(32)
    floats = isinstance(type_, ir.F32Type | ir.F64Type) and s.element_type(weight) == type_
    if not s.one_use(result) or not (floats or integers):
        return
    epilogue = next(iter(result.uses)).owner.operation
    if epilogue.name != "linalg.generic" or not s.is_parallel(epilogue) or len(epilogue.results) != 1:
        return
    inputs, maps = number_of_inputs(epilogue), indexing_maps(epilogue)
    at = list(epilogue.operands).index(result)
    weight_places = s.positions(c.maps[c.b])
    if at >= inputs or weight_places.count(c.n) != 1 or c.extents[c.n] is None:
        return
    channel = s.positions(maps[at])[s.positions(c.maps[2]).index(c.n)]
    if channel is None or s.positions(maps[at]).count(channel) != 1:
        return
    block = epilogue.regions[0].blocks[0]
    known = _channel_values(epilogue, maps, inputs, channel, constants)
    start = _converted(block.arguments[at], known) if integers else block.arguments[at]
    chain = _Chain() if start is None else _follow(start, known)
    if not chain.ops or (len(chain.ops) == 1 and not chain.scales):
        return
    if integers:
        if len(chain.ops) > 1:
            scale, shift = _vectors(c, epilogue, at, known, chain, start)
            _rewrite(epilogue, at, channel, chain, shift, start, scale)
        return
    scale, shift = _vectors(c, epilogue, at, known, chain, start)
    with ir.InsertionPoint(c.op), c.op.location:
        if chain.scales:
            c.op.operands[c.b] = _scaled(weight, scale, weight_places.index(c.n))
            constants.bytes_from[c.op.operands[c.b]] = constants.bytes_from[weight]
    _rewrite(epilogue, at, channel, chain, shift, start)


def _converted(value: ir.Value, known: set[ir.Value]) -> ir.Value | None:
    """The float that an integer becomes, with or without additions of integers that are known before that."""
    while s.one_use(value):
        op = next(iter(value.uses)).owner.operation
        if op.name == "arith.sitofp":
            return op.results[0] if isinstance(op.results[0].type, ir.F32Type) else None
        if op.name != "arith.addi" or any(v not in known and v != value for v in op.operands):
            return None
        value = op.results[0]
    return None


def _channel_values(epilogue, maps, inputs, channel, constants) -> set[ir.Value]:
    """Values of a body that depend on weights and the channel alone."""
    block = epilogue.regions[0].blocks[0]
    known: set[ir.Value] = set()
    for number in range(inputs):
        value = epilogue.operands[number]
        by_channel = s.positions(maps[number]).count(channel) <= 1 and all(
            s.is_constant(e) or p == channel
            for p, e in zip(s.positions(maps[number]), maps[number].results, strict=True)
        )
        if value in constants and by_channel and isinstance(value.type, ir.RankedTensorType):
            known.add(block.arguments[number])
    inside = {r for o in block.operations for r in o.operation.results} | set(block.arguments)
    for inner in block.operations:
        inner = inner.operation
        if inner.name.split(".")[0] in ("arith", "math") and all(
            v in known or (v not in inside and v in constants) for v in inner.operands
        ):
            known.update(inner.results)
    for inner in block.operations:
        known.update(v for v in inner.operation.operands if v not in inside and v in constants)
    return known


def _follow(value: ir.Value, known: set[ir.Value]) -> _Chain:
    """The affine operations from `value` on, as long as each is the only reader of the one before."""
    chain = _Chain()
    while s.one_use(value):
        op = next(iter(value.uses)).owner.operation
        if op.name not in _AFFINE or any(v not in known and v != value for v in op.operands):
            break
        if op.name == "arith.divf" and op.operands[1] == value:
            break
        chain.ops.append(op)
        chain.scales |= op.name in ("arith.mulf", "arith.divf", "arith.negf") or (
            op.operands[0] != value and (op.name == "arith.subf")
        )
        value = op.results[0]
    return chain


def _vectors(c, epilogue, at, known, chain, start) -> tuple[ir.Value, ir.Value]:
    """Scale and shift as vectors over the channels, made by one generic on weights."""
    type_ = start.type
    block = epilogue.regions[0].blocks[0]
    arguments = list(block.arguments)
    used = [n for n in range(number_of_inputs(epilogue)) if arguments[n] in known and n != at]
    maps = indexing_maps(epilogue)
    vector = ir.AffineMap.get_identity(1)
    out = ir.RankedTensorType.get([c.extents[c.n]], type_)
    with ir.InsertionPoint(c.op), c.op.location:
        empties = [ir.Operation.create("tensor.empty", results=[out]).results[0] for _ in range(2)]
        op, body = s.build_generic(
            [_before(epilogue.operands[n], c.op) for n in used],
            empties,
            [*(_by_channel(maps[n]) for n in used), vector, vector],
            [s.PARALLEL],
            c.op.location,
        )
    mapping = {arguments[n]: body.arguments[i] for i, n in enumerate(used)}
    inner = [o.operation for o in block.operations][:-1]
    needed = [o for o in inner if len(o.results) and all(r in known for r in o.results)]
    outside = {v for o in inner for v in o.operands if v in known}
    made = {r for o in needed for r in o.results} | set(arguments)
    for value in outside - made:
        mapping[value] = _before(value, c.op)
    s.clone_into(needed, mapping, ir.InsertionPoint(body))
    with ir.InsertionPoint(body), c.op.location:
        one = arith.ConstantOp(type_, ir.FloatAttr.get(type_, 1.0)).result
        zero = arith.ConstantOp(type_, ir.FloatAttr.get(type_, 0.0)).result
        scale, shift = one, zero
        value = start
        for step in chain.ops:
            first = step.operands[0] == value
            other = None if len(step.operands) == 1 else mapping[step.operands[1 if first else 0]]
            scale, shift = _step(step.name, scale, shift, other, first)
            value = step.results[0]
    s.yield_(body, [scale, shift])
    return op.results[0], op.results[1]


def _by_channel(map_: ir.AffineMap) -> ir.AffineMap:
    """A map that reads the channel only, with the channel as its one loop."""
    loop = ir.AffineDimExpr.get(0)
    return ir.AffineMap.get(1, 0, [e if s.is_constant(e) else loop for e in map_.results])


def _step(name: str, scale: ir.Value, shift: ir.Value, other: ir.Value | None, first: bool):
    """Scale and shift after one more operation on the value they describe."""
    if name == "arith.negf":
        return arith.NegFOp(scale).result, arith.NegFOp(shift).result
    if name == "arith.addf":
        return scale, arith.AddFOp(shift, other).result
    if name == "arith.subf":
        if first:
            return scale, arith.SubFOp(shift, other).result
        return arith.NegFOp(scale).result, arith.SubFOp(other, shift).result
    build = arith.MulFOp if name == "arith.mulf" else arith.DivFOp
    return build(scale, other).result, build(shift, other).result


def _before(value: ir.Value, op: ir.Operation) -> ir.Value:
    """`value` where `op` can read it: what it is made from moves before `op` (it depends on weights alone)."""
    maker = s.maker(value)
    if maker is not None and maker.parent == op.parent and not maker.is_before_in_block(op):
        for operand in captured_values(maker):
            _before(operand, op)
        maker.move_before(op)
    return value


def _scaled(weight: ir.Value, scale: ir.Value, at: int) -> ir.Value:
    """`weight` with each slice of dimension `at` multiplied by its element of `scale`."""
    rank = len(s.shape(weight))
    identity = ir.AffineMap.get_identity(rank)
    empty = ir.Operation.create("tensor.empty", results=[weight.type]).results[0]
    op, block = s.build_generic(
        [weight, scale],
        [empty],
        [identity, ir.AffineMap.get(rank, 0, s.dims([at])), identity],
        [s.PARALLEL] * rank,
        ir.Location.current,
    )
    with ir.InsertionPoint(block):
        product = arith.MulFOp(block.arguments[0], block.arguments[1]).result
    s.yield_(block, [product])
    return op.results[0]


def _rewrite(
    epilogue: ir.Operation,
    at: int,
    channel: int,
    chain: _Chain,
    shift: ir.Value,
    start: ir.Value,
    scale: ir.Value | None = None,
) -> None:
    """The epilogue with one addition of `shift` where the chain stood, and without operands nobody reads any more.

    With `scale`, what the chain starts from is multiplied by it before.
    """
    block = epilogue.regions[0].blocks[0]
    inputs, maps, operands = number_of_inputs(epilogue), indexing_maps(epilogue), list(epilogue.operands)
    arguments = list(block.arguments)
    last = chain.ops[-1].results[0]
    inner = [o.operation for o in block.operations][:-1]
    before = _behind([start], None)
    needed = _behind(s.yielded(epilogue), last) | before
    kept = [n for n in range(inputs) if n == at or arguments[n] in needed]
    loops = maps[0].n_dims
    vectors = [shift] if scale is None else [shift, scale]
    by_channel = ir.AffineMap.get(loops, 0, s.dims([channel]))
    with ir.InsertionPoint(epilogue), epilogue.location:
        new, body = s.build_generic(
            [*(operands[n] for n in kept), *vectors],
            operands[inputs:],
            [*(maps[n] for n in kept), *[by_channel] * len(vectors), *maps[inputs:]],
            iterators(epilogue),
            epilogue.location,
        )
    mapping = {arguments[n]: body.arguments[i] for i, n in enumerate(kept)}
    for number in range(inputs, len(arguments)):
        mapping[arguments[number]] = body.arguments[len(kept) + len(vectors) + number - inputs]
    first = [o for o in inner if any(r in before for r in o.results)]
    s.clone_into(first, mapping, ir.InsertionPoint(body))
    with ir.InsertionPoint(body), epilogue.location:
        value = mapping[start]
        # Allowed to be one instruction: with integers there is no fp32 result to agree with to the last bit.
        fused = None if scale is None else arith.FastMathFlags.contract
        if scale is not None:
            value = arith.MulFOp(value, body.arguments[len(kept) + 1], fastmath=fused).result
        mapping[last] = arith.AddFOp(value, body.arguments[len(kept)], fastmath=fused).result
    chained = [o.results[0] for o in chain.ops]
    rest = [o for o in inner if o not in first and any(r in needed and r not in chained for r in o.results)]
    s.clone_into(rest, mapping, ir.InsertionPoint(body))
    s.yield_(body, [mapping.get(v, v) for v in s.yielded(epilogue)])
    s.replace(epilogue, list(new.results))


def _behind(values: list[ir.Value], stop: ir.Value | None) -> set[ir.Value]:
    """Whatever `values` are computed from, themselves included, not looking behind `stop`."""
    found, queue = set(values), list(values)
    while queue:
        value = queue.pop()
        op = None if stop is not None and value == stop else s.maker(value)
        for operand in op.operands if op is not None else ():
            if operand not in found:
                found.add(operand)
                queue.append(operand)
    return found
