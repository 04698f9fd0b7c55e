"""Loading and running compiled models from Python."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from neomlir import artifact
from neomlir.arrays import as_array
from neomlir.errors import ModelError
from neomlir.manifest import CODE, Spec, dtype_of
from neomlir.native import (
    ABI_VERSION,
    DIGEST_CHECKED,
    EVENT_FIELDS,
    MAX_RANK,
    Options,
    Recording,
    address_of,
    error,
    runtime,
)
from neomlir.results import Lent, Room
from neomlir.targets import Target

__all__ = ["Model", "Spec", "load"]

_MOST_THREADS = 1024
_LONGEST_SPIN = 3600
_EVENT = ("begin", "end", "items")
_CLOSED = "the model is closed; load it again"


def load(source: str | os.PathLike | bytes, threads: int = 1, report: Mapping[str, Any] | None = None) -> Model:
    """Open a `.neo` file, or its bytes, for running.

    Args:
        source: a path, whose file may be unlinked afterwards but not overwritten in place; or bytes.
        threads: how many threads a call uses, the caller's among them.
        report: what `Model.report` shall be; by default what the file holds.

    Raises:
        ArtifactError: the file is damaged, or of another version or machine. ModelError: the runtime cannot start.
    """
    return Model(artifact.read(source), threads, report)


class Model:
    """A compiled model, ready to run.

    Safe to call from several threads, which take turns; load it once more for calls at the same time. It works on
    after a fork, in both processes. `close`, or the end of a `with` block, gives its memory back early.
    """

    def __init__(self, file: artifact.Artifact, threads: int = 1, report: Mapping[str, Any] | None = None) -> None:
        """Load the code of a checked file, whose weights stay where they are. Raises ArtifactError or ModelError."""
        self._model = self._session = None
        self._lock = threading.Lock()
        artifact.check_machine(file)
        threads = check_threads(threads)
        manifest = file.manifest
        self.inputs: tuple[Spec, ...] = file.inputs
        self.outputs: tuple[Spec, ...] = file.outputs
        self.target: str = manifest["target"]["name"]
        self.labels: dict[str, list[str]] = manifest.get("labels", {})
        """What the numbers of an output stand for, by its name: label `labels["label"][i]` for the number i."""
        self.report: dict[str, Any] = _report(manifest) if report is None else dict(report)
        self._file = file
        self._native = native = runtime(Target.host().triple)
        self._bytes = np.frombuffer(file.data, np.uint8)
        handle, options = ctypes.c_void_p(), Options(ABI_VERSION, DIGEST_CHECKED)
        where, size = self._bytes.ctypes.data, self._bytes.size
        self._must(native.neo_open_memory(where, size, ctypes.byref(options), ctypes.byref(handle)))
        self._model = handle.value
        self._must(native.neo_session_create(self._model, threads, ctypes.byref(handle)))
        self._session = handle.value
        self._prepare()

    def _must(self, status: int) -> None:
        if status:
            raise error(self._native, status, self._file.source)

    def _prepare(self) -> None:
        """The tables that the runtime reads, filled in by every call."""
        self._in_dtypes = [dtype_of(s.dtype) for s in self.inputs]
        self._out_dtypes = [dtype_of(s.dtype) for s in self.outputs]
        self._dynamic_in = [i for i, s in enumerate(self.inputs) if None in s.shape]
        self._dynamic_out = [i for i, s in enumerate(self.outputs) if None in s.shape]
        self._rooms = [
            None if None in s.shape else Room(s.shape, d) for s, d in zip(self.outputs, self._out_dtypes, strict=True)
        ]
        self._in = (ctypes.c_void_p * (len(self.inputs) + 1))()
        self._dims = [(ctypes.c_int64 * (len(s.shape) + 1))(*[n or 0 for n in s.shape]) for s in self.inputs]
        self._rows = (ctypes.c_void_p * (len(self.inputs) + 1))(*[ctypes.addressof(d) for d in self._dims])
        self._out = (ctypes.c_void_p * (len(self.outputs) + 1))()
        self._tables = [ctypes.addressof(table) for table in (self._in, self._rows, self._out)]

    @property
    def threads(self) -> int:
        """Threads that a call uses, the caller's included; may be set between calls."""
        with self._lock:
            if not self._session:
                raise ModelError(_CLOSED)
            return self._native.neo_threads(self._session)

    @threads.setter
    def threads(self, number: int) -> None:
        number = check_threads(number)
        with self._lock:
            if not self._session:
                raise ModelError(_CLOSED)
            self._must(self._native.neo_set_threads(self._session, number))

    @property
    def spin(self) -> float:
        """Seconds that a thread without work stays awake at most: 0.001, or what was set between calls.

        Between calls it stays awake only where these come within that time of each other, else for 0.1 ms.
        """
        with self._lock:
            if not self._session:
                raise ModelError(_CLOSED)
            return self._native.neo_spin(self._session) / 1e9

    @spin.setter
    def spin(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_SPIN:
            raise ModelError(f"threads stay awake for 0 to {_LONGEST_SPIN} seconds, not {seconds!r}")
        with self._lock:
            if not self._session:
                raise ModelError(_CLOSED)
            self._must(self._native.neo_set_spin(self._session, round(seconds * 1e9)))

    def __call__(self, *arrays: Any) -> np.ndarray | tuple[np.ndarray, ...]:
        """Run on arrays in the order of `inputs`: numpy arrays or torch tensors, read in place where C-contiguous.

        Returns new arrays in the order of `outputs`: the only one itself, or a tuple. Raises ModelError.
        """
        if len(arrays) != len(self.inputs):
            wanted = ", ".join(map(_show, self.inputs)) or "none"
            raise ModelError(f"the model takes {len(self.inputs)} inputs ({wanted}), {len(arrays)} were given")
        results = self._run([self._accept(i, a) for i, a in enumerate(arrays)])
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run on arrays by input name; new arrays by output name, in the order of `outputs`. Raises ModelError."""
        return self._named(self._run(self._ordered(arrays)))

    def trace(self, arrays: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """`run`, and when each kernel ran: an int64 array, a row a call in the order of `report["steps"]`.

        Its columns are begin and end, in nanoseconds of the monotonic clock, and the number of work items. Raises
        ModelError.
        """
        count = len(self.report.get("steps", ()))
        events = np.zeros((count, len(EVENT_FIELDS)), np.int64)
        recording = Recording(events.ctypes.data, count, 0)
        results = self._run(self._ordered(arrays), recording)
        if recording.count != count:
            raise ModelError(
                f"the model ran {recording.count} kernels, its file names {count}; "
                "compile the model again to profile it"
            )
        return self._named(results), events[:, [EVENT_FIELDS.index(name) for name in _EVENT]]

    def _ordered(self, arrays: Mapping[str, Any]) -> list[np.ndarray]:
        if not isinstance(arrays, Mapping):
            kind = type(arrays).__name__
            raise ModelError(f"run takes a dict of arrays by input name, not {kind}; or call the model itself")
        names = [s.name for s in self.inputs]
        missing, unknown = [n for n in names if n not in arrays], [str(n) for n in arrays if n not in names]
        if missing or unknown:
            said = [
                f"{what}: {', '.join(which)}" for what, which in (("missing", missing), ("unknown", unknown)) if which
            ]
            raise ModelError(f"the inputs are {', '.join(names) or 'none'}; {'; '.join(said)}")
        return [self._accept(i, arrays[n]) for i, n in enumerate(names)]

    def _named(self, results: list[np.ndarray]) -> dict[str, np.ndarray]:
        return {s.name: r for s, r in zip(self.outputs, results, strict=True)}

    def _accept(self, number: int, value: Any) -> np.ndarray:
        """`value` as the program reads it."""
        spec = self.inputs[number]
        array = value if type(value) is np.ndarray else as_array(value, spec.name)
        if array.dtype != self._in_dtypes[number]:
            raise ModelError(
                f"input {spec.name!r} has dtype {array.dtype}, the model takes {_show(spec)}; convert it first"
            )
        if array.shape != spec.shape and not _fits(array.shape, spec.shape):
            raise ModelError(f"input {spec.name!r} has shape {_shape(array.shape)}, the model takes {_show(spec)}")
        flags = array.flags
        return array if flags.c_contiguous and flags.aligned else array.copy(order="C")

    def _run(self, arrays: list[np.ndarray], recording: Recording | None = None) -> list[np.ndarray]:
        results: list[Any] = [room and room.array() for room in self._rooms]
        with self._lock:
            if not self._session:
                raise ModelError(_CLOSED)
            for i, array in enumerate(arrays):
                self._in[i] = array.__array_interface__["data"][0]
            for i in self._dynamic_in:
                self._dims[i][: arrays[i].ndim] = arrays[i].shape
            for i, result in enumerate(results):
                self._out[i] = None if result is None else result.__array_interface__["data"][0]
            status = self._call(recording)
            if status:
                raise ModelError(f"the model failed: {error(self._native, status)}; {self._given(arrays)}")
            for i in self._dynamic_out:
                results[i] = self._take(i)
        return results

    def _call(self, recording: Recording | None) -> int:
        if recording is None:
            return self._native.neo_run_on(self._session, *self._tables)
        self._native.neo_set_hook(self._session, address_of(self._native, "neo_record"), ctypes.byref(recording))
        try:
            return self._native.neo_run_on(self._session, *self._tables)
        finally:
            self._native.neo_set_hook(self._session, None, None)

    def _take(self, number: int) -> np.ndarray:
        """A result in the memory that the runtime made for it, which goes back when the array does."""
        dims = (ctypes.c_int64 * MAX_RANK)()
        address = self._native.neo_take_output(self._session, number, dims)
        shape, dtype = tuple(dims[: len(self.outputs[number].shape)]), self._out_dtypes[number]
        size = math.prod(shape) * dtype.itemsize
        block = Lent(address, size, partial(self._native.neo_release, address))
        return np.asarray(block).view(dtype).reshape(shape) if size else np.empty(shape, dtype)

    def _given(self, arrays: list[np.ndarray]) -> str:
        shapes = ", ".join(f"{s.name}: {_shape(a.shape)}" for s, a in zip(self.inputs, arrays, strict=True))
        return f"the inputs were {shapes or 'none'}; perhaps dimensions that must agree do not"

    def ir(self, name: str = "kernels") -> str:
        """The text of a level that the file holds (`include_ir=True`). Raises ModelError where it holds none."""
        if self._file is None:
            raise ModelError(_CLOSED)
        part = f"ir/{name}.mlir"
        if part not in self._file.manifest["parts"]:
            raise ModelError(
                f"{self._file.source} holds no IR of level {name!r}; compile the model with include_ir=True, "
                "or neo-compile --include-ir"
            )
        return bytes(self._file.part(part)).decode()

    def save(self, path: str | os.PathLike) -> None:
        """Write the model's `.neo` file at `path`, whole or not at all. Raises ArtifactError, ModelError."""
        file = self._file
        if file is None:
            raise ModelError(_CLOSED)
        file.save(path)

    def close(self) -> None:
        """Give memory, threads and code back. Outputs stay valid; calls raise ModelError from now on."""
        with self._lock:
            if self._session:
                self._native.neo_session_destroy(self._session)
            if self._model:
                self._native.neo_close(self._model)
            self._model = self._session = self._bytes = self._file = None
            self._rooms = []

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
        inputs, outputs = (", ".join(map(_show, side)) for side in (self.inputs, self.outputs))
        return f"<neomlir.Model ({inputs}) -> ({outputs}) for {self.target}>"


def _report(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kernels": manifest["kernels"],
        **{key: manifest[key] for key in ("steps", "buffers", "pipelines") if key in manifest},
        "precision": manifest.get("precision", "fp32"),
        "arena_bytes": manifest["arena_bytes"],
        "weight_bytes": manifest["weight_bytes"],
        "code_bytes": manifest["parts"][CODE]["size"],
    }


def check_threads(threads: Any) -> int:
    """`threads` as an int. Raises ModelError where a model cannot run with so many."""
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or not 1 <= threads <= _MOST_THREADS:
        raise ModelError(f"a model runs with 1 to {_MOST_THREADS} threads, not {threads!r}")
    return int(threads)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or w == g for w, g in zip(wanted, shape, strict=True))


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('?' if n is None else str(n) for n in shape)})"


def _show(spec: Spec) -> str:
    return f"{spec.name}: {spec.dtype}{_shape(spec.shape)}"
