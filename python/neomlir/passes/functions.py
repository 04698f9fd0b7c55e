"""Finding functions, kernels and operations in a module."""

from __future__ import annotations

from collections.abc import Container

from neomlir.mlir import ir


def name_of(op: ir.Operation) -> str:
    """The symbol name of an operation."""
    return ir.StringAttr(op.attributes["sym_name"]).value


def functions(module: ir.Operation) -> list[ir.Operation]:
    """The functions that stand directly in a module."""
    return [op.operation for op in module.regions[0].blocks[0].operations if op.operation.name == "func.func"]


def defined_functions(module: ir.Operation) -> list[ir.Operation]:
    """Those with a body."""
    return [f for f in functions(module) if len(f.regions[0].blocks)]


def main_of(module: ir.Operation) -> ir.Operation | None:
    """The function `@main`, None where a module holds kernels alone."""
    return next((f for f in defined_functions(module) if name_of(f) == "main"), None)


def calls_of(function: ir.Operation) -> list[tuple[str, ir.Operation]]:
    """The calls that stand directly in a function's body, in order, with the names of what they call."""
    body = [op.operation for op in function.regions[0].blocks[0].operations]
    return [(ir.FlatSymbolRefAttr(op.attributes["callee"]).value, op) for op in body if op.name == "func.call"]


def kernel_modules(module: ir.Operation) -> list[ir.Operation]:
    """The nested modules that hold kernels, in order."""
    return [
        op.operation
        for op in module.regions[0].blocks[0].operations
        if op.operation.name == "builtin.module" and "neo.kernel" in op.operation.attributes
    ]


def kernels(module: ir.Operation) -> dict[str, ir.Operation]:
    """The function of each nested kernel module by name; declarations count, `.grid` functions too."""
    return {name_of(f): f for nested in kernel_modules(module) for f in functions(nested)}


def holds(root: ir.Operation, names: Container[str]) -> bool:
    """Whether an operation of one of these names is `root` or inside it, however deep."""
    found = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name in names:
            found.append(op.name)
            return ir.WalkResult.INTERRUPT
        return ir.WalkResult.ADVANCE

    root.walk(visit)
    return bool(found)
