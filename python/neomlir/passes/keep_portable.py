"""Keep kernels that run at compile time from vectors that only the target has."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import defined_functions, functions, kernel_modules, name_of


@register
@dataclass(frozen=True)
class KeepPortable(ModulePass):
    """Mark the kernels of level `kernels` that `@initialize` calls: they lay weights out on the machine that compiles.

    `neo-schedule` reads the mark, `neo.portable` on the nested module, and writes them in vectors of fixed width, of
    which the back end of every machine makes its own.
    """

    name = "neo-keep-portable"

    def run(self, module: ir.Module) -> None:
        """Mark the kernels."""
        called: set[str] = set()
        for function in defined_functions(module.operation):
            if name_of(function) == "initialize":
                operations = (op.operation for op in function.regions[0].blocks[0].operations)
                called = {
                    ir.FlatSymbolRefAttr(op.attributes["callee"]).value for op in operations if op.name == "func.call"
                }
        for nested in kernel_modules(module.operation):
            if name_of(functions(nested)[0]) in called:
                nested.attributes["neo.portable"] = ir.UnitAttr.get(module.context)
