"""The schedule of scans: running sums and their kind, each result made of the one before.

Where a scan runs across the rows of memory, the lanes are neighbouring columns, and what they carry stays in registers.
Where it runs along a row, the lanes of a vector are combined in log2 steps (Hillis and Steele, 1986), which wait for
nothing before them, and then with what is carried; combinations without a neutral element go on one by one.
"""

from __future__ import annotations

from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Chunk, Size, Tile
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, Var, of
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import lane_index, rest_tile, shares, vectors
from neomlir.schedules.scan_form import ScanForm

_ITEM = 16384
"""Elements of a work item, about."""
_UNROLL = 4
"""Vectors of columns side by side: as many as hide that each waits for the one before."""


class Scan(Schedule):
    name = "scan"
    order = 192

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and ScanForm.of(kernel.roots[0]) is not None

    def build(self, kernel: Kernel, target) -> ir.Operation:
        form = ScanForm.of(kernel.roots[0])
        if kernel.results != [form.generic.results[0]]:
            raise NotApplicable("something is computed of what is scanned")
        if _moves(kernel, form):
            raise NotApplicable("what a scan starts from differs from place to place")
        return Frame(kernel, target).made_by(lambda frame: _Nest(frame, form).emit())


def _moves(kernel: Kernel, form: ScanForm) -> bool:
    """Whether what it starts from is read at the place along the scan."""
    probe = Var(None)
    loops = [of(probe if d == form.here else Var(None)) for d in range(form.generic.rank)]
    place = tuple(loops[e.position] for e in form.generic.output_map().results)
    read = kernel.leaves(form.generic.inits[0], place)
    return any(value is None or any(index.uses(probe) for index in at) for value, at in read)


