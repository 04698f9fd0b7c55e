"""Element types of MLIR as numpy dtypes."""

from __future__ import annotations

import numpy as np

from neomlir.errors import CompileError
from neomlir.mlir import ir

_NAMES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "i1": "bool", "i8": "int8", "i16": "int16",
    "i32": "int32", "i64": "int64", "ui8": "uint8", "si8": "int8", "ui16": "uint16", "ui32": "uint32",
}  # fmt: skip
_ML_DTYPES = {
    "bf16": "bfloat16", "f8E4M3FN": "float8_e4m3fn", "f8E5M2": "float8_e5m2", "f8E4M3FNUZ": "float8_e4m3fnuz",
    "f8E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


def numpy_dtype(type_: ir.Type) -> np.dtype:
    """The dtype of an element as it lies in memory. Raises CompileError for types that numpy cannot hold."""
    name = str(type_)
    if name in _NAMES:
        return np.dtype(_NAMES[name])
    if name in _ML_DTYPES:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, _ML_DTYPES[name]))
    raise CompileError(f"elements of type {name} have no numpy dtype")
