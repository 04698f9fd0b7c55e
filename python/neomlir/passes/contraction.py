"""Recognising contractions: generics that sum products, and the part each operand and loop has in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes import structured as s
from neomlir.passes.dataflow import indexing_maps, iterators, loop_extents

_MULTIPLY = frozenset({"arith.mulf", "arith.muli"})
_ADD = frozenset({"arith.addf", "arith.addi"})
_WIDEN = frozenset({"arith.extf", "arith.extsi", "arith.extui", "arith.sitofp", "arith.uitofp"})


@dataclass(frozen=True)
class Contraction:
    """`out[m…, n] += a[m…, k…] * b[k…, n]`: a generic with two inputs and one output.

    `n` is the loop of the output's innermost dimension that is not of extent 1; `a` and `b` are operand numbers,
    and `b` is the operand that has `n`. For a depthwise convolution both have it, and `b` is the one read through
    loops only (the filter).
    """

    op: ir.Operation
    maps: list[ir.AffineMap]
    kinds: list[str]
    extents: list[int | None]
    n: int
    a: int
    b: int
    depthwise: bool

    @property
    def reductions(self) -> list[int]:
        """The reduction loops, in order."""
        return [loop for loop, kind in enumerate(self.kinds) if kind == s.REDUCTION]

    @property
    def signature(self) -> str:
        """What the same sum of products has in every module: its extents, and a digest of its maps and types.

        `1x56x56x64x3x3x64-0f3c9a1b`, with `n` for a dynamic extent. Weights and what follows do not count.
        """
        extents = "x".join("n" if extent is None else str(extent) for extent in self.extents)
        types = [str(value.type) for value in self.op.operands]
        text = "\n".join([*map(str, self.maps), *self.kinds, *types])
        return f"{extents}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @classmethod
    def match(cls, op: ir.Operation) -> Contraction | None:
        """`op` as a contraction; None if it is none, or its output has no innermost loop that one operand shares."""
        if not is_product(op):
            return None
        maps, kinds, extents = indexing_maps(op), iterators(op), loop_extents(op)
        out = s.positions(maps[2])
        if any(p is None and not s.is_constant(e) for p, e in zip(out, maps[2].results, strict=True)):
            return None
        inner = [loop for loop in out if loop is not None and extents[loop] != 1] or [p for p in out if p is not None]
        if not inner:
            return None
        n = inner[-1]
        has = [number for number in (0, 1) if any(n in s.uses_of(e) for e in maps[number].results)]
        if len(has) == 1:
            return cls(op, maps, kinds, extents, n, 1 - has[0], has[0], False)
        if len(has) == 2:
            plain = [number for number in (1, 0) if _reads_loops(maps[number])]
            if plain:
                return cls(op, maps, kinds, extents, n, 1 - plain[0], plain[0], True)
        return None


def _reads_loops(map_: ir.AffineMap) -> bool:
    return all(isinstance(e, ir.AffineDimExpr) or s.is_constant(e) for e in map_.results)


def is_product(op: ir.Operation | None) -> bool:
    """Whether `op` is a generic that sums products of two inputs to one result."""
    if op is None or op.name != "linalg.generic" or len(op.operands) != 3 or s.is_parallel(op):
        return False
    return len(op.results) == 1 and sums_products(op)


def sums_products(op: ir.Operation) -> bool:
    """Whether the body of a generic of two inputs is `out + in0 * in1`, with or without widening of the inputs."""
    block = op.regions[0].blocks[0]
    total = s.maker(s.yielded(op)[0])
    if total is None or total.name not in _ADD:
        return False
    left, right = total.operands
    product = right if left == block.arguments[2] else left if right == block.arguments[2] else None
    multiply = None if product is None else s.maker(product)
    if multiply is None or multiply.name not in _MULTIPLY:
        return False
    factors = {_narrow(value) for value in multiply.operands}
    return factors == {block.arguments[0], block.arguments[1]}


def starts_from_zero(op: ir.Operation) -> bool:
    """Whether the destination of a generic of two inputs is filled with zero right before."""
    fill = s.maker(op.operands[2])
    if fill is None or fill.name != "linalg.fill":
        return False
    value = s.constant_of(fill.operands[0])
    return isinstance(value, ir.FloatAttr | ir.IntegerAttr) and value.value == 0


def _narrow(value: ir.Value) -> ir.Value:
    op = s.maker(value)
    return _narrow(op.operands[0]) if op is not None and op.name in _WIDEN else value
