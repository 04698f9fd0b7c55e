"""The C runtime as a library of this process."""

from __future__ import annotations

import ctypes
import functools

from neomlir.codegen.runtime_library import runtime_library
from neomlir.errors import ArtifactError, CompileError, ModelError, NeoError

ABI_VERSION = 2
MAX_RANK = 32
DIGEST_CHECKED = 1
_FAULTS_OF_THE_FILE = (4, 5, 6, 7)
"""Of `enum neo_status`."""
_POINTER, _INT32, _INT64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Options(ctypes.Structure):
    """`struct neo_options` of runtime/neo.h, with the allocator of the C library."""

    _fields_ = [("abi", _INT32), ("flags", _INT32), ("allocator", _POINTER * 3)]


class Recording(ctypes.Structure):
    """`struct neo_recording`."""

    _fields_ = [("events", _POINTER), ("capacity", _INT64), ("count", _INT64)]


EVENT_FIELDS = ("kernel", "step", "items", "begin", "end")
"""Of `struct neo_event`, 8 bytes each."""

_SIGNATURES = {
    "neo_abi_version": (_INT32, []),
    "neo_error": (ctypes.c_char_p, []),
    "neo_open_memory": (_INT32, [_POINTER, _INT64, _POINTER, _POINTER]),
    "neo_close": (None, [_POINTER]),
    "neo_session_create": (_INT32, [_POINTER, _INT32, _POINTER]),
    "neo_session_destroy": (None, [_POINTER]),
    "neo_set_threads": (_INT32, [_POINTER, _INT32]),
    "neo_threads": (_INT32, [_POINTER]),
    "neo_set_spin": (_INT32, [_POINTER, _INT64]),
    "neo_spin": (_INT64, [_POINTER]),
    "neo_set_affinity": (_INT32, [_POINTER, _POINTER, _INT32]),
    "neo_run_on": (_INT32, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "neo_take_output": (_POINTER, [_POINTER, _INT32, _POINTER]),
    "neo_release": (None, [_POINTER]),
    "neo_set_hook": (_INT32, [_POINTER, _POINTER, _POINTER]),
}


@functools.cache
def runtime(triple: str) -> ctypes.CDLL:
    """The runtime, built on first use. Raises ModelError where it cannot be built or loaded."""
    try:
        path = runtime_library(triple)
        loaded = ctypes.CDLL(str(path))
    except (CompileError, ImportError) as error:
        raise ModelError(f"the runtime for {triple} cannot be built: {error}") from error
    except OSError as error:
        raise ModelError(f"the runtime cannot be loaded: {error}; remove {path} to build it anew") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    if loaded.neo_abi_version() != ABI_VERSION:
        raise ModelError(f"the runtime {path} has ABI {loaded.neo_abi_version()}, not {ABI_VERSION}; remove it")
    return loaded


def error(native: ctypes.CDLL, status: int, source: str = "") -> NeoError:
    """The error of a call that returned `status` on this thread."""
    text = native.neo_error().decode(errors="replace")
    if status in _FAULTS_OF_THE_FILE:
        return ArtifactError(f"{source}: {text}" if source else text)
    return ModelError(f"{source}: {text}" if source else text)


def address_of(native: ctypes.CDLL, function: str) -> int:
    """The address of a function of the runtime, to be given back to it."""
    return ctypes.cast(getattr(native, function), _POINTER).value
