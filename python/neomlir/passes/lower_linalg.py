"""Lower what no schedule took from linalg on buffers to loops: through the affine dialect, or plainly."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, passmanager
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import defined_functions

_SCALAR = "func.func(convert-linalg-to-loops),canonicalize,cse"


@register
@dataclass(frozen=True)
class LowerLinalg(ModulePass):
    """Lower the linalg operations of one kernel at level `memref` to loops by upstream passes.

    A kernel with `neo.schedule = "affine"` becomes affine loops, fused, tiled and super-vectorised; any other, plain `scf`
    loops.
    """

    name = "neo-lower-linalg"

    lanes: int = 8
    """Elements of the vectors that the innermost parallel loops of affine kernels become; 1 leaves them scalar."""
    tile: bool = False
    """Tile perfect affine nests for the cache."""
    cache: int = 32
    """Size of that cache in KiB."""

    def run(self, module: ir.Module) -> None:
        """Run the passes that fit this kernel."""
        rungs = {
            ir.StringAttr(f.attributes["neo.schedule"]).value
            for f in defined_functions(module.operation)
            if "neo.schedule" in f.attributes
        }
        if rungs and not rungs & {"affine", "scalar"}:
            return
        text = self._affine() if "affine" in rungs else _SCALAR
        with module.context:
            passmanager.PassManager.parse(f"builtin.module({text})").run(module.operation)

    def _affine(self) -> str:
        passes = [
            "convert-linalg-to-affine-loops",
            "affine-loop-fusion",
            "affine-scalrep",
            "affine-loop-invariant-code-motion",
        ]
        if self.tile:
            passes.append(f"affine-loop-tile{{cache-size={self.cache} separate=0}}")
        if self.lanes > 1:
            passes.append(f"affine-super-vectorize{{virtual-vector-size={self.lanes}}}")
        return ",".join(f"func.func({p})" for p in passes) + ",canonicalize,cse"
