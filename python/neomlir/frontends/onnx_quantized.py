"""The quantised operators of ONNX: what their scales must be, and their meaning in QuantizeLinear and its inverse."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from neomlir.errors import ImportFailure

_SCALES = {
    "QuantizeLinear": ((1, 2),),
    "DequantizeLinear": ((1, 2),),
    "QLinearConv": ((1, 2), (4, 5), (6, 7)),
    "QLinearMatMul": ((1, 2), (4, 5), (6, 7)),
}
"""Where each operator has its scales, and the zero points that belong to them."""
_AXIS = {"QuantizeLinear": 1, "DequantizeLinear": 1}


def check_scales(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> None:
    """Raise ImportFailure for a scale that is not positive and finite, or that does not fit its tensor."""
    for node in graph.node:
        if node.domain or node.op_type not in _SCALES:
            continue
        label = f"{node.op_type} {node.name or node.output[0]!r}"
        for scale_at, zero_at in _SCALES[node.op_type]:
            scale = arrays.get(node.input[scale_at])
            zero = arrays.get(node.input[zero_at]) if zero_at < len(node.input) else None
            if scale is None:
                continue
            numbers = np.asarray(scale, np.float64)
            bad = ~(np.isfinite(numbers) & (numbers > 0))
            if bad.any():
                where = int(np.argmax(bad.reshape(-1)))
                found = f"{numbers.reshape(-1)[where]:g} at position {where}"
                raise ImportFailure(
                    f"{label}: scale {node.input[scale_at]!r} holds {found}; "
                    "a scale must be finite and above zero: quantise the model again with more calibration data, or "
                    "exclude this node from quantisation"
                )
            if zero is not None and zero.size != scale.size:
                raise ImportFailure(
                    f"{label}: {scale.size} scales and {zero.size} zero points; there must be as many of each"
                )
            if node.op_type in _AXIS:
                _check_axis(node, scale, arrays.get(node.input[0]), label)


def _check_axis(node: onnx.NodeProto, scale: np.ndarray, data: np.ndarray | None, label: str) -> None:
    """Raise ImportFailure where scales along an axis do not fit a tensor that is known."""
    attributes = attributes_of(node)
    if data is None or scale.size == 1 or attributes.get("block_size"):
        return
    axis = attributes.get("axis", _AXIS[node.op_type])
    if not -data.ndim <= axis < data.ndim:
        raise ImportFailure(f"{label}: axis {axis} is none of {node.input[0]!r}, which has {data.ndim} dimensions")
    if data.shape[axis] != scale.size:
        raise ImportFailure(
            f"{label}: {scale.size} scales along axis {axis} of {node.input[0]!r}, whose extent there is "
            f"{data.shape[axis]}"
        )


def expand_quantized(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> None:
    """Write quantised operators as QuantizeLinear, DequantizeLinear and the operator between them.

    QLinearConv and QLinearMatMul whose scales are known; DynamicQuantizeLinear; and where there is no zero point, one
    of zero is given. Constants that are quantised, or dequantised block by block, are computed here.
    """
    types = _types(graph, arrays)
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        made = [node]
        if not node.domain and node.op_type in _EXPANSIONS:
            found = _EXPANSIONS[node.op_type](node, arrays, types)
            made = [node] if found is None else found
        graph.node.extend(made)


def _types(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> dict[str, np.dtype]:
    """The 8-bit types that are known without inference."""
    types = {name: array.dtype for name, array in arrays.items()}
    for value in graph.input:
        if value.type.tensor_type.elem_type:
            types[value.name] = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            zero = arrays.get(node.input[2]) if len(node.input) > 2 else None
            types[node.output[0]] = _result_type(node) if zero is None else zero.dtype
        elif node.op_type == "DynamicQuantizeLinear":
            types[node.output[0]] = np.dtype(np.uint8)
    return types


def _result_type(node: onnx.NodeProto) -> np.dtype:
    """What a QuantizeLinear without a zero point gives."""
    kind = attributes_of(node).get("output_dtype", onnx.TensorProto.UNDEFINED)
    return np.dtype(np.uint8) if kind == onnx.TensorProto.UNDEFINED else helper.tensor_dtype_to_np_dtype(kind)


def attributes_of(node: onnx.NodeProto) -> dict:
    """The attributes of a node as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _dequantize(node: onnx.NodeProto, arrays: dict, types: dict) -> list[onnx.NodeProto] | None:
    data, scale, kind = arrays.get(node.input[0]), arrays.get(node.input[1]), types.get(node.input[0])
    has_zero = len(node.input) > 2 and node.input[2]
    zero = arrays.get(node.input[2]) if has_zero else None
    block = attributes_of(node).get("block_size", 0)
    if scale is None or kind is None or (has_zero and zero is None):
        return None
    if block and data is not None and data.ndim == scale.ndim:
        arrays[node.output[0]] = _blocks(data, scale, zero, attributes_of(node).get("axis", 1), block)
        return []
    names, made = [name for name in node.input if name], []
    if not has_zero:
        names.append(f"{node.output[0]}.zero_point")
        arrays[names[2]] = np.zeros(scale.shape, kind)
    elif kind == np.uint8 and zero.size > 1:
        # The importer takes a vector of zero points for signed: the same numbers 128 lower are.
        names = [f"{node.output[0]}.data", names[1], f"{node.output[0]}.zero_point"]
        arrays[names[2]] = (zero ^ 128).view(np.int8)
        if data is not None:
            arrays[names[0]] = (data ^ 128).view(np.int8)
        else:
            made += _signed(node.input[0], names[0], arrays)
    last = onnx.NodeProto()
    last.CopyFrom(node)
    del last.input[:]
    last.input.extend(names)
    for attribute in last.attribute:
        if attribute.name == "axis" and attribute.i < 0 and data is not None:
            attribute.i += data.ndim  # The importer takes no negative one.
    return [*made, last]


