"""How far apart two results of a quantised model may be: in quanta, the steps of its own quantisation.

Whoever computes `round(x / scale)` in another order of operations rounds some x that lie next to a half the other way.
That moves an 8-bit value by one, the layers behind it pass it on, and a relative error of the result says little. What
can be said is how many steps of the result's own quantisation the two are apart.
"""

from __future__ import annotations

import os
from typing import Any

LARGEST = 4.0
"""Quanta that an element may be off."""
AVERAGE = 1.0
"""Quanta that the root of the mean square of all differences may be."""
STEPS = 255
"""Steps of an 8-bit range: a quantum, where the result itself is not quantised, is the largest |reference| by them."""
_SAME = frozenset(
    {"Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", "Gather", "Expand"}
)
_QUANTISES = frozenset({"DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})


def output_quanta(source: Any) -> dict[str, float | None]:
    """The step of each output of a quantised ONNX model, by name; empty for a model without quantised values.

    None stands for an output that is computed in floating point from quantised values. `source` is a path, the bytes,
    or a ModelProto; anything else is no ONNX model.
    """
    model = onnx_model(source, weights=False)
    if model is None or not any(node.op_type in _QUANTISES for node in model.graph.node):
        return {}
    graph = model.graph
    import onnx

    arrays = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            arrays[node.output[0]] = node.attribute[0].t
    makers = {name: node for node in graph.node for name in node.output}
    found: dict[str, float | None] = {}
    for value in graph.output:
        node = makers.get(value.name)
        while node is not None and node.op_type in _SAME:
            node = makers.get(node.input[0])
        found[value.name] = None
        if node is None:
            continue
        if node.op_type in _QUANTISES:
            found[value.name] = 1.0
        elif node.op_type == "DequantizeLinear" and node.input[1] in arrays:
            scale = onnx.numpy_helper.to_array(arrays[node.input[1]])
            found[value.name] = float(scale.max()) if scale.size else None
    return found


def onnx_model(source: Any, weights: bool = True) -> Any | None:
    """`source` as a ModelProto (a path that ends in `.onnx`, the bytes, or one already); None for anything else.

    Without `weights`, those in files beside the model are not read.
    """
    if isinstance(source, (str, os.PathLike)):
        if not str(source).endswith(".onnx"):
            return None
        import onnx

        return onnx.load(source, load_external_data=weights)
    if isinstance(source, bytes | bytearray | memoryview):
        import onnx

        return onnx.load_from_string(bytes(source))
    return source if type(source).__name__ == "ModelProto" else None
