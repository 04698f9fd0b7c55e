"""Free the memory that kernels allocate."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, passmanager
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import holds

_ALLOCATES = frozenset({"memref.alloc", "memref.realloc"})


@register
@dataclass(frozen=True)
class FreeBuffers(ModulePass):
    """Run upstream's `buffer-deallocation-pipeline` where there is anything to free.

    It refuses operations whose effects on memory it does not know, as calls of LLVM's intrinsics are; kernels that
    hold those allocate nothing.
    """

    name = "neo-free-buffers"

    def run(self, module: ir.Module) -> None:
        text = "buffer-deallocation-pipeline" if holds(module.operation, _ALLOCATES) else "canonicalize,cse"
        with module.context:
            passmanager.PassManager.parse(f"builtin.module({text})").run(module.operation)