def _signed(source: str, result: str, arrays: dict) -> list[onnx.NodeProto]:
    """Unsigned bytes 128 lower."""
    arrays[f"{result}.half"] = np.int32(128).reshape(())
    return [
        helper.make_node("Cast", [source], [f"{result}.wide"], to=onnx.TensorProto.INT32),
        helper.make_node("Sub", [f"{result}.wide", f"{result}.half"], [f"{result}.low"]),
        helper.make_node("Cast", [f"{result}.low"], [result], to=onnx.TensorProto.INT8),
    ]


def _blocks(data: np.ndarray, scale: np.ndarray, zero: np.ndarray | None, axis: int, block: int) -> np.ndarray:
    """What integers stand for that have a scale for each `block` neighbours along `axis`."""
    extent = data.shape[axis]
    scale, zero = (
        None if array is None else np.repeat(array.astype(np.float32), block, axis).take(range(extent), axis)
        for array in (scale, zero)
    )
    numbers = data.astype(np.float32)
    return (numbers if zero is None else numbers - zero) * scale


def _quantize(node: onnx.NodeProto, arrays: dict, types: dict) -> list[onnx.NodeProto] | None:
    data, scale = arrays.get(node.input[0]), arrays.get(node.input[1])
    attributes = attributes_of(node)
    has_zero = len(node.input) > 2 and node.input[2]
    kind = types[node.output[0]]
    if scale is None or attributes.get("block_size") or (has_zero and node.input[2] not in arrays):
        return None
    zero = arrays[node.input[2]] if has_zero else np.zeros(scale.shape, kind)
    axis = attributes.get("axis", 1)
    if data is not None and kind in (np.int8, np.uint8) and (scale.size == 1 or -data.ndim <= axis < data.ndim):
        shape = [1] * data.ndim
        if scale.size > 1:
            shape[axis] = scale.size
        limits = np.iinfo(kind)
        steps = np.rint(data / scale.reshape(shape)) + zero.reshape(shape).astype(np.float32)
        arrays[node.output[0]] = np.clip(steps, limits.min, limits.max).astype(kind)
        return []
    if has_zero:
        return None
    arrays[f"{node.output[0]}.zero_point"] = zero
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.input[2:], made.attribute[:]
    made.input.append(f"{node.output[0]}.zero_point")
    made.attribute.extend(a for a in node.attribute if a.name != "output_dtype")
    return [made]


def dequantized(output: str, names: list[str], arrays: dict, axis: int) -> onnx.NodeProto:
    """A DequantizeLinear of a tensor, its scale and its zero point; one scale for all is a scalar."""
    for name in names[1:]:
        if arrays[name].size == 1 and arrays[name].ndim:
            arrays[f"{output}.{name}"] = arrays[name].reshape(())
            names = [f"{output}.{name}" if other == name else other for other in names]
    return helper.make_node("DequantizeLinear", names, [output], name=output, axis=axis)


