"""What LLVM IR text must say of its target besides triple and features."""

from __future__ import annotations

import re

from neomlir.targets import Target

_DEFINITION = re.compile(r"^(define .*?)((?: #\d+)? \{)$", re.MULTILINE)
_SIZE_CALLS = re.compile(r"(call ptr @)(malloc|aligned_alloc)\(")
_SIZE_DECLARATION = re.compile(r"^declare ptr @(malloc|aligned_alloc)\(([^)]*)\).*$", re.MULTILINE)


def specialized(text: str, target: Target) -> str:
    """`text`, with the lengths that SVE's vectors may have on every function, and sizes as wide as pointers.

    Indices stay 64 bits wide everywhere: addresses are computed modulo the width of a pointer, so that code and memory
    plan are the same for every machine, and what runs at compile time can be run here. Only functions of libc that take
    a `size_t` must be called with one.
    """
    if target.architecture == "aarch64" and target.vector.scalable:
        text = _DEFINITION.sub(r"\1 vscale_range(1,16)\2", text)
    if target.pointer_bits == 32:
        wrappers = [_wrapper(name, types.count("i64")) for name, types in _SIZE_DECLARATION.findall(text)]
        text = _SIZE_CALLS.sub(r"\1neo.\2(", text)
        text = _SIZE_DECLARATION.sub("", text) + "\n".join(wrappers)
    return text


def _wrapper(name: str, arguments: int) -> str:
    wide = ", ".join(f"i64 %a{i}" for i in range(arguments))
    narrow = "\n".join(f"  %b{i} = trunc i64 %a{i} to i32" for i in range(arguments))
    passed = ", ".join(f"i32 %b{i}" for i in range(arguments))
    declaration = f"declare ptr @{name}({', '.join(['i32'] * arguments)})"
    return (
        f"{declaration}\ndefine internal ptr @neo.{name}({wide}) {{\n{narrow}\n"
        f"  %p = call ptr @{name}({passed})\n  ret ptr %p\n}}\n"
    )
