"""The schedule of ranks: a stable radix sort of each row, instead of comparing every two of its elements.

The numbers of the elements are sorted by a byte of their keys, the least first, and so on by all bytes (Seward, 1954):
each element goes to the place that its byte's count says. All counts are made in one pass over the keys. After the last
byte an element's place is its rank. A byte that is the same in all keys only copies. Where only the first ranks are
asked for, counts of the highest bits say which elements can have them, and those alone are sorted.
"""

from __future__ import annotations

from neomlir.mlir import arith, ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Size
from neomlir.schedules.combine import compared, reduced
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import shares, walk
from neomlir.schedules.rank_form import LEAST, RankForm

_DIGIT = 8
"""Bits of a key by which elements are moved at a time: the counts of all digits then fit the first-level cache."""
_HIGH = 11
"""Highest bits of a key that tell whether it can be among the first: those of a float's sign and exponent, and two."""
_SHORT = 2048
"""Elements of a row, at most, for which a byte must do: more counts take longer to look through than the elements."""
_BESIDE = 4
"""Vectors of elements that are looked at together: few hold one of the first."""
_MOST = 1 << 17
"""Elements of a row, at most: their numbers are on the stack, twice."""
_ITEM = 4096
"""Elements of a work item, about."""


class Rank(Schedule):
    name = "rank"
    order = 194

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and RankForm.of(kernel.roots[0]) is not None

    def build(self, kernel: Kernel, target) -> ir.Operation:
        form = RankForm.of(kernel.roots[0])
        extent = form.generic.extents[form.here]
        if extent is None or not LEAST <= extent <= _MOST:
            raise NotApplicable("rows are short, too long for the stack, or of unknown length")
        if kernel.results != [form.generic.results[0]]:
            raise NotApplicable("something is computed of ranks")
        key, rank = (ir.RankedTensorType(v.type).element_type for v in (form.keys, kernel.results[0]))
        if key.width not in (32, 64) or rank.width < 32:
            raise NotApplicable("keys are of 32 or 64 bits")
        return Frame(kernel, target).made_by(lambda frame: _Nest(frame, form, extent).emit())


