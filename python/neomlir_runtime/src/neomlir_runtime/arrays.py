"""Arrays in and out: numpy's where it is there, else whatever has the buffer protocol.

The data types are those of numpy and ml_dtypes by name. Without numpy an output is a `memoryview` of its shape, whose
elements are Python numbers where the `struct` module has a letter for the type, and their bits as unsigned integers
where it has none (halves, bfloat16, float8).
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from neomlir_runtime.errors import ModelError

try:
    import numpy
except ImportError:
    numpy = None

_LETTERS = {
    **{"bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q"},
    **{"uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d"},
}
_BITS = {1: "B", 2: "H", 4: "I", 8: "Q", 16: "B"}
_SAME = {"l": "q", "L": "Q", "n": "q", "N": "Q", "c": "B"}
"""Letters that mean on this machine what another means everywhere."""


class Held(NamedTuple):
    """Memory of an array: where it is, and what must live as long."""

    address: int
    owner: Any
    shape: tuple[int, ...]


class Kind(NamedTuple):
    """The type of an input's or output's elements."""

    name: str
    bytes: int

    @property
    def letter(self) -> str:
        """The letter of `struct` for an element, or for its bits."""
        return _LETTERS.get(self.name, _BITS[self.bytes])

    @property
    def dtype(self) -> Any:
        """numpy's dtype; that of `ml_dtypes` for what numpy lacks, where that is installed, else the bits."""
        try:
            return numpy.dtype(self.name)
        except TypeError:
            try:
                import ml_dtypes

                return numpy.dtype(getattr(ml_dtypes, self.name))
            except ImportError:
                return numpy.dtype(f"u{self.bytes}")


def count_of(shape: tuple[int, ...]) -> int:
    """Elements of an array of that shape."""
    count = 1
    for extent in shape:
        count *= extent
    return count


def give(value: Any, kind: Kind, wanted: tuple[int | None, ...], what: str) -> Held:
    """The memory of an input, in place where it is C-contiguous (and, without numpy, writable), else copied.

    Flat memory of the right size is taken for any static shape: bytes, `array.array`, ctypes arrays. Raises ModelError
    that calls the input `what`.
    """
    if numpy is not None and hasattr(value, "__array__"):
        held = _from_numpy(value, kind, what)
    elif isinstance(value, (list, tuple, int, float, bool)):
        held = _from_numbers(value, kind, what)
    else:
        held = _from_buffer(value, kind, wanted, what)
    fits = len(held.shape) == len(wanted) and all(w in (None, g) for w, g in zip(wanted, held.shape, strict=True))
    if not fits:
        raise ModelError(f"{what} has shape {show(held.shape)}, the model takes {kind.name}{show(wanted)}")
    return held


def make(kind: Kind, shape: tuple[int, ...]) -> tuple[int, Any]:
    """The address of memory for an output, and the array on it."""
    if numpy is not None:
        made = numpy.empty(shape, kind.dtype)
        return made.ctypes.data, made
    memory = (ctypes.c_char * max(1, kind.bytes * count_of(shape)))()
    return ctypes.addressof(memory), view(memory, kind, shape)


def zeros(kind: Kind, shape: tuple[int, ...]) -> Any:
    """An array of zeros."""
    address, array = make(kind, shape)
    ctypes.memset(address, 0, kind.bytes * count_of(shape))
    return array


def view(memory: ctypes.Array, kind: Kind, shape: tuple[int, ...]) -> memoryview:
    """Memory as elements of a shape. One without elements is flat: a memoryview has no extent of 0."""
    flat = memoryview(memory).cast("B")
    if not count_of(shape):
        return flat[:0].cast(kind.letter)
    if kind.bytes == 16:
        return flat.cast("B", (*shape, 16))
    return flat.cast(kind.letter, shape)


def show(shape: tuple[int | None, ...]) -> str:
    """As in `(1, 3, ?)`."""
    return f"({', '.join('?' if n is None else str(n) for n in shape)})"


def _from_numpy(value: Any, kind: Kind, what: str) -> Held:
    array = numpy.asarray(value)
    if array.dtype != kind.dtype:
        raise ModelError(f"{what} has dtype {array.dtype}, the model takes {kind.name}; convert it first")
    array = numpy.require(array, requirements=["C", "A"])
    return Held(array.__array_interface__["data"][0], array, array.shape)


def _from_buffer(value: Any, kind: Kind, wanted: tuple[int | None, ...], what: str) -> Held:
    try:
        given = memoryview(value)
    except TypeError as error:
        raise ModelError(f"{what} is {type(value).__name__}, which is no array, buffer or list of numbers") from error
    letter = given.format.lstrip("<@=") or "B"
    raw = letter in ("B", "c") and letter != kind.letter
    if not raw and _SAME.get(letter, letter) != kind.letter and not (letter == "e" and kind.name == "float16"):
        raise ModelError(f"{what} has elements {given.format!r} of struct, the model takes {kind.name}")
    flat = given.cast("B") if given.c_contiguous else memoryview(given.tobytes())
    shape = tuple(given.shape)
    if (raw or len(shape) == 1) and None not in wanted and flat.nbytes == kind.bytes * count_of(wanted):
        shape = wanted
    elif raw and kind.bytes > 1:
        shape = (flat.nbytes // kind.bytes,)
    if flat.readonly or not flat.nbytes:
        memory = (ctypes.c_char * max(1, flat.nbytes)).from_buffer_copy(flat.tobytes() or b"\0")
    else:
        memory = (ctypes.c_char * flat.nbytes).from_buffer(flat)
    return Held(ctypes.addressof(memory), memory, shape)


def _from_numbers(value: Any, kind: Kind, what: str) -> Held:
    """Nested lists of numbers."""
    shape, level = [], value
    while isinstance(level, (list, tuple)):
        shape.append(len(level))
        level = level[0] if level else 0
    flat = [value]
    for extent in shape:
        if any(not isinstance(part, (list, tuple)) or len(part) != extent for part in flat):
            raise ModelError(f"{what} is a list whose rows are not of one length")
        flat = [item for part in flat for item in part]
    if kind.name not in _LETTERS:
        raise ModelError(f"{what} is a list, but there are no Python numbers of {kind.name}; give its bytes")
    memory = (ctypes.c_char * max(1, kind.bytes * len(flat)))()
    place = memoryview(memory).cast("B").cast(kind.letter)
    try:
        for number, item in enumerate(flat):
            place[number] = item
    except (TypeError, ValueError) as error:
        raise ModelError(f"{what} has {item!r}, which is no {kind.name}: {error}") from error
    return Held(ctypes.addressof(memory), memory, tuple(shape))
