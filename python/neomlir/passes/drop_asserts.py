"""Remove run-time assertions, which would abort the process that runs the model."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register


@register
@dataclass(frozen=True)
class DropAsserts(ModulePass):
    """Erase every `cf.assert`.

    The torch dialect's lowerings assert what a framework would raise an error for: a division by zero in a
    reciprocal, extents that do not match, an index out of range. A failed `cf.assert` aborts the whole process, and
    it has a side effect, which keeps the code around it from being fused or evaluated at compile time. Extents are
    checked where a model is called; for the rest, floating-point code gives the infinity or nan of IEEE 754.
    """

    name = "neo-drop-asserts"

    def run(self, module: ir.Module) -> None:
        found: list[ir.Operation] = []

        def collect(op: ir.Operation) -> ir.WalkResult:
            if op.name == "cf.assert":
                found.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(collect)
        for op in found:
            op.erase()
        count("assertions dropped", len(found))
