"""The symbols of relocatable Mach-O objects, by their names in C, as `elf_symbols` has those of ELF."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from neomlir.errors import CompileError

MAGIC = b"\xcf\xfa\xed\xfe"
_HEADER_BYTES, _SYMBOL_BYTES = 32, 16
_SYMTAB = 2
_EXTERNAL, _PRIVATE, _TYPE = 0x01, 0x10, 0x0E


def _tables(data: bytes) -> tuple[int, int, int, int, int]:
    """Where the symbol table's command, the symbols and the strings are: (command, symbols, count, strings, bytes)."""
    if data[:4] != MAGIC:
        raise CompileError("symbols can be looked up in 64-bit Mach-O objects only")
    (count,) = struct.unpack_from("<I", data, 16)
    at = _HEADER_BYTES
    for _ in range(count):
        command, size = struct.unpack_from("<2I", data, at)
        if command == _SYMTAB:
            return at, *struct.unpack_from("<4I", data, at + 8)
        at += size
    raise CompileError("the object has no symbol table")


def _symbols(data: bytes) -> Iterator[tuple[int, str, int]]:
    """(place, name, type) of each external symbol."""
    _, start, count, strings, _ = _tables(data)
    for at in range(start, start + count * _SYMBOL_BYTES, _SYMBOL_BYTES):
        name, kind = struct.unpack_from("<IB", data, at)
        if kind & _EXTERNAL:
            begin = strings + name
            yield at, data[begin : data.index(b"\0", begin)].decode().removeprefix("_"), kind


def undefined_symbols(data: bytes) -> set[str]:
    """The names that `data`, an object, expects from elsewhere. Raises CompileError where it is no Mach-O object."""
    return {name for _, name, kind in _symbols(data) if not kind & _TYPE}


def rename_symbols(data: bytes, new_name: Callable[[str], str | None]) -> bytes:
    """The object with other names for its global definitions, which then are private to what it is linked to.

    Those for which `new_name` gives none keep theirs. Raises CompileError where `data` is no Mach-O object.
    """
    command, _, _, strings, size = _tables(data)
    result, names = bytearray(data), bytearray(data[strings : strings + size])
    for at, name, kind in _symbols(data):
        new = new_name(name) if kind & _TYPE else None
        if new is not None:
            struct.pack_into("<IB", result, at, len(names), kind | _PRIVATE)
            names += b"_" + new.encode() + b"\0"
    # The longer table goes to the end of the file.
    result += bytes(-len(result) % 8)
    struct.pack_into("<2I", result, command + 16, len(result), len(names))
    return bytes(result + names)
