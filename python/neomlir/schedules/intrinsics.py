"""Calls of LLVM's intrinsics, and the addresses that they take."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import ir
from neomlir.schedules.builder import Builder, Size
from neomlir.schedules.index import Index

_FUNCTION = "llvm.func"
_DYNAMIC = -(1 << 31)
"""What stands for an index that is an operand."""


def call(b: Builder, intrinsic: str, results: Sequence[ir.Type], operands: Sequence[ir.Value]) -> ir.Operation:
    """`llvm.call` of an intrinsic by its name, which is declared in the module; emitted where it is asked for.

    `llvm.call_intrinsic` would need no declaration, but has unknown effects in the eyes of upstream's deallocation of
    buffers, which bears calls only.
    """
    result = str(results[0]) if results else "void"
    kind = ir.Type.parse(f"!llvm.func<{result} ({', '.join(str(o.type) for o in operands)})>", b.context)
    _declare(b, intrinsic, kind)
    attributes = {
        "callee": ir.FlatSymbolRefAttr.get(intrinsic, b.context),
        "op_bundle_sizes": ir.DenseI32ArrayAttr.get([], b.context),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(operands), 0], b.context),
    }
    return b.op("llvm.call", results, operands, attributes)


def _declare(b: Builder, name: str, kind: ir.Type) -> None:
    block = b.func.operation.block
    if name not in _declared(block):
        attributes = {
            "sym_name": ir.StringAttr.get(name, b.context),
            "function_type": ir.TypeAttr.get(kind),
            "linkage": ir.Attribute.parse("#llvm.linkage<external>", b.context),
        }
        ir.Operation.create(_FUNCTION, attributes=attributes, regions=1, loc=b.location, ip=ir.InsertionPoint(block))


def _declared(block: ir.Block) -> dict[str, ir.Operation]:
    found = [op.operation for op in block.operations if op.operation.name == _FUNCTION]
    return {op.attributes["sym_name"].value: op for op in found if not len(op.regions[0].blocks)}


def forget_uncalled(block: ir.Block) -> None:
    """Erase the declarations of functions that nothing in a module's block calls."""
    called: set[str] = set()

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "llvm.call" and "callee" in op.attributes:
            called.add(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
        return ir.WalkResult.ADVANCE

    declared = _declared(block)
    for op in block.operations if declared else ():
        op.operation.walk(visit)
    for name, op in declared.items():
        if name not in called:
            op.erase()


def pointer(b: Builder, buffer: ir.Value, offset: Size) -> ir.Value:
    """The address of byte `offset` of a buffer."""
    i64, kind = ir.IntegerType.get_signless(64, b.context), ir.Type.parse("!llvm.ptr", b.context)
    base = b.value("memref.extract_aligned_pointer_as_index", b.index_type, buffer)
    return b.value("llvm.inttoptr", kind, b.value("arith.index_cast", i64, b.size(b.add(base, offset))))


def load(b: Builder, buffer: ir.Value, offset: Size, kind: ir.Type, alignment: int) -> ir.Value:
    """What lies at byte `offset` of a buffer that nothing in the kernel writes, read as `kind`."""
    return load_from(b, pointer(b, buffer, offset), kind, alignment)


def load_from(b: Builder, address: ir.Value, kind: ir.Type, alignment: int) -> ir.Value:
    """What lies at an address where nothing in the kernel writes, read as `kind`."""
    i64 = ir.IntegerType.get_signless(64, b.context)
    return b.value("llvm.load", kind, address, alignment=ir.IntegerAttr.get(i64, alignment), ordering=_plain(b))


def behind(b: Builder, address: ir.Value, offset: Index) -> ir.Value:
    """The address so many bytes behind another: what is constant in the offset is a step of its own."""
    moving = offset + -offset.const
    if moving.constant is None:
        i64 = ir.IntegerType.get_signless(64, b.context)
        address = _step(b, address, [b.value("arith.index_cast", i64, b.compute(moving))], _DYNAMIC)
    return _step(b, address, [], offset.const) if offset.const else address


def _step(b: Builder, address: ir.Value, by: list[ir.Value], constant: int) -> ir.Value:
    byte = ir.TypeAttr.get(ir.IntegerType.get_signless(8, b.context))
    indices = ir.DenseI32ArrayAttr.get([constant], b.context)
    return b.op(
        "llvm.getelementptr", [address.type], [address, *by], {"rawConstantIndices": indices, "elem_type": byte}
    ).results[0]


def _plain(b: Builder) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64, b.context), 0)
