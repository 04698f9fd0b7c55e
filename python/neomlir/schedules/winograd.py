"""The schedule of Winograd's convolutions: a block of tiles transformed, multiplied and transformed back in the cache.

A work item takes a block of tiles. Their inputs are transformed in registers, a vector of channels at a time, into
scratch memory; for each panel of output channels there are n x n small matrix products, as in a contraction, and their
results are transformed back in registers, finished and stored. Nothing between is ever a whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neomlir.mlir import ir
from neomlir.schedules.accumulate import finish
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.evaluate import Bound
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import Strips, amid, full_tile, rest_tile, vectors
from neomlir.schedules.points import Points
from neomlir.schedules.root import stored_at
from neomlir.schedules.winograd_form import Form, border_of, is_zero
from neomlir.schedules.winograd_math import Vectors, multiply
from neomlir.schedules.winograd_plan import blocking

_GUESS = 256
"""What the number of tiles is taken for where it is dynamic."""
_L2 = 2
"""The locality hint of data for the second-level cache."""
_L1 = 3
"""The locality hint of data for the first-level cache."""
_FAR = 1
"""An input so many times as large as the second-level cache comes from behind it."""


class Winograd(Schedule):
    name = "winograd"
    order = 60

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 3 and [len(g.inputs) for g in kernel.roots] == [3, 2, 3]

    def build(self, kernel: Kernel, target) -> ir.Operation:
        form = Form.of(kernel)
        return Frame(kernel, target).made_by(lambda frame: Nest(frame, form, target).emit())


class Nest:
    """The loops: blocks of tiles outside, then panels of output channels."""

    def __init__(self, frame: Frame, form: Form, target):
        b = self.b = frame.b
        self.frame, self.form = frame, form
        self.border = border_of(form.gather.inputs[0])
        self.arithmetic = Vectors(b, frame.machine.fma)
        sizes = form.gather.sizes()
        self.counts: list[Size] = [frame.memory.dim(*sizes[d], frame.evaluator) for d in range(form.outer)]
        self.tiles: Size = 1
        for count in self.counts:
            self.tiles = b.mul(self.tiles, count)
        self.outputs = form.spread.extents[form.outer]
        guess = self.tiles if isinstance(self.tiles, int) else _GUESS
        cut = blocking(target, form.m, guess, form.channels, self.outputs, form.panel)
        if cut is None:
            raise NotApplicable("too few tiles fit into scratch memory")
        ask = frame.kernel.parameter
        ask("tile", form.m, ())
        strips = ask("strips", cut.strips, [s for s in (1, 2, 3, 4) if s < cut.strips])
        self.block = cut.tiles if strips == cut.strips else strips * cut.rows
        self.strips = Strips(b, self.block, cut.rows)
        self.lanes = min(frame.machine.lanes(32), form.panel)
        if form.panel % self.lanes:
            raise NotApplicable("a panel is no whole number of vectors")
        self.panels = -(-self.outputs // form.panel)
        groups = ask("groups", min(cut.groups, self.panels), [g for g in (1, 2) if g <= self.panels])
        self.share = -(-self.panels // groups)
        """Panels of a work item."""
        self.groups = -(-self.panels // self.share)
        self.wide = min(cut.wide, self.share)
        filters = ir.RankedTensorType(form.product.inputs[1].type)
        self.distant = int(np.prod(filters.shape)) * 4 > frame.machine.l2 // 2
        n, f32 = form.n, ir.F32Type.get(b.context)
        # A line more: vectors at a power of two from each other would share few sets of the first-level cache.
        place = self.block * form.channels + frame.machine.line // 4
        self.gathered = frame.memory.scratch([n * n, place], f32)
        self.products = frame.memory.scratch([self.wide * self.block, n, n, form.panel], f32)

    def emit(self) -> None:
        blocks = self.b.ceildiv(self.tiles, self.block)
        around = [Points(self.frame, box, ask=False).items() for box in borders(self.frame)]
        self.b.items(amid(around, ([blocks, self.groups], self._item)))

    def _item(self, indices: list[Index]) -> None:
        b = self.b
        block, group = indices
        start = block * self.block
        count = b.min(self.block, b.sub(self.tiles, b.compute(start))) if block.terms else self._first()
        b.loop(0, count, 1, lambda t: self._gather(t, self._tile(start + t), self._ahead(start + t + 1)))
        low = b.compute(group * self.share) if group.terms else 0
        high = b.min(b.add(low, self.share), self.panels)
        even = self.strips.count * self.strips.height == self.block
        strips = b.ceildiv(count, self.strips.height) if even else self.strips.count

        def some(first: Index) -> None:
            """The panels from `first` on that pass by a place together."""
            behind = b.min(b.add(b.compute(first), self.wide), high)

            def panels(emit: Callable[[Index], None]) -> None:
                if self.wide == 1:
                    emit(first)
                else:
                    b.loop(b.compute(first) if first.terms else first.const, behind, 1, emit)

            def place(i: Index, j: Index) -> None:
                panels(
                    lambda p: self._multiply(p, i, j, p + first * -1, self._following(p, i, j, first, behind), strips)
                )

            def panel(p: Index) -> None:
                def spread(tile: Tile) -> None:
                    row = (p + first * -1) * self.block

                    def one(t: Index) -> None:
                        self._fetch_results(p, start + t + 1, tile)
                        self._spread(p, row + t, self._tile(start + t), tile)

                    b.loop(0, count, 1, one)

                self._finish(p, spread)

            n = self.form.n
            b.loop(0, n, 1, lambda i: b.loop(0, n, 1, lambda j: place(i, j)))
            panels(panel)

        b.loop(low, high, self.wide, some)

    def _first(self) -> Size:
        return self.b.min(self.block, self.tiles)

    def _tile(self, number: Index) -> list[Index]:
        """The place of a tile: its plane, row and column."""
        b, found = self.b, []
        rest: Size = number.const if number.constant is not None else b.compute(number)
        for d, size in reversed(list(enumerate(self.counts))):
            mine = b.rem(rest, size) if d else rest
            rest = b.div(rest, size) if d else rest
            high = size - 1 if isinstance(size, int) else None
            found.append(Index({}, mine) if isinstance(mine, int) else of(Var(mine, 1, 0, high)))
        return found[::-1]

    def _gather(self, t: Index, place: list[Index], ahead: Callable[[Index], None] | None) -> None:
        """Transform the inputs of a tile; `ahead` is called with each vector of channels."""
        form, frame, b = self.form, self.frame, self.b
        source, map_ = form.gather.inputs[0], form.gather.maps[0]

        def emit(tile: Tile, read: Bound) -> None:
            with b.scope():
                for c, chunk in tile:
                    if ahead is not None:
                        ahead(c)
                    columns = []
                    for v in range(form.n):
                        column = []
                        for u in range(form.n):
                            loops = [*place, Index(), Index(), c, Index({}, u), Index({}, v)]
                            at = tuple(apply(e, loops) for e in map_.results)
                            column.append(b.splat(read(at, chunk), chunk.width))
                        columns.append(multiply(self.arithmetic, form.b, column))
                    for i in range(form.n):
                        row = multiply(self.arithmetic, form.b, [column[i] for column in columns])
                        for j, value in enumerate(row):
                            frame.memory.store(
                                self.gathered, (Index({}, i * form.n + j), t * form.channels + c), chunk, value
                            )

        channels = form.channels
        lanes = min(frame.machine.lanes(32), 1 << (channels - 1).bit_length())

        def all_channels(read: Bound) -> None:
            vectors(b, 0, channels, channels, lanes, 1, frame.machine.masks, lambda tile: emit(tile, read))

        def anywhere(at: tuple[Index, ...], chunk: Chunk) -> ir.Value:
            return frame.evaluator.at(source, at, chunk)

        if self.border is None:
            all_channels(anywhere)
            return

        def inside(at: tuple[Index, ...], chunk: Chunk) -> ir.Value:
            low = self.border.attributes["static_low"]
            at = tuple(index + -offset for index, offset in zip(at, low, strict=True))
            return frame.evaluator.at(self.border.operands[0], at, chunk)

        self._where_clear(place, lambda: all_channels(inside), lambda: all_channels(anywhere))

    def _ahead(self, number: Index) -> Callable[[Index], None] | None:
        """Fetches what a tile reads and the one before it in its row does not, a vector of channels at a time.

        None where the input is near. The places of a tile lie in short runs, which no hardware foresees.
        """
        form, frame, b = self.form, self.frame, self.b
        pad = self.border
        source = form.gather.inputs[0] if pad is None else pad.operands[0]
        shape = static_shape(source)
        if not isinstance(source.owner, ir.Block) or None in shape or 4 * math.prod(shape) <= _FAR * frame.machine.l2:
            return None
        low = [0] * len(shape) if pad is None else list(pad.attributes["static_low"])

        def element(place: list[Index], u: int, v: int) -> Index:
            loops, found = [*place, Index(), Index(), Index(), Index({}, u), Index({}, v)], Index()
            for e, size, before in zip(form.gather.maps[0].results, shape, low, strict=True):
                found = found * size + apply(e, loops) + -before
            return found

        corner = [Index()] * form.outer
        start = element(corner, 0, 0).const
        columns = range(form.n - form.m, form.n)
        offsets = [element(corner, u, v).const - start for u in range(form.n) for v in columns]
        most = math.prod(shape) - max(offsets) - form.channels
        first = b.max(0, b.min(b.compute(element(self._tile(number), 0, 0)), most))
        row = frame.memory.flat(frame.memory.of(source))

        def fetch(c: Index) -> None:
            base = b.add(first, b.compute(c.put_lane(0)))
            for offset in offsets:
                b.fetch(row, [b.size(b.add(base, offset))], _L2)

        return fetch

    def _where_clear(self, place: list[Index], then, otherwise) -> None:
        """One way for a tile that reads no zeros of the border, another for one that may."""
        form, b = self.form, self.b
        low = list(self.border.attributes["static_low"])
        sizes = static_shape(self.border.operands[0])
        conditions = []
        for loop in (form.outer - 2, form.outer - 1):
            dims = [d for d, e in enumerate(form.gather.maps[0].results) if f"d{loop} *" in str(e)]
            first = place[loop] * form.m + -low[dims[0]]
            conditions.append(b.less(-1, b.compute(first)))
            conditions.append(b.less(b.compute(first + (form.n - 1)), sizes[dims[0]]))
        clear = conditions[0]
        for each in conditions[1:]:
            clear = b.value("arith.andi", b.i1, clear, each)
        b.when(clear, then, otherwise)

    def _following(self, p: Index, i: Index, j: Index, first: Index, behind: Size) -> Size | None:
        """Where the filters start that are used after those of panel `p` at a place; None where they are at hand."""
        if not self.distant:
            return None
        b, form = self.b, self.form
        each = form.channels * form.panel

        def start(p: Index, place: Index) -> Index:
            return (p * (form.n * form.n) + place) * each

        place = i * form.n + j
        last = (self.panels * form.n * form.n - 1) * each
        if self.wide == 1:
            return b.min(b.compute(start(p, place + 1)), last)
        more = b.less(b.add(b.compute(p), 1), behind)
        after = b.value(
            "arith.select", b.index_type, more, b.compute(start(p + 1, place)), b.compute(start(first, place + 1))
        )
        return b.min(after, last)

    def _multiply(self, p: Index, i: Index, j: Index, slot: Index, following: Size | None, strips: Size) -> None:
        """The products of all tiles with the filters of panel `p` at one place of the transform."""
        b, form, frame = self.b, self.form, self.frame
        tile = full_tile(Index(), self.lanes, form.panel // self.lanes)
        filters, map_ = form.product.inputs[1], form.product.maps[1]
        zero = b.splat(b.zero(ir.F32Type.get(b.context)), self.lanes)
        row = frame.memory.flat(frame.memory.of(filters))
        line = frame.machine.line // 4
        # 2^shift strips have a share of what follows each.
        shift = min(self.strips.count, form.channels).bit_length() - 1
        place = i * form.n + j

        def step(fetched: ir.Value | None, first: Index, c: Index, sums: list[ir.Value], height: int) -> list[ir.Value]:
            columns = []
            for k, chunk in tile:
                loops = [*[Index()] * form.outer, i, j, p * form.panel + k, c]
                at = tuple(apply(e, loops) for e in map_.results)
                columns.append(frame.evaluator.at(filters, at, chunk))
            if fetched is not None:
                at = b.value("arith.shrui", b.index_type, b.add(fetched, b.compute(c * form.panel)), b.index(shift))
                for offset in range(0, max(1, form.panel >> shift), line):
                    b.fetch(row, [b.size(b.add(at, offset))], _L2)
            found = []
            for r in range(height):
                x = frame.memory.load(self.gathered, (place, (first + r) * form.channels + c), Chunk(1))
                x = b.splat(x, self.lanes)
                for number, column in enumerate(columns):
                    total = sums[r * len(tile) + number]
                    if frame.machine.fma:
                        found.append(b.op("math.fma", [total.type], [x, column, total]).results[0])
                    else:
                        product = b.op("arith.mulf", [total.type], [x, column]).results[0]
                        found.append(b.op("arith.addf", [total.type], [total, product]).results[0])
            return found

        def strip(first: Index, height: int) -> None:
            fetched = None
            if following is not None:
                share = b.value("arith.andi", b.index_type, b.compute(self.strips.number), b.index((1 << shift) - 1))
                fetched = b.add(b.mul(following, 1 << shift), b.mul(share, form.channels * form.panel))
            start = [zero] * (height * len(tile))
            sums = b.loop(0, form.channels, 1, lambda c, *sums: step(fetched, first, c, list(sums), height), start)
            for r in range(height):
                for number, (k, chunk) in enumerate(tile):
                    at = (slot * self.block + first + r, i, j, k)
                    frame.memory.store(self.products, at, chunk, sums[r * len(tile) + number])

        self.strips.cover(0, strips, strip)

    def _finish(self, p: Index, emit) -> None:
        """Call `emit` with the vectors of panel `p`; those of the last one may be fewer."""
        b, panel = self.b, self.form.panel
        rest = self.outputs % panel
        full = full_tile(Index(), self.lanes, panel // self.lanes)
        if not rest:
            emit(full)
            return
        less = rest_tile(b, Index(), rest, self.lanes, self.frame.machine.masks)
        if p.constant is not None:
            emit(full if p.constant < self.panels - 1 else less)
        else:
            b.when(b.less(b.compute(p), self.panels - 1), lambda: emit(full), lambda: emit(less))

    def _spread(self, p: Index, slot: Index, place: list[Index], tile: Tile) -> None:
        """Transform the products of a tile, which lie at `slot`, back, finish and store its results."""
        form, frame, b = self.form, self.frame, self.b
        m, n = form.m, form.n
        height, width = form.spread.extents[form.outer - 2 : form.outer]
        for k, chunk in tile:
            with b.scope():
                columns = []
                for j in range(n):
                    at = [(slot, Index({}, i), Index({}, j), k) for i in range(n)]
                    values = [b.splat(frame.memory.load(self.products, a, chunk), chunk.width) for a in at]
                    columns.append(multiply(self.arithmetic, form.a, values))
                rows = [multiply(self.arithmetic, form.a, [column[y] for column in columns]) for y in range(m)]
                for y, row in enumerate(rows):
                    for x, value in enumerate(row):
                        where = [place[-2] * m + y, place[-1] * m + x]
                        inside = [
                            self._inside(index, at, size)
                            for index, at, size in zip(where, (y, x), (height, width), strict=True)
                        ]
                        loops = [*place[:-2], *where, p * form.panel + k, Index(), Index()]
                        self._guarded(
                            [c for c in inside if c is not None],
                            lambda loops=loops, value=value, chunk=chunk: self._store(loops, chunk, value),
                        )

    def _fetch_results(self, p: Index, number: Index, tile: Tile) -> None:
        """Ask for what the next tile writes where that is too large to be in the cache: a few short runs of memory."""
        form, frame, b = self.form, self.frame, self.b
        kinds = [d.type for d in frame.kernel.destinations]
        size = sum(math.prod(k.shape) * 4 for k in kinds if k.has_static_shape)
        if not all(k.has_static_shape for k in kinds) or size <= frame.machine.l2 * 3 // 4:
            return
        place = self._tile(of(Var(b.size(b.min(b.compute(number), b.sub(self.tiles, 1))))))
        height, width = form.spread.extents[form.outer - 2 : form.outer]
        for y in range(form.m if not height % form.m else height % form.m):
            for x in range(form.m if not width % form.m else width % form.m):
                for k, _ in tile[:: max(1, frame.machine.line // 4 // self.lanes)]:
                    where = [place[-2] * form.m + y, place[-1] * form.m + x]
                    loops = [*place[:-2], *where, p * form.panel + k, Index(), Index()]
                    for i, at in enumerate(stored_at(frame.kernel, form.spread, loops)):
                        frame.memory.fetch(frame.destination(i), at, _L1, write=True)

    def _inside(self, index: Index, at: int, size: int) -> ir.Value | None:
        """Whether a result that stands at `at` in its tile is one; None where it always is."""
        left = size % self.form.m
        return self.b.less(self.b.compute(index), size) if left and at >= left else None

    def _guarded(self, conditions: list[ir.Value], body) -> None:
        if not conditions:
            body()
        else:
            self.b.when(conditions[0], lambda: self._guarded(conditions[1:], body))

    def _store(self, loops: list[Index], chunk: Chunk, value: ir.Value) -> None:
        """What follows the reduction at one place, and the store."""
        frame, g = self.frame, self.form.spread
        if not is_zero(frame.kernel, g.inits[0]):
            home = tuple(apply(e, loops) for e in g.output_map().results)
            init = self.b.splat(frame.evaluator.at(g.inits[0], home, chunk), chunk.width)
            value = self.b.value("arith.addf", value.type, init, value)

        finish(frame, g, loops, chunk, [value])


SCHEDULE = Winograd()
