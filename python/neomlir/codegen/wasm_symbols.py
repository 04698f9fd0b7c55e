"""The symbols of relocatable WebAssembly objects, as `elf_symbols` has those of ELF.

The format is that of WebAssembly's tool conventions (Linking.md, version 2): a custom section `linking`, whose
subsection 8 is the symbol table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from neomlir.errors import CompileError

_MAGIC = b"\0asm\1\0\0\0"
_CUSTOM, _IMPORTS = 0, 2
_SYMBOL_TABLE = 8
_FUNCTION, _DATA, _SECTION = 0, 1, 3
_BINDING, _LOCAL, _UNDEFINED, _NAMED = 0x03, 0x02, 0x10, 0x40


class _Symbol(NamedTuple):
    """A symbol that other objects see, and where its flags are."""

    at: int
    flags: int
    name: str


class _Reader:
    """Numbers and names one after another."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def number(self) -> int:
        """An unsigned LEB128 number."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def name(self) -> str:
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at].decode()


def _sections(data: bytes) -> Iterator[tuple[int, _Reader, int]]:
    """(number, its contents, where they end) of each section."""
    if data[:8] != _MAGIC:
        raise CompileError("symbols can be looked up in WebAssembly objects of version 1 only")
    reader = _Reader(data, len(_MAGIC))
    while reader.at < len(data):
        kind = data[reader.at]
        reader.at += 1
        end = reader.number() + reader.at
        yield kind, _Reader(data, reader.at), end
        reader.at = end


def _imports(reader: _Reader) -> dict[int, list[str]]:
    """The names of what is imported, by kind."""
    found: dict[int, list[str]] = {}
    for _ in range(reader.number()):
        reader.name()
        name = reader.name()
        kind = reader.number()
        found.setdefault(kind, []).append(name)
        if kind in (1, 2):  # a table, which starts with the type of its elements, or a memory
            if kind == 1:
                reader.number()
            bounded = reader.number()
            reader.number()
            if bounded & 1:
                reader.number()
        elif kind == 0:
            reader.number()
        else:  # a global or a tag
            reader.number()
            reader.number()
    return found


def _symbols(data: bytes) -> Iterator[_Symbol]:
    """The symbols of an object that are not local to it."""
    imports: dict[int, list[str]] = {}
    for kind, reader, end in _sections(data):
        if kind == _IMPORTS:
            imports = _imports(reader)
        if kind != _CUSTOM or reader.name() != "linking":
            continue
        reader.number()
        while reader.at < end:
            subsection = reader.number()
            after = reader.number() + reader.at
            if subsection == _SYMBOL_TABLE:
                yield from _table(reader, imports)
            reader.at = after


def _table(reader: _Reader, imports: dict[int, list[str]]) -> Iterator[_Symbol]:
    # Kinds of symbols and of imports differ: functions, globals, tags, tables.
    kinds = {_FUNCTION: 0, 2: 3, 4: 4, 5: 1}
    for _ in range(reader.number()):
        kind = reader.number()
        at, flags = reader.at, reader.number()
        name = ""
        if kind == _DATA:
            name = reader.name()
            if not flags & _UNDEFINED:
                for _ in range(3):
                    reader.number()
        else:
            index = reader.number()
            if kind == _SECTION:
                continue
            has_name = not flags & _UNDEFINED or flags & _NAMED
            name = reader.name() if has_name else imports[kinds[kind]][index]
        if flags & _BINDING != _LOCAL:
            yield _Symbol(at, flags, name)


def undefined_symbols(data: bytes) -> set[str]:
    """The names that `data`, an object, expects from elsewhere. Raises CompileError where it is no WebAssembly."""
    return {symbol.name for symbol in _symbols(data) if symbol.flags & _UNDEFINED}


def rename_symbols(data: bytes, new_name: Callable[[str], str | None]) -> bytes:
    """The object with local names for its global definitions, which can be those of other objects as well.

    Those for which `new_name` gives none stay global. Raises CompileError where `data` is no WebAssembly.
    """
    result = bytearray(data)
    for symbol in _symbols(data):
        if not symbol.flags & _UNDEFINED and new_name(symbol.name) is not None:
            # The binding is in the lowest bits, so the number keeps its length.
            result[symbol.at] = result[symbol.at] & ~_BINDING | _LOCAL
    return bytes(result)
