"""C sources around the code of a compiled model: its description for the runtime, and a function for embedders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from neomlir import __version__

_C_TYPES = {"bool": "uint8_t", "float32": "float", "float64": "double", "complex64": "float", "complex128": "double"}
_BITS = re.compile(r"\d+")
_HEADER_BYTES = 64
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "alignas alignof auto bool break case char const constexpr continue default do double else enum extern false "
        "float for goto if inline int long nullptr register restrict return short signed sizeof static struct switch "
        "thread_local true typedef typeof union unsigned void volatile while arena",
    )
)


@dataclass(frozen=True)
class Description:
    """What the sources say of a program; `inputs` and `outputs` have `name`, `dtype` and `shape`."""

    symbol: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    target: str
    arena_bytes: int
    weight_bytes: int
    steps: tuple[str, ...]
    """The kernel that each step of a run calls."""
    no_heap: bool
    """The program calls no allocator, neither libc's nor the runtime's."""
    tiles: bool = False
    """It computes in the tile registers of x86 (AMX), for which Linux wants to be asked."""

    @property
    def is_static(self) -> bool:
        """A plain function can run it: every extent is known, and no memory is asked for."""
        return self.no_heap and all(None not in spec.shape for spec in (*self.inputs, *self.outputs))


def identifier(text: str) -> str:
    """`text` as a name of C."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return name if name and not name[0].isdigit() and name not in _KEYWORDS else f"model_{name}"


