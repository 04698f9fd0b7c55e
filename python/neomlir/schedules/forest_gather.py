"""Trees of any size in vectors of rows: each lane goes down its own way, all that it reads is gathered.

A block of rows goes through one tree after the other, so that a tree is in the cache for all of them.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.forest_loops import FLAGS, ScoreLoops
from neomlir.trees import EQUAL, MISSING_LEFT, ZERO, ZERO_MISSING

BLOCK = 128
"""Rows of a work item."""
FEW = 6
"""Fewer rows than this go one by one."""


class ForestGather(Schedule):
    """`forest.score` of numerical nodes: rows in lanes."""

    name = "forest_gather"
    order = 2

    def applies(self, kernel, target) -> bool:
        return any(op.name == "forest.score" for op in kernel.others)

    def build(self, kernel, target) -> ir.Operation:
        return _Gather(kernel.func, target).build()


class _Gather(ScoreLoops):
    def __init__(self, func: ir.Operation, target):
        super().__init__(func)
        if self.categorical or self.linear:
            raise NotApplicable("categorical nodes and linear leaves go one by one")
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
                    total = code.binary("addf", self.sums.vector(n, k, r), values, kind)
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


SCHEDULE = ForestGather()
