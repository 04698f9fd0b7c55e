"""Keep named kernels from schedules that failed for them."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.errors import PipelineError
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import functions, kernel_modules, name_of

RUNGS = ("", "affine", "scalar")
"""What a kernel may be compiled with when better ways fail: any schedule, the affine dialect, plain loops."""


@register
@dataclass(frozen=True)
class LimitSchedules(ModulePass):
    """Mark kernels of level `kernels` with the rung of the ladder of schedules that they may not climb above.

    `neo-schedule` reads the mark, `neo.rung` on the nested module. `neo-compile` adds this pass when a kernel could
    not be compiled with its better schedules, so that a replay takes the same way.
    """

    name = "neo-limit-schedules"

    kernels: str = ""
    """`KERNEL:RUNG` pairs with `;` between them; a rung is `affine` or `scalar`."""

    def run(self, module: ir.Module) -> None:
        """Mark the kernels."""
        rungs = {}
        for pair in filter(None, self.kernels.split(";")):
            kernel, _, rung = pair.partition(":")
            if rung not in RUNGS[1:]:
                raise PipelineError(f"{self.name}: {pair!r} is not KERNEL:affine or KERNEL:scalar")
            rungs[kernel] = rung
        for nested in kernel_modules(module.operation):
            rung = rungs.get(name_of(functions(nested)[0]))
            if rung:
                nested.attributes["neo.rung"] = ir.StringAttr.get(rung, module.context)
