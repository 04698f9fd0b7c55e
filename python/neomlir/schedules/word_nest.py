"""The loops and register tiles of contractions of bytes that are widened to words: `words.py`."""

from __future__ import annotations

import math
from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Size
from neomlir.schedules.dot_product import DotNest
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.nest import even
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root
from neomlir.schedules.widened import SCRATCH
from neomlir.schedules.word_sums import Piece, Widened, WordSums

_ITEMS = 8
"""Work items, at least, where they are not too small."""
_ROWS = 96
"""Rows of a work item, at least, where rows are cut for more of them."""
_USES = 4
"""Register tiles that use a panel, at least, if it is widened before."""
_START = Index()
_STEP = 4
"""Elements of which a piece of the reduction has a whole number."""
_PIECE, _WHOLE = 1 / 2, 5 / 8
"""The share of the first-level cache that a piece of a panel may take, and that a panel may take that is not cut."""
_SPARSE = 8
"""How much more may be widened than is read."""


class WordNest(DotNest):
    """Work items of some rows, which are widened first, and some panels."""

    sums: WordSums

    def __init__(self, frame: Frame, root: Root, plan: Plan, panels: Panels):
        super().__init__(frame, root, plan, panels)
        self.panels = panels
        self.sums = self._make_sums()
        self.word = ir.IntegerType.get_signless(16, frame.b.context)
        place = panels.places[0]
        if not all(isinstance(v, Var) and c > 0 for v, c in place.terms.items()):
            raise NotApplicable("rows are not read at equal distances")
        self.stride = {id(d): place.terms.get(d.probe, 0) for d in root.dims}
        """Elements of the row operand from one point of a dimension to the next."""
        self.window = 1 + sum(place.terms[root.reduced_probes[d]] * (root.extents[d] - 1) for d in root.reduced)
        """Elements from the first that a row reads to the last."""
        alone = self.window == panels.depth and all(self.stride[id(d)] >= self.window for d in plan.rows)
        self.sums.apart = panels.depth if alone else 0

    def _make_sums(self) -> WordSums:
        return WordSums(self.frame, self.root, self.panels)

    def _items(self) -> tuple[list[Size], Callable[[list[Index]], None]]:
        b, plan = self.b, self.plan
        tiles = self._tiles()
        columns = self.size[id(plan.columns)]
        panels = b.ceildiv(columns, plan.width)
        cut, block = self._block(tiles)
        blocked = b.ceildiv(tiles[cut], block) if tiles else 1
        batch = [self.size[id(d)] for d in plan.batch]
        outside = [*batch, *tiles[:cut], blocked]
        groups = self._groups(outside, panels)
        wide = -(-panels // groups)
        reach = self._reach(cut, block)
        if reach > _SPARSE * math.prod(self._points(cut, block)) * self.depth:
            raise NotApplicable("rows lie too far apart to be widened with what is between them")
        rows = self._scratch(reach)
        count = block * math.prod(n if isinstance(n, int) else _USES for n in tiles[cut + 1 :])
        self.pieces = self._pieces() if count >= _USES and columns == panels * plan.width else 0
        panel = self._panel_scratch() if count >= _USES else None
        points = self._points(cut, block)
        self.apart = [math.prod(points[n + 1 :]) for n in range(len(points))]
        if panel and self.pieces:
            i32 = ir.IntegerType.get_signless(32, b.context)
            self.sums.waiting = self.frame.memory.scratch([math.prod(points) * plan.width], i32)
        self._begin(cut, block, panel)

        def item(indices: list[Index]) -> None:
            *indices, last, group = indices
            fixed = {id(d): i for d, i in zip((*plan.batch, *plan.rows), indices, strict=False)}
            low: Size = b.compute(last * block) if tiles else 0
            high: Size = b.min(b.add(low, block), tiles[cut]) if tiles else 1
            self._widen_rows(rows, fixed, cut, low, high)

            def column(p: Index) -> None:
                self.panel = p

                def pass_by() -> None:
                    self.column_tile(p, columns, plan.width, lambda tile: self.rows(fixed, cut, low, high, tiles, tile))

                if self.sums.waiting is None:
                    self._widen_panel(panel, fixed, p)
                    pass_by()
                else:
                    self._by_pieces(panel, fixed, p, pass_by)

            start = b.compute(group * wide)
            b.loop(start if group.terms else 0, b.min(b.add(start, wide), panels) if group.terms else panels, 1, column)

        return [*outside, -(-panels // wide)], item

    def _pieces(self) -> int:
        """Into how many pieces the depth of a panel is cut, so that the first-level cache holds one; 0: into none."""
        machine, depth, width = self.frame.machine, self.panels.depth, self.panels.width
        fits = [n for n in range(1, depth) if depth % (_STEP * n) == 0]
        least = next((n for n in fits if depth // n * width * 2 <= machine.l1d * _PIECE), 0)
        analytic = 0 if self.depth * width * 2 <= machine.l1d * _WHOLE else least
        return self.root.kernel.parameter("pieces", analytic, [0, *(n for n in (1, 2, 4, 8) if n in fits)])

    def _by_pieces(self, into: Widened, fixed: dict, panel: Index, pass_by: Callable[[], None]) -> None:
        """Let the rows pass by a panel piece by piece; their sums wait in scratch memory."""
        b, sums, panels = self.b, self.sums, self.panels
        outer = panels.reduced[: -len(panels.merged)]
        length = panels.depth // self.pieces
        sums.begin_rows(self.rows_of_item)

        def piece(indices: list[Index]) -> None:
            if len(indices) < len(outer):
                extent = self.root.extents[outer[len(indices)]]
                b.loop(0, extent, 1, lambda k: piece([*indices, k]))
                return
            b.loop(0, self.pieces, 1, lambda n: one(indices, n * length))

        def one(indices: list[Index], low: Index) -> None:
            sums.piece = Piece(indices, low, length)
            self._widen_panel(into, fixed, panel)
            pass_by()

        piece([])
        sums.piece = None
        sums.finishing = True
        pass_by()
        sums.finishing = False

    def _begin(self, cut: int, block: int, panel: Widened | None) -> None:
        """What work items of `block` points of the row loop that is cut have to hold besides."""

    def _groups(self, outside: list[Size], panels: int, items: int = _ITEMS) -> int:
        """Into how many groups of panels the columns are cut, for so many work items beside these."""
        others = math.prod(n if isinstance(n, int) else items for n in outside)
        groups = max(1, min(-(-items // others), panels // 2))
        return self.root.kernel.parameter("groups", groups, [n for n in (1, 2, 4, 8) if n <= panels])

    def _block(self, tiles: list[Size]) -> tuple[int, int]:
        """The row loop that is cut into work items, and how much of it an item has."""
        budget = min(self.frame.machine.l2 * 7 // 16, SCRATCH) // 2
        for cut, size in enumerate(tiles):
            if not all(isinstance(n, int) for n in tiles[cut + 1 :]):
                continue
            rest, one = (self._reach(cut, n) for n in (1, 2))
            most = 1 + (budget - rest) // max(1, one - rest)
            if rest > budget and cut < len(tiles) - 1:
                continue
            most = max(1, most)
            if not isinstance(size, int):
                return cut, most
            inside = math.prod(tiles[cut + 1 :]) * self.strips.height
            few = math.prod(tiles[:cut]) if all(isinstance(n, int) for n in tiles[:cut]) else _ITEMS
            number = max(-(-size // most), min(-(-_ITEMS // few), size * inside // _ROWS))
            number = self.root.kernel.parameter(
                "blocks", even(number, size), [n for n in (1, 2, 4, 8, 16) if n <= size]
            )
            return cut, -(-size // number)
        return 0, 1

    def _reach(self, cut: int, block: int) -> int:
        """Elements of the row operand that a work item widens."""
        rows = self.plan.rows[cut:]
        points = self._points(cut, block)
        if self.sums.apart:
            return math.prod(points) * self.sums.apart
        return self.window + sum(self.stride[id(d)] * (n - 1) for d, n in zip(rows, points, strict=True))

    def _points(self, cut: int, block: int) -> list[int]:
        """The rows of a work item along each row loop from the one on that is cut."""
        rows = self.plan.rows[cut:]
        if not rows:
            return []
        return [block * (self.strips.height if len(rows) == 1 else 1), *(d.size for d in rows[1:])]

    def _scratch(self, elements: int) -> Widened:
        if elements * 2 > SCRATCH:
            raise NotApplicable("the rows of a register tile are too long to be widened")
        return Widened(self.frame.memory.scratch([elements], self.word), Index())

    def _panel_scratch(self) -> Widened | None:
        """Memory for a panel, or a piece of one; None where it is too large, or panels do not lie in one piece."""
        size = self.panels.depth * self.panels.width
        terms, outer = self.panels.places[1].terms, self.panels.reduced[: -len(self.panels.merged)]
        for d in reversed(outer):
            if terms[self.root.reduced_probes[d]] != size:
                return None
            size *= self.root.extents[d]
        if self.pieces:
            size = self.panels.depth * self.panels.width // self.pieces
        return self._scratch(size) if size * 2 <= SCRATCH else None

    def _widen_rows(self, into: Widened, fixed: dict, cut: int, low: Size, high: Size) -> None:
        """Let `into` be what the rows of a work item read, and the register tiles read it there."""
        b, rows, where = self.b, self.plan.rows, {id(d): Index() for d in self.root.dims}
        where.update(fixed)
        length: Size = self.window
        self.rows_of_item: Size = 1
        if rows:
            first, end = self._range(cut, low, high)
            self.rows_of_item = b.mul(b.sub(end, first), self.apart[0])
            self.sums.number = {id(d): n for d, n in zip(rows[cut:], self.apart, strict=True)}
            self.sums.origin = (Index({}, first) if isinstance(first, int) else of(Var(first))) * self.apart[0]
            where[id(rows[cut])] = Index({}, first) if isinstance(first, int) else of(Var(first))
        self.sums.rows = into
        if self.sums.apart:
            self._each_row(cut, low, high, lambda here: self._widen_row(into, where | here))
            return
        if rows:
            inner = self._reach(cut, 1)
            if cut == len(rows) - 1:
                inner = self.window
            length = b.add(b.mul(b.sub(b.sub(end, first), 1), self.stride[id(rows[cut])]), inner)
        start = self.panels.at(self.root, 0, where, self._nothing(), Index())
        into.start = self._fixed_place(start)
        self._widen(0, into, length)

    def _each_row(self, cut: int, low: Size, high: Size, emit: Callable[[dict], None]) -> None:
        """Loops over the rows of a work item, from point or strip `low` to `high` of the row loop that is cut."""

        def along(rest: list, where: dict) -> None:
            if not rest:
                emit(where)
                return
            (d, begin, stop), *rest = rest
            self.b.loop(begin, stop, 1, lambda i: along(rest, where | {id(d): i}))

        rows = self.plan.rows[cut:]
        along([(rows[0], *self._range(cut, low, high)), *((d, 0, d.size) for d in rows[1:])] if rows else [], {})

    def _widen_row(self, into: Widened, where: dict) -> None:
        """Copy what one row reads, where that lies in one piece, to where the rows stand side by side."""
        source = Widened(into.buffer, self._row_start(where))
        self._widen(0, source, self.panels.depth, self.sums.place(where) * self.panels.depth)

    def _row_start(self, where: dict) -> Index:
        return self._fixed_place(self.panels.at(self.root, 0, where, self._nothing(), Index()))

    def _range(self, cut: int, low: Size, high: Size) -> tuple[Size, Size]:
        """Points of the row loop that is cut from point or strip `low` to `high`."""
        b = self.b
        if cut < len(self.plan.rows) - 1:
            return low, high
        static = isinstance(self.strips.size, int)
        first = self.strips.start(low) if static else b.mul(low, self.strips.height)
        end = self.strips.start(high) if static else b.min(b.mul(high, self.strips.height), self.strips.size)
        return first, end

    def _widen_panel(self, into: Widened | None, fixed: dict, panel: Index) -> None:
        """Let `into` be a panel or a piece, if there is memory for it, and the register tiles read it there."""
        self.sums.columns = into
        if into is not None:
            self._widen(1, into, self._place_panel(into, fixed, panel))

    def _place_panel(self, into: Widened, fixed: dict, panel: Index) -> int:
        """Let `into` stand for a panel, or for a piece of it; its elements."""
        self.sums.columns = into
        where = {id(d): Index() for d in self.root.dims} | fixed | {id(self.plan.columns): panel * self.plan.width}
        piece = self.sums.piece or Piece(self._nothing(), Index(), 0)
        into.start = self._fixed_place(self.panels.at(self.root, 1, where, piece.outer, piece.low))
        return ir.MemRefType(into.buffer.type).shape[0]

    def _nothing(self) -> list[Index]:
        return [Index()] * (len(self.panels.reduced) - len(self.panels.merged))

    def _fixed_place(self, place: Index) -> Index:
        return place if place.constant is not None else of(Var(self.b.compute(place)))

    def _widen(self, operand: int, into: Widened, length: Size, target: Index = _START) -> None:
        """Copy `length` elements of an operand (0 the rows, 1 the columns) from `into.start` on to place `target`."""
        b, sums = self.b, self.sums
        lanes = self.frame.machine.lanes(16)
        whole = b.mul(b.div(length, lanes), lanes)

        def copy(i: Index, width: int) -> None:
            words = sums.widened(operand, into.start + i, width)
            name = "vector.store" if width > 1 else "memref.store"
            b.op(name, [], [words, into.buffer, b.compute(target + i)])

        b.loop(0, whole, lanes, lambda i: copy(i, lanes))
        b.loop(whole, length, 1, lambda i: copy(i, 1))
