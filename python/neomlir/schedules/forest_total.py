"""The values of leaves, tree by tree, added up: what follows where threads share the trees of a few rows."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import Schedule
from neomlir.schedules.text import Code

MOST = 24
"""Rows that are added up side by side at most: a chain of additions each."""


class ForestTotal(Schedule):
    """`forest.total`: the rows side by side, the trees in order."""

    name = "forest_total"
    order = 4

    def applies(self, kernel, target) -> bool:
        return any(op.name == "forest.total" for op in kernel.others)

    def build(self, kernel, target) -> ir.Operation:
        return Total(kernel.func).build(together=True)


class Total:
    """Emits the loops of one `forest.total`."""

    def __init__(self, func: ir.Operation):
        """Raises NotApplicable where `func` is not one operation."""
        self.code = Code(func, "forest")
        self.values, self.classes, self.base, self.out = (self.code.operand(i) for i in range(4))
        self.sum = self.values.element

    def build(self, *, together: bool) -> ir.Operation:
        """The new function; `together` carries the sums of up to `MOST` rows through one loop."""
        code, one = self.code, self.code.index(1)
        rows = self.values.shape[0]

        def output(k: str, _: list[str]) -> list[str]:
            first = code.to_index(self.classes.at(k), "i32")
            last = code.to_index(self.classes.at(code.binary("addi", k, one)), "i32")
            if not together or not 0 <= rows <= MOST:
                code.loop(code.index(0), self.values.dim(0), one, [], lambda r, _: self._sum([r], k, first, last))
            elif rows:
                self._sum([code.index(r) for r in range(rows)], k, first, last)
            return []

        code.loop(code.index(0), code.index(self.base.shape[0]), one, [], output)
        return code.function()

    def _sum(self, rows: list[str], k: str, first: str, last: str) -> list[str]:
        code, start = self.code, self.base.at(k)

        def tree(t: str, sums: list[str]) -> list[str]:
            return [code.binary("addf", s, self.values.at(r, t), self.sum) for r, s in zip(rows, sums, strict=True)]

        totals = code.loop(first, last, code.index(1), [(start, self.sum)] * len(rows), tree)
        for r, total in zip(rows, totals, strict=True):
            self.out.put(total, *([r, k] if len(self.out.shape) == 2 else [r]))
        return []


SCHEDULE = ForestTotal()
