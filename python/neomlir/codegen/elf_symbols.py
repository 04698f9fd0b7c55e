"""The symbols of relocatable ELF objects: which are undefined, and other names for those that are defined."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from neomlir.errors import CompileError

_SYMTAB = 2
_LOCAL = 0
_HIDDEN = 2


class _Layout(NamedTuple):
    """Where fields lie in the headers of one class of ELF files."""

    section_table: tuple[str, int]
    section_count: int
    section: str
    symbol_bytes: int
    info: int
    other: int
    index: int


_LAYOUTS = {
    1: _Layout(("<I", 32), 46, "<10I", 16, 12, 13, 14),
    2: _Layout(("<Q", 40), 58, "<2I4Q2I2Q", 24, 4, 5, 6),
}


class _Symbols:
    """The symbol table of an object."""

    def __init__(self, data: bytes) -> None:
        if data[:4] != b"\x7fELF" or data[4] not in _LAYOUTS or data[5] != 1:
            raise CompileError("symbols can be looked up in little-endian ELF objects only")
        self.layout = layout = _LAYOUTS[data[4]]
        (table,) = struct.unpack_from(layout.section_table[0], data, layout.section_table[1])
        entry_bytes, count = struct.unpack_from("<2H", data, layout.section_count)
        self.headers = [table + i * entry_bytes for i in range(count)]
        sections = [struct.unpack_from(layout.section, data, at) for at in self.headers]
        symtab = next(s for s in sections if s[1] == _SYMTAB)
        self.strings = symtab[6]
        strtab = sections[self.strings]
        self.names = data[strtab[4] : strtab[4] + strtab[5]]
        self.offsets = range(symtab[4], symtab[4] + symtab[5], layout.symbol_bytes)

    def name(self, data: bytes, at: int) -> str:
        (start,) = struct.unpack_from("<I", data, at)
        return self.names[start : self.names.index(b"\0", start)].decode()

    def defined(self, data: bytes, at: int) -> bool:
        return struct.unpack_from("<H", data, at + self.layout.index)[0] != 0

    def is_global(self, data: bytes, at: int) -> bool:
        return data[at + self.layout.info] >> 4 != _LOCAL


def undefined_symbols(data: bytes) -> set[str]:
    """The names that `data`, an object, expects from elsewhere. Raises CompileError where it is no ELF object."""
    symbols = _Symbols(data)
    return {symbols.name(data, at) for at in symbols.offsets if not symbols.defined(data, at)} - {""}


def rename_symbols(data: bytes, new_name: Callable[[str], str | None]) -> bytes:
    """The object with other names for its global definitions.

    Those for which `new_name` gives none keep theirs; the renamed are hidden from the dynamic linker. Raises
    CompileError where `data` is no ELF object.
    """
    symbols, result = _Symbols(data), bytearray(data)
    names = bytearray(symbols.names)
    for at in symbols.offsets:
        if not (symbols.defined(data, at) and symbols.is_global(data, at)):
            continue
        new = new_name(symbols.name(data, at))
        if new is not None:
            struct.pack_into("<I", result, at, len(names))
            result[at + symbols.layout.other] |= _HIDDEN
            names += new.encode() + b"\0"
    # The longer table goes to the end of the file; its header learns where.
    result += bytes(-len(result) % 8)
    header = symbols.headers[symbols.strings]
    fields = list(struct.unpack_from(symbols.layout.section, data, header))
    fields[4], fields[5] = len(result), len(names)
    struct.pack_into(symbols.layout.section, result, header, *fields)
    return bytes(result + names)
