"""Find out which extents of the inputs must agree, so that a call with others can be refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.dataflow import is_tensor
from neomlir.passes.functions import defined_functions

ATTRIBUTE = "neo.extents"
Place = tuple[ir.Value, int]


@register
@dataclass(frozen=True)
class RelateExtents(ModulePass):
    """Write on each function which dynamic extents of its arguments are the same, or are known after all.

    Operations of `linalg` have no result where the extents that run through one loop differ: compiled code would read
    past the end of the shorter operand. So extents that meet in a loop must be equal, and one that meets a static
    extent must be that. The attribute `neo.extents` holds an array an argument, with a number a dimension: a static
    extent as it is, `-1` where nothing is known, and `-2`, `-3`, … where all of one number must agree. It is left out
    where there is nothing to check; `neo-emit-entry` makes the check of it.
    """

    name = "neo-relate-extents"

    def run(self, module: ir.Module) -> None:
        """Annotate every function with a body of one block."""
        for function in defined_functions(module.operation):
            if len(function.regions[0].blocks) == 1:
                found = related_extents(function)
                if found and all(map(is_tensor, function.regions[0].blocks[0].arguments)):
                    with function.context:
                        arrays = [ir.DenseI64ArrayAttr.get(extents) for extents in found]
                        function.attributes[ATTRIBUTE] = ir.ArrayAttr.get(arrays)


@dataclass
class _Classes:
    """Places of extents, joined where they must be equal (union and find)."""

    parent: dict[Place, Place] = field(default_factory=dict)
    known: dict[Place, int] = field(default_factory=dict)

    def find(self, place: Place) -> Place:
        self.parent.setdefault(place, place)
        while self.parent[place] != place:
            self.parent[place] = self.parent[self.parent[place]]
            place = self.parent[place]
        return place

    def join(self, a: Place, b: Place) -> None:
        first, second = self.find(a), self.find(b)
        if first != second:
            self.parent[second] = first
            if second in self.known:
                self.known.setdefault(first, self.known.pop(second))

    def add(self, value: ir.Value) -> None:
        """Take the static extents of a tensor."""
        type_ = ir.RankedTensorType(value.type)
        for i in range(type_.rank):
            if not type_.is_dynamic_dim(i):
                self.known.setdefault(self.find((value, i)), type_.get_dim_size(i))


def related_extents(function: ir.Operation) -> list[list[int]]:
    """The attribute of a function, as lists, one without entries for what is no tensor; empty where it is left out."""
    block = function.regions[0].blocks[0]
    arguments = list(block.arguments)
    tensors = [a for a in arguments if is_tensor(a)]
    if all(ir.RankedTensorType(a.type).has_static_shape for a in tensors):
        return []
    classes = _Classes()
    for argument in tensors:
        classes.add(argument)
    for op in [o.operation for o in block.operations]:
        for value in (v for v in [*op.operands, *op.results] if isinstance(v.type, ir.RankedTensorType)):
            classes.add(value)
        if op.name.startswith("linalg.") and "operandSegmentSizes" in op.attributes:
            _join_loops(op, classes)
        elif op.name in ("tensor.cast", "bufferization.materialize_in_destination"):
            _join_all(op.results[0], op.operands[0], classes)
        elif op.name == "tensor.empty":
            _join_sizes(op, classes)
    numbers: dict[Place, int] = {}
    ranks = [ir.RankedTensorType(a.type).rank if is_tensor(a) else 0 for a in arguments]
    places = [[classes.find((a, i)) for i in range(rank)] for a, rank in zip(arguments, ranks, strict=True)]
    dynamic = [
        place
        for argument, row in zip(arguments, places, strict=True)
        for i, place in enumerate(row)
        if ir.RankedTensorType(argument.type).is_dynamic_dim(i)
    ]
    checked = {place for place in dynamic if place in classes.known or dynamic.count(place) > 1}
    count("extents to check", len(checked))
    for place in dynamic:
        if place in checked and place not in classes.known:
            numbers.setdefault(place, -2 - len(numbers))
    if not checked:
        return []
    return [[classes.known.get(place, numbers.get(place, -1)) for place in row] for row in places]


def _join_loops(op: ir.Operation, classes: _Classes) -> None:
    """Every extent that a loop of a linalg operation runs through is the same."""
    if "indexing_maps" not in op.attributes:
        return
    maps = [ir.AffineMapAttr(m).value for m in ir.ArrayAttr(op.attributes["indexing_maps"])]
    first: dict[int, Place] = {}
    operands = list(op.operands)
    outputs = operands[len(operands) - len(op.results) :]
    for value, map_ in zip(operands, maps, strict=False):
        if not isinstance(value.type, ir.RankedTensorType):
            continue
        for i, expression in enumerate(map_.results):
            if isinstance(expression, ir.AffineDimExpr):
                classes.join(first.setdefault(expression.position, (value, i)), (value, i))
    for result, output in zip(op.results, outputs, strict=True):
        _join_all(result, output, classes)


def _join_all(a: ir.Value, b: ir.Value, classes: _Classes) -> None:
    for i in range(ir.RankedTensorType(a.type).rank):
        classes.join((a, i), (b, i))


def _join_sizes(op: ir.Operation, classes: _Classes) -> None:
    """The dynamic extents of a `tensor.empty` that are those of other tensors."""
    type_ = ir.RankedTensorType(op.results[0].type)
    dynamic = [i for i in range(type_.rank) if type_.is_dynamic_dim(i)]
    for i, size in zip(dynamic, op.operands, strict=True):
        maker = size.owner
        if isinstance(maker, ir.Block) or maker.operation.name != "tensor.dim":
            continue
        tensor, index = maker.operation.operands
        constant = index.owner
        if not isinstance(constant, ir.Block) and constant.operation.name == "arith.constant":
            number = ir.IntegerAttr(constant.operation.attributes["value"]).value
            if isinstance(tensor.type, ir.RankedTensorType):
                classes.join((tensor, number), (op.results[0], i))
