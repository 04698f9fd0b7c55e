"""MatMulNBits of ONNX Runtime: a matrix product whose weight is packed in 4 or 8 bits, a scale a block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from neomlir.errors import ImportFailure
from neomlir.frontends.onnx_external import tensor_array
from neomlir.frontends.onnx_quantized import attributes_of

DOMAIN = "com.microsoft"
_NAME = "MatMulNBits"


def expand_nbits(source: onnx.ModelProto, folder: Path | None) -> onnx.ModelProto:
    """`source` with a MatMul by the weight itself in place of each MatMulNBits; the same object where there is none.

    `neo-quantize-weights` with the same length of groups finds the very integers again where they are symmetric.
    Raises ImportFailure for attributes that contradict the weight, and for what has no such form.
    """
    if not any(_is_nbits(node) for node in source.graph.node):
        return source
    model = onnx.ModelProto()
    model.CopyFrom(source)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes, used = list(graph.node), set()
    del graph.node[:]
    for node in nodes:
        if not _is_nbits(node):
            graph.node.append(node)
            continue
        used.update(node.input[1:4])
        output = node.output[0]
        weight = f"{output}.weight"
        graph.initializer.append(onnx.numpy_helper.from_array(_weight(node, tensors, folder), weight))
        bias = node.input[5] if len(node.input) > 5 else ""
        product = f"{output}.product" if bias else output
        graph.node.append(helper.make_node("MatMul", [node.input[0], weight], [product], name=node.name))
        if bias:
            graph.node.append(helper.make_node("Add", [product, bias], [output], name=f"{node.name}.bias"))
    still = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in still or tensor.name not in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    forget_domain(model)
    return model


def forget_domain(model: onnx.ModelProto) -> None:
    """Import ONNX Runtime's operators no more where there are none."""
    if not any(node.domain == DOMAIN for node in model.graph.node):
        imports = [opset for opset in model.opset_import if opset.domain != DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(imports)


def _is_nbits(node: onnx.NodeProto) -> bool:
    return node.op_type == _NAME and node.domain == DOMAIN


def _weight(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto], folder: Path | None) -> np.ndarray:
    """The weight [K, N] that a node multiplies by."""
    label = f"{_NAME} {node.name or node.output[0]!r}"
    attributes = attributes_of(node)
    depth, columns = attributes.get("K", 0), attributes.get("N", 0)
    bits, block = attributes.get("bits", 4), attributes.get("block_size", 0)
    if bits not in (4, 8):
        raise ImportFailure(f"{label}: weights of {bits} bits are not supported; 4 and 8 are")
    if len(node.input) > 4 and node.input[4]:
        raise ImportFailure(f"{label}: a reordering of the reduction (g_idx) is not supported; quantise without it")
    if depth < 1 or columns < 1 or block < 2 or block & (block - 1):
        raise ImportFailure(f"{label}: K={depth}, N={columns}, block_size={block} describe no weight")

    def array(position: int) -> np.ndarray | None:
        name = node.input[position] if position < len(node.input) else ""
        if name and name not in tensors:
            raise ImportFailure(
                f"{label}: {name!r} is computed; packed weights, scales and zero points are initializers"
            )
        return tensor_array(tensors[name], folder, name) if name else None

    packed, scales, zeros = array(1), array(2), array(3)
    blocks = -(-depth // block)
    if packed.size != columns * blocks * block * bits // 8 or scales.size != columns * blocks:
        raise ImportFailure(
            f"{label}: {packed.size} bytes and {scales.size} scales are not what K={depth}, N={columns}, "
            f"block_size={block} and {bits} bits make"
        )
    scales = scales.reshape(columns, blocks, 1).astype(np.float32)
    if not np.isfinite(scales).all():
        raise ImportFailure(f"{label}: a scale is not finite")
    values = _unpacked(packed.reshape(columns, blocks, -1), bits).astype(np.float32)
    if zeros is None:
        middle: np.ndarray | float = float(1 << (bits - 1))
    elif zeros.dtype == np.uint8:
        middle = _unpacked(zeros.reshape(columns, -1), bits)[:, :blocks, None].astype(np.float32)
    else:
        middle = zeros.reshape(columns, blocks, 1).astype(np.float32)
    weight = (values - middle) * scales
    return np.ascontiguousarray(weight.reshape(columns, blocks * block)[:, :depth].T)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of 4 bits, the low half of a byte first, or bytes as they are."""
    if bits == 8:
        return packed
    pairs = np.stack([packed & 15, packed >> 4], -1)
    return pairs.reshape(*packed.shape[:-1], -1)