class _Nest:
    """The loops over rows or columns, and the scan along each."""

    def __init__(self, frame: Frame, form: ScanForm):
        self.frame, self.form, self.b = frame, form, frame.b
        self.generic = form.generic
        self.lanes = frame.machine.lanes(frame.kernel.element_bits)
        self.order = [e.position for e in self.generic.output_map().results]
        """The loop of each dimension of the result."""
        self.outer = [d for d in self.order if d != form.here]
        self.extents = [frame.memory.dim(*at, frame.evaluator) for at in self.generic.sizes()]
        self.across = self.order[-1] != form.here

    def emit(self) -> None:
        b = self.b
        if not self.outer:
            self._row({})
            return
        sizes = [self.extents[d] for d in self.outer]
        length = self.generic.extents[self.form.here] or 256
        counts, share = shares(b, sizes, max(1, _ITEM // length), self.lanes * _UNROLL if self.across else 1)

        def item(indices: list[Index]) -> None:
            before, low, high = share(indices)
            self._walk(dict(zip(self.outer, before, strict=False)), len(before), low, high)

        b.items([(counts, item)])

    def _walk(self, at: dict[int, Index], depth: int, low: Size, high: Size) -> None:
        """The loops over all dimensions but the scanned one, from `depth` on, the first from `low` to `high`."""
        b, d = self.b, self.outer[depth]
        last = depth == len(self.outer) - 1
        if last and self.across:
            masks = self.frame.machine.masks
            vectors(b, low, high, self.extents[d], self.lanes, _UNROLL, masks, lambda tile: self._columns(at, tile))
        elif last:
            b.loop(low, high, 1, lambda i: self._row({**at, d: i}))
        else:
            b.loop(low, high, 1, lambda i: self._walk({**at, d: i}, depth + 1, 0, self.extents[self.outer[depth + 1]]))

    # What is read and written at one place.

    def _start(self, at: dict[int, Index], chunk: Chunk) -> ir.Value:
        """What a scan starts from, which is the same all along."""
        place = tuple(Index() if d == self.form.here else at[d] for d in self.order)
        return self.b.splat(self.frame.evaluator.at(self.generic.inits[0], place, chunk), chunk.width)

    def _value(self, at: dict[int, Index], k: Index, chunk: Chunk, wanted: ir.Value, old: ir.Value) -> ir.Value:
        """A value of the body for the element `k` along the scan, where the accumulator is `old`."""
        loops = [k if d in (self.form.before, self.form.here) else at[d] for d in range(self.generic.rank)]
        held = {len(self.generic.inputs): old}
        (found,) = self.frame.evaluator.body(self.generic, loops, chunk, held, [wanted])
        return self.b.splat(found, chunk.width)

    def _store(self, at: dict[int, Index], k: Index, chunk: Chunk, value: ir.Value) -> None:
        place = tuple(k if d == self.form.here else at[d] for d in self.order)
        self.frame.memory.store(self.frame.destination(0), place, chunk, value)

    # Along a row, or down columns.

    def _columns(self, at: dict[int, Index], tile: Tile) -> None:
        """Vectors of neighbouring columns, side by side."""
        d = self.outer[-1]
        places = [({**at, d: index}, chunk) for index, chunk in tile]
        self._in_turn(places)

    def _in_turn(self, places: list[tuple[dict[int, Index], Chunk]]) -> None:
        """Element by element, for several columns, or vectors of them, in each step."""
        masked, inclusive = self.form.masked, self.form.inclusive

        def step(k: Index, *carried: ir.Value) -> list[ir.Value]:
            found = []
            for (at, chunk), old in zip(places, carried, strict=True):
                new = self._value(at, k, chunk, masked.new, old)
                self._store(at, k, chunk, new if inclusive else old)
                found.append(new)
            return found

        starts = [self._start(at, chunk) for at, chunk in places]
        self.b.loop(0, self.extents[self.form.here], 1, step, starts)

    def _row(self, at: dict[int, Index]) -> None:
        b, ways, size = self.b, self.form.combination, self.extents[self.form.here]
        if ways is None or self.lanes == 1:
            self._in_turn([(at, Chunk(1))])
            return
        lanes, masks = self.lanes, self.frame.machine.masks
        start = self._start(at, Chunk(1))

        def several(number: int) -> Callable:
            def step(k: Index, carried: ir.Value) -> list[ir.Value]:
                # What comes before a vector is known before that is combined: only one step of each waits.
                sums = [self._sums(at, lane_index(k + j * lanes, lanes), Chunk(lanes), start) for j in range(number)]
                for j, each in enumerate(sums):
                    self._finish(at, lane_index(k + j * lanes, lanes), Chunk(lanes), each, carried)
                    carried = ways.combine(b, carried, self._last(each, lanes))
                return [carried]

            return step

        full = b.mul(b.div(size, lanes), lanes)
        many = b.mul(b.div(size, lanes * _UNROLL), lanes * _UNROLL)
        (carried,) = b.loop(0, many, lanes * _UNROLL, several(_UNROLL), [b.splat(start, lanes)])
        (carried,) = b.loop(many, full, lanes, several(1), [carried])
        if isinstance(size, int):
            for index, chunk in rest_tile(b, Index({}, full), size - full, lanes, masks) if size > full else []:
                before = b.piece(carried, 0, chunk.width) if 1 < chunk.width < lanes else carried
                if chunk.width == 1:
                    before = self.frame.memory.lane(carried, 0)
                each = self._sums(at, index, chunk, start)
                self._finish(at, index, chunk, each, before)
                carried = ways.combine(b, carried, self._last(each, lanes))
        else:
            masked = self.form.masked

            def one(k: Index, old: ir.Value) -> list[ir.Value]:
                new = self._value(at, k, Chunk(1), masked.new, old)
                self._store(at, k, Chunk(1), new if self.form.inclusive else old)
                return [new]

            b.loop(full, size, 1, one, [self.frame.memory.lane(carried, 0)])

    def _sums(self, at: dict[int, Index], index: Index, chunk: Chunk, start: ir.Value) -> ir.Value:
        """A vector of elements, each combined with those before it in the vector."""
        b, ways, width = self.b, self.form.combination, chunk.width
        found = self._value(at, index, chunk, ways.value, start)
        step = 1
        while step < width:
            found = ways.combine(b, self._shifted(found, step), found)
            step *= 2
        return found

    def _shifted(self, vector: ir.Value, step: int) -> ir.Value:
        """A vector moved up by some lanes, neutral elements in the first ones."""
        kind = ir.VectorType(vector.type)
        width = kind.shape[0]
        neutral = self.form.combination.neutral(self.b, kind.element_type, width)
        return self.b.shuffle(vector, neutral, [lane - step if lane >= step else width + lane for lane in range(width)])

    def _last(self, vector: ir.Value, lanes: int) -> ir.Value:
        """The last lane in all lanes of a vector of `lanes`."""
        if isinstance(vector.type, ir.VectorType):
            width = ir.VectorType(vector.type).shape[0]
            return self.b.shuffle(vector, vector, [width - 1] * lanes)
        return self.b.splat(vector, lanes)

    def _finish(self, at: dict[int, Index], index: Index, chunk: Chunk, sums: ir.Value, before: ir.Value) -> None:
        """Write a vector of results, of what came before and what `_sums` gave."""
        ways = self.form.combination
        if not self.form.inclusive and chunk.width > 1:
            sums = self._shifted(sums, 1)
        value = before if not self.form.inclusive and chunk.width == 1 else ways.combine(self.b, before, sums)
        self._store(at, index, chunk, value)


SCHEDULE = Scan()
