"""Which loops of a reduction a schedule of its own leaves out: most of what they pass by changes nothing."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.kernel import Generic
from neomlir.schedules.rank_form import RankForm
from neomlir.schedules.scan_form import ScanForm
from neomlir.schedules.scatter_form import ScatterForm


def sparing(op: ir.Operation) -> tuple[str, frozenset[int]] | None:
    """The schedule, `scatter`, `scan` or `rank`, of a `linalg.generic`, and the loops it does not walk; else None."""
    generic = Generic(op)
    if not any(generic.reduction):
        return None
    if (scatter := ScatterForm.of(generic)) is not None:
        return "scatter", frozenset(scatter.places)
    if (scan := ScanForm.of(generic)) is not None:
        return "scan", frozenset({scan.before})
    if (rank := RankForm.of(generic)) is not None:
        return "rank", frozenset({rank.there})
    return None
