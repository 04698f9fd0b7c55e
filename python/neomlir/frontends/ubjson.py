"""Universal Binary JSON, draft 12 (ubjson.org), as XGBoost writes it: typed arrays become numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_DEEPEST = 64


class UbjsonError(ValueError):
    """The bytes are not Universal Binary JSON, or end early."""


def loads(data: bytes) -> Any:
    """The value that `data` holds. Raises UbjsonError."""
    reader = _Reader(data)
    value = reader.value(reader.take(1), 0)
    if data[reader.place :].strip(b"N\0 \n"):
        raise UbjsonError(f"there are bytes behind the value, from {reader.place} on")
    return value


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.place + count > len(self.data):
            raise UbjsonError(f"the data ends at byte {len(self.data)}, {count} more were announced at {self.place}")
        self.place += count
        return self.data[self.place - count : self.place]

    def marker(self) -> bytes:
        found = self.take(1)
        while found == b"N":
            found = self.take(1)
        return found

    def number(self, kind: bytes) -> int | float:
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def length(self) -> int:
        kind = self.marker()
        if kind not in _NUMBERS or kind in b"dD":
            raise UbjsonError(f"a length of type {kind!r} at byte {self.place}")
        size = self.number(kind)
        if size < 0:
            raise UbjsonError(f"a length of {size} at byte {self.place}")
        return size

    def string(self) -> str:
        raw = self.take(self.length())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise UbjsonError(f"a string that is not UTF-8 before byte {self.place}") from None

    def value(self, kind: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise UbjsonError(f"values nested deeper than {_DEEPEST}")
        if kind in _NUMBERS:
            return self.number(kind)
        match kind:
            case b"S":
                return self.string()
            case b"{":
                return self.object(depth)
            case b"[":
                return self.array(depth)
            case b"T" | b"F":
                return kind == b"T"
            case b"Z":
                return None
            case b"C":
                return self.take(1).decode("latin-1")
            case b"H":
                return self.string()
        raise UbjsonError(f"a value of type {kind!r} at byte {self.place}")

    def header(self) -> tuple[bytes | None, int | None]:
        """The type and the count that a container may announce."""
        kind = count = None
        if self.data[self.place : self.place + 1] == b"$":
            self.take(1)
            kind = self.take(1)
        if self.data[self.place : self.place + 1] == b"#":
            self.take(1)
            count = self.length()
        if kind is not None and count is None:
            raise UbjsonError(f"a container of type {kind!r} without a count at byte {self.place}")
        return kind, count

    def array(self, depth: int) -> Any:
        kind, count = self.header()
        if kind in _NUMBERS:
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
        found = []
        while count is None or len(found) < count:
            marker = kind or self.marker()
            if count is None and marker == b"]":
                break
            if kind is not None and self.place >= len(self.data):
                raise UbjsonError(f"an array of {count} ends early")
            found.append(self.value(marker, depth + 1))
        return found

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self.header()
        found: dict[str, Any] = {}
        while count is None or len(found) < count:
            if count is None:
                while self.data[self.place : self.place + 1] == b"N":
                    self.take(1)
                if self.data[self.place : self.place + 1] == b"}":
                    self.take(1)
                    break
            before = self.place
            name = self.string()
            found[name] = self.value(kind or self.marker(), depth + 1)
            if self.place == before:
                raise UbjsonError(f"an object that does not go on at byte {before}")
        return found
