"""What callers give a model, as numpy arrays; no framework is imported for it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from neomlir.errors import ModelError


def as_array(value: Any, name: str) -> np.ndarray:
    """`value` as an array, on its own memory wherever that can be.

    Takes numpy arrays and scalars, PyTorch tensors on the CPU (bfloat16 and 8-bit floats too), whatever exports DLPack
    or `__array__`, and nested lists. Raises ModelError that calls it input `name`.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return _from_torch(value.detach(), torch)
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError, AttributeError) as error:
        raise ModelError(f"input {name!r}: a {type(value).__name__} that is no array of numbers: {error}") from error


def _from_torch(tensor: Any, torch: Any) -> np.ndarray:
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind != "bfloat16" and not kind.startswith("float8_"):
        return tensor.numpy()
    import ml_dtypes

    # numpy() knows no such dtype: the bits go through as integers.
    bits = torch.int16 if kind == "bfloat16" else torch.int8
    dtype = np.dtype(getattr(ml_dtypes, kind))
    return tensor.view(bits).numpy().view(dtype)
