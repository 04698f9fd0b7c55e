"""How many rows of a register tile are found in the first-level cache while the tile goes along them.

Rows at a distance of a power of two from each other meet in few sets of it. Where more of them than a set has places
for are read in turn, each line is gone before its second element is asked for.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.index import Var
from neomlir.schedules.root import Dim, Root

_WAY = 4096
"""Bytes of a way: a page, since a set is looked up before the address is translated. Where ways are larger there are
fewer of them, with as many places in all for rows that are a page apart."""


def rows_that_stay(root: Root, operand: int, rows: Dim, inner: Dim | None, most: int, cache) -> int:
    """Of `most` rows of a register tile along `rows`, `inner` inside it, as many as stay in `cache` (a target's).

    `operand` is the number of the input whose rows they are; those that share a line count once. `most` where the
    distance of the rows is not known, and at least one.
    """
    place = root.linear(operand)
    if place is None or not all(isinstance(v, Var) for v in place.terms):
        return most
    size = ir.RankedTensorType(root.accesses[operand][0][0].type).element_type.width // 8
    outer, within = (size * place.terms.get(dim.probe, 0) if dim else 0 for dim in (rows, inner))
    across = inner.size if inner else 1
    ways, sets, met = max(1, cache.l1d // _WAY), _WAY // cache.line, {}
    for row in range(most):
        line = (row // across * outer + row % across * within) // cache.line
        here = met.setdefault(line % sets, set())
        here.add(line)
        if len(here) > ways:
            return max(1, row)
    return most
