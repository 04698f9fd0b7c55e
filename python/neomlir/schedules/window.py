"""The schedule of reductions that keep a contiguous dimension: depthwise convolution, pooling, sums over rows.

Channels are walked in vectors. A register tile is several neighbouring points of the result, and the window's loops
are written out around it, so that an input that several of them read is loaded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules import largest, tall
from neomlir.schedules.accumulate import Accumulator
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.bordered import Border, loses
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Size, Tile
from neomlir.schedules.bypass import items
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.largest import Largest
from neomlir.schedules.nest import Strips, amid, blocks, vectors
from neomlir.schedules.parts import PartFrame, cut
from neomlir.schedules.points import Points
from neomlir.schedules.root import Dim, Root
from neomlir.schedules.tall import Tall

_ITEM = 50_000
"""Multiply-adds of a work item, about."""
_UNROLL = 10
"""Steps of the reduction that are written out, at most."""


class Window(Schedule):
    name = "window"
    order = 200
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1

    def build(self, kernel: Kernel, target) -> ir.Operation:
        pad = _pad_of(kernel)
        if pad is None:
            root = Root(kernel)
            columns = _columns(root)
            return Frame(kernel, target).made_by(lambda frame: Nest(frame, root, columns).emit())
        part = cut(kernel, [pad.results[0]], kernel.results)
        try:
            root = Root(part)
            columns = _columns(root)
            return Frame(kernel, target).made_by(lambda whole: _bordered(whole, part, pad, root, columns))
        finally:
            part.func.erase()


def _pad_of(kernel: Kernel) -> ir.Operation | None:
    """The pad around the input of the reduction; None where there is none."""
    (root,) = kernel.roots
    source = root.inputs[0] if root.inputs else None
    if source is None or isinstance(source.owner, ir.Block) or source.owner.name != "tensor.pad":
        return None
    if not loses(source.owner.operation, root.op):
        raise NotApplicable("a border is not left out")
    return source.owner.operation


def _bordered(whole: Frame, part: Kernel, pad: ir.Operation, root: Root, columns: Dim) -> None:
    """The loops of a `part` of a kernel, whose input is the kernel's and has a border in no memory."""
    results = [whole.destination(i) for i in range(len(part.results))]
    frame = PartFrame(whole, part, [whole.memory.of(pad.operands[0]), *results], {})
    part.space, part.taken, part.given = whole.kernel.space, whole.kernel.taken, whole.kernel.given
    border = Border(pad)
    frame.evaluator.bound[root.generic.inputs[0]] = border.reader(whole)
    Nest(frame, root, columns, border).emit()


def _columns(root: Root) -> Dim:
    """The dimension that is vectorised: contiguous wherever it is read, and in the results where possible."""
    inputs = range(len(root.generic.inputs))
    fit = [
        (dim is root.dims[-1], i)
        for i, dim in enumerate(root.dims)
        if (dim.size is None or dim.size > 1)
        and any(root.depends(o, dim) for o in inputs)
        and all(root.contiguous(o, dim) for o in inputs if root.depends(o, dim))
    ]
    if not fit:
        raise NotApplicable("no dimension of the result lies contiguous in the inputs")
    return root.dims[max(fit)[1]]


