"""Results cut into boxes that are each computed one way: the pieces of a pad, a concatenation, an inserted slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.builder import Size
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import dropped, same

Places = tuple[Index, ...]


def _here(indices: Places) -> Places:
    return indices


@dataclass(frozen=True)
class Write:
    """What is written into result `result` at a point: an element of `value`, or `scalar`."""

    result: int
    value: ir.Value | None
    scalar: ir.Value | None = None
    read: Callable[[Places], Places] = _here
    """The place in `value`, from a point of the box."""
    place: Callable[[Places], Places] = _here
    """The place in the result."""


@dataclass(frozen=True)
class Box:
    """A box of points, and what is written at each."""

    sizes: list[Size]
    writes: list[Write]
    overlaps: bool = False
    """Whether an earlier box writes to the same places, so that the order counts."""


def all_boxes(frame: Frame) -> list[Box]:
    """The boxes of all results: one for all those of one shape that are computed point by point."""
    found: list[Box] = []
    plain: dict[tuple, list[int]] = {}
    for i, result in enumerate(frame.kernel.results):
        owner = result.owner
        name = "" if isinstance(owner, ir.Block) else owner.name
        if name == "tensor.pad":
            found.extend(_pad(frame, i, owner))
        elif name == "tensor.concat":
            found.extend(_concat(frame, i, owner))
        elif name == "tensor.insert_slice":
            found.extend(_insert(frame, i, owner))
        else:
            plain.setdefault(tuple(static_shape(result)), []).append(i)
    for which in plain.values():
        sizes = frame.sizes(frame.kernel.destinations[which[0]])
        found.append(Box(sizes, [Write(i, frame.kernel.results[i]) for i in which]))
    return found


def _index(size: Size) -> Index:
    return Index({}, size) if isinstance(size, int) else of(Var(size))


def _shift(offsets: list[Index]) -> Callable[[Places], Places]:
    return lambda indices: tuple(i + o for i, o in zip(indices, offsets, strict=True))


def _around(
    frame: Frame, whole: list[Size], low: list[Size], inner: list[Size], write: Callable[[list[Index]], Write]
) -> list[Box]:
    """The boxes of `whole` outside of the box of extents `inner` at `low`, two a dimension."""
    b, found = frame.b, []
    offsets: list[Size] = [0] * len(whole)
    extents = list(whole)
    for d in range(len(whole)):
        after = b.add(low[d], inner[d])
        for start, size in ((0, low[d]), (after, b.sub(whole[d], after))):
            if isinstance(size, int) and size <= 0:
                continue
            here = [*offsets[:d], start, *offsets[d + 1 :]]
            found.append(Box([*extents[:d], size, *extents[d + 1 :]], [write([_index(o) for o in here])]))
        offsets[d], extents[d] = low[d], inner[d]
    return found


def _pad(frame: Frame, i: int, op: ir.Operation) -> list[Box]:
    source = op.operands[0]
    low, _, _ = frame.evaluator.pad_parts(op)
    return [
        Box(frame.sizes(source), [Write(i, source, place=_shift([_index(o) for o in low]))]),
        *_border(frame, i, op),
    ]


def _border(frame: Frame, i: int, op: ir.Operation) -> list[Box]:
    low, _, value = frame.evaluator.pad_parts(op)
    whole, inner = frame.sizes(frame.kernel.destinations[i]), frame.sizes(op.operands[0])
    return _around(frame, whole, low, inner, lambda offsets: Write(i, None, value, place=_shift(offsets)))


def borders(frame: Frame) -> list[Box]:
    """The boxes around those results that are pads of what the kernel computes."""
    pads = [(i, r.owner) for i, r in enumerate(frame.kernel.results) if not isinstance(r.owner, ir.Block)]
    return [box for i, op in pads if op.name == "tensor.pad" for box in _border(frame, i, op)]


def _concat(frame: Frame, i: int, op: ir.Operation) -> list[Box]:
    d = op.attributes["dim"].value
    offset: Size = 0
    found = []
    for operand in op.operands:
        sizes = frame.sizes(operand)
        offsets = [_index(offset) if k == d else Index() for k in range(len(sizes))]
        found.append(Box(sizes, [Write(i, operand, place=_shift(offsets))]))
        offset = frame.b.add(offset, sizes[d])
    if d == len(sizes) - 1 and all(isinstance(n, int) and box.sizes == sizes for box in found for n in box.sizes):
        # Rows of the result are written from end to end, and not a piece of every row after the other.
        return [Box(sizes, [write for box in found for write in box.writes])]
    return found


def _insert(frame: Frame, i: int, op: ir.Operation) -> list[Box]:
    """An inserted slice, or a chain of them: what lies around it in the destination, and the slice."""
    chain = [op]
    base = same(op.operands[1])
    while not isinstance(base.owner, ir.Block) and base.owner.name == "tensor.insert_slice":
        chain.append(base.owner)
        base = same(base.owner.operands[1])
    slices, regions = [], []
    for each in reversed(chain):
        offsets, sizes, strides = frame.evaluator.slice_parts(each)
        gone = dropped(each)
        source = [size for d, size in enumerate(sizes) if d not in gone]

        def place(indices: Places, each=each) -> Places:
            return frame.evaluator.slice(each, indices)

        slices.append(Box(source, [Write(i, each.operands[0], place=place)]))
        regions.append((offsets, sizes, strides))
    whole = frame.sizes(frame.kernel.destinations[i])
    if _cover(whole, regions) or (_empty(base) and _disjoint(regions)):
        return slices
    if len(chain) == 1 and all(s == 1 for s in regions[0][2]):
        offsets, sizes, _ = regions[0]
        low = [o.const if o.constant is not None else frame.b.compute(o) for o in offsets]

        def write(places: list[Index]) -> Write:
            shift = _shift(places)
            return Write(i, base, read=shift, place=shift)

        return [*slices, *_around(frame, whole, low, sizes, write)]
    under = Box(whole, [Write(i, base)], overlaps=True)
    return [under, *(Box(s.sizes, s.writes, overlaps=True) for s in slices)]


def _empty(base: ir.Value) -> bool:
    return not isinstance(base.owner, ir.Block) and base.owner.name == "tensor.empty"


def _static(regions: list) -> list[list[tuple[int, int]]] | None:
    """The half-open ranges of each region, or None where they are not static and dense."""
    found = []
    for offsets, sizes, strides in regions:
        if any(s != 1 for s in strides) or not all(isinstance(n, int) for n in sizes):
            return None
        if any(o.constant is None for o in offsets):
            return None
        found.append([(o.const, o.const + n) for o, n in zip(offsets, sizes, strict=True)])
    return found


def _disjoint(regions: list) -> bool:
    ranges = _static(regions)
    if ranges is None:
        return len(regions) == 1
    return all(
        any(high <= start or end <= low for (low, high), (start, end) in zip(a, c, strict=True))
        for k, a in enumerate(ranges)
        for c in ranges[:k]
    )


def _cover(whole: list[Size], regions: list) -> bool:
    """Whether disjoint regions fill the whole."""
    ranges = _static(regions)
    if ranges is None or not all(isinstance(n, int) for n in whole) or not _disjoint(regions):
        return False
    volume = 0
    for region in ranges:
        points = 1
        for low, high in region:
            points *= high - low
        volume += points
    total = 1
    for n in whole:
        total *= n
    return volume == total
