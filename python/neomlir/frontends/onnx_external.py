"""The data of ONNX tensors as arrays: in the file, or in other files, which may only be below the model's folder."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import numpy as np
import onnx

from neomlir.errors import ImportFailure

# The most elements a tensor of a model may have: what no machine holds is a lie of the file.
MOST_ELEMENTS = 1 << 40


def element_dtype(data_type: int, name: str) -> np.dtype:
    """The numpy dtype of a TensorProto data type. Raises ImportFailure for strings, complex and packed numbers."""
    try:
        text = onnx.TensorProto.DataType.Name(data_type)
    except ValueError:
        raise ImportFailure(f"tensor {name!r} has the unknown data type {data_type}") from None
    if text in ("UNDEFINED", "STRING", "COMPLEX64", "COMPLEX128", "INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1"):
        raise ImportFailure(f"tensor {name!r} is of type {text}, which is not supported")
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(data_type))


def elements(dims, name: str) -> int:
    """The number of elements of a shape. Raises ImportFailure for a negative or absurd one."""
    extents = [int(extent) for extent in dims]
    if any(extent < 0 for extent in extents):
        raise ImportFailure(f"tensor {name!r} has a negative extent: {extents}")
    # A zero must not hide an absurd extent beside it.
    if math.prod(extent or 1 for extent in extents) > MOST_ELEMENTS:
        raise ImportFailure(f"tensor {name!r} of shape {extents} is too large")
    return math.prod(extents)


def tensor_array(tensor: onnx.TensorProto, folder: Path | None, name: str) -> np.ndarray:
    """The elements of a tensor; external data is mapped, not read.

    `folder` is where the model file lies, None for a model that came as bytes. Raises ImportFailure where the data
    is missing, lies outside `folder`, or does not have the size that the shape says.
    """
    count = elements(tensor.dims, name)
    dtype = element_dtype(tensor.data_type, name)
    if tensor.HasField("segment"):
        raise ImportFailure(f"tensor {name!r} is stored in segments, which is not supported")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, folder, name, dtype, count).reshape(tuple(tensor.dims))
    if tensor.HasField("raw_data"):
        raw = tensor.raw_data
        if len(raw) != count * dtype.itemsize:
            raise ImportFailure(
                f"tensor {name!r} of shape {list(tensor.dims)} needs {count * dtype.itemsize} bytes of data "
                f"but has {len(raw)}"
            )
        return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tuple(tensor.dims))
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise ImportFailure(f"the data of tensor {name!r} does not fit its shape or type: {error}") from error
    if array.shape != tuple(tensor.dims):
        raise ImportFailure(f"the data of tensor {name!r} does not fit its shape {list(tensor.dims)}")
    return np.asarray(array, dtype)


def _external(tensor: onnx.TensorProto, folder: Path | None, name: str, dtype: np.dtype, count: int) -> np.ndarray:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ImportFailure(f"tensor {name!r} has external data; give the path of the model, not its bytes")
    path = external_path(folder, location, name)
    size = path.stat().st_size
    offset = _number(entries.get("offset", "0"), "offset", name)
    wanted = count * dtype.itemsize
    length = _number(entries.get("length", str(wanted)), "length", name)
    if length != wanted:
        raise ImportFailure(f"tensor {name!r} needs {wanted} bytes; its external data has a length of {length}")
    if offset + length > size:
        raise ImportFailure(
            f"tensor {name!r} lies at bytes {offset} to {offset + length} of {location!r}, which has {size}"
        )
    if not count:
        return np.empty(0, dtype)
    if offset % dtype.itemsize:
        raw = np.memmap(path, np.uint8, "r", offset, (length,))
        return np.frombuffer(raw.tobytes(), dtype)
    return np.memmap(path, dtype, "r", offset, (count,))


def _number(text: str, what: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ImportFailure(f"tensor {name!r}: the {what} of its external data is {text!r}")
    return int(text)


def external_path(folder: Path, location: str, name: str) -> Path:
    """The file of external data `location`. Raises ImportFailure unless it is a regular file of its own below `folder`.

    Refused are absolute paths, `..`, symbolic links anywhere on the way, and files with more than one hard link:
    each could make a model read a file that whoever gave it away never had.
    """
    parts = Path(location).parts
    outside = not parts or "\0" in location or "\\" in location or Path(location).is_absolute() or ".." in parts
    if outside:
        raise ImportFailure(f"tensor {name!r}: external data {location!r} is outside the model's folder")
    path = folder
    for part in parts:
        path = path / part
        try:
            found = os.lstat(path)
        except OSError as error:
            raise ImportFailure(
                f"tensor {name!r}: external data {location!r} can't be read: {error.strerror}"
            ) from error
        if stat.S_ISLNK(found.st_mode):
            raise ImportFailure(f"tensor {name!r}: external data {location!r} goes through a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise ImportFailure(f"tensor {name!r}: external data {location!r} is not a file")
    if found.st_nlink > 1:
        raise ImportFailure(f"tensor {name!r}: external data {location!r} has hard links elsewhere; copy the file")
    return path
