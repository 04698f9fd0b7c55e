"""The register tiles of depthwise convolutions: what an input is multiplied with when it is loaded."""

from __future__ import annotations

from functools import partial
from itertools import product

from neomlir.mlir import ir
from neomlir.schedules.accumulate import Accumulator
from neomlir.schedules.builder import Size
from neomlir.schedules.depthwise_form import TAPS, Border, Form
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.mixed import mixed_factors


class Sums(Accumulator):
    """Sums over a window, in the order in which its inputs lie in memory."""

    def __init__(self, frame: Frame, form: Form, border: Border | None):
        super().__init__(frame, form.root)
        self.form, self.border = form, border
        self.bounds: list[tuple[Size, Size]] = []
        """The first tap and the one behind the last, of each loop of the window but the row's; where those of the last
        are not told, inputs are met row by row."""
        self.vectors = 1
        """Vectors of a tile's row."""
        self.rows = 1
        """Rows of a tile."""
        self.inside = False
        """Whether no border is above or below a tile's windows."""
        if form.mix:
            self.made_wide = mixed_factors(frame, form, self.product[:2])

    def _reduce(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        """The loops over the rows of the window inside `inner`."""
        form, number = self.form, len(inner)
        if number == len(form.others):
            return self._slide(places, [(i, inner) for i in range(len(places))], held)
        if number == len(self.bounds):
            return self._down(places, inner, held)
        low, high = self.bounds[number]
        mixed = form.mix.size if form.mix else 1

        def body(k: Index, *held: ir.Value) -> list[ir.Value]:
            return self._reduce(places, [*inner, k], list(held))

        if isinstance(low, int) and isinstance(high, int) and high * form.row.taps * mixed <= 2 * TAPS:
            for k in range(low, high):
                held = body(Index({}, k), *held)
            return held
        return self.frame.b.loop(low, high, 1, body, held)

    def _down(self, places, inner: list[Index], held: list[ir.Value]) -> list[ir.Value]:
        """The rows of the input under a tile, each met once; first those that are there.

        Behind them all weights are in registers, and sums, so that a row that may be of the border needs no others.
        """
        b, window = self.frame.b, self.form.others[-1]
        first = places[0][0][window.loop]
        rows: dict[int, list[tuple[int, list[Index]]]] = {}
        for number, (loops, _) in enumerate(places):
            below = (loops[window.loop] + first * -1).const
            for k in range(window.taps):
                met = rows.setdefault(below * window.stride + k * window.dilation, [])
                met.append((number, [*inner, Index({}, k)]))
        tests = {place: self._is_row(first, place) for place in rows}
        for place in sorted(rows, key=lambda place: (tests[place] is not None, place)):
            meet = partial(self._slide, places, rows[place], held)
            held = meet() if tests[place] is None else b.where(tests[place], meet, held)
        return held

    def _is_row(self, first: Index, place: int) -> ir.Value | None:
        """Whether a row of the input is there, by its place under the windows of the tile of row `first`; None where
        that is sure."""
        if self.border is None or self.inside:
            return None
        b, window = self.frame.b, self.form.others[-1]
        low, size = self.border.low[window.place], self.border.sizes[window.place]
        last = (self.form.generic.extents[window.loop] - self.rows) * window.stride
        if place >= low and last + place - low < size:
            return None
        # One comparison: what is less than zero is a large number.
        return b.less(b.compute(first * window.stride + (place - low)), size, signed=False)

    def _slide(self, places, met: list[tuple[int, list[Index]]], held: list[ir.Value]) -> list[ir.Value]:
        """One row of the input: each element is met once, by all the sums that it belongs to.

        `met` are the sums, by number, and the loops over the rows of their windows.
        """
        row, held = self.form.row, list(held)
        meets: dict[tuple[int, int], list[tuple[int, list[Index], int]]] = {}
        for number, inner in met:
            for k in range(row.taps):
                at = places[number][0][row.loop] * row.stride + k * row.dilation
                if not self._is_zero(at):
                    meets.setdefault((at.const, number % self.vectors), []).append((number, inner, k))
        mix = self.form.mix
        for where, c in product(sorted(meets), range(mix.size if mix else 1)):
            for number, inner, k in meets[where]:
                loops, chunk = list(places[number][0]), places[number][1]
                for window, tap in zip(self.form.others, inner, strict=True):
                    loops[window.tap] = tap
                loops[row.tap] = Index({}, k)
                if mix:
                    loops[mix.tap] = Index({}, c)
                held[number] = self.add(loops, chunk, [held[number]])[0]
        return held

    def _is_zero(self, at: Index) -> bool:
        """Whether an input of a strip that stands for itself is of the border."""
        if self.border is None or at.constant is None:
            return False
        place = self.form.row.place
        return not 0 <= at.const - self.border.low[place] < self.border.sizes[place]
