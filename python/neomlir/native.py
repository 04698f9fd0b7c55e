"""The C runtime and the code of models as libraries of this process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import tempfile
from pathlib import Path

from neomlir.codegen.runtime_library import runtime_library
from neomlir.errors import ArtifactError, CompileError, ModelError

MAX_RANK = 32
ABI_VERSION = 1


class Call(ctypes.Structure):
    """`struct neo_call` of runtime/neo.h; the callbacks are filled in by `neo_run`."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in (
            *("inputs", "in_dims", "outputs", "weights", "arena"),
            *("runtime", "parallel_for", "alloc", "free", "output"),
        )
    ]


_POINTER, _INT32, _INT64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_SIGNATURES = {
    "neo_abi_version": (_INT32, []),
    "neo_runtime_create": (_POINTER, [_INT32]),
    "neo_runtime_destroy": (None, [_POINTER]),
    "neo_runtime_set_threads": (_INT32, [_POINTER, _INT32]),
    "neo_runtime_set_outputs": (_INT32, [_POINTER, _INT32, _POINTER]),
    "neo_run": (_INT32, [_POINTER, _POINTER, _POINTER]),
    "neo_runtime_error": (ctypes.c_char_p, [_POINTER]),
    "neo_runtime_take_output": (_POINTER, [_POINTER, _INT32, _POINTER, _POINTER]),
    "neo_release": (None, [_POINTER]),
    "neo_runtime_mallocs": (_INT64, [_POINTER]),
    "neo_runtime_trace": (None, [_POINTER, _POINTER, _INT64]),
    "neo_runtime_traced": (_INT64, [_POINTER]),
    "neo_aligned_alloc": (_POINTER, [_INT64]),
    "neo_aligned_free": (None, [_POINTER]),
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


def open_code(code: bytes, source: str) -> tuple[ctypes.CDLL, int | None]:
    """The library in `code`, and the descriptor of the memory it lies in, to be closed after the library.

    The descriptor stays open because the loader tells libraries apart by path: it would take the next memory of the
    same number for this one. Raises ArtifactError, which calls the library that of `source`.
    """
    with contextlib.suppress(OSError):
        # The code takes libm's functions from the process, and not every Python brings them.
        ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL)
    try:
        descriptor = os.memfd_create("neo-code")
    except (AttributeError, OSError):
        return _open_on_disk(code, source), None
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(code)
        return ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=ctypes.RTLD_LOCAL), descriptor
    except OSError:
        # No memory that may be executed, or a library that cannot be loaded from anywhere: a real file tells.
        os.close(descriptor)
        return _open_on_disk(code, source), None


def _open_on_disk(code: bytes, source: str) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="neo-code-") as folder:
        path = Path(folder) / "code.so"
        try:
            path.write_bytes(code)
            return ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
        except OSError as error:
            raise ArtifactError(f"the code of {source} cannot be loaded: {error}") from error