def quoted(text: str) -> str:
    """`text` as a literal of C."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode()) + '"'


def program_source(about: Description, entry: str) -> str:
    """The file that defines `struct neo_program SYMBOL`; the weights are in `weights.bin` beside it."""
    name = about.symbol
    first = _ASKING if about.tiles else entry
    weights = (
        f'_Alignas({_HEADER_BYTES}) static const unsigned char weights[] = {{\n#embed "weights.bin"\n}};'
        if about.weight_bytes
        else f"_Alignas({_HEADER_BYTES}) static const unsigned char weights[1];"
    )
    return "\n".join(
        [
            '#include "neo.h"',
            "",
            f"int32_t {entry}(struct neo_call *call);",
            *(_asking(entry) if about.tiles else ()),
            weights,
            *_specs("inputs", about.inputs),
            *_specs("outputs", about.outputs),
            "static const char *const steps[] = {",
            *(f"    {quoted(name)}," for name in about.steps or ("",)),
            "};",
            f"extern const struct neo_program {name};",
            f"const struct neo_program {name} = {{",
            "    .abi = NEO_ABI_VERSION,",
            f"    .input_count = {len(about.inputs)},",
            f"    .output_count = {len(about.outputs)},",
            f"    .step_count = {len(about.steps)},",
            "    .inputs = inputs,",
            "    .outputs = outputs,",
            f"    .arena_bytes = {about.arena_bytes},",
            f"    .weight_bytes = {about.weight_bytes},",
            "    .weights = weights,",
            f"    .entry = {first},",
            f"    .target = {quoted(about.target)},",
            "    .steps = steps,",
            '    .manifest = "",',
            "};",
            *(_function(about, first) if about.is_static else ()),
            "",
        ]
    )


_ASKING = "ask_for_tiles"
_REFUSED = ", or 7 where\n   the CPU or Linux refuses the tile registers (AMX)"


def _asking(entry: str) -> list[str]:
    """A function around the entry that asks Linux for the tile registers; a second time is free."""
    return [
        f"static int32_t {_ASKING}(struct neo_call *call) {{",
        "  long refused, number = 158 /* arch_prctl */, request = 0x1023 /* ARCH_REQ_XCOMP_PERM */, tile_data = 18;",
        '  __asm__ volatile("syscall" : "=a"(refused) : "a"(number), "D"(request), "S"(tile_data)',
        '                   : "rcx", "r11", "memory");',
        f"  return refused ? NEO_WRONG_MACHINE : {entry}(call);",
        "}",
    ]


def _specs(table: str, specs: Iterable[Any]) -> list[str]:
    lines, rows = [], []
    for number, spec in enumerate(specs):
        extents = ", ".join("-1" if n is None else str(n) for n in spec.shape) or "0"
        lines.append(f"static const int64_t {table}_{number}[] = {{{extents}}};")
        dtype = f"NEO_{str(spec.dtype).upper()}"
        rows.append(f"    {{{quoted(spec.name)}, {dtype}, {len(spec.shape)}, {table}_{number}}},")
    return [*lines, f"static const struct neo_spec {table}[] = {{", *(rows or ["    {0, 0, 0, 0},"]), "};"]


def _parameters(about: Description) -> list[tuple[str, str]]:
    """(declaration without the name, name) of each argument of the plain function."""
    used: set[str] = set()
    found = []
    for kind, specs in (("const ", about.inputs), ("", about.outputs)):
        for spec in specs:
            base = name = identifier(spec.name)
            while name in used:
                name = f"{base}_{len(used)}"
            used.add(name)
            found.append((f"{kind}{_c_type(str(spec.dtype))} *", name))
    return [*found, ("void *", "arena")]


def _c_type(dtype: str) -> str:
    if dtype in _C_TYPES:
        return _C_TYPES[dtype]
    if dtype.startswith(("int", "uint")):
        return f"{dtype}_t"
    return f"uint{_BITS.search(dtype)[0]}_t"


def _prototype(about: Description) -> str:
    parameters = ", ".join(f"{type_}{name}" for type_, name in _parameters(about))
    return f"int32_t {about.symbol}_run({parameters})"


def _function(about: Description, entry: str) -> list[str]:
    names = [name for _, name in _parameters(about)[:-1]]
    inputs, outputs = names[: len(about.inputs)], names[len(about.inputs) :]
    return [
        "",
        "static void one_thread(void *runtime, int64_t items, void (*body)(int64_t, int64_t, void *), void *data) {",
        "  (void)runtime;",
        "  if (items > 0) body(0, items, data);",
        "}",
        "",
        f"{_prototype(about)};",
        f"{_prototype(about)} {{",
        f"  void *const in[] = {{{', '.join(f'(void *){n}' for n in inputs) or '0'}}};",
        f"  void *const out[] = {{{', '.join(outputs) or '0'}}};",
        "  struct neo_call call = {.inputs = in, .outputs = out, .weights = weights, .arena = arena,",
        "                          .parallel_for = one_thread};",
        f"  return {entry}(&call);",
        "}",
    ]


def header(about: Description) -> str:
    """The header of an object file for embedding."""
    name = about.symbol
    guard = f"{name.upper()}_H"
    lines = [
        f"/* A model compiled by Neo {__version__} for {about.target}. Link its object with libm. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {name.upper()}_ARENA_BYTES {max(1, about.arena_bytes)} /* scratch, 64-byte aligned */",
        "",
    ]
    for kind, specs in (("input", about.inputs), ("output", about.outputs)):
        for spec in specs:
            shape = "x".join("?" if n is None else str(n) for n in spec.shape) or "scalar"
            lines.append(f"/* {kind} {_comment(spec.name)}: {spec.dtype} {shape} */")
    if about.is_static:
        lines += [
            "",
            "/* Run on one thread, without any allocation. Arrays lie in C order and must not overlap; `arena` is",
            f"   {name.upper()}_ARENA_BYTES bytes at 64 bytes' alignment, one a thread, whose contents do not matter."
            f" Returns 0{_REFUSED if about.tiles else ''}. */",
            f"{_prototype(about)};",
        ]
    else:
        lines += ["", "/* Its memory is known at run time only: it runs on the runtime of neo.h. */"]
    lines += [
        "",
        "/* For neo_open_program of neo.h. */",
        "struct neo_program;",
        f"extern const struct neo_program {name};",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _comment(text: str) -> str:
    """`text` so that it can't end a comment."""
    return re.sub(r"[^ -~]", "?", text).replace("*/", "* /")
