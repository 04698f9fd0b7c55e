"""What the passes over straight-line functions share: who makes a value, who reads it, what an operation is."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.mlir import ir

# Ops that a kernel clones for itself rather than takes as an argument.
CHEAP = frozenset({"arith.constant", "linalg.fill", "tensor.empty", "tensor.from_elements"})
MATERIALIZE = "bufferization.materialize_in_destination"
_HOST = frozenset(
    {
        "func.return",
        "ml_program.global_load_const",
        "tensor.cast",
        "tensor.collapse_shape",
        "tensor.dim",
        "tensor.empty",
        "tensor.expand_shape",
        "tensor.extract",
        "tensor.reshape",
    }
)


def is_tensor(value: ir.Value) -> bool:
    """Whether a value is a ranked tensor."""
    return isinstance(value.type, ir.RankedTensorType)


def captured_values(op: ir.Operation) -> list[ir.Value]:
    """Operands of `op` and the values its regions take from outside, each once, in order of appearance."""
    found: dict[ir.Value, None] = dict.fromkeys(op.operands)
    if not op.regions:
        return list(found)
    inside: set[ir.Value] = set()
    nested: list[ir.Value] = []

    def visit(block: ir.Block) -> None:
        inside.update(block.arguments)
        for inner in block.operations:
            nested.extend(inner.operation.operands)
            inside.update(inner.operation.results)
            for region in inner.operation.regions:
                for child in region.blocks:
                    visit(child)

    for region in op.regions:
        for block in region.blocks:
            visit(block)
    for value in nested:
        if value not in inside:
            found.setdefault(value)
    return list(found)


def runs_on_host(op: ir.Operation) -> bool:
    """Whether `op` stays in the host function: views, shape arithmetic, loads of weights."""
    if op.name in _HOST:
        return True
    if op.name.split(".")[0] not in ("affine", "arith", "index", "math"):
        return False
    return not any(is_tensor(value) for value in (*op.operands, *op.results))


def indexing_maps(op: ir.Operation) -> list[ir.AffineMap]:
    """The indexing maps of a `linalg.generic`."""
    return [attribute.value for attribute in op.attributes["indexing_maps"]]


def iterators(op: ir.Operation) -> list[str]:
    """The iterator types of a `linalg.generic`: `parallel` or `reduction` a loop."""
    return [
        "reduction" if "reduction" in str(attribute) else "parallel" for attribute in op.attributes["iterator_types"]
    ]


def results_of(map_: ir.AffineMap) -> list[int | None]:
    """Each result of a map as the loop it names, or None where it is any other expression."""
    return [e.position if isinstance(e, ir.AffineDimExpr) else None for e in map_.results]


def is_identity(map_: ir.AffineMap) -> bool:
    """Whether a map names every loop once, in order."""
    return results_of(map_) == list(range(map_.n_dims))


def number_of_inputs(op: ir.Operation) -> int:
    """How many of the operands of a `linalg.generic` are inputs (the others are destinations)."""
    return ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])[0]


def body(op: ir.Operation) -> list[ir.Operation]:
    """The operations of a `linalg.generic`'s region but its yield."""
    return [inner.operation for inner in op.regions[0].blocks[0].operations][:-1]


def is_contraction(op: ir.Operation) -> bool:
    """Whether a generic sums products: `acc + a * b` over at least one reduction loop."""
    if op.name != "linalg.generic" or "reduction" not in iterators(op):
        return False
    names = [inner.name for inner in body(op)]
    return any("mul" in name for name in names) and any(name in ("arith.addf", "arith.addi") for name in names)


def loop_extents(op: ir.Operation) -> list[int | None]:
    """The static extent of each loop of a `linalg.generic`, None where no operand's dimension gives one."""
    maps = indexing_maps(op)
    extents: list[int | None] = [None] * maps[0].n_dims
    for value, map_ in zip(op.operands, maps, strict=True):
        if not is_tensor(value):
            continue
        shape = ir.RankedTensorType(value.type).shape
        for loop, size in zip(results_of(map_), shape, strict=True):
            if loop is not None and size >= 0:
                extents[loop] = size
    return extents


@dataclass
class Block:
    """A straight-line block, numbered: op i reads `reads[i]`; `maker[v]` is the op that makes value v."""

    ops: list[ir.Operation]
    reads: list[list[ir.Value]] = field(default_factory=list)
    maker: dict[ir.Value, int] = field(default_factory=dict)
    users: dict[ir.Value, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, function: ir.Operation) -> Block:
        """Number the operations of a function of one block."""
        block = cls([op.operation for op in function.regions[0].blocks[0].operations])
        for number, op in enumerate(block.ops):
            values = captured_values(op)
            block.reads.append(values)
            for value in values:
                block.users.setdefault(value, []).append(number)
            for result in op.results:
                block.maker[result] = number
        return block

    def made_by(self, value: ir.Value) -> ir.Operation | None:
        """The op that makes `value`; None for a block argument."""
        number = self.maker.get(value)
        return None if number is None else self.ops[number]
