"""Slice off what no window of a convolution or a pooling reaches."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register


@register
@dataclass(frozen=True)
class TrimWindows(ModulePass):
    """Give each `linalg.generic` only those places of its inputs that it reads, where it has one window along them.

    A window of 3 at a stride of 3 over 5 places is at one place, and the last two are not read. Upstream's
    `linalg-fold-unit-extent-dims` drops the loop over that one place, and takes the extent of the input, 5, for that
    of the window. A stride that stays (a window of 1) needs nothing: every other place of 8 are 4 places.
    """

    name = "neo-trim-windows"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        _trim(op)


def _trim(op: ir.Operation) -> None:
    maps = [a.value for a in op.attributes["indexing_maps"]]
    extents: dict[int, int] = {}
    for operand, map_ in zip(op.operands, maps, strict=True):
        if isinstance(operand.type, ir.RankedTensorType) and s.has_static_shape(operand):
            found = zip(s.positions(map_), s.shape(operand), strict=True)
            extents.update({loop: extent for loop, extent in found if loop is not None})
    for number, (operand, map_) in enumerate(zip(list(op.operands)[:-1], maps, strict=False)):
        if not isinstance(operand.type, ir.RankedTensorType) or not s.has_static_shape(operand):
            continue
        shape = s.shape(operand)
        read = [_read(e, size, extents) for e, size in zip(map_.results, shape, strict=True)]
        if read != shape:
            with ir.InsertionPoint(op), op.location:
                kind = ir.RankedTensorType.get(read, s.element_type(operand))
                zeros, ones = [0] * len(shape), [1] * len(shape)
                op.operands[number] = tensor.extract_slice(kind, operand, [], [], [], zeros, read, ones)


def _read(expr: ir.AffineExpr, size: int, extents: dict[int, int]) -> int:
    """How many of `size` places an index reaches; all where more than a loop stays without those of one step."""
    loops = s.uses_of(expr)
    if len(loops) < 2 or not all(loop in extents for loop in loops):
        return size
    longer = [loop for loop in loops if extents[loop] != 1]
    first, last = _last(expr, dict.fromkeys(loops, 1)), _last(expr, extents)
    if last is None or len(longer) > 1 or (longer and last - first != extents[longer[0]] - 1):
        return size
    return min(size, last + 1)


def _last(expr: ir.AffineExpr, extents: dict[int, int]) -> int | None:
    """The largest value of a sum of loops times constants that are not negative; None for another expression."""
    if isinstance(expr, ir.AffineDimExpr):
        return extents[expr.position] - 1
    if isinstance(expr, ir.AffineConstantExpr):
        return expr.value if expr.value >= 0 else None
    if isinstance(expr, ir.AffineAddExpr | ir.AffineMulExpr):
        left, right = _last(expr.lhs, extents), _last(expr.rhs, extents)
        if left is None or right is None:
            return None
        return left + right if isinstance(expr, ir.AffineAddExpr) else left * right
    return None
