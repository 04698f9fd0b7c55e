"""Lower what no schedule took from linalg on buffers to loops: through the affine dialect, or plainly."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir, passmanager
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import defined_functions, holds

_VIEWS = frozenset(
    f"memref.{name}" for name in ("subview", "reinterpret_cast", "expand_shape", "collapse_shape", "cast", "view")
)
_SCALAR = "func.func(convert-linalg-to-loops),canonicalize,cse"


@register
@dataclass(frozen=True)
class LowerLinalg(ModulePass):
    """Lower the linalg operations of one kernel at level `memref` to loops by upstream passes.

    A kernel with `neo.schedule = "affine"` becomes affine loops, fused, tiled and super-vectorised; any other,
    plain `scf` loops.
    """

    name = "neo-lower-linalg"

    lanes: int = 8
    """Most elements of the vectors that innermost parallel loops of affine kernels become; 1 leaves them scalar."""
    tile: int = 0
    """Tile perfect affine nests by this many iterations where that divides every loop; 0 leaves them whole."""

    def run(self, module: ir.Module) -> None:
        """Run the passes that fit this kernel."""
        rungs = {
            ir.StringAttr(f.attributes["neo.schedule"]).value
            for f in defined_functions(module.operation)
            if "neo.schedule" in f.attributes
        }
        if rungs and not rungs & {"affine", "scalar"}:
            return
        if "affine" not in rungs:
            _run(module, _SCALAR)
            return
        # Affine fusion and scalar replacement believe that no two names stand for one buffer.
        fuse = "" if holds(module.operation, _VIEWS) else "affine-loop-fusion,affine-scalrep,"
        _run(module, f"func.func(convert-linalg-to-affine-loops,{fuse}affine-loop-invariant-code-motion),canonicalize")
        if self.tile and _divides(self.tile, module):
            _run(module, f"func.func(affine-loop-tile{{tile-size={self.tile}}}),canonicalize")
        lanes = self.lanes
        # The vectoriser covers a whole number of vectors: elements past the end of a loop would be written as well.
        while lanes > 1 and not _divides(lanes, module):
            lanes //= 2
        if lanes > 1:
            _run(module, f"func.func(affine-super-vectorize{{virtual-vector-size={lanes}}})")
        _run(module, "canonicalize,cse")


def _run(module: ir.Module, text: str) -> None:
    with module.context:
        passmanager.PassManager.parse(f"builtin.module({text})").run(module.operation)


def _divides(size: int, module: ir.Module) -> bool:
    """Whether every affine loop has a constant number of iterations that `size` divides."""
    trips: list[int | None] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "affine.for":
            bounds = [ir.AffineMapAttr(op.attributes[f"{end}BoundMap"]).value.results for end in ("lower", "upper")]
            constant = all(len(b) == 1 and isinstance(b[0], ir.AffineConstantExpr) for b in bounds)
            step = ir.IntegerAttr(op.attributes["step"]).value
            # A loop over tiles counts in steps; its bounds say what it covers.
            trips.append((bounds[1][0].value - bounds[0][0].value) // step if constant and step == 1 else None)
            if step != 1:
                trips.pop()
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return bool(trips) and all(trip is not None and trip % size == 0 for trip in trips)
