"""What LLVM IR text must say of its target besides triple and features."""

from __future__ import annotations

import re

from neomlir.targets import Target

_DEFINITION = re.compile(r"^(define .*?)((?: #\d+)? \{)$", re.MULTILINE)
_STACK_BITS = 128
"""What the stack is aligned to."""
_SIZE_CALLS = re.compile(r"(call ptr @)(malloc|aligned_alloc)\(")
_SIZE_DECLARATION = re.compile(r"^declare ptr @(malloc|aligned_alloc)\(([^)]*)\).*$", re.MULTILINE)
_WIDENED = re.compile(
    r"^ *(%\S+) = fpext (?:[a-z]+ )*(?:<\d+ x bfloat>|bfloat) (\S+) to (<(\d+) x float>|float)(.*)$", re.MULTILINE
)
_ROUNDED = re.compile(
    r"^ *(%\S+) = fptrunc (?:[a-z]+ )*(<(\d+) x float>|float) (\S+) to (?:<\d+ x bfloat>|bfloat)(.*)$", re.MULTILINE
)

_INSERTED = re.compile(r"^ *(%\S+) = insertelement <(\d+) x bfloat> (\S+), bfloat (\S+), (i\d+ \S+)$", re.MULTILINE)


def specialized(text: str, target: Target) -> str:
    """`text`, with the lengths that SVE's vectors may have on every function, and sizes as wide as pointers.

    On x86 functions align their stack to their vectors. Registers that LLVM puts there would else lie across cache
    lines, as the caller's stack happens to lie, and reading them back would wait until they are written.

    Indices stay 64 bits wide everywhere: addresses are computed modulo the width of a pointer, so that code and memory
    plan are the same for every machine, and what runs at compile time can be run here. Only functions of libc that take
    a `size_t` must be called with one.

    Conversions of bf16 are written as arithmetic of integers, but for rounding where an instruction does it. LLVM would
    make maxima of widened numbers maxima of bf16, and round by calling a function for each element, or give up.
    """
    if target.architecture not in ("aarch64", "arm64"):
        text = _INSERTED.sub(_inserted, _WIDENED.sub(_widened, text))
        if "avx512bf16" not in target.needs:
            text = _ROUNDED.sub(_rounded, text)
    if target.architecture == "x86_64" and target.vector.bits > _STACK_BITS:
        text = _DEFINITION.sub(r'\1 "stackrealign"\2', text)
    if target.architecture == "aarch64" and target.vector.scalable:
        text = _DEFINITION.sub(r"\1 vscale_range(1,16)\2", text)
    if target.pointer_bits == 32:
        wrappers = [_wrapper(name, types.count("i64")) for name, types in _SIZE_DECLARATION.findall(text)]
        text = _SIZE_CALLS.sub(r"\1neo.\2(", text)
        text = _SIZE_DECLARATION.sub("", text) + "\n".join(wrappers)
    return text


def _inserted(found: re.Match) -> str:
    """`insertelement` of bf16: LLVM would widen the number, and round it again by a call."""
    result, count, vector, value, place = found.groups()
    name, short, wide = f"%bf.{result[1:]}", f"<{count} x i16>", f"<{count} x bfloat>"
    lines = [
        f"{name}.vector = bitcast {wide} {vector} to {short}",
        f"{name}.short = bitcast bfloat {value} to i16",
        f"{name}.with = insertelement {short} {name}.vector, i16 {name}.short, {place}",
        f"{result} = bitcast {short} {name}.with to {wide}",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _widened(found: re.Match) -> str:
    """`fpext` from bf16: its bits are the upper half."""
    result, value, wide, count, rest = found.groups()
    name = f"%bf.{result[1:]}"
    narrow, i16, i32 = (f"<{count} x {kind}>" if count else kind for kind in ("bfloat", "i16", "i32"))
    sixteen = f"<{', '.join(['i32 16'] * int(count))}>" if count else "16"
    lines = [
        f"{name}.short = bitcast {narrow} {value} to {i16}",
        f"{name}.bits = zext {i16} {name}.short to {i32}",
        f"{name}.upper = shl {i32} {name}.bits, {sixteen}",
        f"{result} = bitcast {i32} {name}.upper to {wide}{rest}",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _rounded(found: re.Match) -> str:
    """`fptrunc` to bf16: to nearest, ties to even, a NaN stays one."""
    result, wide, count, value, rest = found.groups()
    name = f"%bf.{result[1:]}"

    def kind(element: str) -> str:
        return f"<{count} x {element}>" if count else element

    def number(n: int) -> str:
        return f"<{', '.join([f'i32 {n}'] * int(count))}>" if count else str(n)

    i32, i16 = kind("i32"), kind("i16")
    lines = [
        f"{name}.bits = bitcast {wide} {value} to {i32}",
        f"{name}.high = lshr {i32} {name}.bits, {number(16)}",
        f"{name}.odd = and {i32} {name}.high, {number(1)}",
        # Half of the last place that is kept, less one where that is even.
        f"{name}.half = add {i32} {name}.odd, {number(0x7FFF)}",
        f"{name}.up = add {i32} {name}.bits, {name}.half",
        f"{name}.quiet = or {i32} {name}.bits, {number(0x400000)}",
        f"{name}.nan = fcmp uno {wide} {value}, {value}",
        f"{name}.kept = select {kind('i1')} {name}.nan, {i32} {name}.quiet, {i32} {name}.up",
        f"{name}.shifted = lshr {i32} {name}.kept, {number(16)}",
        f"{name}.short = trunc {i32} {name}.shifted to {i16}",
        f"{result} = bitcast {i16} {name}.short to {kind('bfloat')}{rest}",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _wrapper(name: str, arguments: int) -> str:
    wide = ", ".join(f"i64 %a{i}" for i in range(arguments))
    narrow = "\n".join(f"  %b{i} = trunc i64 %a{i} to i32" for i in range(arguments))
    passed = ", ".join(f"i32 %b{i}" for i in range(arguments))
    declaration = f"declare ptr @{name}({', '.join(['i32'] * arguments)})"
    return (
        f"{declaration}\ndefine internal ptr @neo.{name}({wide}) {{\n{narrow}\n"
        f"  %p = call ptr @{name}({passed})\n  ret ptr %p\n}}\n"
    )
