"""Small `.neo` files for the tests of the file and of the runtime, from LLVM IR written by hand."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from neomlir import artifact
from neomlir.artifact import Spec
from neomlir.codegen.link import link_shared
from neomlir.codegen.objects import emit_object
from neomlir.targets import Target

FIELDS = {name: 8 * i for i, name in enumerate(
    ("inputs", "in_dims", "outputs", "weights", "arena", "runtime", "parallel_for", "alloc", "free", "output")
)}  # fmt: skip


def field(name: str) -> str:
    """IR that loads the field of `%call` as `%NAME`."""
    return f"""
  %at_{name} = getelementptr i8, ptr %call, i64 {FIELDS[name]}
  %{name} = load ptr, ptr %at_{name}"""


def item(table: str, index: int, name: str, type_: str = "ptr") -> str:
    """IR that loads an 8-byte item of a table."""
    return f"""
  %at_{name} = getelementptr i8, ptr %{table}, i64 {8 * index}
  %{name} = load {type_}, ptr %at_{name}"""


def main(body: str, functions: str = "") -> str:
    """A program whose function has `body`."""
    return f"{functions}\ndefine i32 @neo_main(ptr %call) {{{body}\n}}\n"


ADD = main(
    field("inputs") + field("outputs") + field("weights") + item("inputs", 0, "x") + item("outputs", 0, "y")
    + """
  br label %loop
loop:
  %i = phi i64 [0, %0], [%next, %loop]
  %px = getelementptr float, ptr %x, i64 %i
  %pw = getelementptr float, ptr %weights, i64 %i
  %py = getelementptr float, ptr %y, i64 %i
  %a = load float, ptr %px, align 4
  %b = load float, ptr %pw, align 64
  %c = fadd float %a, %b
  store float %c, ptr %py, align 4
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, 6
  br i1 %more, label %loop, label %end
end:
  ret i32 0"""
)  # fmt: skip
"""y = x + w, for 2x3 floats."""

DYNAMIC = main(
    field("inputs") + field("in_dims") + field("output") + field("alloc") + field("free") + field("runtime")
    + item("inputs", 0, "x") + item("in_dims", 0, "row") + item("row", 0, "n", "i64")
    + """
  %bytes = mul i64 %n, 4
  %scratch = call ptr %alloc(ptr %runtime, i64 %bytes)
  call void @llvm.memcpy.p0.p0.i64(ptr %scratch, ptr %x, i64 %bytes, i1 false)
  %dims = alloca [2 x i64]
  store i64 2, ptr %dims
  %d1 = getelementptr i64, ptr %dims, i64 1
  store i64 %n, ptr %d1
  %y = call ptr %output(ptr %runtime, i64 1, i64 2, ptr %dims)
  call void @llvm.memcpy.p0.p0.i64(ptr %y, ptr %scratch, i64 %bytes, i1 false)
  %second = getelementptr i8, ptr %y, i64 %bytes
  call void @llvm.memcpy.p0.p0.i64(ptr %second, ptr %scratch, i64 %bytes, i1 false)
  call void %free(ptr %runtime, ptr %scratch)"""
    + field("outputs") + item("outputs", 0, "count")
    + """
  store i64 %n, ptr %count
  ret i32 0""",
    "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n",
)  # fmt: skip
"""Of x[n]: its length, and x twice in y[2, n]."""
DYNAMIC_OUTPUTS = [Spec("count", "int64", ()), Spec("y", "float32", (2, None))]

CALL_PARALLEL_FOR = field("parallel_for") + field("runtime")
FILL = """
define void @body(i64 %lo, i64 %hi, ptr %y) {
entry:
  br label %loop
loop:
  %i = phi i64 [%lo, %entry], [%next, %loop]
  %at = getelementptr i64, ptr %y, i64 %i
  %old = load i64, ptr %at
  %plus = add i64 %old, %i
  %new = add i64 %plus, 1
  store i64 %new, ptr %at
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %hi
  br i1 %more, label %loop, label %end
end:
  ret void
}"""
COUNT = 1000
PARALLEL = main(
    CALL_PARALLEL_FOR + field("inputs") + field("outputs") + item("inputs", 0, "x") + item("outputs", 0, "y")
    + f"""
  call void @llvm.memcpy.p0.p0.i64(ptr %y, ptr %x, i64 {8 * COUNT}, i1 false)
  call void %parallel_for(ptr %runtime, i64 {COUNT}, ptr @body, ptr %y)
  call void %parallel_for(ptr %runtime, i64 0, ptr @body, ptr %y)
  call void %parallel_for(ptr %runtime, i64 1, ptr @body, ptr %y)
  ret i32 0""",
    FILL + "\ndeclare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n",
)  # fmt: skip
"""y[i] = x[i] + i + 1 in a parallel loop; y[0] one more."""


@functools.cache
def library(text: str) -> bytes:
    """The shared library of a program."""
    target = baseline()
    return link_shared([emit_object(text, target)], target, ["neo_main"])


def baseline() -> Target:
    """A target that every machine of this kind runs."""
    import platform

    return Target.named("cortex-a53" if platform.machine() in ("aarch64", "arm64") else "x86-64-v2")


def write(
    path: Path, text: str, inputs: list[Spec], outputs: list[Spec], weights=(), arena_bytes: int = 0, **more
) -> Path:
    """The program as a `.neo` file; `more` goes into its manifest."""
    manifest = artifact.manifest(inputs=inputs, outputs=outputs, target=baseline(), arena_bytes=arena_bytes, **more)
    size = max((offset + array.nbytes for offset, array in weights), default=0)
    artifact.write(path, manifest, library(text), list(weights), size)
    return path


def write_add(path: Path) -> Path:
    """`ADD` with the weights 0, 10, … 50."""
    spec = [Spec("x", "float32", (2, 3))]
    return write(path, ADD, spec, [Spec("y", "float32", (2, 3))], [(0, np.arange(6, dtype=np.float32) * 10)], 4096)
