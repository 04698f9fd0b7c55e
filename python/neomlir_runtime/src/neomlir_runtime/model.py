"""Loading and running compiled models."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from neomlir_runtime import arrays
from neomlir_runtime.arrays import Kind
from neomlir_runtime.errors import ModelError
from neomlir_runtime.library import MAX_RANK, NeoSpec, check, library

_MOST_THREADS = 1024
_LONGEST_SPIN = 3600
_ALIGNMENT = 64
_CLOSED = "the model is closed; load it again"


class Spec(NamedTuple):
    """An input or an output of a model."""

    name: str
    dtype: str
    """The name of a numpy dtype, or of one of `ml_dtypes` such as `bfloat16`."""
    shape: tuple[int | None, ...]
    """None where the extent is known at run time only."""


def load(source: str | os.PathLike | bytes, threads: int = 1) -> Model:
    """Open a `.neo` file, or its bytes, for running.

    Args:
        source: a path, whose file may be unlinked afterwards but not overwritten in place; or bytes.
        threads: how many threads a call uses, the caller's among them.

    Raises:
        ArtifactError: the file cannot be read, is damaged, or of another version or machine. ModelError: there is not
        enough memory, or the number of threads cannot be.
    """
    return Model(source, threads)


class Model:
    """A compiled model, ready to run.

    Safe to call from several threads, which take turns; load it once more for calls at the same time. `close`, or the
    end of a `with` block, gives its memory back early.
    """

    def __init__(self, source: str | os.PathLike | bytes, threads: int = 1) -> None:
        """As `load`."""
        self._model = self._session = None
        self._lock = threading.Lock()
        self._native = native = library()
        threads = _thread_count(threads)
        handle = ctypes.c_void_p()
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._bytes, address, size = _aligned(source)
            check(native.neo_open_memory(address, size, None, ctypes.byref(handle)), "the .neo bytes")
        else:
            check(native.neo_open(os.fsencode(source), None, ctypes.byref(handle)), os.fspath(source))
        self._model = handle.value
        about = native.neo_describe(self._model).contents
        self.target: str = about.target.decode()
        self.inputs: tuple[Spec, ...] = tuple(_spec(about.inputs[i]) for i in range(about.input_count))
        self.outputs: tuple[Spec, ...] = tuple(_spec(about.outputs[i]) for i in range(about.output_count))
        self._in_kinds = [_kind(about.inputs[i]) for i in range(about.input_count)]
        self._out_kinds = [_kind(about.outputs[i]) for i in range(about.output_count)]
        check(native.neo_session_create(self._model, threads, ctypes.byref(handle)))
        self._session = handle.value

    @property
    def threads(self) -> int:
        """Threads that a call uses, the caller's included; may be set between calls."""
        with self._lock:
            return self._native.neo_threads(self._open())

    @threads.setter
    def threads(self, number: int) -> None:
        number = _thread_count(number)
        with self._lock:
            check(self._native.neo_set_threads(self._open(), number))

    @property
    def spin(self) -> float:
        """Seconds that a thread without work stays awake at most: 0.001, or what was set between calls.

        Between calls it stays awake only where these come within that time of each other, else for 0.1 ms.
        """
        with self._lock:
            return self._native.neo_spin(self._open()) / 1e9

    @spin.setter
    def spin(self, seconds: float) -> None:
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 <= seconds <= _LONGEST_SPIN:
            raise ModelError(f"threads stay awake for 0 to {_LONGEST_SPIN} seconds, not {seconds!r}")
        with self._lock:
            check(self._native.neo_set_spin(self._open(), round(seconds * 1e9)))

    def __call__(self, *values: Any) -> Any:
        """Run on arrays in the order of `inputs`; the only output itself, or a tuple in the order of `outputs`.

        Inputs are numpy arrays or what numpy makes one of, objects with the buffer protocol, or nested lists. Outputs
        are new numpy arrays, or memoryviews where there is no numpy. Raises ModelError.
        """
        if len(values) != len(self.inputs):
            wanted = ", ".join(map(_show, self.inputs)) or "none"
            raise ModelError(f"the model takes {len(self.inputs)} inputs ({wanted}), {len(values)} were given")
        results = self._run([self._give(i, value) for i, value in enumerate(values)])
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run on arrays by input name; new arrays by output name, in the order of `outputs`. Raises ModelError."""
        names = [spec.name for spec in self.inputs]
        missing, unknown = [n for n in names if n not in values], [str(n) for n in values if n not in names]
        if missing or unknown:
            said = [f"{what}: {', '.join(n)}" for what, n in (("missing", missing), ("unknown", unknown)) if n]
            raise ModelError(f"the inputs are {', '.join(names) or 'none'}; {'; '.join(said)}")
        results = self._run([self._give(i, values[name]) for i, name in enumerate(names)])
        return dict(zip((spec.name for spec in self.outputs), results, strict=True))

    def _give(self, number: int, value: Any) -> arrays.Held:
        spec = self.inputs[number]
        return arrays.give(value, self._in_kinds[number], spec.shape, f"input {spec.name!r}")

    def _run(self, given: list[arrays.Held]) -> list[Any]:
        inputs = (ctypes.c_void_p * (len(given) + 1))(*[held.address for held in given])
        extents = [(ctypes.c_int64 * (len(held.shape) + 1))(*held.shape) for held in given]
        rows = (ctypes.c_void_p * (len(given) + 1))(*[ctypes.addressof(row) for row in extents])
        made = [
            (None, None) if None in spec.shape else arrays.make(kind, spec.shape)
            for spec, kind in zip(self.outputs, self._out_kinds, strict=True)
        ]
        outputs = (ctypes.c_void_p * (len(made) + 1))(*[address for address, _ in made])
        with self._lock:
            check(self._native.neo_run_on(self._open(), inputs, rows, outputs))
            return [self._take(i) if address is None else array for i, (address, array) in enumerate(made)]

    def _take(self, number: int) -> Any:
        """A copy of a result whose extents the run has found."""
        dims, spec = (ctypes.c_int64 * MAX_RANK)(), self.outputs[number]
        address = self._native.neo_take_output(self._session, number, dims)
        if not address:
            raise ModelError(f"the model did not write its output {spec.name!r}")
        shape, kind = tuple(dims[: len(spec.shape)]), self._out_kinds[number]
        try:
            place, array = arrays.make(kind, shape)
            ctypes.memmove(place, address, kind.bytes * arrays.count_of(shape))
        finally:
            self._native.neo_release(address)
        return array

    def _open(self) -> int:
        if not self._session:
            raise ModelError(_CLOSED)
        return self._session

    def close(self) -> None:
        """Give memory, threads and code back. Outputs stay valid; calls raise ModelError from now on."""
        with self._lock:
            if self._session:
                self._native.neo_session_destroy(self._session)
            if self._model:
                self._native.neo_close(self._model)
            self._session = self._model = None

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
        return f"<neomlir_runtime.Model ({inputs}) -> ({outputs}) for {self.target}>"


def _aligned(source: bytes | bytearray | memoryview) -> tuple[ctypes.Array, int, int]:
    """A copy at the alignment that weights need, its address and its size."""
    given = memoryview(source).cast("B")
    memory = (ctypes.c_char * (given.nbytes + _ALIGNMENT))()
    address = -(-ctypes.addressof(memory) // _ALIGNMENT) * _ALIGNMENT
    offset = address - ctypes.addressof(memory)
    memoryview(memory).cast("B")[offset : offset + given.nbytes] = given
    return memory, address, given.nbytes


def _spec(spec: NeoSpec) -> Spec:
    extents = spec.dims[: spec.rank]
    return Spec(spec.name.decode(), _kind(spec).name, tuple(None if n < 0 else n for n in extents))


def _kind(spec: NeoSpec) -> Kind:
    return Kind(library().neo_dtype_name(spec.dtype).decode(), library().neo_dtype_bytes(spec.dtype))


def _thread_count(threads: Any) -> int:
    if isinstance(threads, bool) or not hasattr(threads, "__index__") or not 1 <= threads <= _MOST_THREADS:
        raise ModelError(f"a model runs with 1 to {_MOST_THREADS} threads, not {threads!r}")
    return int(threads)


def _show(spec: Spec) -> str:
    return f"{spec.name}: {spec.dtype}{arrays.show(spec.shape)}"
