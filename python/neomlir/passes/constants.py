"""Which values of a function depend on weights and constants alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.mlir import ir
from neomlir.passes.dataflow import captured_values
from neomlir.passes.structured import Facts

_SOURCES = frozenset({"arith.constant", "ml_program.global_load_const"})
_PURE = frozenset(
    {
        "affine.apply",
        "linalg.fill",
        "linalg.generic",
        "linalg.softmax",
        "tensor.cast",
        "tensor.collapse_shape",
        "tensor.concat",
        "tensor.dim",
        "tensor.empty",
        "tensor.expand_shape",
        "tensor.extract",
        "tensor.extract_slice",
        "tensor.from_elements",
        "tensor.generate",
        "tensor.insert",
        "tensor.insert_slice",
        "tensor.pad",
        "tensor.splat",
    }
)
_PURE_DIALECTS = frozenset({"arith", "complex", "index", "math"})


def is_pure(op: ir.Operation) -> bool:
    """Whether `op` may be evaluated at compile time: its results depend on its operands alone."""
    return op.name in _SOURCES or op.name in _PURE or op.name.split(".")[0] in _PURE_DIALECTS


@dataclass
class Constants:
    """The constant values of a function of one block.

    `bytes_from[v]` is the size of the weights that constant v is computed from, 0 where it comes from scalars only.
    """

    bytes_from: Facts = field(default_factory=Facts)

    @classmethod
    def of(cls, function: ir.Operation) -> Constants:
        """Walk the operations of `function` once, in order."""
        found = cls()
        for op in function.regions[0].blocks[0].operations:
            found.add(op.operation)
        return found

    def add(self, op: ir.Operation) -> None:
        """Look at an operation whose operands have been looked at."""
        if not is_pure(op):
            return
        reads = captured_values(op)
        if any(value not in self.bytes_from for value in reads):
            return
        size = sum(self.bytes_from[value] for value in reads)
        if op.name == "ml_program.global_load_const" or (op.name == "arith.constant" and not _is_splat(op)):
            size = sum(bytes_of(result) for result in op.results)
        for result in op.results:
            self.bytes_from[result] = size

    def __contains__(self, value: ir.Value) -> bool:
        return value in self.bytes_from

    def weights(self, value: ir.Value) -> bool:
        """Whether `value` is constant and more than scalars went into it."""
        return self.bytes_from.get(value, 0) > 0


def bytes_of(value: ir.Value) -> int:
    """Bytes of a tensor of static shape (8 an element where the width is unknown), 0 for anything else."""
    if not isinstance(value.type, ir.RankedTensorType) or not value.type.has_static_shape:
        return 0
    elements = 1
    for extent in value.type.shape:
        elements *= extent
    return elements * max(width(value.type.element_type) // 8, 1)


def width(type_: ir.Type) -> int:
    """Bits of an element type; `index` and types without a width count as 64."""
    return getattr(type_, "width", 64)


def _is_splat(op: ir.Operation) -> bool:
    value = op.attributes["value"]
    return not isinstance(value, ir.DenseElementsAttr | ir.DenseResourceElementsAttr) or (
        isinstance(value, ir.DenseElementsAttr) and value.is_splat
    )
