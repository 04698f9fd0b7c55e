"""Where the tensors of a host function lie: which share memory, and how far into it each begins."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.dataflow import Block
from neomlir.passes.functions import name_of
from neomlir.passes.in_place import part_offset, piece_offsets

Place = tuple[ir.Value, int]
"""What holds the data of a tensor, and how many bytes before it."""
HOLDERS = frozenset({"tensor.concat", "tensor.empty"})
"""What asks for memory: a concatenation does for all of its operands."""
VIEWS = {
    "tensor.expand_shape": "memref.expand_shape",
    "tensor.collapse_shape": "memref.collapse_shape",
    "tensor.cast": "memref.cast",
}


def type_bytes(type_: ir.Type) -> int:
    """Bytes of one element in memory; i1 takes a byte."""
    if isinstance(type_, ir.IndexType):
        return 8
    return max(1, type_.width // 8) if hasattr(type_, "width") else 0


def tensor_bytes(type_: ir.Type) -> int:
    """Bytes of a tensor of static extents."""
    size = type_bytes(ir.RankedTensorType(type_).element_type)
    for extent in ir.RankedTensorType(type_).shape:
        size *= extent
    return size


def buffer_type(type_: ir.Type) -> ir.MemRefType:
    """The buffer that holds a tensor of a type."""
    return ir.MemRefType.get(ir.RankedTensorType(type_).shape, ir.RankedTensorType(type_).element_type)


def without_offset(type_: ir.Type) -> ir.Type:
    """A buffer's type where it begins at its pointer; any other type as it is."""
    return ir.MemRefType.get(type_.shape, type_.element_type) if isinstance(type_, ir.MemRefType) else type_


@dataclass
class Places:
    """The tensors of one function: views, slices and destination-style calls followed to what holds the data.

    That is an argument, a load, a `tensor.empty`, or a concatenation, in whose memory its operands have their places.
    """

    function: ir.Operation
    block: Block
    parent: dict[ir.Value, Place] = field(default_factory=dict)
    outputs: dict[ir.Value, int] = field(default_factory=dict)
    """What holds each result of the function, and the number of that."""

    @classmethod
    def of(cls, function: ir.Operation, block: Block) -> Places:
        """Raises PassFailure where a result, or an operand of a concatenation, is not written by a kernel of its own,
        and where parts do not lie from end to end."""
        found = cls(function, block)
        for op in block.ops:
            if op.name in VIEWS or op.name == "tensor.reshape":
                found.parent[op.results[0]] = (op.operands[0], 0)
            elif op.name == "tensor.extract_slice":
                found.parent[op.results[0]] = (op.operands[0], found._bytes(op, part_offset(op)))
            elif op.name == "tensor.concat":
                offsets = piece_offsets(op) or [None] * len(op.operands)
                for value, offset in zip(op.operands, offsets, strict=True):
                    found._put(op, value, found._bytes(op, offset))
            elif op.name == "func.call":
                for result, destination in zip(op.results, list(op.operands)[-len(op.results) :], strict=True):
                    found.parent[result] = (destination, 0)
        for number, value in enumerate(block.ops[-1].operands):
            root, before = found.place(value)
            if root in found.outputs or before or not found.is_held(root):
                raise PassFailure(f"{name_of(function)}: result {number} is not written by a kernel of its own")
            found.outputs[root] = number
        return found

    def place(self, value: ir.Value) -> Place:
        """What holds the data of a tensor, and how many bytes before it."""
        before = 0
        while value in self.parent:
            value, offset = self.parent[value]
            before += offset
        return value, before

    def is_held(self, root: ir.Value) -> bool:
        """Whether memory is to be found for what holds data: it is no argument, and no weight."""
        maker = self.block.made_by(root)
        return maker is not None and maker.name in HOLDERS

    def _bytes(self, op: ir.Operation, elements: int | None) -> int:
        if elements is None:
            raise PassFailure(f"{name_of(self.function)}: {op.name} needs parts that lie from end to end in memory")
        return elements * type_bytes(ir.RankedTensorType(op.results[0].type).element_type)

    def _put(self, concat: ir.Operation, value: ir.Value, before: int) -> None:
        root, offset = self.place(value)
        if offset or not self.is_held(root) or tensor_bytes(root.type) != tensor_bytes(value.type):
            name = name_of(self.function)
            raise PassFailure(f"{name}: an operand of tensor.concat is not written by a kernel of its own")
        self.parent[root] = (concat.results[0], before)