class Nest:
    """The loops: rows of the result outside, register tiles along the last of them, channels inside."""

    def __init__(self, frame: Frame, root: Root, columns: Dim, border: Border | None = None):
        b, self.border = frame.b, border
        self.frame, self.root, self.columns, self.b = frame, root, columns, b
        self.rows = [d for d in root.dims if d is not columns]
        sizes = root.generic.sizes()
        self.size: dict[int, Size] = {}
        for dim in root.dims:
            size: Size = 1
            for d in dim.loops:
                size = b.mul(size, frame.memory.dim(*sizes[d], frame.evaluator))
            self.size[id(dim)] = size
        unrolled = self._written_out()
        self.sums = (Largest if largest.takes(frame, root, unrolled) else Accumulator)(frame, root, unrolled)
        self.depth = math.prod(root.extents[d] or 64 for d in root.reduced)
        self.lanes = frame.machine.lanes(frame.kernel.element_bits)
        self.usual = frame.machine.usual_lanes(frame.kernel.element_bits)
        panel = root.panel(columns)
        if b.scalable and (panel is not None or (columns.size is not None and columns.size < self.lanes)):
            raise NotApplicable("the columns fill no scalable vector")
        if panel is not None:
            self.lanes = math.gcd(self.lanes, panel)
        if columns.size is not None and columns.size < self.lanes:
            self.lanes = 1 << (columns.size - 1).bit_length()
        self.usual = self.usual if b.scalable else self.lanes
        results = len(root.generic.results)
        free = max(2, (frame.machine.registers * 5 // 8) // results)
        reused = bool(self.sums.unrolled)
        height = max(1, free // 2) if reused and self.rows else 1
        alone = sum(root.generic.used[: len(root.generic.inputs)]) == 1
        if self.rows and reused and (isinstance(self.sums, Largest) or not self._overlap(2 if alone else 1)):
            # Long runs of memory first; what windows share is little.
            height = 2 if self._overlap() else 1
        # The largest of a window is held in few registers.
        held = 16 if isinstance(self.sums, Largest) and height > 1 else free
        self.vectors = max(v for v in (1, 2, 4, 8) if v * height <= max(held, height))
        if columns.size is not None:
            self.vectors = min(self.vectors, max(1, columns.size // self.usual))
        most = 8 if columns.size is None else max(1, columns.size // self.usual)
        ask = frame.kernel.parameter
        self.vectors = ask("vectors", self.vectors, [v for v in (1, 2, 3, 4, 6, 8) if v <= most])
        if self.rows:
            tall = [r for r in (1, 2, 3, 4, 6, 8, 12) if r * self.vectors * results < frame.machine.registers]
            self.strips = Strips(b, self.size[id(self.rows[-1])], ask("rows", min(height, 8), tall))

    def _overlap(self, times: int = 1) -> bool:
        """Whether a result shares elements of the first input with `times` that follow it along the rows, or more."""
        g, loop = self.root.generic, self.rows[-1].loops[-1]
        probes = [Var(None) for _ in range(g.rank)]
        for expr in g.maps[0].results:
            place = apply(expr, [of(p) for p in probes])
            taps = [(d, place.terms[p]) for d, p in enumerate(probes) if d in self.root.reduced and p in place.terms]
            if taps and place.uses(probes[loop]):
                if any(self.root.extents[d] is None for d, _ in taps):
                    return True
                reach = sum(step * (self.root.extents[d] - 1) for d, step in taps)
                return reach >= times * place.terms.get(probes[loop], 0)
        return False

    def _written_out(self) -> frozenset[int]:
        """The innermost loops of the reduction, as long as few enough steps come of it."""
        found: list[int] = []
        steps = 1
        for d in reversed(self.root.reduced):
            extent = self.root.extents[d]
            if extent is None or steps * extent > _UNROLL:
                break
            steps *= extent
            found.append(d)
        return frozenset(found)

    def item(self) -> int:
        """Multiply-adds of a work item, about."""
        return self.frame.kernel.parameter("item", _ITEM, (_ITEM // 4, _ITEM * 4))

    def emit(self) -> None:
        around = [Points(self.frame, box, ask=False).items() for box in borders(self.frame)]
        main = Tall(self).items() if tall.fits(self) else self._items()
        items(self.frame, amid(around, main))

    def _items(self):
        """The sizes of the work items, and what an item does."""
        b = self.b
        steps: list[Size] = [self.size[id(d)] for d in self.rows[:-1]]
        height = 1
        if self.rows:
            steps.append(self.strips.count)
            height = self.strips.height
        steps.append(self.size[id(self.columns)])
        target = max(1, self.item() // (self.depth * height))
        cut, block = blocks(steps, target, self.usual * self.vectors)
        blocked = b.ceildiv(steps[cut], block)

        def item(indices: list[Index]) -> None:
            low: Size = 0
            high = steps[cut]
            if not isinstance(blocked, int) or blocked != 1:
                low = b.compute(indices[-1] * block)
                high = b.min(b.add(low, block), high)
            if cut == len(self.rows):
                # The last index of the rows counts strips, of which each is covered by itself.
                self._outer(indices[:-1], steps, low, high)
            else:
                self._inside({}, indices[:-1], steps, low, high)

        return [*steps[:cut], blocked], item

    def _outer(self, indices: list[Index], steps: list[Size], low: Size, high: Size) -> None:
        fixed = {id(d): i for d, i in zip(self.rows[:-1], indices, strict=False)}
        if not self.rows:
            self._columns(fixed, None, 1, low, high)
            return
        strip = self.b.compute(indices[-1])
        after = self.b.add(strip, 1)
        self._strips(strip, after, lambda base, height: self._columns(fixed, base, height, low, high))

    def _inside(self, fixed: dict, indices: list[Index], steps: list[Size], low: Size, high: Size) -> None:
        depth = len(indices)
        fixed = {id(d): i for d, i in zip(self.rows[:-1], indices, strict=False)}
        if depth == len(self.rows) - 1:
            width = steps[-1]
            self._strips(low, high, lambda base, height: self._columns(fixed, base, height, 0, width))
            return
        self.b.loop(low, high, 1, lambda i: self._inside(fixed, [*indices, i], steps, 0, steps[depth + 1]))

    def _strips(self, low: Size, high: Size, emit: Callable[[Index, int], None]) -> None:
        """The strips from `low` to `high`, those that a border may touch apart from those of which it is known."""
        b, strips, (row, *others) = self.b, self.strips, self.rows[-1].loops
        if self.border is None or others or not isinstance(strips.count, int):
            strips.cover(low, high, emit)
            return
        starts = [strips.start(t) for t in range(strips.count + 1)]
        first, last = self.border.clear(self.root.generic, row, starts)

        def clear(base: Index, height: int) -> None:
            if base.constant is None:
                base = of(Var(b.compute(base), 1, starts[first], starts[last - 1]))
            emit(base, height)

        strips.cover(low, b.min(high, first), emit)
        strips.cover(b.max(low, first), b.min(high, last), clear)
        strips.cover(b.max(low, last), high, emit)

    def _columns(self, fixed: dict, base: Index | None, height: int, low: Size, high: Size) -> None:
        def row(r: Index, column: Index) -> list[Index]:
            where = {**fixed, id(self.columns): column}
            if base is not None:
                where[id(self.rows[-1])] = base + r
            return [where[id(d)] for d in self.root.dims]

        def emit(tile: Tile) -> None:
            self.sums.tile(height, row, tile)

        masks = self.frame.machine.masks
        vectors(self.b, low, high, self.size[id(self.columns)], self.lanes, self.vectors, masks, emit)


SCHEDULE = Window()
