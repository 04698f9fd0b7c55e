"""Compute a transposed convolution whose windows overlap phase by phase, without the zeros between its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import iterators
from neomlir.passes.layouts import pad_zeros
from neomlir.passes.reshapes import collapsed
from neomlir.passes.spread import Spread, Window, move_epilogue


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
                    _split(op)


@dataclass(frozen=True)
class _Window(Window):
    """With the offset and the output that are computed, which the output wanted is part of."""

    before: int
    """Output pixels that are computed in front of it."""

    @staticmethod
    def of(plain: Window) -> _Window:
        """With pixels before and behind the output where phases do not start as they must."""
        stride, offset, size, before = plain.stride, plain.offset, plain.size, 0
        if size % stride or (stride > 2 and offset % stride != stride - 1):
            before = (stride - 1 - offset) % stride
        whole = -(-(size + before) // stride) * stride
        return _Window(plain.out, plain.tap, plain.taps, stride, offset + before, plain.extent, whole, before)

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
    spread = Spread.of(op)
    if spread is None or spread.lost or None in s.positions(spread.maps[1]) or not s.has_static_shape(op.operands[1]):
        return
    if all(window.stride == 1 for window in spread.windows):
        return
    with ir.InsertionPoint(op), op.location:
        phases = _Phases(spread)
        flat = collapsed(phases.product(), phases.groups)
        result = phases.wanted(flat)
    s.replace(op, [result])
    if result == flat:
        move_epilogue(s.maker(flat), phases.groups)


class _Phases:
    """The convolution with phases as loops: those of the output first, each with its phase behind it."""

    def __init__(self, spread: Spread):
        self.op, self.spread, self.maps = spread.op, spread, spread.maps
        windows = [_Window.of(window) for window in spread.windows]
        self.by_out = {w.out: w for w in windows}
        self.by_tap = {w.tap: w for w in windows}
        self.loops: dict[tuple[int, bool], int] = {}
        """The new number of an old loop, and, with True, of its phase."""
        self.groups: list[list[int]] = []
        self.extents: list[int] = []
        for place, extent in zip(s.positions(self.maps[2]), s.shape(self.op.results[0]), strict=True):
            window = self.by_out.get(place)
            parts = [extent] if window is None else [window.size // window.stride, window.stride]
            parts = parts[:1] if window is not None and window.stride == 1 else parts
            for number in range(len(parts)):
                self.loops[place, bool(number)] = len(self.extents) + number
            self.groups.append(list(range(len(self.extents), len(self.extents) + len(parts))))
            self.extents += parts
        self.kinds = [s.PARALLEL] * len(self.extents)
        for loop, kind in enumerate(iterators(self.op)):
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

    def product(self) -> ir.Value:
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
            [source, weight], [linalg.fill(self.spread.zero, outs=[empty])], maps, self.kinds, self.op.location
        )
        s.clone_body(self.op, block)
        return made.results[0]

    def _window_at(self, expr: ir.AffineExpr) -> _Window | None:
        return next((self.by_out[loop] for loop in s.uses_of(expr) if loop in self.by_out), None)

    def _input(self) -> ir.Value:
        windows = [self._window_at(expr) for expr in s.permuted(list(self.maps[0].results), self.spread.kept)]
        low, high = zip(*(w.border if w is not None else (0, 0) for w in windows), strict=True)
        source = self.spread.source
        return pad_zeros(source, low, high) if any(low + high) else source

    def _reads(self) -> list[ir.AffineExpr]:
        old = {loop: self._loop(loop) for loop, phase in self.loops if not phase}
        by = [old[loop] for loop in range(len(old))]
        found = []
        for expr in s.permuted(list(self.maps[0].results), self.spread.kept):
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
