"""Lower what no schedule took of the dialect `forest` to plain loops."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.expect import fail
from neomlir.passes.functions import defined_functions
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.forest_branches import Branches
from neomlir.schedules.forest_loops import ScoreLoops
from neomlir.schedules.forest_ranks import Heap, Ragged
from neomlir.schedules.forest_total import Total

_FORMER = "neo-form-kernels"


@register
@dataclass(frozen=True)
class LowerForest(ModulePass):
    """Rewrite each kernel that is one operation of the dialect `forest` as loops over rows, trees and nodes.

    Expects kernels in destination style on tensors; leaves `scf`, `arith` and `memref` on the buffers of the arguments.
    This is the oracle: one comparison a node, as the frameworks do it, for every schedule to be compared with.
    """

    name = "neo-lower-forest"

    def run(self, module: ir.Module) -> None:
        with ir.Location.unknown(module.context):
            for function in defined_functions(module.operation):
                first = function.regions[0].blocks[0].operations[0].operation
                if first.name in _LOOPS:
                    try:
                        made = _LOOPS[first.name](function)
                    except NotApplicable as error:
                        fail(function, f"{self.name} works on kernels of one operation, from {_FORMER}: {error}")
                    function.erase()
                    made.attributes["neo.schedule"] = ir.StringAttr.get("scalar")


def _score(function: ir.Operation) -> ir.Operation:
    return ScoreLoops(function).build()


def _heap(function: ir.Operation) -> ir.Operation:
    return Heap(function).build()


def _ragged(function: ir.Operation) -> ir.Operation:
    return Ragged(function).build()


def _branches(function: ir.Operation) -> ir.Operation:
    return Branches(function).build()


def _total(function: ir.Operation) -> ir.Operation:
    return Total(function).build(together=False)


_LOOPS = {
    "forest.score": _score,
    "forest.heap": _heap,
    "forest.ragged": _ragged,
    "forest.branches": _branches,
    "forest.total": _total,
}
