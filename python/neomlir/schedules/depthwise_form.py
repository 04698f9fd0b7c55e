"""Which kernel is a depthwise convolution, which of its loops is which, and the zeros around its input."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Chunk
from neomlir.schedules.evaluate import Bound
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Part, Var, apply, of
from neomlir.schedules.kernel import DYNAMIC, Generic, Kernel
from neomlir.schedules.root import Root

TAPS = 9
"""The longest row of a window that is written out."""


def pad_of(kernel: Kernel) -> ir.Operation | None:
    """The pad that makes the input of the reduction, of zeros and static; None where there is none."""
    source = kernel.roots[0].inputs[0]
    if isinstance(source.owner, ir.Block) or source.owner.name != "tensor.pad":
        return None
    pad = source.owner.operation
    value = list(pad.regions[0].blocks[0].operations)[-1].operands[0]
    maker = value.owner
    is_zero = (
        not isinstance(maker, ir.Block)
        and maker.name == "arith.constant"
        and isinstance(maker.attributes["value"], ir.FloatAttr | ir.IntegerAttr)
        and maker.attributes["value"].value == 0
    )
    widths = [*pad.attributes["static_low"], *pad.attributes["static_high"]]
    if not is_zero or DYNAMIC in widths or None in static_shape(pad.operands[0])[1:]:
        raise NotApplicable("a border is not of zeros, or not static")
    return pad


@dataclass
class Border:
    """Zeros around the input that are in no memory."""

    low: list[int]
    sizes: list[int | None]
    """Extents of what is inside."""
    read: Bound
    buffer: ir.Value
    """What is inside."""

    @staticmethod
    def of(whole: Frame, part: Kernel, pad: ir.Operation) -> Border:
        """The border of `pad`, whose result the part reads out of the pad's source."""
        low = list(pad.attributes["static_low"])
        inner = pad.operands[0]

        def read(indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
            return whole.evaluator.at(inner, tuple(i + -n for i, n in zip(indices, low, strict=True)), chunk)

        return Border(low, static_shape(inner), read, whole.memory.of(inner))


@dataclass
class Window:
    """A loop of the result and the loop of the window that moves with it: the input is read at their sum."""

    loop: int
    tap: int
    stride: int
    dilation: int
    place: int
    """The dimension of the input."""
    taps: int

    @property
    def reach(self) -> int:
        """Elements of the input from the first tap to the last."""
        return (self.taps - 1) * self.dilation + 1


@dataclass
class Mix:
    """The channels of a group, of which each result reads all: as many as there are results in it."""

    tap: int
    """The loop over them."""
    size: int


@dataclass
class Form:
    """Which loop of a depthwise convolution is which."""

    root: Root
    channels: int
    row: Window
    """The window's extent along the innermost of the result's other dimensions."""
    others: list[Window]
    outer: list[int]
    """The loops of the result but the channels and that of `row`, outermost first."""
    mix: Mix | None = None
    """Where channels come in groups."""

    @property
    def generic(self) -> Generic:
        return self.root.generic

    @staticmethod
    def of(root: Root) -> Form:
        """Raises NotApplicable where the reduction is no depthwise convolution of static planes."""
        g = root.generic
        if root.product() is None:
            raise NotApplicable("the reduction is not a sum of products")
        order = [e.position if isinstance(e, ir.AffineDimExpr) else None for e in g.output_map().results]
        if None in order or len(order) < 2 or order != sorted(order):
            raise NotApplicable("the result is not written in the order of its loops")
        channels = order[-1]
        probes = [Var(None) for _ in range(g.rank)]
        source, filters = ([apply(e, [of(p) for p in probes]) for e in m.results] for m in g.maps[:2])
        if any(len(index.terms) > 1 for index in filters) or not filters[-1].is_(probes[channels]):
            raise NotApplicable("the filters' channels are not innermost")
        mix = Form._mix(g, source[-1], probes, channels)
        if mix is None and not source[-1].is_(probes[channels]):
            raise NotApplicable("the input's channels are not innermost")
        windows: dict[int, Window] = {}
        for place, index in enumerate(source[:-1]):
            used = [d for d, p in enumerate(probes) if index.uses(p)]
            taps = [d for d in used if g.reduction[d]]
            loops = [d for d in used if not g.reduction[d]]
            if not taps:
                continue
            if len(taps) != 1 or len(loops) != 1 or index.const or loops[0] == channels or g.extents[taps[0]] is None:
                raise NotApplicable("the input is read at no plain window")
            stride, dilation = index.terms.get(probes[loops[0]], 0), index.terms.get(probes[taps[0]], 0)
            if stride < 1 or dilation < 1:
                raise NotApplicable("a window moves backwards")
            windows[loops[0]] = Window(loops[0], taps[0], stride, dilation, place, g.extents[taps[0]])
        reduced = {d for d in range(g.rank) if g.reduction[d] and (mix is None or d != mix.tap)}
        rows = [d for d in order[:-1] if d in windows]
        if not rows or rows[-1] != order[-2] or {w.tap for w in windows.values()} != reduced:
            raise NotApplicable("no window moves along the result's rows")
        row = windows.pop(rows[-1])
        if g.extents[row.loop] is None or g.extents[channels] is None or row.taps > TAPS:
            raise NotApplicable("a row, or the channels, are dynamic, or the window is long")
        if any(g.extents[w.loop] is None for w in windows.values()):
            raise NotApplicable("a plane is dynamic")
        if any(len(dim.loops) > 1 for dim in root.dims):
            raise NotApplicable("loops of the result are walked together")
        loops = [d for d in range(g.rank) if any(index.uses(probes[d]) for index in filters)]
        if any(d != channels and not g.reduction[d] for d in loops):
            raise NotApplicable("the filters depend on the place")
        return Form(root, channels, row, [windows[d] for d in order if d in windows], order[:-2], mix)

    @staticmethod
    def _mix(g: Generic, last: Index, probes: list[Var], channels: int) -> Mix | None:
        """How `last`, the place among the input's channels, goes through the group of a result's channel."""
        whole = [v for v in last.terms if isinstance(v, Part) and v.kind == "floordiv"]
        taps = [d for d, probe in enumerate(probes) if g.reduction[d] and last.terms.get(probe) == 1]
        if last.const or len(last.terms) != 2 or len(whole) != 1 or len(taps) != 1:
            return None
        size = whole[0].divisor
        fits = whole[0].index.is_(probes[channels]) and last.terms[whole[0]] == size == g.extents[taps[0]]
        return Mix(taps[0], size) if fits and (g.extents[channels] or 1) % size == 0 else None
