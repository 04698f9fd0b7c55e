"""Objects for embedding on machines without anything: no libc, no files, one system call to end.

What the model is given and what it should give are inside the program, which compares: building a C library for a
machine takes longer than all else here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import emulate
import numpy as np
from neomlir.codegen.builtins import builtins_library
from neomlir.codegen.zig import object_triple, run
from neomlir.emitted import Emitted
from neomlir.schedules.units import has_tiles
from neomlir.targets import Target

SYSTEM = """
typedef unsigned long size_t;

#if defined(__aarch64__)
#define LEAVE(code) register long x0 __asm__("x0") = code; __asm__ volatile("mov x8, #93\\n svc #0" ::"r"(x0) : "x8")
#elif defined(__arm__)
#define LEAVE(code) register long r0 __asm__("r0") = code; __asm__ volatile("mov r7, #1\\n svc #0" ::"r"(r0) : "r7")
#elif defined(__riscv)
#define LEAVE(code) register long a0 __asm__("a0") = code; __asm__ volatile("li a7, 93\\n ecall" ::"r"(a0) : "a7")
#elif defined(__x86_64__)
#define LEAVE(code) __asm__ volatile("syscall" ::"a"(60l), "D"((long)(code)))
#endif

#ifdef HAS_TILES
void take_tiles(void);
int has_tiles_left(void);
__attribute__((force_align_arg_pointer))
#else
static void take_tiles(void) {}
static int has_tiles_left(void) { return 0; }
#endif
__attribute__((noreturn)) void _start(void);

void *memset(void *to, int value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((volatile char *)to)[i] = (char)value;
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}

static int far(const float *got, const float *wanted, long count, double tolerance) {
  double error = 0, norm = 0;
  for (long i = 0; i < count; i++) {
    double difference = (double)got[i] - wanted[i];
    error += difference * difference;
    norm += (double)wanted[i] * wanted[i];
  }
  return !(error <= tolerance * tolerance * norm);
}
"""

END = "  if (has_tiles_left()) code = 99;\n  LEAVE(code);\n  __builtin_unreachable();\n}\n"
"""The end of a program that leaves with `code`, or with 99 where it has not given back the tile registers."""


def run_checked(
    emitted: Emitted, target: Target, inputs: dict[str, np.ndarray], wanted: dict[str, np.ndarray], tolerance: float
) -> list[int]:
    """Run the object `emitted` on `inputs` in an emulator, with vectors of each width that the target's code is for.

    Gives 0 for each where all outputs are near `wanted`, in the 2-norm.
    """
    commands = [emulate.emulator(target, bits) for bits in emulate.widths(target)]
    data, header = emitted.files
    folder, name = data.parent, data.stem
    lines = [SYSTEM, f'#include "{header.name}"', f"static _Alignas(64) char arena[{name.upper()}_ARENA_BYTES];"]
    for number, spec in enumerate(emitted.inputs):
        (folder / f"in{number}").write_bytes(np.ascontiguousarray(inputs[spec.name]).tobytes())
        lines.append(f'static _Alignas(64) const unsigned char in{number}[] = {{\n#embed "in{number}"\n}};')
    for number, spec in enumerate(emitted.outputs):
        array = wanted[spec.name]
        assert array.dtype == np.float32
        (folder / f"wanted{number}").write_bytes(array.tobytes())
        lines.append(f'static _Alignas(64) const unsigned char wanted{number}[] = {{\n#embed "wanted{number}"\n}};')
        lines.append(f"static float out{number}[{max(1, array.size)}];")
    arguments = [f"(const void *)in{i}" for i in range(len(emitted.inputs))]
    arguments += [f"out{i}" for i in range(len(emitted.outputs))]
    checks = [
        f"far(out{i}, (const void *)wanted{i}, {wanted[s.name].size}, {tolerance})"
        for i, s in enumerate(emitted.outputs)
    ]
    lines.append(f"static int check(void) {{\n  if ({name}_run({', '.join(arguments)}, arena)) return 2;")
    lines.append(f"  return {' || '.join(checks)};\n}}")
    lines += [f"void _start(void) {{\n  take_tiles();\n  long code = check();\n{END}"]
    (folder / "main.c").write_text("\n".join(lines))
    program = link(folder, target, [data])
    return [subprocess.run([*command, program], timeout=600).returncode for command in commands]


def link(folder: Path, target: Target, objects: list[Path]) -> Path:
    """The program of `main.c` and objects."""
    program, builtins = folder / "program", str(builtins_library(target.triple))
    options = [
        "-O1",
        "-static",
        "-nostdlib",
        "-ffreestanding",
        "-fno-builtin",
        "-fno-sanitize=all",
        "-Wno-c23-extensions",
    ]
    files = [str(folder / "main.c"), *map(str, objects), builtins]
    if has_tiles(target):
        files.append(str(Path(__file__).with_name("tiles.c")))
        options.append("-DHAS_TILES")
    run("cc", "-target", object_triple(target), *options, "-Wno-c23-extensions", *files, "-o", str(program))
    return program
