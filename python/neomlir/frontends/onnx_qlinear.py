"""ONNX Runtime's own quantised operators (`com.microsoft`): plain ones between DequantizeLinear and QuantizeLinear.

`quantize_static` writes them with `QuantFormat.QOperator`; what they mean is in ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from neomlir.frontends.onnx_external import tensor_array
from neomlir.frontends.onnx_nbits import DOMAIN, forget_domain
from neomlir.frontends.onnx_quantized import attributes_of, dequantized, quantized

_PLAIN = {
    "QLinearAdd": ("Add", 2),
    "QLinearAveragePool": ("AveragePool", 1),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", 1),
    "QLinearLeakyRelu": ("LeakyRelu", 1),
    "QLinearMul": ("Mul", 2),
    "QLinearSigmoid": ("Sigmoid", 1),
    "QLinearSoftmax": ("Softmax", 1),
}
"""The operator of that meaning, and how many tensors it takes, each with its scale and zero point."""


def expand_qlinear(source: onnx.ModelProto, folder: Path | None) -> onnx.ModelProto:
    """`source` with such operators written out where their scales are known; the same object where there is none."""
    if not any(node.domain == DOMAIN for node in source.graph.node):
        return source
    model = onnx.ModelProto()
    model.CopyFrom(source)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) < 2}
    # `dequantized` takes an axis, which the operator has since opset 13.
    axes = next((opset.version for opset in model.opset_import if not opset.domain), 0) >= 13
    arrays: dict[str, np.ndarray] = {}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        found = None
        if node.domain == DOMAIN:
            small = [name for name in node.input if name in tensors and name not in arrays]
            arrays.update({name: tensor_array(tensors[name], folder, name) for name in small})
            found = _expansion(node)(node, arrays) if axes else None
        graph.node.extend([node] if found is None else found)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name not in tensors
    )
    forget_domain(model)
    return model


def _expansion(node: onnx.NodeProto) -> Callable[[onnx.NodeProto, dict], list[onnx.NodeProto] | None]:
    if node.op_type in _PLAIN:
        return _plain
    return {
        "DequantizeLinear": _own,
        "QGemm": _gemm,
        "QLinearConcat": _concat,
        "QLinearWhere": _where,
        "QuantizeLinear": _own,
    }.get(node.op_type, lambda node, arrays: None)


def _own(node: onnx.NodeProto, arrays: dict) -> list[onnx.NodeProto]:
    """The operator of ONNX, which took over what these did before."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.domain = ""
    return [made]


def _scalars(names: list[str], arrays: dict) -> bool:
    """Whether scales and zero points are known, one for a tensor."""
    return all(name in arrays and arrays[name].size == 1 for name in names)


def _between(
    node: onnx.NodeProto, kind: str, before: list[str], parts: list[list[str]], scale: list[str], arrays: dict, **more
) -> list[onnx.NodeProto] | None:
    """`kind` of `before` and of `parts` (tensor, scale, zero point) dequantised, quantised with `scale`."""
    if not _scalars([name for part in parts for name in part[1:]] + scale, arrays) or len(scale) != 2:
        return None
    base = node.output[0]
    names = [f"{base}.{number}" for number in range(len(parts))]
    return [
        *(dequantized(name, part, arrays, 0) for name, part in zip(names, parts, strict=True)),
        helper.make_node(kind, [*before, *names], [f"{base}.y"], name=node.name, **more),
        quantized(f"{base}.y", *scale, base, arrays),
    ]


def _triples(names: list[str]) -> list[list[str]]:
    return [list(names[i : i + 3]) for i in range(0, len(names), 3)]


def _plain(node: onnx.NodeProto, arrays: dict) -> list[onnx.NodeProto] | None:
    kind, count = _PLAIN[node.op_type]
    more = attributes_of(node)
    if more.pop("channels_last", 0):
        return None
    if kind == "Softmax" and more.pop("opset", 0) < 13 and more.get("axis", 1) != -1:
        return None  # It went over all dimensions from its axis on.
    names = list(node.input)
    return _between(node, kind, [], _triples(names[: 3 * count]), names[3 * count :], arrays, **more)


def _concat(node: onnx.NodeProto, arrays: dict) -> list[onnx.NodeProto] | None:
    names = list(node.input)
    return _between(node, "Concat", [], _triples(names[2:]), names[:2], arrays, **attributes_of(node))


def _where(node: onnx.NodeProto, arrays: dict) -> list[onnx.NodeProto] | None:
    condition, *names = node.input
    return _between(node, "Where", [condition], _triples(names[:6]), names[6:], arrays)


def _gemm(node: onnx.NodeProto, arrays: dict) -> list[onnx.NodeProto] | None:
    a, a_scale, a_zero, b, b_scale, b_zero, *rest = node.input
    bias, *result = [*rest, "", "", ""][:3]
    more = attributes_of(node)
    known = all(name in arrays for name in (b_scale, b_zero)) and _scalars([a_scale, a_zero], arrays)
    if not known or (any(result) and not _scalars(result, arrays)):
        return None
    if bias and arrays[b_scale].size > 1 and (bias not in arrays or arrays[bias].ndim != 1):
        return None
    base = node.output[0]
    made = [
        dequantized(f"{base}.a", [a, a_scale, a_zero], arrays, 0),
        dequantized(f"{base}.b", [b, b_scale, b_zero], arrays, 0 if more.get("transB") else 1),
    ]
    inputs = [f"{base}.a", f"{base}.b"]
    if bias:
        # In units of the product, alpha too.
        unit = np.float32(more.get("alpha", 1.0)) * arrays[a_scale].reshape(-1) * arrays[b_scale].reshape(-1)
        arrays[f"{base}.c_scale"] = unit if unit.size > 1 else unit.reshape(())
        arrays[f"{base}.c_zero"] = np.zeros(arrays[f"{base}.c_scale"].shape, np.int32)
        made.append(dequantized(f"{base}.c", [bias, f"{base}.c_scale", f"{base}.c_zero"], arrays, 0))
        inputs.append(f"{base}.c")
    value = f"{base}.y" if any(result) else base
    made.append(helper.make_node("Gemm", inputs, [value], name=node.name, **more))
    return [*made, quantized(value, *result, base, arrays)] if any(result) else made
