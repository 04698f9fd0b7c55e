"""Keep indices that come from data inside the buffers they index."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.functions import defined_functions

# Operand of the buffer, and of the first index.
_ACCESSES = {
    "memref.load": (0, 1),
    "memref.store": (1, 2),
    "vector.load": (0, 1),
    "vector.store": (1, 2),
    "vector.maskedload": (0, 1),
    "vector.maskedstore": (0, 1),
}
_CASTS = frozenset({"arith.index_cast", "arith.index_castui"})
_THROUGH = frozenset(
    {
        "arith.addi",
        "arith.subi",
        "arith.muli",
        "arith.select",
        "arith.divsi",
        "arith.divui",
        "arith.remsi",
        "arith.remui",
        "affine.apply",
    }
)


@register
@dataclass(frozen=True)
class BoundIndices(ModulePass):
    """Clamp every index that is computed from numbers in buffers to the extent it indexes.

    An index of a gather that is out of range (a token that is in no vocabulary) would read, or end, the memory of the
    process that runs the model; it reads the first or the last element instead. Indices that follow from loops and
    constants are left alone, and so are kernels by a schedule for forests, which index the program's own tables.
    """

    name = "neo-bound-indices"

    def run(self, module: ir.Module) -> None:
        """Rewrite the loads and stores of kernels."""
        for function in defined_functions(module.operation):
            if not _schedule(function).startswith("forest_"):
                _bound(function)


def _schedule(function: ir.Operation) -> str:
    if "neo.schedule" not in function.attributes:
        return ""
    return ir.StringAttr(function.attributes["neo.schedule"]).value


def _bound(function: ir.Operation) -> None:
    found: list[tuple[ir.Operation, int, int]] = []

    def collect(op: ir.Operation) -> ir.WalkResult:
        if op.name in _ACCESSES:
            buffer, first = _ACCESSES[op.name]
            rank = ir.MemRefType(op.operands[buffer].type).rank
            for i in range(rank):
                if _from_data(op.operands[first + i]):
                    found.append((op.operation, buffer, i))
        return ir.WalkResult.ADVANCE

    function.walk(collect)
    for op, buffer, i in found:
        with op.location:
            _clamp(op, buffer, i)
    count("indices bounded", len(found))


def _from_data(index: ir.Value, depth: int = 8) -> bool:
    maker = index.owner
    if isinstance(maker, ir.Block) or depth == 0:
        return False
    op = maker.operation
    if op.name in _CASTS:
        source = op.operands[0]
        return not isinstance(source.type, ir.IndexType) and not _is_constant(source)
    return op.name in _THROUGH and any(_from_data(operand, depth - 1) for operand in op.operands)


def _is_constant(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "arith.constant"


def _clamp(op: ir.Operation, buffer: int, i: int) -> None:
    memref, position = op.operands[buffer], _ACCESSES[op.name][1] + i
    type_, index, at = ir.MemRefType(memref.type), ir.IndexType.get(), ir.InsertionPoint(op)

    def create(name: str, *operands: ir.Value, **attributes: ir.Attribute) -> ir.Value:
        made = ir.Operation.create(name, results=[index], operands=list(operands), attributes=attributes, ip=at)
        return made.results[0]

    def constant(value: int) -> ir.Value:
        return create("arith.constant", value=ir.IntegerAttr.get(index, value))

    # A vector along the last dimension has to fit as a whole; of one under a mask the first lane has to.
    length = _length(op) if i == type_.rank - 1 and op.name in ("vector.load", "vector.store") else 1
    if type_.is_dynamic_dim(i):
        last = create("arith.subi", create("memref.dim", memref, constant(i)), constant(length))
    else:
        last = constant(max(0, type_.get_dim_size(i) - length))
    bounded = create("arith.minsi", op.operands[position], last)
    op.operands[position] = create("arith.maxsi", bounded, constant(0))


def _length(op: ir.Operation) -> int:
    value = op.results[0] if op.name == "vector.load" else op.operands[0]
    return ir.VectorType(value.type).shape[-1] if isinstance(value.type, ir.VectorType) else 1