class _Nest:
    """The loops over rows, and the sort of each."""

    def __init__(self, frame: Frame, form: RankForm, extent: int):
        self.frame, self.form, self.b, self.extent = frame, form, frame.b, extent
        self.order = [e.position for e in form.generic.output_map().results]
        """The loop of each dimension of the result."""
        self.outer = [d for d in self.order if d != form.here]
        self.extents = [frame.memory.dim(*at, frame.evaluator) for at in form.generic.sizes()]
        self.key = ir.RankedTensorType(form.keys.type).element_type
        self.digits = self.key.width // _DIGIT
        self.rank = ir.RankedTensorType(frame.kernel.results[0].type).element_type
        self.i32 = ir.IntegerType.get_signless(32, frame.b.context)
        self.limit = form.limit if form.limit is not None and form.limit < extent else None
        self.high = _DIGIT if extent <= _SHORT else _HIGH
        slots = max(self.digits << _DIGIT, 0 if self.limit is None else 1 << self.high)
        self.counts = frame.memory.scratch([slots], self.i32)
        self.numbers = [frame.memory.scratch([extent], self.i32) for _ in range(2)]
        """Those of the elements, in the order so far: read from one, written to the other."""

    def emit(self) -> None:
        """Some rows a work item."""
        b, sizes = self.b, [self.extents[d] for d in self.outer]
        if not sizes:
            self._row({})
            return
        counts, share = shares(b, sizes, max(1, _ITEM // self.extent), 1)

        def item(indices: list[Index]) -> None:
            before, low, high = share(indices)
            cut = len(before)
            ranges = {self.outer[cut]: (low, high)}
            at = dict(zip(self.outer, before, strict=False))
            walk(b, self.outer[cut:], self.extents, at, self._row, ranges)

        b.items([(counts, item)])

    def _row(self, at: dict[int, Index]) -> None:
        """Sort a row, or those of its elements that can be among the first, and write the ranks."""
        b = self.b
        size: Size = self.extent
        if self.limit is not None:
            size = self._first(at)
        self._count(at, size)
        for digit in range(self.digits):

            def number(p: Index, digit=digit) -> ir.Value:
                """Of the element at a place, by the digits before."""
                if digit == 0 and self.limit is None:
                    return b.compute(p)
                return self._load(self.numbers[digit % 2], p)

            def put(place: ir.Value, i: ir.Value, digit=digit) -> None:
                if digit < self.digits - 1:
                    self._store(i, self.numbers[1 - digit % 2], place)
                else:
                    rank = place if self.limit is None else b.min(place, self.limit)
                    self._store(rank, self.frame.destination(0), *self._place(at, i))

            def move(p: Index, digit=digit, number=number, put=put) -> None:
                i = number(p)
                slot = self._slot(self._key(at, i), digit * _DIGIT, _DIGIT, digit << _DIGIT)
                place = self._load(self.counts, slot)
                self._store(b.add(place, 1), self.counts, slot)
                put(place, i)

            def keep(p: Index, number=number, put=put) -> None:
                put(b.compute(p), number(p))

            def copied(keep=keep) -> None:
                b.loop(0, size, 1, keep)

            def sorted_(digit=digit, move=move) -> None:
                self._places(digit)
                b.loop(0, size, 1, move)

            # There is a first element: some row has one, and one at least can be among the first.
            key = self._key(at, number(Index()))
            same = b.equal(self._load(self.counts, self._slot(key, digit * _DIGIT, _DIGIT, digit << _DIGIT)), size)
            b.when(same, copied, sorted_)

    def _places(self, digit: int) -> None:
        """Make places of the counts of a digit."""
        b = self.b

        def place(value: Index, before: ir.Value) -> list[ir.Value]:
            slot = b.compute(value)
            count = self._load(self.counts, slot)
            self._store(before, self.counts, slot)
            return [b.add(before, count)]

        b.loop(digit << _DIGIT, (digit + 1) << _DIGIT, 1, place, [b.index(0)])

    def _count(self, at: dict[int, Index], size: Size) -> None:
        """How often each value of each digit is there, among `size` elements."""
        b = self.b
        self._clear(self.digits << _DIGIT)

        def each(p: Index) -> None:
            key = self._key(at, b.compute(p) if self.limit is None else self._load(self.numbers[0], p))
            for digit in range(self.digits):
                self._add(self._slot(key, digit * _DIGIT, _DIGIT, digit << _DIGIT))

        b.loop(0, size, 1, each)

    def _first(self, at: dict[int, Index]) -> ir.Value:
        """Write down the elements that can be among the first, and say how many they are; other ranks are the limit.

        Those are all up to the value of the highest bits with which there are enough.
        """
        b, shift, counts = self.b, self.key.width - self.high, 1 << self.high
        self._clear(counts)
        b.loop(0, self.extent, 1, lambda i: self._add(self._slot(self._key(at, b.compute(i)), shift, self.high, 0)))

        def enough(value: Index, before: ir.Value, highest: ir.Value) -> list[ir.Value]:
            total = b.add(before, self._load(self.counts, b.compute(value)))
            few = b.less(before, self.limit)
            return [total, b.value("arith.select", b.index_type, few, b.compute(value), highest)]

        _, highest = b.loop(0, counts, 1, enough, [b.index(0), b.index(0)])
        # The greatest key with those bits.
        behind = b.value("arith.index_castui", self.key, b.add(highest, 1))
        end = b.value("arith.shli", self.key, behind, self._constant(shift))
        last = b.value("arith.subi", self.key, end, self._constant(1))
        return self._choose(at, b.value("arith.xori", self.key, last, self._constant(-(1 << (self.key.width - 1)))))

    def _choose(self, at: dict[int, Index], last: ir.Value) -> ir.Value:
        """Write down the elements whose keys are at most `last`, and say how many they are."""
        b = self.b
        limit = b.constant(ir.IntegerAttr.get(self.rank, self.limit))

        def choose(i: Index, found: ir.Value) -> list[ir.Value]:
            place = b.compute(i)
            self._write(limit, self.frame.destination(0), *self._place(at, place))
            # Written at any rate: without a branch, and no further than the row is long.
            self._store(place, self.numbers[0], found)
            chosen = compared(b, arith.CmpIPredicate.sle, self._key(at, place), last)
            return [b.add(found, b.value("arith.index_castui", b.index_type, chosen))]

        wide = _BESIDE * self.frame.machine.lanes(self.key.width)
        if self.order[-1] != self.form.here or b.scalable:
            return b.loop(0, self.extent, 1, choose, [b.index(0)])[0]

        def vectors(i: Index, found: ir.Value) -> list[ir.Value]:
            place = self._place(at, i)
            keys = self._read(self.frame.memory.of(self.form.keys), *place, width=wide)
            b.op("vector.store", [], [b.splat(limit, wide), self.frame.destination(0), *place])
            low = compared(b, arith.CmpIPredicate.sle, keys, b.splat(last, wide))
            some = reduced(b, "or", low)
            start = b.compute(i)
            return b.where(some, lambda: b.loop(start, b.add(start, wide), 1, choose, [found]), [found])

        whole = self.extent // wide * wide
        (found,) = b.loop(0, whole, wide, vectors, [b.index(0)])
        return b.loop(whole, self.extent, 1, choose, [found])[0]

    def _constant(self, number: int) -> ir.Value:
        return self.b.constant(ir.IntegerAttr.get(self.key, number))

    def _clear(self, slots: int) -> None:
        b, zero = self.b, self.b.zero(self.i32)
        b.loop(0, slots, 1, lambda i: self._write(zero, self.counts, b.compute(i)))

    def _add(self, slot: ir.Value) -> None:
        """Count one more."""
        self._store(self.b.add(self._load(self.counts, slot), 1), self.counts, slot)

    def _slot(self, key: ir.Value, low: int, bits: int, start: int) -> ir.Value:
        """Where the count of some bits of a key is, from `low` on; the sign counts the other way round."""
        b, width = self.b, self.key.width
        if low + bits == width:
            key = b.value("arith.xori", self.key, key, self._constant(-(1 << (width - 1))))
        digit = b.value("arith.shrui", self.key, key, self._constant(low))
        found = b.value("arith.andi", self.key, digit, self._constant((1 << bits) - 1))
        return b.size(b.add(b.value("arith.index_castui", b.index_type, found), start))

    def _key(self, at: dict[int, Index], i: ir.Value) -> ir.Value:
        return self._read(self.frame.memory.of(self.form.keys), *self._place(at, i))

    def _place(self, at: dict[int, Index], i: ir.Value | Index) -> list[ir.Value]:
        """Where element `i` of a row is, in the keys and in the result."""
        b = self.b
        along = b.compute(i) if isinstance(i, Index) else i
        return [along if d == self.form.here else b.compute(at[d]) for d in self.order]

    # Every load and store as it stands: these buffers change.

    def _read(self, buffer: ir.Value, *place: ir.Value, width: int = 1) -> ir.Value:
        kind = self.b.vector(width, ir.MemRefType(buffer.type).element_type)
        return self.b.op("memref.load" if width == 1 else "vector.load", [kind], [buffer, *place]).results[0]

    def _write(self, value: ir.Value, buffer: ir.Value, *place: ir.Value) -> None:
        self.b.op("memref.store", [], [value, buffer, *place])

    def _load(self, buffer: ir.Value, *place: ir.Value | Index) -> ir.Value:
        """A number as an index."""
        places = [self.b.compute(p) if isinstance(p, Index) else p for p in place]
        return self.b.value("arith.index_castui", self.b.index_type, self._read(buffer, *places))

    def _store(self, number: ir.Value, buffer: ir.Value, *place: ir.Value) -> None:
        element = ir.MemRefType(buffer.type).element_type
        self._write(self.b.value("arith.index_cast", element, number), buffer, *place)


SCHEDULE = Rank()
