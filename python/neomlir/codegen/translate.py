"""From a module of the LLVM dialect to LLVM IR text."""

from __future__ import annotations

from neomlir.errors import CompileError
from neomlir.mlir import ir, llvm


def to_llvm_ir(module: ir.Module, entries: tuple[str, ...] = ()) -> str:
    """The LLVM IR of a module's own functions; nested modules and external globals are left out.

    With `entries`, functions `neo_NAME` that are not among them are dropped with the host function they call, so that
    one module gives several programs. Raises CompileError for what has no translation.
    """
    copy = module.operation.clone().operation
    for op in [o.operation for o in copy.regions[0].blocks[0].operations]:
        if op.name in ("builtin.module", "ml_program.global"):
            op.erase()
        elif entries and op.name == "llvm.func" and len(op.regions[0].blocks):
            name = ir.StringAttr(op.attributes["sym_name"]).value
            entry = f"neo_{name}" if "neo.outputs" in op.attributes else name
            if entry in ("neo_main", "neo_initialize") and entry not in entries:
                op.erase()
    try:
        return llvm.translate_module_to_llvmir(copy)
    except (RuntimeError, ValueError, ir.MLIRError) as error:
        raise CompileError(f"the LLVM dialect module has no translation to LLVM IR: {error}") from error
