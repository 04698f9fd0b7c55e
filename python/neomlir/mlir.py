"""The one door to the MLIR bindings.

Nothing else in the project names the distribution that provides them. Dialect modules are attributes loaded on
first use, so that a tool which touches few dialects starts fast:

    from neomlir.mlir import arith, ir, linalg
"""

import importlib
import types

from torch_mlir import ir, passmanager

__all__ = ["context", "ir", "passmanager", "register_all"]

_PROVIDER = "torch_mlir"
_OTHER_HOMES = {
    "ext": "dialects.ext",
    "rewrite": "rewrite",
    "execution_engine": "execution_engine",
    "onnx_importer": "extras.onnx_importer",
    "fx_importer": "extras.fx_importer",
    "fx_decomp_util": "extras.fx_decomp_util",
}
_registered = False


def __getattr__(name: str) -> types.ModuleType:
    """Load a dialect module (or another part of the bindings) by its upstream name."""
    if name.startswith("__"):
        raise AttributeError(name)
    home = _OTHER_HOMES.get(name, f"dialects.{name}")
    try:
        return importlib.import_module(f"{_PROVIDER}.{home}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"the MLIR bindings have no dialect or part named {name!r}") from error


def register_all() -> None:
    """Register the passes of the importing dialects (torch, tm_tensor, stablehlo) besides upstream's; idempotent."""
    global _registered
    if _registered:
        return
    importlib.import_module(f"{_PROVIDER}.dialects.torch")
    importlib.import_module(f"{_PROVIDER}._mlir_libs._stablehlo").register_stablehlo_passes()
    _registered = True


def context(*, allow_unregistered: bool = False) -> ir.Context:
    """A fresh context with every dialect that a level of the staircase may hold, ours included."""
    register_all()
    ctx = ir.Context()
    ctx.allow_unregistered_dialects = allow_unregistered
    importlib.import_module(f"{_PROVIDER}.dialects.torch").register_dialect(ctx)
    # tm_tensor and torch_c have no registration call of their own; passes that depend on them load them.
    with ctx, ir.Location.unknown():
        passmanager.PassManager.parse(
            "builtin.module(func.func(tm-tensor-bufferize),torch-func-backend-type-conversion)"
        ).run(ir.Module.create().operation)
    return ctx
