"""The C runtime (`neo.h`) by ctypes."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from neomlir_runtime.errors import ArtifactError, ModelError, NeoError

ABI_VERSION = 2
MAX_RANK = 32
_FAULTS_OF_THE_FILE = (4, 5, 6, 7)
"""Of `enum neo_status`."""

_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_INT32, _INT64 = ctypes.c_int32, ctypes.c_int64


class NeoSpec(ctypes.Structure):
    """`struct neo_spec`."""

    _fields_ = [("name", _TEXT), ("dtype", _INT32), ("rank", _INT32), ("dims", ctypes.POINTER(_INT64))]


class NeoProgram(ctypes.Structure):
    """`struct neo_program`."""

    _fields_ = [
        *((name, _INT32) for name in ("abi", "input_count", "output_count", "step_count")),
        *((name, ctypes.POINTER(NeoSpec)) for name in ("inputs", "outputs")),
        *((name, _INT64) for name in ("arena_bytes", "weight_bytes")),
        *((name, _POINTER) for name in ("weights", "entry")),
        ("target", _TEXT),
        *((name, _POINTER) for name in ("steps", "manifest")),
        ("manifest_bytes", _INT64),
    ]


_SIGNATURES = {
    "neo_abi_version": (_INT32, []),
    "neo_error": (_TEXT, []),
    "neo_dtype_name": (_TEXT, [_INT32]),
    "neo_dtype_bytes": (_INT32, [_INT32]),
    "neo_open": (_INT32, [_TEXT, _POINTER, _POINTER]),
    "neo_open_memory": (_INT32, [_POINTER, _INT64, _POINTER, _POINTER]),
    "neo_close": (None, [_POINTER]),
    "neo_describe": (ctypes.POINTER(NeoProgram), [_POINTER]),
    "neo_session_create": (_INT32, [_POINTER, _INT32, _POINTER]),
    "neo_session_destroy": (None, [_POINTER]),
    "neo_set_threads": (_INT32, [_POINTER, _INT32]),
    "neo_threads": (_INT32, [_POINTER]),
    "neo_set_spin": (_INT32, [_POINTER, _INT64]),
    "neo_spin": (_INT64, [_POINTER]),
    "neo_run_on": (_INT32, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "neo_take_output": (_POINTER, [_POINTER, _INT32, _POINTER]),
    "neo_release": (None, [_POINTER]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The runtime's library. Raises ModelError where it cannot be loaded."""
    path = Path(__file__).with_name("libneo.so")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise ModelError(f"the runtime cannot be loaded: {error}; install the wheel of neomlir-runtime") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    if loaded.neo_abi_version() != ABI_VERSION:
        raise ModelError(f"{path} has ABI {loaded.neo_abi_version()}, not {ABI_VERSION}; install the wheel again")
    return loaded


def check(status: int, source: str = "") -> None:
    """Raise the error of a call that returned `status` on this thread: ArtifactError or ModelError."""
    if status:
        raise error_of(status, source)


def error_of(status: int, source: str = "") -> NeoError:
    """That error."""
    text = library().neo_error().decode(errors="replace")
    kind = ArtifactError if status in _FAULTS_OF_THE_FILE else ModelError
    return kind(f"{source}: {text}" if source and source not in text else text)
