"""The dialect `neo`: what the host function says that upstream has no word for."""

from typing import Any

from neomlir.mlir import ext, ir

Operand = ext.Operand


class Neo(ext.Dialect, name="neo"):
    """Running kernels. Attributes of this prefix on upstream operations are described in docs/levels.md."""


class DispatchOp(Neo.Operation, name="dispatch"):
    """Run a kernel over all its work items and wait for them.

    The operands are the runtime's call structure, the number of work items, and the buffers and scalars that the
    kernel `(buffers…, lo: index, hi: index)` takes, as one tuple (an operand list of an op defined in Python has one
    type). The runtime may run items at the same time.

    ```mlir
    %arguments = builtin.unrealized_conversion_cast %a, %n : memref<8xf32>, index to tuple<memref<8xf32>, index>
    "neo.dispatch"(%runtime, %items, %arguments) {kernel = @relu}
      : (!llvm.ptr, index, tuple<memref<8xf32>, index>) -> ()
    ```

    Lowered by `neo-lower-dispatch`.
    """

    runtime: Operand[Any]
    items: Operand[ir.IndexType]
    arguments: Operand[ir.TupleType]
    kernel: ir.FlatSymbolRefAttr

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the operands' kinds and, where the kernel stands in the same module, its arguments."""
        operation = op.operation
        operands = list(operation.operands)
        if len(operands) != 3 or str(operands[0].type) != "!llvm.ptr":
            operation.location.emit_error("'neo.dispatch' op needs three operands, the runtime's !llvm.ptr first")
            return False
        if not isinstance(operands[1].type, ir.IndexType):
            operation.location.emit_error(
                "'neo.dispatch' op needs the number of work items, an index, as its second operand"
            )
            return False
        if not isinstance(operands[2].type, ir.TupleType):
            operation.location.emit_error(
                "'neo.dispatch' op needs the kernel's arguments, a tuple, as its third operand"
            )
            return False
        if "kernel" not in operation.attributes or not isinstance(operation.attributes["kernel"], ir.FlatSymbolRefAttr):
            operation.location.emit_error("'neo.dispatch' op needs the kernel's name as attribute 'kernel'")
            return False
        if len(operation.results):
            operation.location.emit_error("'neo.dispatch' op has no results")
            return False
        return True


DIALECT = Neo
