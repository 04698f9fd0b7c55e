"""Run the constant part of a program, once, at compile time."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import numpy as np

from neomlir.codegen.link import link_shared
from neomlir.errors import CompileError
from neomlir.targets import Target

_PARALLEL_FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
_ALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_OUTPUT = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)
)
_BODY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


class _Call(ctypes.Structure):
    """`struct neo_call` of docs/levels.md."""

    _fields_ = [
        ("inputs", ctypes.c_void_p),
        ("in_dims", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("runtime", ctypes.c_void_p),
        ("parallel_for", _PARALLEL_FOR),
        ("alloc", _ALLOC),
        ("free", _FREE),
        ("output", _OUTPUT),
    ]


def run_initialize(
    objects: list[bytes], target: Target, inputs: list[np.ndarray], outputs: list[np.ndarray], arena_bytes: int
) -> None:
    """Link `neo_initialize` out of `objects`, made for this machine, and run it from `inputs` into `outputs`.

    The arrays are C-contiguous, in the order of the function's arguments and results.
    """
    code = link_shared(objects, target, ["neo_initialize"])
    with tempfile.TemporaryDirectory(prefix="neo-") as folder:
        path = Path(folder) / "initialize.so"
        path.write_bytes(code)
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
    arena = np.empty(arena_bytes + 64, np.uint8)
    held = [np.ascontiguousarray(a) for a in inputs]
    input_pointers = (ctypes.c_void_p * max(1, len(held)))(*[a.ctypes.data for a in held])
    output_pointers = (ctypes.c_void_p * max(1, len(outputs)))(*[a.ctypes.data for a in outputs])
    memory: dict[int, np.ndarray] = {}

    def alloc(_runtime: int, size: int) -> int:
        block = np.empty(size + 64, np.uint8)
        address = -(-block.ctypes.data // 64) * 64
        memory[address] = block
        return address

    call = _Call(
        inputs=ctypes.cast(input_pointers, ctypes.c_void_p),
        outputs=ctypes.cast(output_pointers, ctypes.c_void_p),
        arena=-(-arena.ctypes.data // 64) * 64,
        parallel_for=_PARALLEL_FOR(lambda _r, items, body, data: _BODY(body)(0, items, data)),
        alloc=_ALLOC(alloc),
        free=_FREE(lambda _r, pointer: memory.pop(pointer, None) and None),
        output=_OUTPUT(lambda *_: None),
    )
    library.neo_initialize.restype = ctypes.c_int32
    code = library.neo_initialize(ctypes.byref(call))
    if code:
        raise CompileError(f"running the constant part of the program failed with code {code}")
