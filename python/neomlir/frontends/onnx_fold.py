"""Evaluate the shape arithmetic of an ONNX graph whose operands are known."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

# Operators of shape arithmetic; anything heavier is left to the compiler.
_OPERATORS = frozenset(
    {
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Expand",
        "Floor",
        "Gather",
        "Identity",
        "Less",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Range",
        "ReduceProd",
        "Reshape",
        "Slice",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
_MOST = 1024


def fold_shapes(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> bool:
    """Replace nodes of known small operands by constants in `arrays`; whether there were any."""
    shapes = {
        value.name: value.type.tensor_type.shape.dim
        for value in (*graph.value_info, *graph.input)
        if value.type.tensor_type.HasField("shape")
    }
    outputs = {value.name for value in graph.output}
    done = []
    for node in graph.node:
        if len(node.output) != 1 or node.output[0] in outputs:
            continue
        value = _shape(node, shapes, arrays) if node.op_type in ("Shape", "Size") else _value(node, arrays)
        if value is not None and value.size <= _MOST:
            arrays[node.output[0]] = value
            done.append(node)
    for node in done:
        graph.node.remove(node)
    return bool(done)


def _shape(node: onnx.NodeProto, shapes, arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    name = node.input[0]
    if name in arrays:
        extents = list(arrays[name].shape)
    elif name in shapes and all(dim.HasField("dim_value") for dim in shapes[name]):
        extents = [dim.dim_value for dim in shapes[name]]
    else:
        return None
    if node.op_type == "Size":
        return np.array(np.prod(extents, dtype=np.int64))
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(extents[bounds.get("start", 0) : bounds.get("end", len(extents))], np.int64)


def _value(node: onnx.NodeProto, arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    names = [name for name in node.input if name]
    if node.op_type not in _OPERATORS or node.domain or any(name not in arrays for name in names):
        return None
    if sum(arrays[name].size for name in names) > _MOST or _result_size(node, arrays) > _MOST:
        return None
    # Weights are arithmetic of the model, not of its shapes: they are left to the compiler's own evaluation.
    if not names or (node.op_type != "Cast" and arrays[names[0]].dtype.kind == "f" and arrays[names[0]].size > 16):
        return None
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(arrays[name].dtype), arrays[name].shape)
        for name in dict.fromkeys(names)
    ]
    result = onnx.ValueInfoProto(name=node.output[0])
    graph = helper.make_graph([node], "one", infos, [result])
    try:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        with np.errstate(all="ignore"):
            return np.asarray(ReferenceEvaluator(model).run(None, {name: arrays[name] for name in names})[0])
    except Exception:
        # What can't be evaluated here stays in the graph, where a later step says what is wrong with it.
        return None


def _result_size(node: onnx.NodeProto, arrays: dict[str, np.ndarray]) -> int:
    """An upper bound for the operators whose results may be larger than their operands."""
    if node.op_type in ("ConstantOfShape", "Expand"):
        shape = arrays[node.input[-1]]
        return int(np.prod(np.abs(shape.astype(np.float64))))
    if node.op_type == "Range":
        start, limit, delta = (float(arrays[name].reshape(-1)[0]) for name in node.input[:3])
        return int(abs((limit - start) / delta)) if delta and np.isfinite((limit - start) / delta) else _MOST + 1
    return 0
