"""Rewrite an ONNX model for the importer: weights out, functions expanded, one opset, shapes inferred and folded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, inliner, shape_inference, version_converter

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Inputs
from neomlir.frontends.onnx_batchnorm import fold_batch_norm
from neomlir.frontends.onnx_check import DEFAULT_DOMAINS, check, in_order
from neomlir.frontends.onnx_expand import expand, resolve_cast_like
from neomlir.frontends.onnx_external import MOST_ELEMENTS, tensor_array
from neomlir.frontends.onnx_fold import fold_shapes
from neomlir.frontends.onnx_nbits import expand_nbits
from neomlir.frontends.onnx_qlinear import expand_qlinear
from neomlir.frontends.onnx_quantized import check_scales, expand_quantized
from neomlir.frontends.onnx_recurrent import check_recurrent
from neomlir.frontends.onnx_shapes import fix_inputs

OPSET = 18
# Constants of up to this many elements stand in the program, where lowerings can see them.
SMALL = 16
# What lowerings must see at any size: shapes, axes, pads, sizes and the like, by operator and position of the input.
_OPERANDS = {
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}


@dataclass
class Prepared:
    """A model whose graph inputs are its own inputs and then its weights."""

    model: onnx.ModelProto
    weights: dict[str, np.ndarray]
    inputs: list[onnx.ValueInfoProto]
    outputs: list[onnx.ValueInfoProto]


def prepare(source: onnx.ModelProto, folder: Path | None, inputs: Inputs, source_name: str) -> Prepared:
    """Everything that is done to a model before it is imported; `source` is left as it is. Raises ImportFailure."""
    source = expand_qlinear(expand_nbits(source, folder), folder)
    check(source, source_name)
    model, arrays = _without_weights(source, folder)
    if model.functions:
        model = _guarded(inliner.inline_local_functions, model, what="the functions of the model can't be expanded")
        model, more = _without_weights(model, folder)
        arrays.update(more)
    fix_inputs(model.graph, inputs)
    _checked(model, arrays)
    model = _converted(model, arrays, source_name)
    model, more = _without_weights(model, folder)
    arrays.update(more)
    declared = _forget_shapes(model.graph)
    fold_batch_norm(model.graph, arrays)
    check_scales(model.graph, arrays)
    check_recurrent(model.graph)
    expand_quantized(model.graph, arrays)
    count = len(model.graph.input)
    _attach(model, arrays)
    expanded = _guarded(expand, model, what=source_name)
    del expanded.graph.input[count:]
    del expanded.graph.initializer[:]
    model, more = _without_weights(expanded, folder)
    arrays.update(more)
    while True:
        _attach(model, arrays)
        inferred = _guarded(
            shape_inference.infer_shapes, model, check_type=True, strict_mode=True, data_prop=True, what=source_name
        )
        resolve_cast_like(inferred.graph)
        del inferred.graph.input[count:]
        del inferred.graph.initializer[:]
        model = inferred
        if not fold_shapes(model.graph, arrays):
            break
        # What was inferred before keeps onnx from taking the shapes of the new constants.
        del model.graph.value_info[:]
    _remember_ranks(model.graph, declared)
    _check_extents(model.graph)
    weights = _attach(model, arrays)
    _all_typed(model.graph)
    return Prepared(model, weights, list(model.graph.input)[:count], list(model.graph.output))


def _without_weights(source: onnx.ModelProto, folder: Path | None) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A copy without initializers and Constant nodes, and these as arrays."""
    arrays = {tensor.name: tensor_array(tensor, folder, tensor.name) for tensor in source.graph.initializer}
    model = onnx.ModelProto(ir_version=max(source.ir_version, 8))
    for opset in source.opset_import:
        domain = "" if opset.domain in DEFAULT_DOMAINS else opset.domain
        model.opset_import.append(helper.make_opsetid(domain, opset.version))
    if not source.opset_import:
        model.opset_import.append(helper.make_opsetid("", 1))
    model.functions.extend(source.functions)
    graph = model.graph
    graph.name = "main"
    for node in in_order(source.graph):
        value = _constant(node, folder)
        if value is not None:
            arrays[node.output[0]] = value
            continue
        graph.node.append(node)
        if node.domain in DEFAULT_DOMAINS:
            graph.node[-1].domain = ""
        if not node.name:
            graph.node[-1].name = next(iter(node.output), "")
    graph.input.extend(value for value in source.graph.input if value.name not in arrays)
    graph.output.extend(source.graph.output)
    for value in (*graph.input, *graph.output):
        value.doc_string = ""
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")
    return model, arrays


def _constant(node: onnx.NodeProto, folder: Path | None) -> np.ndarray | None:
    if node.op_type != "Constant" or node.domain not in DEFAULT_DOMAINS or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value" and attribute.type == onnx.AttributeProto.TENSOR:
        return tensor_array(attribute.t, folder, node.output[0])
    plain = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name in plain:
        return np.array(helper.get_attribute_value(attribute), plain[attribute.name])
    raise ImportFailure(f"constant {node.output[0]!r} holds a {attribute.name}, which is not supported")


