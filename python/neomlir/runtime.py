"""Loading and running compiled models from Python."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neomlir import artifact
from neomlir.codegen.runtime_library import runtime_library
from neomlir.errors import ArtifactError, ModelError
from neomlir.targets import host_cpu

_ALIGNMENT = 64


class Tensor(NamedTuple):
    """An input or output of a model; an extent of None is dynamic."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class _Call(ctypes.Structure):
    """`struct neo_call` of runtime/neo.h; the callbacks are filled in by `neo_run`."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in [
            "inputs",
            "in_dims",
            "outputs",
            "weights",
            "arena",
            "runtime",
            "parallel_for",
            "alloc",
            "free",
            "output",
        ]
    ]


def load(source: str | os.PathLike | bytes, threads: int = 1, report: dict | None = None) -> Model:
    """Open a `.neo` file (or its bytes) for running with `threads` threads.

    Raises ArtifactError for a damaged file, and for one made for another machine.
    """
    return Model(artifact.read(source), threads, report)


def dtype_of(name: str) -> np.dtype:
    """The numpy dtype of that name, those of ml_dtypes included."""
    if name.startswith(("bfloat", "float8")):
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


class Model:
    """A compiled model, ready to run. Safe to call from several threads: calls take turns."""

    def __init__(self, file: artifact.Artifact, threads: int = 1, report: dict | None = None) -> None:
        """Map the weights and load the code of a checked file."""
        manifest = file.manifest
        _check_machine(file.source, manifest["target"])
        self.inputs = tuple(Tensor(s["name"], s["dtype"], tuple(s["shape"])) for s in manifest["inputs"])
        self.outputs = tuple(Tensor(s["name"], s["dtype"], tuple(s["shape"])) for s in manifest["outputs"])
        self.target = manifest["target"]["name"]
        self.report = report or {"kernels": manifest["kernels"], "arena_bytes": manifest["arena_bytes"]}
        self._file = file
        self._lock = threading.Lock()
        self._in_dtypes = [dtype_of(t.dtype) for t in self.inputs]
        self._out_dtypes = [dtype_of(t.dtype) for t in self.outputs]
        self._library = _open_code(bytes(file.part("code.so")))
        try:
            self._entry = ctypes.cast(getattr(self._library, manifest["entry"]), ctypes.c_void_p)
        except AttributeError:
            raise ArtifactError(f"{file.source}: its code has no entry {manifest['entry']!r}") from None
        self._weights = np.frombuffer(file.part("weights.bin"), np.uint8)
        if self._weights.size and self._weights.ctypes.data % _ALIGNMENT:
            self._weights = _aligned(self._weights.size, self._weights)
        self._arena = _aligned(manifest["arena_bytes"])
        self._runtime_library = _runtime(manifest["target"]["triple"])
        self._runtime = self._runtime_library.neo_runtime_create(threads)
        self._threads = threads
        sizes = (ctypes.c_int32 * max(1, len(self.outputs)))(*[d.itemsize for d in self._out_dtypes])
        self._runtime_library.neo_runtime_set_outputs(self._runtime, len(self.outputs), sizes)

    @property
    def threads(self) -> int:
        """Threads that run the model, the caller's included."""
        return self._threads

    @threads.setter
    def threads(self, number: int) -> None:
        if number < 1:
            raise ModelError(f"a model runs with at least one thread, not {number}")
        with self._lock:
            self._runtime_library.neo_runtime_set_threads(self._runtime, number)
            self._threads = number

    def __call__(self, *arrays: Any) -> np.ndarray | tuple[np.ndarray, ...]:
        """Run on arrays in the order of `inputs`; gives one array, or a tuple of them in the order of `outputs`."""
        if len(arrays) != len(self.inputs):
            names = ", ".join(t.name for t in self.inputs)
            raise ModelError(f"the model takes {len(self.inputs)} inputs ({names}), not {len(arrays)}")
        results = self._run([self._accept(i, a) for i, a in enumerate(arrays)])
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run on arrays by input name; gives arrays by output name, in order."""
        names = [t.name for t in self.inputs]
        missing, unknown = [n for n in names if n not in arrays], [n for n in arrays if n not in names]
        if missing or unknown:
            parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(
                unknown
            )
            raise ModelError(f"the inputs are {', '.join(names)}; {'; '.join(parts)}")
        results = self._run([self._accept(i, arrays[n]) for i, n in enumerate(names)])
        return {t.name: r for t, r in zip(self.outputs, results, strict=True)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the model's `.neo` file. Raises ArtifactError."""
        place = Path(path)
        try:
            with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as file:
                file.write(self._file.data)
            os.chmod(file.name, 0o644)
            os.replace(file.name, place)
        except OSError as error:
            raise ArtifactError(f"{place} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """End the model's threads; it cannot run any more."""
        runtime, self._runtime = getattr(self, "_runtime", None), None
        if runtime:
            self._runtime_library.neo_runtime_destroy(runtime)

    def __enter__(self) -> Model:
        """The model itself."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close it."""
        with contextlib.suppress(Exception):
            self.close()

    def __repr__(self) -> str:
        """Inputs, outputs and target."""

        def show(tensors: tuple[Tensor, ...]) -> str:
            return ", ".join(f"{t.name}: {t.dtype}{list('?' if e is None else e for e in t.shape)}" for t in tensors)

        return f"<neomlir.Model {show(self.inputs)} -> {show(self.outputs)} for {self.target}>"

    def _accept(self, number: int, value: Any) -> np.ndarray:
        name, dtype, shape = self.inputs[number]
        if not isinstance(value, np.ndarray):
            value = _as_numpy(value)
        if value.dtype != self._in_dtypes[number]:
            raise ModelError(f"input {name!r} has dtype {value.dtype}, the model takes {dtype}")
        if value.shape != shape and (
            value.ndim != len(shape) or any(w is not None and w != h for w, h in zip(shape, value.shape, strict=True))
        ):
            wanted = tuple("?" if e is None else e for e in shape)
            raise ModelError(f"input {name!r} has shape {value.shape}, the model takes ({', '.join(map(str, wanted))})")
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)

    def _run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        count = len(self.outputs)
        static = [None not in t.shape for t in self.outputs]
        results = [
            np.empty(t.shape, d) if s else None for t, d, s in zip(self.outputs, self._out_dtypes, static, strict=True)
        ]
        inputs = (ctypes.c_void_p * (len(arrays) + 1))(*[a.ctypes.data for a in arrays])
        dims = [(ctypes.c_int64 * (a.ndim + 1))(*a.shape) for a in arrays]
        rows = (ctypes.c_void_p * (len(arrays) + 1))(*[ctypes.addressof(d) for d in dims])
        outputs = (ctypes.c_void_p * (count + 1))(*[None if r is None else r.ctypes.data for r in results])
        with self._lock:
            if not self._runtime:
                raise ModelError("the model is closed")
            call = _Call(
                inputs=ctypes.addressof(inputs),
                in_dims=ctypes.addressof(rows),
                outputs=ctypes.addressof(outputs),
                weights=self._weights.ctypes.data,
                arena=self._arena.ctypes.data,
            )
            status = self._runtime_library.neo_run(self._runtime, self._entry, ctypes.byref(call))
            if status:
                raise ModelError(f"the model failed with code {status}")
            for i in range(count):
                if not static[i]:
                    results[i] = self._dynamic(i)
        return results

    def _dynamic(self, number: int) -> np.ndarray:
        rank, dims = ctypes.c_int64(), ctypes.POINTER(ctypes.c_int64)()
        address = self._runtime_library.neo_runtime_output(
            self._runtime, number, ctypes.byref(rank), ctypes.byref(dims)
        )
        if not address:
            raise ModelError(f"the model did not write its output {self.outputs[number].name!r}")
        result = np.empty(tuple(dims[i] for i in range(rank.value)), self._out_dtypes[number])
        ctypes.memmove(result.ctypes.data, address, result.nbytes)
        return result


