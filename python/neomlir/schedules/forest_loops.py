"""The trees of a `forest.score`, row by row and node by node: what every other way is compared with."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.text import Code
from neomlir.trees import CATEGORICAL, EQUAL, MISSING_LEFT, WHOLE, ZERO, ZERO_MISSING

FLAGS = 27
"""The bit of `splits` where the flags begin."""
ROWS = 16
"""Rows of one work item."""


class ScoreLoops:
    """Emits the loops of one `forest.score`."""

    def __init__(self, func: ir.Operation):
        self.code = Code(func, "forest")
        names = ("x", "roots", "splits", "thresholds", "children", "values", "classes", "base", "sets", "set_begin")
        names += ("linear_begin", "linear_features", "linear_weights", "linear_default", "out")
        for number, name in enumerate(names):
            setattr(self, name, self.code.operand(number))
        attributes = self.code.op.attributes
        self.categorical = ir.BoolAttr(attributes["categorical"]).value
        self.linear = ir.BoolAttr(attributes["linear"]).value
        self.kind, self.sum = self.x.element, self.values.element
        aggregate = ir.StringAttr(attributes["aggregate"]).value
        self.combine = {"sum": "addf", "min": "minimumf", "max": "maximumf"}[aggregate]

    def build(self) -> ir.Operation:
        """The new function."""
        code = self.code
        rows = self.x.dim(0)
        static = self.x.shape[0]
        size = code.index(ROWS)
        if 0 <= static <= ROWS:
            code.items(1, lambda _: self._rows(code.index(0), rows))
        else:
            items = -(-static // ROWS) if static > 0 else code.emit(f"arith.ceildivui {rows}, {size} : index")

            def item(block: str) -> None:
                low = code.binary("muli", block, size)
                self._rows(low, code.binary("minui", code.binary("addi", low, size), rows))

            code.items(items, item)
        return code.function()

    def _rows(self, low: str, high: str) -> None:
        code, one = self.code, self.code.index(1)
        row = self._all_outputs if self.values.shape[1] > 1 else self._output_by_output
        code.loop(low, high, one, [], lambda r, _: row(r))

    def _output_by_output(self, row: str) -> list[str]:
        code, zero, one = self.code, self.code.index(0), self.code.index(1)

        def output(k: str, _: list[str]) -> list[str]:
            first = code.to_index(self.classes.at(k), "i32")
            last = code.to_index(self.classes.at(code.binary("addi", k, one)), "i32")

            def tree(t: str, sums: list[str]) -> list[str]:
                return [code.binary(self.combine, sums[0], self._value(row, self._leaf(row, t)), self.sum)]

            total = code.loop(first, last, one, [(self.base.at(k), self.sum)], tree)
            self.out.put(total[0], *([row, k] if len(self.out.shape) == 2 else [row]))
            return []

        code.loop(zero, code.index(self.base.shape[0]), one, [], output)
        return []

    def _all_outputs(self, row: str) -> list[str]:
        code, zero, one = self.code, self.code.index(0), self.code.index(1)
        width = code.index(self.values.shape[1])

        def start(k: str, _: list[str]) -> list[str]:
            self.out.put(self.base.at(k), row, k)
            return []

        def tree(t: str, _: list[str]) -> list[str]:
            leaf = self._leaf(row, t)

            def add(k: str, _: list[str]) -> list[str]:
                total = code.binary(self.combine, self.out.at(row, k), self.values.at(leaf, k), self.sum)
                self.out.put(total, row, k)
                return []

            code.loop(zero, width, one, [], add)
            return []

        code.loop(zero, width, one, [], start)
        code.loop(zero, code.index(self.roots.shape[0]), one, [], tree)
        return []

    def _leaf(self, row: str, tree: str) -> str:
        """The number of the leaf that a row reaches in a tree, an index."""
        code = self.code
        zero, minus = code.constant(0, "i32"), code.constant(-1, "i32")
        end = code.repeat(
            self.roots.at(tree),
            "i32",
            lambda node: code.compare("sge", node, zero, "i32"),
            lambda node: self._child(row, code.to_index(node, "i32")),
        )
        return code.to_index(code.binary("subi", minus, end, "i32"), "i32")

    def _child(self, row: str, node: str) -> str:
        code, kind = self.code, self.kind
        split = self.splits.at(node)
        feature = code.binary("andi", split, code.constant((1 << FLAGS) - 1, "i32"), "i32")
        x = self.x.at(row, code.to_index(feature, "i32"))
        missing = code.compare("uno", x, x, kind)
        zero = code.compare("ole", code.emit(f"math.absf {x} : {kind}"), code.constant(ZERO, kind), kind)
        counts = self._flag(split, ZERO_MISSING)
        missing = code.binary("ori", missing, code.binary("andi", zero, counts, "i1"), "i1")
        threshold = self.thresholds.at(node)
        left = code.compare("ole", x, threshold, kind)
        left = code.select(self._flag(split, EQUAL), code.compare("oeq", x, threshold, kind), left, "i1")
        if self.categorical:
            categorical = self._flag(split, CATEGORICAL)
            left = code.when(categorical, ["i1"], lambda: [self._member(node, x, split)], lambda: [left])[0]
        left = code.select(missing, self._flag(split, MISSING_LEFT), left, "i1")
        side = code.select(left, code.index(0), code.index(1), "index")
        return self.children.at(node, side)

    def _flag(self, split: str, flag: int) -> str:
        code = self.code
        bit = code.binary("andi", split, code.constant(flag << FLAGS, "i32"), "i32")
        return code.compare("ne", bit, code.constant(0, "i32"), "i32")

    def _member(self, node: str, x: str, split: str) -> str:
        """Whether the whole number next to x towards zero is in the set of a node (x itself where it must be one)."""
        code, kind = self.code, self.kind
        begin = self.set_begin.at(node)
        words = code.binary("subi", self.set_begin.at(code.binary("addi", node, code.index(1))), begin, "i32")
        # Numbers of this size fit any integer; a NaN is in no set.
        small = code.compare("olt", x, code.constant(float(1 << 30), kind), kind)
        large = code.compare("ogt", x, code.constant(-1.0, kind), kind)
        safe = code.select(code.binary("andi", small, large, "i1"), x, code.constant(float(1 << 30), kind), kind)
        number = code.emit(f"arith.fptosi {safe} : {kind} to i32")
        word = code.binary("shrui", number, code.constant(5, "i32"), "i32")

        def look() -> list[str]:
            bits = self.sets.at(code.to_index(code.binary("addi", begin, word, "i32"), "i32"))
            bit = code.binary("andi", number, code.constant(31, "i32"), "i32")
            shifted = code.binary("shrui", bits, bit, "i32")
            return [code.emit(f"arith.trunci {shifted} : i32 to i1")]

        inside = code.compare("ult", word, words, "i32")
        equal = code.compare("oeq", code.emit(f"arith.sitofp {number} : i32 to {kind}"), x, kind)
        any_number = code.binary("xori", self._flag(split, WHOLE), code.constant("true", "i1"), "i1")
        inside = code.binary("andi", inside, code.binary("ori", equal, any_number, "i1"), "i1")
        return code.when(inside, ["i1"], look, lambda: [code.constant("false", "i1")])[0]

    def _value(self, row: str, leaf: str) -> str:
        code = self.code
        value = self.values.at(leaf, code.index(0))
        if not self.linear:
            return value
        one, kind = code.index(1), self.sum
        first = code.to_index(self.linear_begin.at(leaf), "i32")
        last = code.to_index(self.linear_begin.at(code.binary("addi", leaf, one)), "i32")

        def term(i: str, carried: list[str]) -> list[str]:
            x = self.x.at(row, code.to_index(self.linear_features.at(i), "i32"))
            if self.kind != kind:
                x = code.emit(f"arith.{'extf' if kind == 'f64' else 'truncf'} {x} : {self.kind} to {kind}")
            missing = code.compare("uno", x, x, kind)
            product = code.binary("mulf", self.linear_weights.at(i), x, kind)
            return [
                code.binary("addf", carried[0], product, kind),
                code.binary("ori", carried[1], missing, "i1"),
            ]

        carried = [(value, kind), (code.constant("false", "i1"), "i1")]
        total, missing = code.loop(first, last, one, carried, term)
        return code.select(missing, self.linear_default.at(leaf), total, kind)
