"""Windows over an input with a border that changes nothing: extremes, where it is of what loses against every number.

The border is in no memory. What a window would read of it is read from the nearest place inside instead, which
belongs to the same window, so that its element is met twice.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Builder, Chunk
from neomlir.schedules.combine import combinations
from neomlir.schedules.evaluate import Bound
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import DYNAMIC, Generic

_EXTREMES = ("arith.maximumf", "arith.maxnumf", "arith.maxsi", "arith.maxui")


def loses(pad: ir.Operation, reduction: ir.Operation) -> bool:
    """Whether `reduction`, a `linalg.generic`, takes the largest of windows of its first input, the result of `pad`,
    of which each holds an element of the pad's source besides what loses against it."""
    generic = Generic(reduction)
    ways = combinations(generic)
    if ways is None or len(ways) != 1 or ways[0].name not in _EXTREMES or len(pad.operands) > 1:
        return False
    if ways[0].value != generic.body.arguments[0]:
        return False
    low, high = list(pad.attributes["static_low"]), list(pad.attributes["static_high"])
    value = list(pad.regions[0].blocks[0].operations)[-1].operands[0]
    if DYNAMIC in (*low, *high) or None in static_shape(pad.results[0]) or isinstance(value.owner, ir.Block):
        return False
    if value.owner.name != "arith.constant" or not _is_least(value.owner.attributes["value"], ways[0].name):
        return False
    probes = [Var(None) for _ in range(generic.rank)]
    for expr, before, behind in zip(generic.maps[0].results, low, high, strict=True):
        if min(before, behind) < 0:
            return False
        if not before and not behind:
            continue
        place = apply(expr, [of(p) for p in probes])
        used = [d for d, p in enumerate(probes) if place.uses(p)]
        taps = [d for d in used if generic.reduction[d]]
        if len(taps) != 1 or len(used) != 2 or place.const or place.terms.get(probes[taps[0]]) != 1:
            return False
        extent = generic.extents[taps[0]]
        if extent is None or max(before, behind) >= extent:
            return False
    return True


def _is_least(value: ir.Attribute, name: str) -> bool:
    if isinstance(value, ir.FloatAttr):
        return value.value == float("-inf")
    width = ir.IntegerType(value.type).width
    return value.value % (1 << width) == (0 if name == "arith.maxui" else 1 << (width - 1))


class Border:
    """The border around the first input of a kernel's reduction."""

    def __init__(self, pad: ir.Operation):
        self.pad = pad
        self.low, self.high = (list(pad.attributes[f"static_{end}"]) for end in ("low", "high"))
        self.sizes = static_shape(pad.operands[0])

    def reader(self, whole: Frame) -> Bound:
        """Reads the pad's result out of its source."""
        b, inner = whole.b, self.pad.operands[0]

        def read(indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
            places = [
                inside(b, index + -low, size) if low or high else index
                for index, low, high, size in zip(indices, self.low, self.high, self.sizes, strict=True)
            ]
            return whole.evaluator.at(inner, tuple(places), chunk)

        return read

    def clear(self, reduction: Generic, loop: int, starts: list[int]) -> tuple[int, int]:
        """Strips of a loop of the result that meet no border, of those between neighbours of `starts`: the first, and
        the first behind them."""
        probes = [Var(None) for _ in range(reduction.rank)]
        found = list(range(len(starts) - 1))
        for d, expr in enumerate(reduction.maps[0].results):
            place = apply(expr, [of(p) for p in probes])
            stride = place.terms.get(probes[loop], 0)
            if not stride or not (self.low[d] or self.high[d]):
                continue
            reach = sum(reduction.extents[tap] - 1 for tap, p in enumerate(probes) if tap != loop and place.uses(p))
            first, end = self.low[d], self.low[d] + self.sizes[d]
            found = [t for t in found if starts[t] * stride >= first and (starts[t + 1] - 1) * stride + reach < end]
        return (found[0], found[-1] + 1) if found else (0, 0)


def inside(b: Builder, index: Index, size: int) -> Index:
    """The nearest place of `size` to an index."""
    low, high = index.bounds()
    if low is not None and high is not None and low >= 0 and high < size:
        return index
    if index.lane:
        raise NotApplicable("a border lies along a vector")
    if index.constant is not None:
        return Index({}, min(max(index.const, 0), size - 1))
    at = b.compute(index)
    if low is None or low < 0:
        at = b.max(at, 0)
    if high is None or high >= size:
        at = b.min(at, size - 1)
    return of(Var(b.size(at), 1, 0, size - 1))
