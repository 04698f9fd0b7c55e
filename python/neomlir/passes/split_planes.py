"""Convolutions over three dimensions as sums of some over two, which Winograd's algorithm is for."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import Contraction, starts_from_zero
from neomlir.passes.layouts import pad_zeros, pads_zeros
from neomlir.schedules.winograd_math import TAPS
from neomlir.schedules.winograd_plan import Shape, choose, is_exact


@dataclass
class Volume:
    """`y[n…, t, h, w, k] = sum(x[n…, t + e, h + a, w + b, c] * filters[k, c, e, a, b])`, filters in any order."""

    found: Contraction
    depth: int
    """The dimension of x that t walks."""
    tap: int
    """The loop e."""
    planes: dict[int, int]
    """The loops h and w by the dimensions of x that they walk."""
    shape: Shape

    @staticmethod
    def match(op: ir.Operation, constants: Constants) -> Volume | None:
        """`op` as such a convolution in f32 of stride 1, with 3x3 points of each plane; None if it is none."""
        found = Contraction.match(op)
        if found is None or found.depthwise or not constants.weights(op.operands[found.b]) or not starts_from_zero(op):
            return None
        if not all(s.has_static_shape(v) and isinstance(s.element_type(v), ir.F32Type) for v in op.operands):
            return None
        source, out, filters = found.maps[found.a], s.positions(found.maps[2]), s.positions(found.maps[found.b])
        if None in filters or None in out or out[-1] != found.n or s.positions(source)[-1] not in found.reductions:
            return None
        windows: dict[int, tuple[int, int]] = {}
        for place, e in enumerate(source.results):
            used = s.uses_of(e)
            if len(used) == 1 and isinstance(e, ir.AffineDimExpr):
                continue
            loop = next((d for d in used if d in out), None)
            tap = next((d for d in used if d in found.reductions), None)
            if len(used) != 2 or None in (loop, tap) or str(e) not in (f"d{loop} + d{tap}", f"d{tap} + d{loop}"):
                return None
            windows[place] = (loop, tap)
        if len(windows) != 3 or len(found.reductions) != 4:
            return None
        (depth, (_, tap)), *others = sorted(windows.items())
        if any(found.extents[t] != TAPS for _, (_, t) in others) or [loop for _, (loop, _) in others] != out[-3:-1]:
            return None
        h, w = (found.extents[loop] for loop in out[-3:-1])
        planes = 1
        for loop in out[:-3]:
            planes *= found.extents[loop]
        channels = found.extents[s.positions(source)[-1]]
        shape = Shape(h, w, channels, found.extents[found.n], planes)
        return Volume(found, depth, tap, {place: loop for place, (loop, _) in others}, shape)


def split_planes(function: ir.Operation, target) -> None:
    """Write each convolution over volumes as a sum over the taps of their first dimension, where Winograd's is faster.

    What a tap reads of the input is a slice, and so are its filters. The input is padded for whole tiles.
    """
    constants = Constants.of(function)
    for op in s.operations(function):
        volume = Volume.match(op, constants) if op.name == "linalg.generic" else None
        m = None if volume is None else choose(target, volume.shape)
        # Errors of the sums add up.
        if m is not None and is_exact(m, volume.shape.inputs * volume.found.extents[volume.tap]):
            _split(volume, m)


def _split(volume: Volume, m: int) -> None:
    found, op = volume.found, volume.found.op
    extents, tap = found.extents, volume.tap
    left = [loop for loop in range(len(extents)) if loop != tap]
    by = s.dims(left.index(loop) if loop != tap else 0 for loop in range(len(extents)))
    by[tap] = ir.AffineConstantExpr.get(0)
    at = s.positions(found.maps[found.b]).index(tap)
    maps = [s.substitute(map_, by, len(left)) for map_ in found.maps]
    maps[found.b] = ir.AffineMap.get(len(left), 0, [e for d, e in enumerate(maps[found.b].results) if d != at])
    kinds = [found.kinds[loop] for loop in left]
    result = s.shape(op.results[0])
    with ir.InsertionPoint(op), op.location:
        source = _padded(volume, m)
        depth = s.shape(source)[volume.depth] - extents[tap] + 1
        total = None
        for number in range(extents[tap]):
            operands = list(op.operands)
            operands[found.a] = _slice(source, volume.depth, number, depth)
            operands[found.b] = _slice(operands[found.b], at, number, None)
            new, block = s.build_generic(operands[:2], operands[2:], maps, kinds, op.location)
            s.clone_body(op, block)
            total = new.results[0] if total is None else _sum(new.results[0], total, result)
    s.replace(op, [total])


def _padded(volume: Volume, m: int) -> ir.Value:
    """The input, large enough for whole tiles: a pad of zeros before it becomes larger, or there is a new one."""
    source = volume.found.op.operands[volume.found.a]
    extents = s.shape(source)
    high = [0] * len(extents)
    for place, loop in volume.planes.items():
        high[place] = max(0, -(-volume.found.extents[loop] // m) * m + TAPS - 1 - extents[place])
    if not any(high):
        return source
    pad = s.maker(source)
    if not pads_zeros(pad) or not s.one_use(source):
        return pad_zeros(source, [0] * len(high), high)
    low, before = (list(ir.DenseI64ArrayAttr(pad.attributes[f"static_{side}"])) for side in ("low", "high"))
    return pad_zeros(pad.operands[0], low, [x + y for x, y in zip(before, high, strict=True)])


def _slice(value: ir.Value, at: int, start: int, count: int | None) -> ir.Value:
    """`count` places of dimension `at` from `start` on; None: one, without the dimension."""
    extents = s.shape(value)
    sizes = [extent if d != at else count or 1 for d, extent in enumerate(extents)]
    kept = [size for d, size in enumerate(sizes) if d != at or count is not None]
    offsets = [start if d == at else 0 for d in range(len(extents))]
    kind = ir.RankedTensorType.get(kept, s.element_type(value))
    return tensor.ExtractSliceOp(kind, value, [], [], [], offsets, sizes, [1] * len(extents)).result


def _sum(x: ir.Value, y: ir.Value, shape: list[int]) -> ir.Value:
    identity = ir.AffineMap.get_identity(len(shape))
    empty = ir.Operation.create("tensor.empty", results=[x.type]).results[0]
    op, block = s.build_generic([x, y], [empty], [identity] * 3, [s.PARALLEL] * len(shape), ir.Location.current)
    with ir.InsertionPoint(block):
        linalg.YieldOp([arith.AddFOp(block.arguments[0], block.arguments[1]).result])
    return op.results[0]
