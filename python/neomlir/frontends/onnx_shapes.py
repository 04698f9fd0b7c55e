"""Fix the shapes of an ONNX graph's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Inputs
from neomlir.frontends.onnx_external import elements


def fix_inputs(graph: onnx.GraphProto, inputs: Inputs) -> None:
    """Write `inputs` into the graph.

    A mapping of input names, or a sequence in the inputs' order, to shapes (None: stays as it is) or example arrays;
    a mapping may also name a symbolic extent and give its size, `{"batch": 1}`. Raises ImportFailure for an unknown
    name or a contradiction of the model.
    """
    if inputs is None:
        return
    known = {value.name: value for value in graph.input}
    if not isinstance(inputs, Mapping):
        given = [inputs] if _is_shape(inputs) and len(inputs) else list(inputs)
        if len(given) > len(known):
            raise ImportFailure(f"{len(given)} inputs are given; the model has {len(known)}: {', '.join(known)}")
        inputs = dict(zip(known, given, strict=False))
    symbols = {dim.dim_param for value in known.values() for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    for name, wanted in inputs.items():
        if name in known:
            _fix(known[name], wanted)
        elif name in symbols and isinstance(wanted, int):
            _bind(known, name, wanted)
        else:
            raise ImportFailure(f"the model has no input {name!r}; its inputs are {', '.join(known) or 'none'}")


def _fix(value: onnx.ValueInfoProto, wanted: Any) -> None:
    if wanted is None:
        return
    tensor = value.type.tensor_type
    if not _is_shape(wanted):
        try:
            array = np.asarray(wanted)
        except Exception as error:
            raise ImportFailure(f"input {value.name!r}: {wanted!r} is no shape and no array") from error
        if array.dtype.kind in "US":
            raise ImportFailure(
                f"input {value.name!r}: {wanted!r} is no shape; an extent is a number, or None where it stays dynamic"
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if array.dtype != dtype:
            raise ImportFailure(f"input {value.name!r} is {dtype} in the model, not {array.dtype}")
        wanted = array.shape
    elements([extent or 0 for extent in wanted if extent is not None], value.name)
    if not tensor.HasField("shape"):
        for _ in wanted:
            tensor.shape.dim.add()
    dims = tensor.shape.dim
    had = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    if len(had) != len(wanted) or any(
        a is not None and b is not None and a != b for a, b in zip(had, wanted, strict=True)
    ):
        text = "x".join("?" if extent is None else str(extent) for extent in had) or "scalar"
        raise ImportFailure(f"input {value.name!r} of shape {text} can't be {tuple(wanted)}")
    for dim, extent in zip(dims, wanted, strict=True):
        if extent is not None:
            dim.dim_value = extent


def _bind(known: Mapping[str, onnx.ValueInfoProto], symbol: str, extent: int) -> None:
    elements([extent], symbol)
    for value in known.values():
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_value = extent


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(
        e is None or (isinstance(e, int) and not isinstance(e, bool)) for e in value
    )
