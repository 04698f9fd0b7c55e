"""Fold inference-mode batch norm of ONNX graphs into the convolution before it."""

from __future__ import annotations

import numpy as np
import onnx


def fold_batch_norm(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> None:
    """Rewrite each BatchNormalization that is the only reader of a convolution with constant weights.

    y = (x - mean) / sqrt(var + epsilon) * scale + bias scales the convolution's output channels and moves its bias;
    new weights are computed in double precision and added to `arrays`.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, int] = {}
    for name in [n for node in graph.node for n in node.input] + [value.name for value in graph.output]:
        readers[name] = readers.get(name, 0) + 1
    folded = []
    for node in graph.node:
        if node.op_type != "BatchNormalization" or len([name for name in node.output if name]) != 1:
            continue
        conv = makers.get(node.input[0])
        if conv is None or readers[node.input[0]] != 1 or _attribute(node, "training_mode", 0):
            continue
        if conv.op_type not in ("Conv", "ConvTranspose") or any(name not in arrays for name in node.input[1:5]):
            continue
        if conv.op_type == "ConvTranspose" and _attribute(conv, "group", 1) != 1:
            continue
        bias = conv.input[2] if len(conv.input) > 2 else ""
        if conv.input[1] not in arrays or (bias and bias not in arrays):
            continue
        _fold(node, conv, bias, arrays)
        makers[node.output[0]] = conv
        folded.append(node)
    for node in folded:
        graph.node.remove(node)


def _fold(node: onnx.NodeProto, conv: onnx.NodeProto, bias: str, arrays: dict[str, np.ndarray]) -> None:
    gamma, beta, mean, variance = (arrays[name].astype(np.float64) for name in node.input[1:5])
    weight = arrays[conv.input[1]]
    scale = gamma / np.sqrt(variance + _attribute(node, "epsilon", 1e-5))
    shift = beta - mean * scale
    if bias:
        shift = shift + arrays[bias].astype(np.float64) * scale
    axis = 1 if conv.op_type == "ConvTranspose" else 0
    shape = [-1 if number == axis else 1 for number in range(weight.ndim)]
    # Named after what they are the parameters of, so that names stay the same from one import to the next.
    names = [f"{node.output[0]}.weight", f"{node.output[0]}.bias"]
    arrays[names[0]] = (weight * scale.reshape(shape)).astype(weight.dtype)
    arrays[names[1]] = shift.astype(weight.dtype)
    inputs = [conv.input[0], *names]
    del conv.input[:]
    conv.input.extend(inputs)
    conv.output[0] = node.output[0]


def _attribute(node: onnx.NodeProto, name: str, default):
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default
