"""Many rows at once through complete trees, a bit a row: comparisons first, decisions after.

Every node of a tree is compared for a block of rows, one vector of ranks at a time, which gives a row of bits a node.
The bits of the way down are then picked by selecting between halves, level by level, all rows of the block at once; the
last vector is the leaf of each row, whose values are gathered and added. That is the bit-vector idea of QuickScorer
(Lucchese et al., SIGIR 2015) with the roles of rows and leaves exchanged; no branch depends on the data. Few rows are
walked one by one, their columns ranked by vectors.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.forest_heap import Heap

FEW = 24
"""Fewer rows than this are walked one by one."""
BLOCK = 256
"""Most rows of a block."""


class ForestBits(Schedule):
    """`forest.heap`: blocks of rows as bits, few rows one by one."""

    name = "forest_bits"
    order = 1

    def applies(self, kernel, target) -> bool:
        return any(op.name == "forest.heap" for op in kernel.others)

    def build(self, kernel, target) -> ir.Operation:
        if target.vector.bits < 128:
            raise NotApplicable("the target has no vectors")
        return _Bits(kernel.func, target).build()


class _Bits(Heap):
    def __init__(self, func: ir.Operation, target):
        super().__init__(func)
        bits = target.vector.bits
        self.lanes = bits // 32
        self.compare_lanes = max(8, bits // int(self.rank[1:]))
        self.byte_lanes = bits // 8
        self.sum_lanes = bits // int(self.sum[1:])
        # The columns of a block stay in the second-level cache.
        block = BLOCK
        while block > self.byte_lanes and block * self.count * int(self.rank[1:]) // 8 > target.cache.l2 // 2:
            block //= 2
        self.block = max(block, self.compare_lanes, self.byte_lanes)

    def build(self) -> ir.Operation:
        code, static = self.code, self.x.shape[0]
        self.row = code.scratch([self.count + self.lanes], self.rank)
        if 0 <= static < FEW:
            self.walk(code.index(0), self.x.dim(0))
            return code.function()
        nodes, block = 1 << self.depth, self.block
        self.table = code.scratch([self.count * block], self.rank)
        self.places = code.scratch([block], "i32")
        self.bits = code.scratch([nodes, block // 8], "i8")
        self.way = code.scratch([self.depth, block // 8], "i8")
        self.leaves = code.scratch([block], "i8")
        self.sums = code.scratch([block], self.sum)

        def item(low: str, high: str) -> None:
            count = code.binary("subi", high, low)
            many = code.compare("uge", count, code.index(FEW), "index")

            def by_block() -> list[str]:
                self._block(low, count)
                return []

            def by_row() -> list[str]:
                self.walk(low, high)
                return []

            code.when(many, [], by_block, by_row)

        self.blocks(block, item)
        return code.function()

    # Ranks.

    def _search(self, x: str, base: str, missing: str) -> str:
        """The ranks of a vector of numbers, each in the cuts that begin at `base` in the table."""
        code, n = self.code, self.lanes
        ints, kind = f"vector<{n}xi32>", f"vector<{n}x{self.kind}>"
        zero = code.index(0)
        place = base
        for step in self.steps:
            probe = code.binary("addi", place, code.constant(step - 1, ints), ints) if step > 1 else place
            cut = self.cuts.gather(n, probe, zero, zero)
            smaller = code.compare("olt", cut, x, kind)
            place = code.select(smaller, code.binary("addi", place, code.constant(step, ints), ints), place, ints)
        found = code.binary("addi", code.binary("subi", place, base, ints), code.constant(self.lowest, ints), ints)
        return self.narrow(code.select(code.compare("uno", x, x, kind), missing, found, ints), n)

    def row_ranks(self, r: str) -> None:
        """The columns of one row: a vector of columns at a time."""
        code, n = self.code, self.lanes
        ints = f"vector<{n}xi32>"
        steps = code.emit(f"arith.constant dense<[{', '.join(str(i * self.cut_count) for i in range(n))}]> : {ints}")

        def columns(c: str, _: list[str]) -> list[str]:
            features = self.column_features.vector(n, c)
            x = self.x.gather(n, features, r, code.index(0))
            start = code.binary("muli", c, code.index(self.cut_count))
            first = code.emit(
                f"vector.broadcast {code.emit(f'arith.index_cast {start} : index to i32')} : i32 to {ints}"
            )
            missing = self.column_missing.vector(n, c)
            self.row.put_vector(self._search(x, code.binary("addi", first, steps, ints), missing), n, c)
            return []

        code.loop(code.index(0), code.index(self.count), code.index(n), [], columns)

    def _block_ranks(self, low: str, count: str) -> None:
        """The columns of a block: a vector of rows at a time. Rows past the end repeat the last one."""
        code, n = self.code, self.lanes
        ints = f"vector<{n}xi32>"
        last = code.emit(f"arith.index_cast {code.binary('subi', count, code.index(1))} : index to i32")

        def place(i: str, _: list[str]) -> list[str]:
            number = code.binary("minui", code.emit(f"arith.index_cast {i} : index to i32"), last, "i32")
            self.places.put(code.binary("muli", number, code.constant(self.features, "i32"), "i32"), i)
            return []

        code.loop(code.index(0), code.index(self.block), code.index(1), [], place)

        def column(c: str, _: list[str]) -> list[str]:
            feature = self._splat(self.column_features.at(c), ints)
            missing = self._splat(self.column_missing.at(c), ints)
            start = code.emit(f"arith.index_cast {code.binary('muli', c, code.index(self.cut_count))} : index to i32")
            base = self._splat(start, ints)
            begin = code.binary("muli", c, code.index(self.block))

            def rows(r: str, _: list[str]) -> list[str]:
                offsets = code.binary("addi", self.places.vector(n, r), feature, ints)
                x = self.x.gather(n, offsets, low, code.index(0))
                self.table.put_vector(self._search(x, base, missing), n, code.binary("addi", begin, r))
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
            code.loop(first, last, one, [], self._block_tree)

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

    def _block_tree(self, t: str, _: list[str]) -> list[str]:
        self._compare_nodes(t)
        self._find_way()
        self._number_leaves()
        self._add_leaves(t)
        return []

    def _compare_nodes(self, t: str) -> None:
        """A bit a row for every node: whether the row would go right there."""
        code, n = self.code, self.compare_lanes
        kind = f"vector<{n}x{self.rank}>"

        def node(i: str, _: list[str]) -> list[str]:
            column = code.to_index(self.columns.at(t, i), self.columns.element)
            begin = code.binary("muli", column, code.index(self.block))
            rank = self._splat(self.ranks.at(t, i), kind)
            for r in range(0, self.block, n):
                values = self.table.vector(n, code.binary("addi", begin, code.index(r)))
                right = code.compare("sgt", values, rank, kind)
                self.bits.put_vector(_bytes(code, right, n), n // 8, i, code.index(r // 8))
            return []

        code.loop(code.index(1), code.index(1 << self.depth), code.index(1), [], node)

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
        """The leaf of each row as a byte, from the bits of the levels."""
        code, n = self.code, self.byte_lanes
        kind = f"vector<{n}xi8>"
        for r in range(0, self.block, n):
            total = code.constant(0, kind)
            for level in range(self.depth):
                weight = 1 << (self.depth - 1 - level)
                bits = self.way.vector(n // 8, code.index(level), code.index(r // 8))
                mask = code.emit(f"vector.bitcast {bits} : vector<{n // 8}xi8> to vector<{n}xi1>")
                signed = weight if weight < 128 else weight - 256
                part = code.select(mask, code.constant(signed, kind), code.constant(0, kind), kind)
                total = code.binary("ori", total, part, kind)
            self.leaves.put_vector(total, n, code.index(r))

    def _add_leaves(self, t: str) -> None:
        code, n = self.code, self.sum_lanes
        kind = f"vector<{n}x{self.sum}>"
        for r in range(0, self.block, n):
            at = code.index(r)
            leaves = code.emit(f"arith.extui {self.leaves.vector(n, at)} : vector<{n}xi8> to vector<{n}xi32>")
            values = self.values.gather(n, leaves, t, code.index(0))
            self.sums.put_vector(code.binary("addf", self.sums.vector(n, at), values, kind), n, at)


def _bytes(code, mask: str, lanes: int) -> str:
    return code.emit(f"vector.bitcast {mask} : vector<{lanes}xi1> to vector<{lanes // 8}xi8>")


SCHEDULE = ForestBits()
