"""Give every value that leaves a kernel a destination of known extents, before kernels are formed."""

from __future__ import annotations

import math

from neomlir.mlir import ir, passmanager
from neomlir.passes.dataflow import CHEAP, MATERIALIZE, Block, is_tensor, runs_on_host
from neomlir.passes.in_place import RESHAPES, concatenations, part_offset
from neomlir.passes.kernel_body import empty_of
from neomlir.passes.loops import ask_before_loops


def give_destinations(module: ir.Module) -> None:
    """Copy where a result would be no kernel's own; name the extents of dynamic results by those of the inputs."""
    with ir.Location.unknown(module.context):
        dynamic = any([_name_extents(function) for function in _functions(module)])
        for function in _functions(module):
            ask_before_loops(function)
    if dynamic:
        with module.context:
            passmanager.PassManager.parse(
                "builtin.module(reify-result-shapes,resolve-ranked-shaped-type-result-dims,"
                "resolve-shaped-type-result-dims,func.func(canonicalize,cse))"
            ).run(module.operation)
    # Last, since canonicalisation would see through a copy.
    with ir.Location.unknown(module.context):
        for function in _functions(module):
            _copy_pieces(function)
            _copy_results(function)


def _functions(module: ir.Module) -> list[ir.Operation]:
    return [
        op.operation
        for op in module.body.operations
        if op.operation.name == "func.func" and len(op.operation.regions[0].blocks)
    ]


def _is_static(value: ir.Value) -> bool:
    return ir.RankedTensorType(value.type).has_static_shape


def _copy_pieces(function: ir.Operation) -> None:
    """Copy the one operand of a concatenation that no kernel writes in place, where it is the smaller part."""
    block = Block.of(function)
    for number, left in concatenations(block):
        op = block.ops[number]
        if len(left) == 1 and 2 * _elements(op.operands[left[0]]) <= _elements(op.results[0]):
            op.operands[left[0]] = _copy(op.operands[left[0]], ir.InsertionPoint(op))


def _elements(value: ir.Value) -> int:
    return math.prod(ir.RankedTensorType(value.type).shape)


def _copy_results(function: ir.Operation) -> None:
    """Insert a copy wherever a returned value is not the sole, plain result of a kernel; likewise under host views."""
    block = Block.of(function)
    end = block.ops[-1]
    seen: set[ir.Value] = set()
    for position, value in enumerate(end.operands):
        root = value
        while (maker := block.made_by(root)) is not None and maker.name in RESHAPES and _is_static(root):
            root = maker.operands[0]
        made_by_kernel = maker is not None and not _is_view(maker) and maker.name not in CHEAP
        if made_by_kernel and root not in seen and (root == value or _is_static(value)):
            seen.add(root)
        else:
            end.operands[position] = _copy(value, ir.InsertionPoint(end))
    for op in block.ops[:-1]:
        if not _is_view(op) or op.name == "tensor.dim":
            continue
        for position, value in enumerate(op.operands):
            maker = block.made_by(value)
            if op.name == "tensor.reshape" and position == 1:
                continue
            if is_tensor(value) and maker is not None and maker.name in CHEAP and op.name != "tensor.empty":
                op.operands[position] = _copy(value, ir.InsertionPoint(op))


def _is_view(op: ir.Operation) -> bool:
    """Whether the host looks at memory that another operation filled."""
    return runs_on_host(op) or (op.name == "tensor.extract_slice" and part_offset(op) is not None)


def _copy(value: ir.Value, at: ir.InsertionPoint) -> ir.Value:
    """An identity `linalg.generic` that copies `value` to memory of its own."""
    type_ = ir.RankedTensorType(value.type)
    with ir.Location.unknown(), at:
        empty = ir.Operation.create("tensor.empty", results=[type_], operands=_extents(value, type_))
        map_ = ir.AffineMapAttr.get(ir.AffineMap.get_identity(type_.rank))
        generic = ir.Operation.create(
            "linalg.generic",
            results=[type_],
            operands=[value, empty.results[0]],
            regions=1,
            attributes={
                "indexing_maps": ir.ArrayAttr.get([map_, map_]),
                "iterator_types": ir.ArrayAttr.get(
                    [ir.Attribute.parse("#linalg.iterator_type<parallel>")] * type_.rank
                ),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1]),
            },
        )
        body = ir.Block.create_at_start(generic.regions[0], [type_.element_type] * 2, [ir.Location.unknown()] * 2)
        ir.Operation.create("linalg.yield", operands=[body.arguments[0]], ip=ir.InsertionPoint(body))
    return generic.results[0]


def _extents(value: ir.Value, type_: ir.RankedTensorType) -> list[ir.Value]:
    index = ir.IndexType.get()
    extents = []
    for i in range(type_.rank):
        if type_.is_dynamic_dim(i):
            constant = ir.Operation.create(
                "arith.constant", results=[index], attributes={"value": ir.IntegerAttr.get(index, i)}
            )
            extents.append(
                ir.Operation.create("tensor.dim", results=[index], operands=[value, constant.results[0]]).results[0]
            )
    return extents


def _name_extents(function: ir.Operation) -> bool:
    """Materialise each dynamic kernel result in a `tensor.empty` of its extents; True if the function has any."""
    block = Block.of(function)
    dynamic = False
    for op in block.ops[:-1]:
        for value in [r for r in op.results if is_tensor(r) and not _is_static(r)]:
            dynamic = True
            if runs_on_host(op) or op.name in CHEAP or empty_of(block, value) is not None or op.name == MATERIALIZE:
                continue
            users = block.users.get(value, [])
            at = ir.InsertionPoint(block.ops[block.maker[value] + 1])
            with ir.Location.unknown(), at:
                type_ = ir.RankedTensorType(value.type)
                empty = ir.Operation.create("tensor.empty", results=[type_], operands=_extents(value, type_))
                held = ir.Operation.create(MATERIALIZE, results=[type_], operands=[value, empty.results[0]])
            for user in users:
                if block.ops[user].name != "tensor.dim":
                    _replace(block.ops[user], value, held.results[0])
    return dynamic


def _replace(op: ir.Operation, old: ir.Value, new: ir.Value) -> None:
    op.replace_uses_of_with(old, new)
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                _replace(inner.operation, old, new)
