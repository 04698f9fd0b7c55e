"""A small ensemble as code: nested ifs with the thresholds in them, a choice where both children are leaves."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import Schedule
from neomlir.schedules.text import Code
from neomlir.trees import MISSING_LEFT, Trees

ROWS = 64
"""Rows of a work item."""


class ForestBranches(Schedule):
    """`forest.branches`."""

    name = "forest_branches"
    order = 3

    def applies(self, kernel, target) -> bool:
        return any(op.name == "forest.branches" for op in kernel.others)

    def build(self, kernel, target) -> ir.Operation:
        return Branches(kernel.func).build()


class Branches:
    """Emits the code of one `forest.branches`."""

    def __init__(self, func: ir.Operation):
        """Raises NotApplicable where `func` is not one operation."""
        self.code = Code(func, "forest")
        self.x, self.out = self.code.operand(0), self.code.operand(1)
        self.trees = Trees.of(self.code.op)
        self.order, self.classes = self.trees.sorted_by_target()
        self.kind, self.sum = self.x.element, self.out.element

    def build(self) -> ir.Operation:
        """The new function."""
        code, static = self.code, self.x.shape[0]
        rows, size, one = self.x.dim(0), code.index(ROWS), code.index(1)

        def item(block: str) -> None:
            low = code.binary("muli", block, size)
            high = code.binary("minui", code.binary("addi", low, size), rows)
            code.loop(low, high, one, [], lambda row, _: self._row(row))

        if static == 1:
            self._row(code.index(0))
        else:
            code.items(-(-static // ROWS) if static > 0 else code.emit(f"arith.ceildivui {rows}, {size} : index"), item)
        return code.function()

    def _row(self, row: str) -> list[str]:
        code, trees = self.code, self.trees
        self.read: dict[int, str] = {
            int(f): self.x.at(row, code.index(int(f))) for f in sorted(set(trees.features.tolist()))
        }
        for k in range(len(trees.base)):
            total = code.constant(float(trees.base[k]), self.sum)
            for t in self.order[self.classes[k] : self.classes[k + 1]]:
                total = code.binary("addf", total, self._below(int(trees.roots[t])), self.sum)
            self.out.put(total, *([row, code.index(k)] if len(self.out.shape) == 2 else [row]))
        return []

    def _below(self, node: int) -> str:
        """The value that is reached from a node or a leaf."""
        code, trees = self.code, self.trees
        if node < 0:
            return code.constant(float(trees.values[-1 - node, 0]), self.sum)
        left, right = int(trees.left[node]), int(trees.right[node])
        threshold = code.constant(float(trees.thresholds[node]), self.kind)
        # An unordered comparison is true for NaN.
        predicate = "ule" if trees.flags[node] & MISSING_LEFT else "ole"
        goes = code.compare(predicate, self.read[int(trees.features[node])], threshold, self.kind)
        if left < 0 and right < 0:
            return code.select(goes, self._below(left), self._below(right), self.sum)
        return code.when(goes, [self.sum], lambda: [self._below(left)], lambda: [self._below(right)])[0]


SCHEDULE = ForestBranches()