def _attach(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Make what nodes read of `arrays` initializers (small) or more inputs (large); gives the large ones."""
    graph = model.graph
    needed = {name for node in graph.node for name in _reads(node)} | {value.name for value in graph.output}
    inline = set()
    # A zero point that is zero throughout is known to be: that makes a weight symmetric.
    zero_points = {node.input[2] for node in graph.node if node.op_type == "DequantizeLinear" and len(node.input) > 2}
    for node in graph.node:
        for position in _OPERANDS.get(node.op_type, (1,) if node.op_type.startswith("Reduce") else ()):
            if position < len(node.input):
                inline.add(node.input[position])
    weights = {}
    for name, array in arrays.items():
        if name not in needed:
            continue
        if array.size <= SMALL or name in inline or (name in zero_points and not array.any()):
            graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, order="C"), name))
            continue
        weights[name] = array
        graph.input.append(helper.make_tensor_value_info(name, _data_type(array.dtype), array.shape))
    return weights


def _reads(node: onnx.NodeProto) -> set[str]:
    """Every name that a node or its subgraphs read."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]:
            names.update(value.name for value in graph.output)
            for inner in graph.node:
                names |= _reads(inner)
    return names


def _data_type(dtype: np.dtype) -> int:
    return helper.np_dtype_to_tensor_dtype(dtype)


def _checked(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> None:
    """The rules of ONNX itself: attributes, numbers of operands."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    _attach(probe, arrays)
    for value in (*probe.graph.input, *probe.graph.output):
        # The checker wants a shape, many models have none, and nothing here depends on it.
        value.type.tensor_type.shape.SetInParent()
    _guarded(onnx.checker.check_model, probe, what="the model breaks the rules of ONNX")


def _converted(model: onnx.ModelProto, arrays: dict[str, np.ndarray], source_name: str) -> onnx.ModelProto:
    version = max(o.version for o in model.opset_import if o.domain == "")
    if version >= OPSET:
        return model
    count = len(model.graph.input)
    _attach(model, arrays)
    converted = _guarded(
        version_converter.convert_version,
        model,
        OPSET,
        what=f"{source_name} can't be converted from version {version} of the ONNX operators to {OPSET}",
    )
    keep = {value.name for value in list(model.graph.input)[:count]}
    kept = [value for value in converted.graph.input if value.name in keep]
    del converted.graph.input[:]
    converted.graph.input.extend(kept)
    return converted


def _forget_shapes(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    """Drop what the model says of its results' extents: inputs may have been fixed since. Gives what it said."""
    declared = {}
    for value in graph.output:
        copy = onnx.TypeProto()
        copy.CopyFrom(value.type)
        declared[value.name] = copy
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return declared


def _remember_ranks(graph: onnx.GraphProto, declared: dict[str, onnx.TypeProto]) -> None:
    for value in graph.output:
        tensor, said = value.type.tensor_type, declared[value.name].tensor_type
        if not tensor.HasField("shape") and said.HasField("shape"):
            tensor.shape.CopyFrom(said.shape)
            for dim in tensor.shape.dim:
                dim.ClearField("dim_value")


def _check_extents(graph: onnx.GraphProto) -> None:
    """Raise ImportFailure if a node makes a tensor of an extent below zero, or of more elements than any memory."""
    makers = {name: node for node in graph.node for name in node.output}
    for value in [*graph.value_info, *graph.output]:
        # Some exporters write -1 for an extent that is not known.
        extents = [
            d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value") and d.dim_value != -1
        ]
        if value.name in makers and (min(extents, default=0) < 0 or math.prod(extents) > MOST_ELEMENTS):
            node = makers[value.name]
            raise ImportFailure(
                f"node {node.name or node.output[0]!r} ({node.op_type}) makes {value.name!r} of shape {extents}, which "
                "no tensor has: look at its attributes and at the shapes of its inputs"
            )


def _all_typed(graph: onnx.GraphProto) -> None:
    """The importer takes a value of unknown rank for a scalar: refuse such values."""
    typed = {v.name for v in (*graph.value_info, *graph.input, *graph.output) if v.type.tensor_type.HasField("shape")}
    typed.update(tensor.name for tensor in graph.initializer)
    read = {name for node in graph.node for name in _reads(node)} | {value.name for value in graph.output}
    unknown = [
        f"{node.op_type} {node.name!r}"
        for node in graph.node
        if any(name and name in read and name not in typed for name in node.output)
    ]
    for value in graph.input:
        if value.name not in typed:
            raise ImportFailure(f"the rank of input {value.name!r} is not known; give its shape in inputs")
    if unknown:
        raise ImportFailure(
            f"the rank of the results of {len(unknown)} nodes is not known: {', '.join(unknown[:5])}. "
            "Give the shapes of the model's inputs"
        )


def _guarded(function, *arguments, what: str, **options):
    try:
        return function(*arguments, **options)
    except Exception as error:
        raise ImportFailure(f"{what}: {str(error).strip()}") from error
