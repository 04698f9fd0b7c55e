"""A pass that leaves functions whose type contradicts their body."""

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register


@register
@dataclass(frozen=True)
class Break(ModulePass):
    """Take the results from the type of every function."""

    name = "test-break"

    def run(self, module):
        for op in module.body.operations:
            kind = ir.TypeAttr(op.operation.attributes["function_type"]).value
            op.operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kind.inputs, []))
