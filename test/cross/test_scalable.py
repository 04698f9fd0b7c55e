"""Kernels in scalable vectors give what plain loops give on this machine, whatever the length of a vector is.

The kernels are those that compare the schedules with plain loops, drawn for SVE; one program runs them all.
"""

import inspect
import random
import subprocess
from dataclasses import dataclass

import bare
import drawn
import emulate
import numpy as np
import pytest
import test_schedules
import test_schedules_of_points
from execute import call
from kernels import scheduled
from neomlir import Pipeline
from neomlir.codegen.objects import emit_object
from neomlir.codegen.translate import to_llvm_ir
from neomlir.mlir import context, ir
from neomlir.targets import Target

TARGETS = ("neoverse-v1", "neoverse-v2")
FILES = (test_schedules, test_schedules_of_points)
KINDS = {
    name: function
    for file in FILES
    for name, function in sorted(vars(file).items())
    if name.startswith("test_") and "target(r)" in inspect.getsource(function)
}
LOWERING = (
    "builtin.module(one-shot-bufferize{bufferize-function-boundaries=1 "
    "function-boundary-type-conversion=identity-layout-map},canonicalize,cse,func.func(scf-forall-to-for),"
    "canonicalize,cse,neo-expand-math,cse,expand-strided-metadata,lower-affine,convert-vector-to-scf{full-unroll=1},"
    "lower-affine,convert-scf-to-cf,convert-vector-to-llvm{reassociate-fp-reductions=1},convert-math-to-llvm,"
    "convert-math-to-libm,convert-to-llvm,reconcile-unrealized-casts)"
)
CANARY = 1024
MAIN = """
static void put(const void *from, unsigned long bytes) {
#ifdef __x86_64__
  long wrote = 1;
  __asm__ volatile("syscall" : "+a"(wrote) : "D"(1l), "S"(from), "d"(bytes) : "rcx", "r11", "memory");
#else
  register long x0 __asm__("x0") = 1, x1 __asm__("x1") = (long)from, x2 __asm__("x2") = (long)bytes;
  register long x8 __asm__("x8") = 64;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
#endif
}
"""


@dataclass
class Case:
    """A kernel of the level `vector`, its inputs, and what plain loops give for them."""

    text: str
    scalable: bool
    inputs: list[np.ndarray]
    wanted: list[np.ndarray]
    tolerance: float


def cases(monkeypatch, seeds):
    """The kernels of all kinds for these seeds that a schedule takes."""
    found = []

    def collect(text, inputs, outputs, target, expect=None, tolerance=1e-5):
        r = random.Random(text)
        schedule, vector = scheduled(text, target, told=r if r.random() < 0.5 else None)
        if schedule != "affine" and "alloc()" not in vector:
            with context():
                wanted = call(ir.Module.parse(text), "k", [*inputs, *(np.zeros_like(o) for o in outputs)], {})
            found.append(Case(vector, "vector<[" in vector, list(inputs), wanted, tolerance))
        return schedule

    for file in FILES:
        monkeypatch.setattr(file, "check", collect)
    monkeypatch.setattr(drawn, "TARGETS", TARGETS)
    for kind, draw in KINDS.items():
        for seed in seeds:
            draw(random.Random(f"{kind} {seed}"))
    return found


def program(folder, found, target):
    """A program that runs all kernels and writes out the outputs, each with a canary behind it."""
    objects, lines, runs = [], [bare.SYSTEM, MAIN], []
    for n, case in enumerate(found):
        with context(), ir.Location.unknown():
            module = ir.Module.parse(case.text)
            function = next(o.operation for o in module.body.operations)
            function.attributes["sym_name"] = ir.StringAttr.get(f"k{n}")
            function.attributes["llvm.emit_c_interface"] = ir.UnitAttr.get()
            Pipeline(LOWERING).run(module, isolate=False)
            objects.append(folder / f"k{n}.o")
            objects[-1].write_bytes(emit_object(to_llvm_ir(module), target))
        names = []
        for i, array in enumerate([*case.inputs, *case.wanted]):
            name = f"a{n}_{i}"
            if i < len(case.inputs):
                (folder / name).write_bytes(np.ascontiguousarray(array).tobytes())
                lines.append(f'static _Alignas(64) const unsigned char {name}[] = {{\n#embed "{name}"\n}};')
            else:
                lines.append(f"static _Alignas(64) unsigned char {name}[{array.nbytes + CANARY}];")
            rank = max(1, array.ndim)
            sizes = [*array.shape, *(s // array.itemsize for s in np.ascontiguousarray(array).strides)] or [0, 0]
            kind = f"struct {{ const void *p, *q; long offset, sizes[{2 * rank}]; }}"
            lines.append(f"static {kind} d{name} = {{{name}, {name}, 0, {{{', '.join(map(str, sizes))}}}}};")
            names.append(f"d{name}")
        types = ", ".join(["void *"] * (1 + len(names)))
        lines.append(f"void _mlir_ciface_k{n}({types});")
        outputs = [f"a{n}_{len(case.inputs) + i}" for i in range(len(case.wanted))]
        runs += [f"  memset({name}, 77, sizeof {name});" for name in outputs]
        runs.append(f"  _mlir_ciface_k{n}(returned, {', '.join('&' + name for name in names)});")
        runs += [f"  put({name}, sizeof {name});" for name in outputs]
    lines.append("void _start(void) {\n  static long returned[512], code = 0;\n  take_tiles();")
    lines += [*runs, bare.END]
    (folder / "main.c").write_text("\n".join(lines))
    return bare.link(folder, target, objects)


def agree(found, folder, target, bits=0):
    """Run all kernels, on vectors of `bits` bits where these are scalable."""
    command = [*emulate.emulator(target, bits), str(folder / "program")]
    done = subprocess.run(command, capture_output=True, timeout=600)
    assert done.returncode == 0
    place = 0
    for case in found:
        for right in case.wanted:
            got = np.frombuffer(done.stdout, right.dtype, right.size, place).reshape(right.shape)
            place += right.nbytes
            assert done.stdout[place : place + CANARY] == b"M" * CANARY, f"writes behind a result\n{case.text[:20000]}"
            place += CANARY
            if right.dtype.kind == "f":
                scale = case.tolerance * max(1.0, float(np.abs(right).max(initial=0)))
                np.testing.assert_allclose(got, right, case.tolerance, scale, err_msg=f"{bits}\n{case.text[:20000]}")
            else:
                np.testing.assert_array_equal(got, right, err_msg=f"{bits}\n{case.text[:20000]}")
    assert place == len(done.stdout)


def check(monkeypatch, folder, seeds, least):
    target = Target.named("neoverse-v1")
    emulate.emulator(target)
    found = cases(monkeypatch, seeds)
    assert sum(case.scalable for case in found) >= least * len(found), "few kernels are in scalable vectors"
    program(folder, found, target)
    for bits in emulate.widths(target):
        agree(found, folder, target, bits)


def test_kernels_agree_at_every_length(monkeypatch, tmp_path):
    check(monkeypatch, tmp_path, range(1), 0.4)


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_more_kernels_agree_at_every_length(monkeypatch, tmp_path, part):
    check(monkeypatch, tmp_path, range(10 * part, 10 * part + 10), 0.4)