def _aligned(size: int, content: np.ndarray | None = None) -> np.ndarray:
    try:
        whole = np.empty(size + _ALIGNMENT, np.uint8)
    except MemoryError:
        raise ModelError(f"the model needs {size} bytes of memory, more than there are") from None
    start = -whole.ctypes.data % _ALIGNMENT
    part = whole[start : start + size]
    if content is not None:
        part[:] = content
    return part


def _as_numpy(value: Any) -> np.ndarray:
    """Another framework's array as numpy, without copying where it allows."""
    if hasattr(value, "detach"):
        value = value.detach()
    if "bfloat16" in str(getattr(value, "dtype", "")) and hasattr(value, "view") and hasattr(value, "numpy"):
        import ml_dtypes
        import torch

        return value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError):
            pass
    return np.asarray(value)


def _check_machine(source: str, target: dict) -> None:
    import platform

    triple = target["triple"]
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if triple.split("-")[0] != machine or ("linux" in triple) != (platform.system() == "Linux"):
        raise ArtifactError(
            f"{source} is compiled for {target['name']} ({triple}); this machine is {machine} {platform.system()}. "
            "Compile it with --target host here, or run it there"
        )
    missing = sorted(set(target["needs"]) - host_cpu()[1])
    if missing:
        raise ArtifactError(
            f"{source} is compiled for {target['name']}, which needs {', '.join(missing)}; this machine has not. "
            "Compile it with --target host here"
        )


def _open_code(code: bytes) -> ctypes.CDLL:
    try:
        descriptor = os.memfd_create("neo-code")
    except (AttributeError, OSError):
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(code)
            file.flush()
            return ctypes.CDLL(file.name, mode=ctypes.RTLD_LOCAL)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(code)
        return ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=ctypes.RTLD_LOCAL)
    except OSError as error:
        raise ArtifactError(f"the code of the model cannot be loaded: {error}") from error
    finally:
        os.close(descriptor)


_LOADED: dict[str, ctypes.CDLL] = {}


def _runtime(triple: str) -> ctypes.CDLL:
    if triple not in _LOADED:
        library = ctypes.CDLL(str(runtime_library(triple)))
        library.neo_runtime_create.restype = ctypes.c_void_p
        library.neo_runtime_create.argtypes = [ctypes.c_int32]
        library.neo_runtime_destroy.argtypes = [ctypes.c_void_p]
        library.neo_runtime_destroy.restype = None
        library.neo_runtime_set_threads.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        library.neo_runtime_set_outputs.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p]
        library.neo_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        library.neo_runtime_output.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p]
        library.neo_runtime_output.restype = ctypes.c_void_p
        _LOADED[triple] = library
    return _LOADED[triple]
