"""Calls of LLVM's intrinsics, and the addresses that they take."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import ir
from neomlir.schedules.builder import Builder, Size


def call(b: Builder, intrinsic: str, results: Sequence[ir.Type], operands: Sequence[ir.Value]) -> ir.Operation:
    """`llvm.call_intrinsic`: emitted where it is asked for, each time."""
    attributes = {
        "intrin": ir.StringAttr.get(intrinsic, b.context),
        "op_bundle_sizes": ir.DenseI32ArrayAttr.get([], b.context),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(operands), 0], b.context),
    }
    return b.op("llvm.call_intrinsic", results, operands, attributes)


def pointer(b: Builder, buffer: ir.Value, offset: Size) -> ir.Value:
    """The address of byte `offset` of a buffer."""
    i64, kind = ir.IntegerType.get_signless(64, b.context), ir.Type.parse("!llvm.ptr", b.context)
    base = b.value("memref.extract_aligned_pointer_as_index", b.index_type, buffer)
    return b.value("llvm.inttoptr", kind, b.value("arith.index_cast", i64, b.size(b.add(base, offset))))


def load(b: Builder, buffer: ir.Value, offset: Size, kind: ir.Type, alignment: int) -> ir.Value:
    """What lies at byte `offset` of a buffer that nothing in the kernel writes, read as `kind`."""
    i64 = ir.IntegerType.get_signless(64, b.context)
    return b.value(
        "llvm.load", kind, pointer(b, buffer, offset), alignment=ir.IntegerAttr.get(i64, alignment), ordering=_plain(b)
    )


def _plain(b: Builder) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64, b.context), 0)
