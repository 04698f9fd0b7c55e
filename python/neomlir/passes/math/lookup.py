"""Tables of 16 numbers in a register, of which an instruction of AVX-512 picks one a lane."""

from __future__ import annotations

from collections.abc import Sequence

from neomlir.mlir import arith, ir, vector
from neomlir.passes.math.lanes import Lanes

SIZE = 16
_PICK = "llvm.x86.avx512.permvar.sf.512"


def can_look_up(x: Lanes) -> bool:
    """Whether lanes are a vector of whole registers of 32 bits."""
    kind = x.value.type
    return isinstance(kind, ir.VectorType) and not kind.scalable and kind.rank == 1 and kind.shape[0] % SIZE == 0


def look_up(number: Lanes, table: Sequence[float]) -> Lanes:
    """Of `table`, f32, the element whose number is in the lower four bits of each lane, i32."""
    f32, count = ir.F32Type.get(), number.value.type.shape[0]
    kind = ir.VectorType.get([SIZE], f32)
    numbers = arith.ConstantOp(kind, ir.DenseElementsAttr.get([ir.FloatAttr.get(f32, t) for t in table], kind)).result

    def pick(lanes: ir.Value) -> ir.Value:
        return ir.Operation.create(
            "llvm.call_intrinsic",
            results=[kind],
            operands=[numbers, lanes],
            attributes={
                "intrin": ir.StringAttr.get(_PICK),
                "op_bundle_sizes": ir.DenseI32ArrayAttr.get([]),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([2, 0]),
            },
        ).results[0]

    if count == SIZE:
        return Lanes(pick(number.value))
    whole = ir.VectorType.get([count], f32)
    result = arith.ConstantOp(whole, ir.DenseElementsAttr.get_splat(whole, ir.FloatAttr.get(f32, 0.0))).result
    part = ir.VectorType.get([SIZE], number.element)
    for start in range(0, count, SIZE):
        lanes = vector.extract_strided_slice(part, number.value, [start], [SIZE], [1])
        result = vector.insert_strided_slice(pick(lanes), result, [start], [1])
    return Lanes(result)