def _convolution(node: onnx.NodeProto, arrays: dict, types: dict) -> list[onnx.NodeProto] | None:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.input
    if any(name not in arrays for name in (x_scale, x_zero, w_scale, w_zero, y_scale, y_zero)):
        return None
    base = node.output[0]
    made = [
        dequantized(f"{base}.x", [x, x_scale, x_zero], arrays, 1),
        dequantized(f"{base}.w", [w, w_scale, w_zero], arrays, 0),
    ]
    inputs = [f"{base}.x", f"{base}.w"]
    if bias and bias[0]:
        # The bias is in units of the product of both scales, its zero point is zero.
        scale = np.asarray(arrays[x_scale].reshape(-1) * arrays[w_scale].reshape(-1), np.float32)
        arrays[f"{base}.b_scale"] = scale if scale.size > 1 else scale.reshape(())
        arrays[f"{base}.b_zero"] = np.zeros(arrays[f"{base}.b_scale"].shape, np.int32)
        made.append(dequantized(f"{base}.b", [bias[0], f"{base}.b_scale", f"{base}.b_zero"], arrays, 0))
        inputs.append(f"{base}.b")
    conv = helper.make_node("Conv", inputs, [f"{base}.y"], name=node.name)
    conv.attribute.extend(node.attribute)
    return [*made, conv, quantized(f"{base}.y", y_scale, y_zero, base, arrays)]


def _product(node: onnx.NodeProto, arrays: dict, types: dict) -> list[onnx.NodeProto] | None:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.input
    scales = (a_scale, a_zero, b_scale, b_zero, y_scale, y_zero)
    if any(name not in arrays for name in scales) or arrays[a_scale].size != 1 or arrays[y_scale].size != 1:
        return None
    if arrays[b_scale].size != 1 and (b not in arrays or arrays[b].ndim != 2 or arrays[b_scale].ndim != 1):
        return None
    base = node.output[0]
    return [
        dequantized(f"{base}.a", [a, a_scale, a_zero], arrays, 0),
        dequantized(f"{base}.b", [b, b_scale, b_zero], arrays, 1),
        helper.make_node("MatMul", [f"{base}.a", f"{base}.b"], [f"{base}.y"], name=node.name),
        quantized(f"{base}.y", y_scale, y_zero, base, arrays),
    ]


def quantized(value: str, scale: str, zero: str, output: str, arrays: dict) -> onnx.NodeProto:
    """A QuantizeLinear of a value with one scale and one zero point for all."""
    names = [value]
    for name in (scale, zero):
        arrays[f"{output}.{name}"] = arrays[name].reshape(())
        names.append(f"{output}.{name}")
    return helper.make_node("QuantizeLinear", names, [output], name=output)


def _dynamic(node: onnx.NodeProto, arrays: dict, types: dict) -> list[onnx.NodeProto]:
    """By the definition of the operator; the zero point is rounded and clamped as a QuantizeLinear does it.

    A tensor of zeros has the scale 1, as in ONNX Runtime.
    """
    x, (y, scale, zero) = node.input[0], [*node.output, *[f"{node.output[0]}.{n}" for n in ("scale", "zero")]][:3]
    base = node.output[0]
    arrays[f"{base}.0"], arrays[f"{base}.1"] = np.float32(0).reshape(()), np.float32(1).reshape(())
    arrays[f"{base}.255"] = np.float32(255).reshape(())
    arrays[f"{base}.u8"] = np.uint8(0).reshape(())

    def step(kind: str, inputs: list[str], name: str, **attributes) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [name], name=name, **attributes)

    return [
        step("ReduceMax", [x], f"{base}.max", keepdims=0),
        step("ReduceMin", [x], f"{base}.min", keepdims=0),
        step("Max", [f"{base}.max", f"{base}.0"], f"{base}.high"),
        step("Min", [f"{base}.min", f"{base}.0"], f"{base}.low"),
        step("Sub", [f"{base}.high", f"{base}.low"], f"{base}.range"),
        step("Equal", [f"{base}.range", f"{base}.0"], f"{base}.flat"),
        step("Div", [f"{base}.range", f"{base}.255"], f"{base}.step"),
        step("Where", [f"{base}.flat", f"{base}.1", f"{base}.step"], scale),
        step("Neg", [f"{base}.low"], f"{base}.offset"),
        step("QuantizeLinear", [f"{base}.offset", scale, f"{base}.u8"], zero),
        step("QuantizeLinear", [x, scale, zero], y),
    ]


_EXPANSIONS = {
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic,
    "QuantizeLinear": _quantize,
    "QLinearConv": _convolution,
    "QLinearMatMul": _product,
}
