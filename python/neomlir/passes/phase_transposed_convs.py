"""Compute a transposed convolution whose windows overlap phase by phase, without the zeros between its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.contraction import sums_products
from neomlir.passes.dataflow import indexing_maps, iterators
from neomlir.passes.layouts import pad_zeros
from neomlir.passes.reshapes import collapsed
from neomlir.passes.split_transposed_convs import kept_dims, move_epilogue, through_view, zeros


@register
@dataclass(frozen=True)
class PhaseTransposedConvs(ModulePass):
    """Rewrite a convolution over a tensor spread with zeros, s apart, as one over the inputs alone.

    Output pixel `s h + a` sees every s-th tap of the window only: those that stand on inputs. With the phase `a` as a
    loop of its own that is a convolution of stride 1 with `ceil(k / s)` taps, whose weights depend on the phase, into
    `[…, h, a, …]`, of which the output is the collapse: s times less arithmetic a dimension where s divides k. Where
    a phase has a tap less than others, that is zero. Where phases do not all start at one input, or, for s = 2, each at
    the next, or the output is no multiple of s, a few pixels more are computed. Static shapes only.
    """

    name = "neo-phase-transposed-convs"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        _split(op)


@dataclass(frozen=True)
class _Window:
    """A dimension with a window: loops of output and taps, the distance of inputs, and where the first one stands."""

    out: int
    tap: int
    taps: int
    stride: int
    offset: int
    extent: int
    size: int
    """Of the output that is computed, which the one wanted is part of."""
    before: int
    """Output pixels that are computed in front of it."""

    @staticmethod
    def of(out: int, tap: int, taps: int, stride: int, offset: int, extent: int, size: int) -> _Window:
        """With pixels before and behind the output of `size` where phases do not start as they must."""
        before = 0
        if size % stride or (stride > 2 and offset % stride != stride - 1):
            before = (stride - 1 - offset) % stride
        whole = -(-(size + before) // stride) * stride
        return _Window(out, tap, taps, stride, offset + before, extent, whole, before)

    @property
    def follows(self) -> bool:
        """Whether each phase starts an input after the one before."""
        return self.offset % self.stride != self.stride - 1

    @property
    def each(self) -> int:
        """Taps of a phase."""
        return -(-self.taps // self.stride)

    @property
    def border(self) -> tuple[int, int]:
        """Zeros before and behind the input that phases read."""
        low = self.offset // self.stride
        last = self.size // self.stride - 1 + self.each - 1 + self.follows * (self.stride - 1)
        return low, max(0, last - low - (self.extent - 1))


def _split(op: ir.Operation) -> None:
    if len(op.operands) != 3 or len(op.results) != 1 or s.is_parallel(op) or not sums_products(op):
        return
    maps = indexing_maps(op)
    spread, maps[0] = through_view(op.operands[0], maps[0])
    if spread is None or spread.name != "tensor.insert_slice" or not zeros(spread.operands[1]):
        return
    fill = s.maker(op.operands[2])
    places = [s.positions(map_) for map_ in maps]
    if fill is None or fill.name != "linalg.fill" or None in places[1] + places[2]:
        return
    windows = _windows(op, spread, maps)
    if not windows or not s.has_static_shape(op.operands[1]) or not any(w.stride > 1 for w in windows):
        return
    with ir.InsertionPoint(op), op.location:
        phases = _Phases(op, spread, maps, windows)
        flat = collapsed(phases.product(fill.operands[0]), phases.groups)
        result = phases.wanted(flat)
    s.replace(op, [result])
    if result == flat:
        move_epilogue(s.maker(flat), phases.groups)


def _windows(op: ir.Operation, spread: ir.Operation, maps: list[ir.AffineMap]) -> list[_Window]:
    """The dimensions with a window; none if any of them is not as the pass needs it."""
    source = spread.operands[0]
    offsets, sizes, strides = (
        list(ir.DenseI64ArrayAttr(spread.attributes[name]))
        for name in ("static_offsets", "static_sizes", "static_strides")
    )
    if not s.has_static_shape(source) or len(spread.operands) != 2 or kept_dims(sizes, s.shape(source)) is None:
        return []
    taps, out, kinds = s.positions(maps[1]), s.positions(maps[2]), iterators(op)
    found = []
    for dim, expr in enumerate(maps[0].results):
        loops = s.uses_of(expr)
        if len(loops) < 2:
            if offsets[dim] or strides[dim] != 1 or sizes[dim] != s.shape(spread.results[0])[dim]:
                return []
            continue
        tap = [loop for loop in loops if kinds[loop] == s.REDUCTION]
        pixel = [loop for loop in loops if loop in out]
        if len(tap) != 1 or len(pixel) != 1 or taps.count(tap[0]) != 1 or pixel[0] in taps:
            return []
        total = ir.AffineExpr.get_add(ir.AffineDimExpr.get(pixel[0]), ir.AffineDimExpr.get(tap[0]))
        if ir.AffineExpr.simplify_affine_expr(expr, len(kinds), 0) != total:
            return []
        count, size = s.shape(op.operands[1])[taps.index(tap[0])], s.shape(op.results[0])[out.index(pixel[0])]
        found.append(_Window.of(pixel[0], tap[0], count, strides[dim], offsets[dim], sizes[dim], size))
    return found


class _Phases:
    """The convolution with phases as loops: those of the output first, each with its phase behind it."""

    def __init__(self, op: ir.Operation, spread: ir.Operation, maps: list[ir.AffineMap], windows: list[_Window]):
        self.op, self.spread, self.maps = op, spread, maps
        self.by_out = {w.out: w for w in windows}
        self.by_tap = {w.tap: w for w in windows}
        self.loops: dict[tuple[int, bool], int] = {}
        """The new number of an old loop, and, with True, of its phase."""
        self.groups: list[list[int]] = []
        self.extents: list[int] = []
        for place, extent in zip(s.positions(maps[2]), s.shape(op.results[0]), strict=True):
            window = self.by_out.get(place)
            parts = [extent] if window is None else [window.size // window.stride, window.stride]
            parts = parts[:1] if window is not None and window.stride == 1 else parts
            for number in range(len(parts)):
                self.loops[place, bool(number)] = len(self.extents) + number
            self.groups.append(list(range(len(self.extents), len(self.extents) + len(parts))))
            self.extents += parts
        self.kinds = [s.PARALLEL] * len(self.extents)
        for loop, kind in enumerate(iterators(op)):
            if (loop, False) not in self.loops:
                self.loops[loop, False] = len(self.kinds)
                self.kinds.append(kind)

    def wanted(self, value: ir.Value) -> ir.Value:
        """The output in what is computed."""
        sizes = s.shape(self.op.results[0])
        if s.shape(value) == sizes:
            return value
        windows = [self.by_out.get(place) for place in s.positions(self.maps[2])]
        offsets = [0 if w is None else w.before for w in windows]
        return tensor.extract_slice(self.op.results[0].type, value, [], [], [], offsets, sizes, [1] * len(sizes))

    def _loop(self, loop: int, phase: bool = False) -> ir.AffineExpr:
        return ir.AffineDimExpr.get(self.loops[loop, phase])

    def product(self, zero: ir.Value) -> ir.Value:
        """The convolution of the padded input with the weights of the phases."""
        source, weight = self._input(), self._weights()
        count = len(self.kinds)
        empty = ir.Operation.create(
            "tensor.empty", results=[ir.RankedTensorType.get(self.extents, s.element_type(self.op.results[0]))]
        ).results[0]
        maps = [
            ir.AffineMap.get(count, 0, self._reads()),
            ir.AffineMap.get(count, 0, [*self._phase_loops(), *(self._loop(p) for p in s.positions(self.maps[1]))]),
            ir.AffineMap.get(count, 0, s.dims(range(len(self.extents)))),
        ]
        made, block = s.build_generic(
            [source, weight], [linalg.fill(zero, outs=[empty])], maps, self.kinds, self.op.location
        )
        arguments = self.op.regions[0].blocks[0].arguments
        s.yield_(block, s.copy_body(self.op, block, dict(zip(arguments, block.arguments, strict=True))))
        return made.results[0]

    def _kept(self) -> list[int]:
        """The dimensions of the spread tensor that its source has."""
        sizes = list(ir.DenseI64ArrayAttr(self.spread.attributes["static_sizes"]))
        return kept_dims(sizes, s.shape(self.spread.operands[0]))

    def _window_at(self, expr: ir.AffineExpr) -> _Window | None:
        return next((self.by_out[loop] for loop in s.uses_of(expr) if loop in self.by_out), None)

    def _input(self) -> ir.Value:
        windows = [self._window_at(expr) for expr in s.permuted(list(self.maps[0].results), self._kept())]
        low, high = zip(*(w.border if w is not None else (0, 0) for w in windows), strict=True)
        source = self.spread.operands[0]
        return pad_zeros(source, low, high) if any(low + high) else source

    def _reads(self) -> list[ir.AffineExpr]:
        old = {loop: self._loop(loop) for loop, phase in self.loops if not phase}
        by = [old[loop] for loop in range(len(old))]
        found = []
        for expr in s.permuted(list(self.maps[0].results), self._kept()):
            window = self._window_at(expr)
            read = expr.compose(ir.AffineMap.get(len(self.kinds), 0, by))
            if window is not None and window.follows and window.stride > 1:
                read = ir.AffineExpr.get_add(read, self._loop(window.out, True))
            found.append(read)
        return found

    def _phase_loops(self) -> list[ir.AffineExpr]:
        return [self._loop(w.out, True) for w in self.by_out.values() if w.stride > 1]

    def _weights(self) -> ir.Value:
        """The weights with their phases first: tap i of phase a is tap `s i + s - 1 - a`, or `s i + a`."""
        weight = self.op.operands[1]
        places, extents = s.positions(self.maps[1]), s.shape(weight)
        windows = [self.by_tap.get(place) for place in places]
        more = [0 if w is None else w.each * w.stride - w.taps for w in windows]
        if any(more):
            weight = pad_zeros(weight, [0] * len(more), more)
        phased = [w for w in self.by_out.values() if w.stride > 1]
        shape = [w.stride for w in phased]
        shape += [extent if w is None else w.each for w, extent in zip(windows, extents, strict=True)]
        reads = []
        for d, window in enumerate(windows):
            expr = ir.AffineDimExpr.get(len(phased) + d)
            if window is not None and window.stride > 1:
                phase = ir.AffineDimExpr.get(phased.index(window))
                first = ir.AffineExpr.get_mul(expr, ir.AffineConstantExpr.get(window.stride))
                if not window.follows:
                    phase = ir.AffineExpr.get_add(ir.AffineConstantExpr.get(window.stride - 1), -1 * phase)
                expr = ir.AffineExpr.get_add(first, phase)
            reads.append(expr)
        kind = ir.RankedTensorType.get(shape, s.element_type(weight))
        empty = ir.Operation.create("tensor.empty", results=[kind]).results[0]
        maps = [ir.AffineMap.get(len(shape), 0, reads), ir.AffineMap.get_identity(len(shape))]
        made, block = s.build_generic([weight], [empty], maps, [s.PARALLEL] * len(shape), self.op.location)
        s.yield_(block, [block.arguments[0]])
        return made.results[0]
