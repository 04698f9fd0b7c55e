"""Many rows at once through trees on ranks, a bit a row: comparisons first, decisions after.

Every node of a tree is compared for a block of rows, one vector of ranks at a time, which gives a row of bits a node.
In complete trees the bits of the way down are then picked by selecting between halves, level by level, all rows of the
block at once; in others the rows that reach a node are split between its children. That gives the leaf of each row,
whose values are gathered and added. That is the bit-vector idea of QuickScorer
(Lucchese et al., SIGIR 2015) with the roles of rows and leaves exchanged; no branch depends on the data. Few rows are
walked one by one, their columns ranked by vectors.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.forest_ranks import Heap, Ragged, Ranked

FEW = 24
"""Fewer rows than this are walked one by one."""
BLOCK = 256
"""Most rows of a block, unless tuned."""
OUTPUTS = 256
"""Outputs of a work item of few rows: trees, where each has an output of its own."""


class ForestBits(Schedule):
    """`forest.heap` and `forest.ragged`: blocks of rows as bits, few rows one by one."""

    name = "forest_bits"
    order = 1

    def applies(self, kernel, target) -> bool:
        return any(op.name in _WAYS for op in kernel.others)

    def build(self, kernel, target) -> ir.Operation:
        if target.vector.bits < 128:
            raise NotApplicable("the target has no vectors")
        name = next(op.name for op in kernel.others if op.name in _WAYS)
        return _WAYS[name](kernel, target).build()


class _Blocks(Ranked):
    """Blocks of rows through any trees on ranks; `block_tree` is one tree."""

    def __init__(self, kernel, target):
        super().__init__(kernel.func)
        bits = target.vector.bits
        self.lanes = bits // 32
        self.compare_lanes = max(8, bits // int(self.rank[1:]))
        self.byte_lanes = bits // 8
        self.sum_lanes = bits // int(self.sum[1:])
        # The columns of a block stay in the second-level cache.
        static = self.x.shape[0]
        block = BLOCK if 0 <= static < FEW else kernel.parameter("block", BLOCK, (BLOCK // 2, BLOCK * 2))
        while block > self.byte_lanes and block * self.width * int(self.rank[1:]) // 8 > target.cache.l2 // 2:
            block //= 2
        self.block = max(block, self.compare_lanes, self.byte_lanes)

    def build(self) -> ir.Operation:
        code, static = self.code, self.x.shape[0]
        self.row = code.scratch([self.width + self.lanes], self.rank)
        if 0 <= static < FEW:
            self._few_rows()
            return code.function()
        self.table = code.scratch([self.width * self.block], self.rank)
        self.places = code.scratch([self.block], "i32")
        self.numbers = code.scratch([self.block], "i8")
        self.sums = code.scratch([self.block], self.sum)
        self.scratch()

        self.blocks(self.block, self._item)
        return code.function()

    def _few_rows(self) -> None:
        """All rows one by one; where there are many outputs, each work item has some of them."""
        code, rows, count = self.code, self.x.dim(0), self.base.shape[0]
        if count < 2 * OUTPUTS:
            self.walk(code.index(0), rows)
            return

        def item(number: str) -> None:
            first = code.binary("muli", number, code.index(OUTPUTS))
            last = code.binary("minui", code.binary("addi", first, code.index(OUTPUTS)), code.index(count))
            self.walk(code.index(0), rows, (first, last))

        code.items(-(-count // OUTPUTS), item)

    def _item(self, low: str, high: str) -> None:
        """The rows of a work item: at once, in smaller blocks where they are not many, or one by one."""
        code = self.code
        count = code.binary("subi", high, low)
        small = max(self.byte_lanes, self.compare_lanes)

        def whole() -> list[str]:
            self._block(low, count)
            return []

        def few(start: str, end: str, number: str) -> None:
            def together() -> list[str]:
                self._block(start, number)
                return []

            def one_by_one() -> list[str]:
                self.walk(start, end)
                return []

            many = code.compare("uge", number, code.index(FEW), "index")
            code.when(many, [], together, one_by_one)

        if small >= self.block:
            few(low, high, count)
            return

        def first(size: int) -> str:
            end = code.binary("minui", code.binary("addi", low, code.index(size)), high)
            self._block(low, code.binary("subi", end, low))
            return end

        def in_parts() -> list[str]:
            large, start = self.block, low
            half = large // 2
            if half > small:
                self.block = half
                many = code.compare("uge", count, code.index(half * 5 // 8), "index")
                start = code.when(many, ["index"], lambda: [first(half)], lambda: [low])[0]
            self.block = small

            def part(start: str, _: list[str]) -> list[str]:
                end = code.binary("minui", code.binary("addi", start, code.index(small)), high)
                few(start, end, code.binary("subi", end, start))
                return []

            code.loop(start, high, code.index(small), [], part)
            self.block = large
            return []

        most = code.compare("uge", count, code.index(self.block * 5 // 8), "index")
        code.when(most, [], whole, in_parts)

    def scratch(self) -> None:
        """Memory for the bits of one tree."""
        raise NotImplementedError

    def block_tree(self, t: str) -> None:
        """Add the values of the leaves of tree t to the sums of the block."""
        raise NotImplementedError

    # Ranks.

    def _search(self, x: str, start: str, first: tuple[str, str], counts: str) -> list[str]:
        """The ranks of a vector of numbers by side, each in the cuts that begin `start` places behind the cut `first`.

        Offsets of both signs keep LLVM from widening them to 64 bits, which would take two gathers for one.
        """
        code, n = self.code, self.lanes
        ints, kind = f"vector<{n}xi32>", f"vector<{n}x{self.kind}>"
        place = start
        for step in self.steps:
            probe = code.binary("addi", place, code.constant(step - 1, ints), ints) if step > 1 else place
            smaller = code.compare("olt", self.cuts.gather(n, probe, *first), x, kind)
            place = code.select(smaller, code.binary("addi", place, code.constant(step, ints), ints), place, ints)
        return self.by_side(code.binary("subi", place, start, ints), x, counts, n)

    def row_ranks(self, r: str) -> None:
        """The columns of one row: a vector of columns at a time."""
        code, n, zero = self.code, self.lanes, self.code.index(0)
        middle = n // 2
        starts = ", ".join(str((i - middle) * self.cut_count) for i in range(n))
        start = code.constant(f"[{starts}]", f"vector<{n}xi32>")

        def columns(c: str, _: list[str]) -> list[str]:
            x = self.x.gather(n, self.features.vector(n, c), r, zero)
            first = (code.binary("addi", c, code.index(middle)), zero)
            for side, ranks in enumerate(self._search(x, start, first, self.counts.vector(n, c))):
                self.row.put_vector(ranks, n, code.binary("addi", c, code.index(side * self.count)))
            return []

        code.loop(zero, code.index(self.count), code.index(n), [], columns)

    def _block_ranks(self, low: str, count: str) -> None:
        """The columns of a block: a vector of rows at a time. Rows past the end repeat the last one."""
        code, n = self.code, self.lanes
        ints = f"vector<{n}xi32>"
        last = code.emit(f"arith.index_cast {code.binary('subi', count, code.index(1))} : index to i32")

        def place(i: str, _: list[str]) -> list[str]:
            number = code.binary("minui", code.emit(f"arith.index_cast {i} : index to i32"), last, "i32")
            self.places.put(code.binary("muli", number, code.constant(self.x.shape[1], "i32"), "i32"), i)
            return []

        code.loop(code.index(0), code.index(self.block), code.index(1), [], place)
        middle = self.cut_count // 2
        start = code.constant(-middle, ints)

        def column(c: str, _: list[str]) -> list[str]:
            feature = self._splat(self.features.at(c), ints)
            counts = self._splat(self.counts.at(c), ints)
            begin = code.binary("muli", c, code.index(self.block))

            def rows(r: str, _: list[str]) -> list[str]:
                offsets = code.binary("addi", self.places.vector(n, r), feature, ints)
                x = self.x.gather(n, offsets, low, code.index(0))
                first = (c, code.index(middle))
                for side, ranks in enumerate(self._search(x, start, first, counts)):
                    at = code.binary("addi", begin, code.index(side * self.count * self.block))
                    self.table.put_vector(ranks, n, code.binary("addi", at, r))
                return []

            code.loop(code.index(0), code.index(self.block), code.index(n), [], rows)
            return []

        code.loop(code.index(0), code.index(self.count), code.index(1), [], column)

    def _splat(self, value: str, kind: str) -> str:
        element = kind.rpartition("x")[2].rstrip(">")
        return self.code.emit(f"vector.broadcast {value} : {element} to {kind}")

    # Blocks of rows.

    def _block(self, low: str, count: str) -> None:
        code, one = self.code, self.code.index(1)
        self._block_ranks(low, count)

        def output(k: str, _: list[str]) -> list[str]:
            first = code.to_index(self.classes.at(k), "i32")
            last = code.to_index(self.classes.at(code.binary("addi", k, one)), "i32")
            n, kind = self.sum_lanes, f"vector<{self.sum_lanes}x{self.sum}>"
            start = self._splat(self.base.at(k), kind)
            self._each(self.block, n, lambda r: self.sums.put_vector(start, n, r))

            def one_tree(t: str, _: list[str]) -> list[str]:
                self.block_tree(t)
                return []

            code.loop(first, last, one, [], one_tree)

            def store(r: str, _: list[str]) -> list[str]:
                self.put(self.sums.at(r), code.binary("addi", low, r), k)
                return []

            code.loop(code.index(0), count, one, [], store)
            return []

        code.loop(code.index(0), code.index(self.base.shape[0]), one, [], output)

    def _each(self, end: int, step: int, body) -> None:
        def once(i: str, _: list[str]) -> list[str]:
            body(i)
            return []

        self.code.loop(self.code.index(0), self.code.index(end), self.code.index(step), [], once)

    def _compare(self, node: str, column: str, rank: str) -> None:
        """The bits of a node: whether each row would go right there."""
        code, n = self.code, self.compare_lanes
        kind = f"vector<{n}x{self.rank}>"
        begin = code.binary("muli", code.to_index(column, self.columns.element), code.index(self.block))
        limit = self._splat(rank, kind)
        for r in range(0, self.block, n):
            values = self.table.vector(n, code.binary("addi", begin, code.index(r)))
            right = code.compare("sgt", values, limit, kind)
            word = code.emit(f"vector.bitcast {right} : vector<{n}xi1> to vector<{n // 8}xi8>")
            self.bits.put_vector(word, n // 8, node, code.index(r // 8))

    def _add_leaves(self, extend: str, *first: str) -> None:
        """Add the values of the leaves that `numbers` names, counted from the value `first`."""
        code, n = self.code, self.sum_lanes
        kind = f"vector<{n}x{self.sum}>"
        for r in range(0, self.block, n):
            at = code.index(r)
            leaves = code.emit(f"arith.{extend} {self.numbers.vector(n, at)} : vector<{n}xi8> to vector<{n}xi32>")
            values = self.values.gather(n, leaves, *first)
            self.sums.put_vector(code.binary("addf", self.sums.vector(n, at), values, kind), n, at)


class _HeapBits(_Blocks, Heap):
    """Complete trees: the way down is chosen level by level between halves of a level's bits."""

    def scratch(self) -> None:
        self.bits = self.code.scratch([1 << self.depth, self.block // 8], "i8")
        self.way = self.code.scratch([self.depth, self.block // 8], "i8")

    def block_tree(self, t: str) -> None:
        code = self.code

        def node(i: str, _: list[str]) -> list[str]:
            self._compare(i, self.columns.at(t, i), self.ranks.at(t, i))
            return []

        code.loop(code.index(1), code.index(1 << self.depth), code.index(1), [], node)
        self._find_way()
        self._number_leaves()
        self._add_leaves("extsi", t, code.index(1 << (self.depth - 1)))

    def _find_way(self) -> None:
        """For each level the bit of the node that each row is at: halves selected by the levels above."""
        code, size = self.code, self.block // 8
        kind, zero = f"vector<{size}xi8>", code.index(0)
        way: list[str] = []
        for level in range(self.depth):
            first = 1 << level
            left = [self.bits.vector(size, code.index(first + i), zero) for i in range(first)]
            for bit in way:
                half = len(left) // 2
                left = [self._choose(bit, left[i + half], left[i], kind) for i in range(half)]
            way.append(left[0])
            self.way.put_vector(left[0], size, code.index(level), zero)

    def _choose(self, bit: str, one: str, other: str, kind: str) -> str:
        """`one` where the bit is set, else `other`."""
        code = self.code
        differ = code.binary("xori", one, other, kind)
        return code.binary("xori", other, code.binary("andi", differ, bit, kind), kind)

    def _number_leaves(self) -> None:
        """The leaf of each row as a byte, less half the leaves, from the bits of the levels."""
        code, n = self.code, self.byte_lanes
        kind = f"vector<{n}xi8>"
        zero = code.constant(0, kind)
        for r in range(0, self.block, n):
            total = None
            for level in range(self.depth):
                weight = code.constant((1 << (self.depth - 1 - level)) * (1 if level else -1), kind)
                bits = self.way.vector(n // 8, code.index(level), code.index(r // 8))
                mask = code.emit(f"vector.bitcast {bits} : vector<{n // 8}xi8> to vector<{n}xi1>")
                # The highest bit counts from the other end.
                if total is None:
                    total = code.select(mask, zero, weight, kind)
                else:
                    total = code.binary("ori", total, code.select(mask, weight, zero, kind), kind)
            self.numbers.put_vector(total, n, code.index(r))


class _RaggedBits(_Blocks, Ragged):
    """Trees of any shape: the rows that reach a node are split between its children, parents first."""

    def scratch(self) -> None:
        self.bits = self.code.scratch([self.slots, self.block // 8], "i8")
        self.reach = self.code.scratch([self.slots + self.leaves, self.block // 8], "i8")

    def block_tree(self, t: str) -> None:
        code, one, size = self.code, self.code.index(1), self.block // 8
        zero, kind = code.index(0), f"vector<{size}xi8>"
        after = code.binary("addi", t, one)
        first, last = (code.to_index(self.begin.at(n), "i32") for n in (t, after))
        leaf, end = (code.to_index(self.leaf_begin.at(n), "i32") for n in (t, after))
        count = code.binary("subi", last, first)
        every = code.constant(-1, kind)

        def compare(i: str, _: list[str]) -> list[str]:
            node = code.binary("addi", first, i)
            self._compare(i, self.columns.at(node), self.ranks.at(node))
            return []

        def part(i: str, _: list[str]) -> list[str]:
            node = code.binary("addi", first, i)
            here, right = self.reach.vector(size, i, zero), self.bits.vector(size, i, zero)
            going = code.binary("andi", here, right, kind)
            for side, rows in ((0, code.binary("xori", here, going, kind)), (1, going)):
                slot = code.to_index(self.children.at(node, code.index(side)), "i16")
                self.reach.put_vector(rows, size, slot, zero)
            return []

        code.loop(zero, count, one, [], compare)
        # The first leaf has all rows where it is the only one; else its parent says.
        self.reach.put_vector(every, size, code.index(self.slots), zero)
        self.reach.put_vector(every, size, zero, zero)
        code.loop(zero, count, one, [], part)
        self._number(code.binary("subi", end, leaf))
        self._add_leaves("extui", leaf)

    def _number(self, leaves: str) -> None:
        """The leaf of each row as a byte."""
        code, n = self.code, self.byte_lanes
        kind, slots = f"vector<{n}xi8>", code.index(self.slots)
        starts = range(0, self.block, n)

        def leaf(i: str, numbers: list[str]) -> list[str]:
            slot = code.binary("addi", slots, i)
            number = self._splat(code.emit(f"arith.index_cast {i} : index to i8"), kind)
            found = []
            for r, before in zip(starts, numbers, strict=True):
                bits = self.reach.vector(n // 8, slot, code.index(r // 8))
                mask = code.emit(f"vector.bitcast {bits} : vector<{n // 8}xi8> to vector<{n}xi1>")
                found.append(code.select(mask, number, before, kind))
            return found

        zeros = [(code.constant(0, kind), kind) for _ in starts]
        for r, number in zip(starts, code.loop(code.index(0), leaves, code.index(1), zeros, leaf), strict=True):
            self.numbers.put_vector(number, n, code.index(r))


_WAYS = {"forest.heap": _HeapBits, "forest.ragged": _RaggedBits}
SCHEDULE = ForestBits()
