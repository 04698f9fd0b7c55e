"""ONNX: a path, the bytes of a file, or a `ModelProto`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure, NeoError
from neomlir.frontends import onnx_ml
from neomlir.frontends.base import Frontend, Imported, Inputs, Spec
from neomlir.frontends.module import annotate, weight_name
from neomlir.mlir import ir

PIPELINE = (
    "builtin.module(neo-lower-recurrences,"
    "torch-onnx-to-torch-backend-pipeline,torch-backend-to-linalg-on-tensors-backend-pipeline,"
    "neo-drop-asserts,neo-lower-tm-tensor,neo-weights-to-globals,canonicalize,cse)"
)


class Onnx(Frontend):
    """Reads ONNX models of any opset."""

    suffixes = (".onnx",)
    objects = "the bytes or ModelProto of an ONNX model"
    peer = "onnxruntime"

    def reads(self, source: Any) -> bool:
        if isinstance(source, str | os.PathLike):
            return Path(source).suffix in self.suffixes and Path(source).exists()
        # Protobuf classes may come from any copy of onnx: known by name, so that onnx need not be imported.
        return isinstance(source, bytes | bytearray | memoryview) or type(source).__name__ == "ModelProto"

    def import_(self, source: Any, inputs: Inputs, context: ir.Context) -> Imported:
        """The model in the torch dialect, its operators as `torch.operator "onnx.…"`.

        `inputs` gives shapes or example arrays by input name, or in order; dimensions left open stay dynamic.
        """
        try:
            import onnx
        except ImportError as error:
            raise ImportFailure("ONNX models need the onnx package: pip install 'neomlir[onnx]'") from error
        from neomlir.frontends.onnx_prepare import prepare

        name, folder = "the model", None
        if isinstance(source, str | os.PathLike):
            name, folder = Path(source).name, Path(source).absolute().parent
        model = _parse(source, name, onnx)
        try:
            if onnx_ml.has_models(model):
                return onnx_ml.import_model(model, inputs, name, context, folder)
            prepared = prepare(model, folder, inputs, name)
            del model
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _import(prepared, name, context)
        except NeoError:
            raise
        except Exception as error:
            raise ImportFailure(f"{name} could not be imported: {type(error).__name__}: {error}") from error


def _parse(source: Any, name: str, onnx: Any) -> Any:
    if type(source).__name__ == "ModelProto":
        return source
    try:
        data = Path(source).read_bytes() if isinstance(source, str | os.PathLike) else bytes(source)
        model = onnx.ModelProto()
        model.ParseFromString(data)
    except OSError as error:
        raise ImportFailure(f"{name} can't be read: {error.strerror}") from error
    except Exception as error:
        raise ImportFailure(f"{name} is not an ONNX model, or it is truncated: {error}") from error
    return model


def _import(prepared: Any, name: str, context: ir.Context) -> Imported:
    import onnx

    from neomlir.mlir import onnx_importer

    class InlineConstants(onnx_importer.ContextCache):
        """Gives small constants as attributes that print their values, never as resources."""

        def tensor_proto_to_attr(self, tensor: Any) -> ir.Attribute:
            return dense(onnx.numpy_helper.to_array(tensor), self.tensor_proto_to_builtin_type(tensor))

    taken = {value.name for value in prepared.inputs}
    names = {weight: weight_name(weight, taken) for weight in prepared.weights}
    info = onnx_importer.ModelInfo(prepared.model)
    with context:
        module = ir.Module.create(ir.Location.unknown())
        importer = onnx_importer.NodeImporter.define_function(
            info.main_graph, module.operation, InlineConstants(context)
        )
        importer.import_all()
    arguments = [("neo.name", value.name) for value in prepared.inputs]
    arguments += [("neo.weight", weight) for weight in names.values()]
    annotate(module, arguments, [value.name for value in prepared.outputs])
    weights = {names[weight]: array for weight, array in prepared.weights.items()}
    inputs, outputs = ([_spec(value, onnx) for value in values] for values in (prepared.inputs, prepared.outputs))
    return Imported(module, weights, PIPELINE, inputs, outputs, name)


def _spec(value: Any, onnx: Any) -> Spec:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return Spec(value.name, dtype.name, shape)


def dense(array: np.ndarray, type_: ir.Type) -> ir.Attribute:
    """The `dense` attribute of tensor type `type_` that holds `array`."""
    array = np.ascontiguousarray(array)
    type_ = ir.RankedTensorType(type_)
    if not array.size:
        return ir.Attribute.parse(f"dense<> : {type_}", context=type_.context)
    if array.dtype == np.bool_:
        # Not as packed bits: the bindings take a single byte of them for a splat.
        with type_.context:
            return ir.DenseElementsAttr.get([ir.BoolAttr.get(bool(value)) for value in array.flat], type_)
    if array.dtype.kind == "V" or array.dtype.name.startswith(("bfloat", "float8")):
        array = array.view(np.uint16 if array.dtype.itemsize == 2 else np.uint8)
    return ir.DenseElementsAttr.get(array, type=type_.element_type, shape=type_.shape)


FRONTEND = Onnx()
