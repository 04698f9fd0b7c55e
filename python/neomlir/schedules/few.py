"""Results that end in a dimension of a few places, of operands that lie along the one before: planes put together.

A vector of neighbouring points is computed for each of the places; shuffles put these together to as many vectors,
which follow each other in the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from neomlir.mlir import ir
from neomlir.schedules.builder import Chunk, Size
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.merged import point
from neomlir.schedules.nest import blocks, lane_index
from neomlir.schedules.root import linear

if TYPE_CHECKING:
    from neomlir.schedules.points import Points

_SHARE = 2
"""Places, at most, as a share of the lanes: each of as many vectors takes one shuffle less, of two registers."""


def fits(points: Points) -> bool:
    """Whether the points of a box are such a result."""
    sizes, frame = points.sizes, points.frame
    if len(sizes) < 2 or points.turned != len(sizes) - 2 or not all(isinstance(size, int) for size in sizes):
        return False
    few = sizes[-1]
    if frame.b.scalable or not 2 <= few <= points.lanes // _SHARE or sizes[-2] < points.lanes:
        return False
    variables = [Var(None) for _ in sizes]
    probes, (*_, across, along) = [of(variable) for variable in variables], variables
    here = point(len(points.shape), points.groups, probes)
    for write in points.box.writes:
        kind = frame.kernel.destinations[write.result].type
        if write.value is None or not kind.has_static_shape or kind.element_type == frame.b.i1:
            return False
        place = linear(write.place(here), kind.shape)
        if (place.terms.get(across), place.terms.get(along)) != (few, 1) or not set(place.terms) <= set(variables):
            return False
        for value, access in frame.kernel.leaves(write.value, write.read(here)):
            if value is None or not _is_along(access, across):
                return False
    return True


def _is_along(access: tuple[Index, ...], variable: Var) -> bool:
    """Whether a place moves by one with a variable, or not at all."""
    moving = [index for index in access if index.uses(variable)]
    return not moving or (len(moving) == 1 and access[-1] is moving[0] and moving[0].terms.get(variable) == 1)


def items(points: Points, target: int):
    """The sizes of the work items, of about so many points, and what an item does."""
    b, sizes, lanes = points.frame.b, points.sizes, points.lanes
    *outer, across, few = sizes
    cut, block = blocks([*outer, across], max(1, target // few), lanes)
    number = b.ceildiv(sizes[cut], block)

    def item(indices: list[Index]) -> None:
        low: Size = 0
        high: Size = sizes[cut]
        if number != 1:
            low = b.compute(indices[-1] * block)
            high = b.min(b.add(low, block), high)
        inside(indices[:-1], low, high)

    def inside(outer: list[Index], low: Size, high: Size) -> None:
        if len(outer) < len(sizes) - 2:
            b.loop(low, high, 1, lambda i: inside([*outer, i], 0, sizes[len(outer) + 1]))
            return
        full = across // lanes * lanes
        b.loop(low, b.min(high, full), lanes, lambda i: _together(points, outer, i))
        if full == across:
            return
        points.turned, turned = None, points.turned
        b.loop(b.max(low, full), high, 1, lambda i: points.inside([*outer, i], 0, few))
        points.turned = turned

    return [*sizes[:cut], number], item


def _together(points: Points, outer: list[Index], base: Index) -> None:
    """The points of a vector from `base` on, at all places."""
    frame, few, lanes = points.frame, points.sizes[-1], points.lanes
    b, memory, chunk = frame.b, frame.memory, Chunk(lanes)

    def at(across: Index, place: int) -> tuple[Index, ...]:
        return point(len(points.shape), points.groups, [*outer, across, Index({}, place)])

    with b.scope():
        for write in points.box.writes:
            found = []
            for place in range(few):
                value = frame.evaluator.at(write.value, write.read(at(lane_index(base, lanes), place)), chunk)
                found.append(b.splat(value, lanes))
            destination = frame.kernel.destinations[write.result]
            start = linear(write.place(at(base, 0)), destination.type.shape)
            for number, vector in enumerate(_interleaved(b.shuffle, found, lanes)):
                memory.store_flat(memory.of(destination), start + number * lanes, chunk, vector)


def _interleaved(shuffle: Callable[..., ir.Value], vectors: list[ir.Value], lanes: int) -> list[ir.Value]:
    """Vectors of which the first is the first lanes of all, then their second ones, and so on."""
    few, found = len(vectors), []
    for number in range(few):
        lane, place = zip(*(divmod(number * lanes + i, few) for i in range(lanes)), strict=True)
        made = vectors[0]
        for k in range(1, few):
            # What is there already stays, but for the first time, when it is looked up as well.
            before = lane if k == 1 else range(lanes)
            made = shuffle(made, vectors[k], [lanes + lane[i] if place[i] == k else before[i] for i in range(lanes)])
        found.append(made)
    return found
