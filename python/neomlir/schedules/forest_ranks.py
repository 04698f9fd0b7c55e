"""Trees on ranks: what the ways to walk `forest.heap` and `forest.ragged` share, and the plain one."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from neomlir.mlir import ir
from neomlir.schedules.text import Code

ROWS = 64
"""Rows of one work item of the plain walk."""


class Ranked:
    """Emits the code of trees on ranks; here by scalars, a row after the other."""

    names: ClassVar[tuple[str, ...]]
    """The operands of the operation, in order."""

    def __init__(self, func: ir.Operation):
        """Raises NotApplicable where `func` is not one operation."""
        self.code = Code(func, "forest")
        for number, name in enumerate(self.names):
            setattr(self, name, self.code.operand(number))
        self.kind, self.sum, self.rank = self.x.element, self.values.element, self.ranks.element
        self.count, self.cut_count = self.cuts.shape
        missing = ir.StringAttr(self.code.op.attributes["missing"]).value
        self.sides = {"left": ("left",), "right": ("right",), "both": ("left", "right")}[missing]
        self.width = self.count * len(self.sides)
        self.lowest = -(1 << (int(self.rank[1:]) - 1))
        self.steps = []
        step = (self.cut_count + 1) // 2
        while step:
            self.steps.append(step)
            step //= 2

    def build(self) -> ir.Operation:
        """The new function."""
        self.row = self.code.scratch([self.width], self.rank)
        self.blocks(ROWS, lambda low, high: self.walk(low, high))
        return self.code.function()

    def blocks(self, size: int, body: Callable[[str, str], None]) -> None:
        """One work item for each `size` rows: `body(first, last + 1)`."""
        code, static = self.code, self.x.shape[0]
        rows = self.x.dim(0)
        if 0 <= static <= size:
            body(code.index(0), rows)
            return
        items = -(-static // size) if static > 0 else code.emit(f"arith.ceildivui {rows}, {code.index(size)} : index")

        def item(block: str) -> None:
            low = code.binary("muli", block, code.index(size))
            body(low, code.binary("minui", code.binary("addi", low, code.index(size)), rows))

        code.items(items, item)

    # Row by row.

    def walk(self, low: str, high: str, outputs: tuple[str, str] | None = None) -> None:
        """Rows `low` up to `high`, one after the other; all outputs, or those of a range."""

        def row(r: str, _: list[str]) -> list[str]:
            self.row_ranks(r)
            self.outputs(lambda k, total: self.put(total, r, k), self.tree, outputs)
            return []

        self.code.loop(low, high, self.code.index(1), [], row)

    def outputs(
        self,
        finish: Callable[[str, str], None],
        tree: Callable[[str, str], str],
        those: tuple[str, str] | None = None,
    ) -> None:
        """For each output k (of `those`): from its base, add `tree(t, sum)` for its trees, then `finish(k, sum)`."""
        code, one = self.code, self.code.index(1)
        low, high = those or (code.index(0), code.index(self.base.shape[0]))

        def output(k: str, _: list[str]) -> list[str]:
            first = code.to_index(self.classes.at(k), "i32")
            last = code.to_index(self.classes.at(code.binary("addi", k, one)), "i32")
            total = code.loop(first, last, one, [(self.base.at(k), self.sum)], lambda t, s: [tree(t, s[0])])
            finish(k, total[0])
            return []

        code.loop(low, high, one, [], output)

    def put(self, value: str, row: str, k: str) -> None:
        """Store a result."""
        self.out.put(value, *([row, k] if len(self.out.shape) == 2 else [row]))

    def tree(self, t: str, total: str) -> str:
        """The sum with the value of the leaf that the row in `self.row` reaches in tree t."""
        raise NotImplementedError

    def row_ranks(self, r: str) -> None:
        """Fill `self.row` with the columns of row r: a binary search in the cuts of each."""
        code, kind = self.code, self.kind

        def column(c: str, _: list[str]) -> list[str]:
            x = self.x.at(r, code.to_index(self.features.at(c), "i32"))
            place = code.index(0)
            for step in self.steps:
                probe = code.binary("addi", place, code.index(step - 1))
                smaller = code.compare("olt", self.cuts.at(c, probe), x, kind)
                place = code.select(smaller, code.binary("addi", place, code.index(step)), place, "index")
            found = code.emit(f"arith.index_cast {place} : index to i32")
            for side, rank in enumerate(self.by_side(found, x, self.counts.at(c), 0)):
                self.row.put(rank, code.binary("addi", c, code.index(side * self.count)))
            return []

        code.loop(code.index(0), code.index(self.count), code.index(1), [], column)

    def by_side(self, found: str, x: str, counts: str, width: int) -> list[str]:
        """The ranks of `x` (vectors of `width`, or one for 0) for nodes that send NaN to each of `sides`.

        `found` is how many cuts are smaller, none where x is NaN; that is left of all of them.
        """
        code = self.code
        ints, kind = (f"vector<{width}x{e}>" if width else e for e in ("i32", self.kind))
        lowest = code.constant(self.lowest, ints)
        ranks = []
        for side in self.sides:
            rank = found if side == "left" else code.select(code.compare("uno", x, x, kind), counts, found, ints)
            ranks.append(self.narrow(code.binary("addi", rank, lowest, ints), width))
        return ranks

    def narrow(self, value: str, width: int) -> str:
        """A rank (a vector of `width` of them, or one for 0) of 32 bits in the type of ranks."""
        if self.rank == "i32":
            return value
        before, after = (f"vector<{width}x{e}>" if width else e for e in ("i32", self.rank))
        return self.code.emit(f"arith.trunci {value} : {before} to {after}")


class Heap(Ranked):
    """`forest.heap`: complete trees, a comparison a level."""

    names = (
        "x", "features", "counts", "cuts", "columns", "ranks", "values", "classes", "base", "out",
    )  # fmt: skip

    def __init__(self, func: ir.Operation):
        super().__init__(func)
        self.depth = ir.IntegerAttr(self.code.op.attributes["depth"]).value

    def tree(self, t: str, total: str) -> str:
        """The sum with the value of the leaf that the row in `self.row` reaches in tree t."""
        code, rank = self.code, self.rank
        node = code.index(1)
        for _ in range(self.depth):
            column = code.to_index(self.columns.at(t, node), self.columns.element)
            right = code.compare("sgt", self.row.at(column), self.ranks.at(t, node), rank)
            side = code.emit(f"arith.index_castui {right} : i1 to index")
            node = code.binary("addi", code.binary("addi", node, node), side)
        leaf = code.binary("subi", node, code.index(1 << self.depth))
        return code.binary("addf", total, self.values.at(t, leaf), self.sum)


class Ragged(Ranked):
    """`forest.ragged`: trees of any shape, down from slot 0 until a slot is a leaf's."""

    names = (
        "x", "features", "counts", "cuts", "begin", "leaf_begin", "columns", "ranks", "children",
        "values",
        "classes", "base", "out",
    )  # fmt: skip

    def __init__(self, func: ir.Operation):
        super().__init__(func)
        self.slots = ir.IntegerAttr(self.code.op.attributes["slots"]).value
        self.leaves = ir.IntegerAttr(self.code.op.attributes["leaves"]).value

    def tree(self, t: str, total: str) -> str:
        """The sum with the value of the leaf that the row in `self.row` reaches in tree t."""
        code, rank = self.code, self.rank
        first = code.to_index(self.begin.at(t), "i32")
        last = code.to_index(self.begin.at(code.binary("addi", t, code.index(1))), "i32")
        slots = code.index(self.slots)
        # A tree of one leaf starts at its slot.
        root = code.select(code.compare("eq", first, last, "index"), slots, code.index(0), "index")

        def down(slot: str) -> str:
            node = code.binary("addi", first, slot)
            column = code.to_index(self.columns.at(node), self.columns.element)
            right = code.compare("sgt", self.row.at(column), self.ranks.at(node), rank)
            side = code.emit(f"arith.index_castui {right} : i1 to index")
            return code.to_index(self.children.at(node, side), "i16")

        end = code.repeat(root, "index", lambda slot: code.compare("ult", slot, slots, "index"), down)
        leaf = code.binary("addi", code.to_index(self.leaf_begin.at(t), "i32"), code.binary("subi", end, slots))
        return code.binary("addf", total, self.values.at(leaf), self.sum)
