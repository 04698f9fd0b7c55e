"""Programs without a `.neo` file: a static executable with the runtime in it, or one object for embedding."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from neomlir.codegen import elf_symbols, macho_symbols, wasm_symbols
from neomlir.codegen.program_source import Description, header, identifier, program_source
from neomlir.codegen.runtime_library import FLAGS, write_sources
from neomlir.codegen.zig import object_triple, run, static_triple
from neomlir.errors import CompileError
from neomlir.targets import Target

_ENTRY = "neo_main"
_EMBED = "-Wno-c23-extensions"
"""`#embed` is newer than the C that the runtime keeps to."""
_HEAP = {"malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "free"}
_FORMATS = {"macos": (macho_symbols, "cc"), "wasi": (wasm_symbols, "wasm-ld")}
"""Who knows the symbols of a system's objects, and what links them to one."""
_MOST_WEIGHTS = 1 << 30
"""Bytes of weights that fit the small code model, with room for the rest."""


def link_executable(program: Any, target: Target, inputs: Any, outputs: Any) -> bytes:
    """A stripped static executable of a `staircase.Program` with the runtime and a command line (runtime/exe).

    Args:
        program: its objects, weights and arena.
        target: a Linux or WASI target.
        inputs, outputs: `Spec`s.

    Raises:
        CompileError: the target has no static C library here, or there are too many weights.
    """
    triple = static_triple(target)
    with tempfile.TemporaryDirectory(prefix="neo-link-") as folder:
        place = Path(folder)
        about = _describe("neo_embedded", program, target, inputs, outputs, set())
        files = [*_write(place, program, about, _ENTRY), *write_sources(place, with_main=True)]
        out = place / "program"
        options = ["-static", "-s", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-lm"]
        run("cc", "-target", triple, *FLAGS, _EMBED, *options, "-o", str(out), *files)
        return out.read_bytes()


def link_object(program: Any, target: Target, inputs: Any, outputs: Any, name: str) -> tuple[bytes, str]:
    """One relocatable object of a program, and its header.

    All global names but those of the header are hidden and prefixed, so that several models go into one program.
    Raises CompileError for targets whose objects are neither of ELF, Mach-O nor WebAssembly.
    """
    triple = object_triple(target)
    symbols, *linker = _FORMATS.get(triple.partition("-")[2], (elf_symbols, "ld.lld"))
    if symbols is macho_symbols:
        linker += ["-target", triple, "-nostdlib"]
    symbol = identifier(name)
    with tempfile.TemporaryDirectory(prefix="neo-link-") as folder:
        place = Path(folder)
        objects = _write_objects(place, program)
        undefined = set().union(*(symbols.undefined_symbols(Path(o).read_bytes()) for o in objects))
        about = _describe(symbol, program, target, inputs, outputs, undefined)
        source = _write_source(place, program, about, _ENTRY)
        write_sources(place, with_main=False)
        # A Mach-O linker makes what is hidden local to the object.
        run("cc", "-target", triple, *FLAGS, _EMBED, "-fvisibility=default", "-c", source, "-o", f"{folder}/program.o")
        run(*linker, "-r", "-o", f"{folder}/all.o", f"{folder}/program.o", *objects)
        kept = {symbol, f"{symbol}_run"}
        whole = Path(folder, "all.o").read_bytes()
        return symbols.rename_symbols(whole, lambda n: None if n in kept else f"{symbol}.{n}"), header(about)


def _describe(symbol: str, program: Any, target: Target, inputs: Any, outputs: Any, undefined: set[str]) -> Description:
    if program.weight_bytes > _MOST_WEIGHTS:
        raise CompileError(
            f"{program.weight_bytes} bytes of weights do not fit into a program; {_MOST_WEIGHTS} do. Emit a .neo file"
        )
    return Description(
        symbol,
        tuple(inputs),
        tuple(outputs),
        target.name,
        program.arena_bytes,
        program.weight_bytes,
        tuple(program.report["kernels"][step]["name"] for step in program.report["steps"]),
        not (program.allocates or undefined & _HEAP),
        "amx-tile" in target.needs,
    )


def _write(place: Path, program: Any, about: Description, entry: str) -> list[str]:
    return [_write_source(place, program, about, entry), *_write_objects(place, program)]


def _write_source(place: Path, program: Any, about: Description, entry: str) -> str:
    with (place / "weights.bin").open("wb") as file:
        for offset, array in sorted(program.weights, key=lambda pair: pair[0]):
            file.seek(offset)
            file.write(memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)))
        file.truncate(program.weight_bytes)
    source = place / "program.c"
    source.write_text(program_source(about, entry))
    return str(source)


def _write_objects(place: Path, program: Any) -> list[str]:
    names = []
    for number, data in enumerate(program.objects):
        names.append(f"{place}/{number}.o")
        Path(names[-1]).write_bytes(data)
    return names
