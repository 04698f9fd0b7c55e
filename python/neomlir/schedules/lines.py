"""Whether a vector fills whole lines of the cache, by what is known of its place."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neomlir.mlir import ir
from neomlir.schedules.builder import Chunk
from neomlir.schedules.index import Index, Part, Var


def fills_lines(buffer: ir.Value, indices: Sequence[Index], chunk: Chunk, line: int) -> bool:
    """Whether a vector at a place of a buffer that starts at a line fills whole lines of so many bytes."""
    kind = ir.MemRefType(buffer.type)
    bits = kind.element_type.width
    if chunk.width * bits % (8 * line):
        return False
    place = Index()
    for index, size in zip(indices, kind.shape, strict=True):
        place = place * size + index.put_lane(0)
    whole = 8 * line // bits
    return place.const % whole == 0 and all(c * _multiple_of(v) % whole == 0 for v, c in place.terms.items())


def _multiple_of(variable: Var | Part) -> int:
    """A number of which a variable of an index is a multiple."""
    if isinstance(variable, Part) or variable.value is None:
        return variable.multiple
    return math.lcm(variable.multiple, _divisor(variable.value))


def _divisor(value: ir.Value) -> int:
    """A number of which an index is a multiple, by the operations that compute it."""
    op = value.owner
    if isinstance(op, ir.Block):
        loop = op.owner
        if loop.name != "scf.for" or ir.BlockArgument(value).arg_number:
            return 1
        low, _, step = list(loop.operands)[:3]
        return math.gcd(_divisor(low), _divisor(step)) or 1
    if op.name == "arith.constant":
        return abs(op.attributes["value"].value)
    if op.name in ("arith.addi", "arith.subi", "arith.minsi", "arith.maxsi"):
        return math.gcd(*(_divisor(o) for o in op.operands))
    return math.prod(_divisor(o) for o in op.operands) if op.name == "arith.muli" else 1
