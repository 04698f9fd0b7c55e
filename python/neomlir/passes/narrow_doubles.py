"""Compute in f32 what a model widens to f64 and narrows again inside."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.dataflow import captured_values, indexing_maps, iterators, number_of_inputs

_SAME_ELEMENTS = frozenset(
    {
        "tensor.cast",
        "tensor.collapse_shape",
        "tensor.concat",
        "tensor.dim",
        "tensor.empty",
        "tensor.expand_shape",
        "tensor.extract_slice",
        "tensor.insert_slice",
    }
)
_LARGEST = 3.4028234663852886e38


@register
@dataclass(frozen=True)
class NarrowDoubles(ModulePass):
    """Let tensors of f64 that live inside a function be f32.

    Importers widen to f64 for a variance or a comparison with infinity, and narrow again: twice the memory and half
    the lanes for digits that the f32 result does not keep (a variance of n numbers in two passes has a relative
    error of about n * 2^-24 at worst). A function with f64 arguments, results or weights is left as it is, and so is
    one that does with f64 tensors what this pass does not know.
    """

    name = "neo-narrow-doubles"

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                ops = [op for op in s.operations(function) if _touches(op)]
                if ops and not _arguments(function) and all(_known(op) for op in ops):
                    for op in ops:
                        _narrow(op)


def _is_double(type_: ir.Type) -> bool:
    if isinstance(type_, ir.RankedTensorType):
        type_ = type_.element_type
    return isinstance(type_, ir.F64Type)


def _double_tensor(value: ir.Value) -> bool:
    return isinstance(value.type, ir.RankedTensorType) and _is_double(value.type)


def _arguments(function: ir.Operation) -> bool:
    return any(_double_tensor(argument) for argument in function.regions[0].blocks[0].arguments)


def _touches(op: ir.Operation) -> bool:
    if any(_double_tensor(v) for v in (*op.operands, *op.results)):
        return True
    return op.name == "linalg.generic" and any(
        _is_double(r.type) for inner in op.regions[0].blocks[0].operations for r in inner.operation.results
    )


def _known(op: ir.Operation) -> bool:
    if op.name in _SAME_ELEMENTS:
        return True
    if op.name == "linalg.fill":
        return _constant_fits(op.operands[0])
    if op.name != "linalg.generic":
        return False
    block = op.regions[0].blocks[0]
    inner = [o.operation for o in block.operations]
    if any(len(o.regions) or o.name == "arith.bitcast" for o in inner):
        return False
    outside = [v for v in captured_values(op) if v not in list(op.operands)]
    if any(isinstance(v.type, ir.RankedTensorType) and _is_double(v.type) for v in outside):
        return False
    constants = [v for v in outside if _is_double(v.type)]
    constants += [o.results[0] for o in inner if o.name == "arith.constant" and _is_double(o.results[0].type)]
    return all(_constant_fits(v) for v in constants)


def _constant_fits(value: ir.Value) -> bool:
    attribute = s.constant_of(value)
    if not isinstance(attribute, ir.FloatAttr):
        return attribute is not None and not _is_double(value.type)
    return not math.isfinite(attribute.value) or abs(attribute.value) <= _LARGEST


def _single(type_: ir.Type) -> ir.Type:
    if isinstance(type_, ir.RankedTensorType) and _is_double(type_):
        return ir.RankedTensorType.get(list(type_.shape), ir.F32Type.get())
    return ir.F32Type.get() if _is_double(type_) else type_


def _constant(value: ir.Value) -> ir.Value:
    number = ir.FloatAttr(s.constant_of(value)).value
    return arith.ConstantOp(ir.F32Type.get(), ir.FloatAttr.get(ir.F32Type.get(), number)).result


def _narrow(op: ir.Operation) -> None:
    with ir.InsertionPoint(op), op.location:
        if op.name == "linalg.fill":
            s.replace(op, [linalg.fill(_constant(op.operands[0]), outs=[op.operands[1]])])
        elif op.name == "linalg.generic":
            _narrow_generic(op)
        else:
            for result in op.results:
                result.set_type(_single(result.type))


def _narrow_generic(op: ir.Operation) -> None:
    inputs, operands = number_of_inputs(op), list(op.operands)
    source = op.regions[0].blocks[0]
    outside = [v for v in captured_values(op) if v not in operands and _is_double(v.type)]
    mapping = {v: _constant(v) for v in outside}
    new, block = s.build_generic(operands[:inputs], operands[inputs:], indexing_maps(op), iterators(op), op.location)
    mapping.update(zip(source.arguments, block.arguments, strict=True))
    inner = [o.operation for o in source.operations]
    with ir.InsertionPoint(block):
        for part in inner[:-1]:
            _copy(part, mapping)
    s.yield_(block, [mapping.get(v, v) for v in inner[-1].operands])
    s.replace(op, list(new.results))


def _copy(op: ir.Operation, mapping: dict[ir.Value, ir.Value]) -> None:
    """`op` at the insertion point with f32 for f64; widening and narrowing between the two is nothing."""
    operands = [mapping.get(v, v) for v in op.operands]
    types = [_single(r.type) for r in op.results]
    if op.name in ("arith.extf", "arith.truncf") and operands[0].type == types[0]:
        mapping[op.results[0]] = operands[0]
        return
    attributes = {name: op.attributes[name] for name in op.attributes}
    if op.name == "arith.constant" and _is_double(op.results[0].type):
        attributes["value"] = ir.FloatAttr.get(types[0], ir.FloatAttr(attributes["value"]).value)
    copy = ir.Operation.create(op.name, results=types, operands=operands, attributes=attributes, loc=op.location)
    mapping.update(zip(op.results, copy.results, strict=True))
