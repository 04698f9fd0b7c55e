"""Trees of any size in vectors of rows: each lane goes down its own way, all that it reads is gathered.

A block of rows goes through one tree after the other, so that a tree is in the cache for all of them.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.forest_loops import FLAGS, ScoreLoops
from neomlir.trees import CATEGORICAL, EQUAL, MISSING_LEFT, WHOLE, ZERO, ZERO_MISSING

BLOCK = 128
"""Rows of a work item."""
FEW = 6
"""Fewer rows than this go one by one."""


class ForestGather(Schedule):
    """`forest.score`: rows in lanes."""

    name = "forest_gather"
    order = 2

    def applies(self, kernel, target) -> bool:
        return any(op.name == "forest.score" for op in kernel.others)

    def build(self, kernel, target) -> ir.Operation:
        return _Gather(kernel.func, target).build()


class _Gather(ScoreLoops):
    def __init__(self, func: ir.Operation, target):
        super().__init__(func)
        if target.vector.bits < 128:
            raise NotApplicable("the target has no vectors")
        width = max(int(self.kind[1:]), int(self.sum[1:]))
        # Two vectors at once: each waits for its gathers.
        self.lanes = 2 * target.vector.bits // width
        self.columns = self.values.shape[1]
        self.outputs = self.base.shape[0]

    def build(self) -> ir.Operation:
        code, static = self.code, self.x.shape[0]
        rows, size = self.x.dim(0), code.index(BLOCK)
        if 0 <= static < FEW:
            code.items(1, lambda _: self._rows(code.index(0), rows))
            return code.function()
        self.places = code.scratch([BLOCK], "i32")
        self.sums = code.scratch([self.outputs, BLOCK], self.sum)

        def item(block: str) -> None:
            low = code.binary("muli", block, size)
            high = code.binary("minui", code.binary("addi", low, size), rows)
            count = code.binary("subi", high, low)
            few = code.compare("ult", count, code.index(FEW), "index")

            def one_by_one() -> list[str]:
                self._rows(low, high)
                return []

            def together() -> list[str]:
                self._block(low, count)
                return []

            code.when(few, [], one_by_one, together)

        code.items(-(-static // BLOCK) if static > 0 else code.emit(f"arith.ceildivui {rows}, {size} : index"), item)
        return code.function()

    def _loop(self, low: str, high: str, step: int, body) -> None:
        def once(i: str, _: list[str]) -> list[str]:
            body(i)
            return []

        self.code.loop(low, high, self.code.index(step), [], once)

    def _block(self, low: str, count: str) -> None:
        code, n, zero = self.code, self.lanes, self.code.index(0)
        features = code.constant(self.x.shape[1], "i32")
        last = code.emit(f"arith.index_cast {code.binary('subi', count, code.index(1))} : index to i32")

        def place(i: str) -> None:
            # Rows past the end repeat the last one.
            number = code.binary("minui", code.emit(f"arith.index_cast {i} : index to i32"), last, "i32")
            self.places.put(code.binary("muli", number, features, "i32"), i)

        self._loop(zero, code.index(BLOCK), 1, place)
        kind = f"vector<{n}x{self.sum}>"

        def start(k: str) -> None:
            value = code.emit(f"vector.broadcast {self.base.at(k)} : {self.sum} to {kind}")
            self._loop(zero, code.index(BLOCK), n, lambda r: self.sums.put_vector(value, n, k, r))

        self._loop(zero, code.index(self.outputs), 1, start)

        def add(t: str, outputs: list[tuple[str, str]]) -> None:
            """The values of tree t, column `c` to output `k`."""

            def chunk(r: str) -> None:
                leaf = self._leaves(low, t, r)
                ints = f"vector<{n}xi32>"
                first = code.binary("muli", leaf, code.constant(self.columns, ints), ints) if self.columns > 1 else leaf
                for c, k in outputs:
                    values = self.values.gather(n, first, zero, c)
                    if self.linear:
                        values = self._linear(low, leaf, values, r)
                    total = code.binary(self.combine, self.sums.vector(n, k, r), values, kind)
                    self.sums.put_vector(total, n, k, r)

            self._loop(zero, count, n, chunk)

        if self.columns > 1:
            every = [(code.index(k), code.index(k)) for k in range(self.outputs)]
            self._loop(zero, code.index(self.roots.shape[0]), 1, lambda t: add(t, every))
        else:

            def output(k: str) -> None:
                first = code.to_index(self.classes.at(k), "i32")
                last = code.to_index(self.classes.at(code.binary("addi", k, code.index(1))), "i32")
                self._loop(first, last, 1, lambda t: add(t, [(zero, k)]))

            self._loop(zero, code.index(self.outputs), 1, output)

        def store(k: str) -> None:
            def row(r: str) -> None:
                place = [code.binary("addi", low, r), k]
                self.out.put(self.sums.at(k, r), *place[: len(self.out.shape)])

            self._loop(zero, count, 1, row)

        self._loop(zero, code.index(self.outputs), 1, store)

    def _leaves(self, low: str, tree: str, rows: str) -> str:
        """The leaves of `lanes` rows of the block, a vector of i32."""
        code, n, zero = self.code, self.lanes, self.code.index(0)
        ints, kind, bits = f"vector<{n}xi32>", f"vector<{n}x{self.kind}>", f"vector<{n}xi1>"
        none = code.constant(0, ints)
        places = self.places.vector(n, rows)
        root = code.emit(f"vector.broadcast {self.roots.at(tree)} : i32 to {ints}")

        def any_inner(node: str) -> str:
            return code.emit(f"vector.reduction <or>, {code.compare('sge', node, none, ints)} : {bits} into i1")

        def flag(split: str, which: int) -> str:
            bit = code.binary("andi", split, code.constant(which << FLAGS, ints), ints)
            return code.compare("ne", bit, none, ints)

        def down(node: str) -> str:
            inner = code.compare("sge", node, none, ints)
            safe = code.binary("maxsi", node, none, ints)
            split = self.splits.gather(n, safe, zero)
            feature = code.binary("andi", split, code.constant((1 << FLAGS) - 1, ints), ints)
            x = self.x.gather(n, code.binary("addi", places, feature, ints), low, zero)
            threshold = self.thresholds.gather(n, safe, zero)
            left = code.compare("ole", x, threshold, kind)
            # Of the numbers that are not above a threshold those below it do not equal it.
            below = code.binary("andi", flag(split, EQUAL), code.compare("olt", x, threshold, kind), bits)
            left = code.binary("andi", left, code.binary("xori", below, code.constant("true", bits), bits), bits)
            if self.categorical:
                chosen = flag(split, CATEGORICAL)
                some = code.emit(f"vector.reduction <or>, {chosen} : {bits} into i1")
                left = code.when(some, [bits], lambda: [self._members(safe, x, split, chosen, left)], lambda: [left])[0]
            near = code.compare("ole", code.emit(f"math.absf {x} : {kind}"), code.constant(ZERO, kind), kind)
            missing = code.compare("uno", x, x, kind)
            missing = code.binary("ori", missing, code.binary("andi", near, flag(split, ZERO_MISSING), bits), bits)
            # A select between masks.
            other = code.binary("andi", missing, flag(split, MISSING_LEFT), bits)
            kept = code.binary("andi", code.binary("xori", missing, code.constant("true", bits), bits), left, bits)
            left = code.binary("ori", other, kept, bits)
            side = code.select(left, none, code.constant(1, ints), ints)
            pair = code.binary("addi", safe, safe, ints)
            child = self.children.gather(n, code.binary("addi", pair, side, ints), zero, zero)
            return code.select(inner, child, node, ints)

        end = code.repeat(root, ints, any_inner, down)
        return code.binary("subi", code.constant(-1, ints), end, ints)

    def _members(self, node: str, x: str, split: str, chosen: str, otherwise: str) -> str:
        """`otherwise`, and where `chosen`, whether the set of the node has the number (see `ScoreLoops`)."""
        code, n, zero = self.code, self.lanes, self.code.index(0)
        ints, kind, bits = f"vector<{n}xi32>", f"vector<{n}x{self.kind}>", f"vector<{n}xi1>"
        true = code.constant("true", bits)
        begin = self.set_begin.gather(n, node, zero)
        end = self.set_begin.gather(n, code.binary("addi", node, code.constant(1, ints), ints), zero)
        big = code.constant(float(1 << 30), kind)
        above = code.compare("ogt", x, code.constant(-1.0, kind), kind)
        fits = code.binary("andi", code.compare("olt", x, big, kind), above, bits)
        number = code.emit(f"arith.fptosi {code.select(fits, x, big, kind)} : {kind} to {ints}")
        word = code.binary("shrui", number, code.constant(5, ints), ints)
        inside = code.compare("ult", word, code.binary("subi", end, begin, ints), ints)
        inside = code.binary("andi", inside, chosen, bits)
        place = code.select(inside, code.binary("addi", begin, word, ints), code.constant(0, ints), ints)
        shift = code.binary("andi", number, code.constant(31, ints), ints)
        found = code.binary("shrui", self.sets.gather(n, place, zero), shift, ints)
        found = code.binary("andi", code.emit(f"arith.trunci {found} : {ints} to {bits}"), inside, bits)
        equal = code.compare("oeq", code.emit(f"arith.sitofp {number} : {ints} to {kind}"), x, kind)
        whole = code.binary("andi", split, code.constant(WHOLE << FLAGS, ints), ints)
        any_number = code.compare("eq", whole, code.constant(0, ints), ints)
        found = code.binary("andi", found, code.binary("ori", equal, any_number, bits), bits)
        kept = code.binary("andi", otherwise, code.binary("xori", chosen, true, bits), bits)
        return code.binary("ori", kept, found, bits)

    def _linear(self, low: str, leaf: str, values: str, rows: str) -> str:
        """The linear models of the leaves, term by term; lanes with fewer terms wait."""
        code, n, zero = self.code, self.lanes, self.code.index(0)
        ints, kind, bits = f"vector<{n}xi32>", f"vector<{n}x{self.sum}>", f"vector<{n}xi1>"
        places = self.places.vector(n, rows)
        first = self.linear_begin.gather(n, leaf, zero)
        last = self.linear_begin.gather(n, code.binary("addi", leaf, code.constant(1, ints), ints), zero)
        count = code.binary("subi", last, first, ints)
        most = code.to_index(code.emit(f"vector.reduction <maxsi>, {count} : {ints} into i32"), "i32")

        def term(i: str, carried: list[str]) -> list[str]:
            number = code.emit(f"arith.index_cast {i} : index to i32")
            number = code.emit(f"vector.broadcast {number} : i32 to {ints}")
            active = code.compare("slt", number, count, ints)
            place = code.select(active, code.binary("addi", first, number, ints), code.constant(0, ints), ints)
            feature = self.linear_features.gather(n, place, zero)
            x = self.x.gather(n, code.binary("addi", places, feature, ints), low, zero)
            if self.kind != self.sum:
                widen = "extf" if self.sum == "f64" else "truncf"
                x = code.emit(f"arith.{widen} {x} : vector<{n}x{self.kind}> to {kind}")
            missing = code.binary("andi", code.compare("uno", x, x, kind), active, bits)
            product = code.binary("mulf", self.linear_weights.gather(n, place, zero), x, kind)
            total = code.select(active, code.binary("addf", carried[0], product, kind), carried[0], kind)
            return [total, code.binary("ori", carried[1], missing, bits)]

        carried = [(values, kind), (code.constant("false", bits), bits)]
        total, missing = code.loop(zero, most, code.index(1), carried, term)
        return code.select(missing, self.linear_default.gather(n, leaf, zero), total, kind)


SCHEDULE = ForestGather()
