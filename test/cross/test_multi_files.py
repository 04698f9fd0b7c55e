"""The C runtime opens a file on the machines that it is for, with the best code that they run, and on no other."""

import shutil
import subprocess

import emulate
import neomlir
import pytest
from neomlir.codegen.runtime_library import FLAGS, write_sources
from neomlir.codegen.zig import run, static_triple
from neomlir.targets import Target
from product import product

MAIN = """
#include <stdio.h>

#include "neo.h"

int main(int count, char **arguments) {
  (void)count;
  static float x[64], wanted = 0;
  neo_model *model;
  neo_session *session;
  if (neo_open(arguments[1], 0, &model) || neo_session_create(model, 1, &session)) return puts(neo_error()), 1;
  for (int i = 0; i < 64; i++) x[i] = (float)i, wanted += (float)(3 * i);
  if (neo_set_input(session, 0, x, 0, 0) || neo_run(session)) return puts(neo_error()), 1;
  const float *y = neo_output(session, 0, 0);
  puts(neo_describe(model)->target);
  return y[7] != wanted;
}
"""


def build(folder, target: str) -> tuple[str, str]:
    """A program that runs a file, and the file."""
    neomlir.compile(product(), target, output=folder / "model.neo")
    (folder / "main.c").write_text(MAIN)
    sources, triple = [str(folder / "main.c"), *write_sources(folder)], static_triple(Target.named(target))
    run("cc", "-target", triple, "-static", *FLAGS, "-lm", "-o", str(folder / "program"), *sources)
    return str(folder / "program"), str(folder / "model.neo")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return build(tmp_path_factory.mktemp("variants"), "generic-multi")


@pytest.mark.parametrize(
    ("cpu", "picked"), [("Nehalem", "generic-multi"), ("Haswell", "x86-64-v3"), (None, None), ("core2duo", None)]
)
def test_the_best_that_the_machine_runs(files, cpu, picked):
    if cpu is None:
        able = [t for t in ("x86-64-v4", "x86-64-v3") if Target.named(t).runs_here()]
        command, picked = [], able[0] if able else "generic-multi"
    else:
        command = ["qemu-x86_64-static", "-cpu", cpu]
        if shutil.which(command[0]) is None:
            pytest.skip("qemu-x86_64-static is not installed (Debian: qemu-user-static)")
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=60)
    said = done.stdout.splitlines()[-1]
    if picked is None:
        assert done.returncode == 1 and "needs feature" in said and "that this machine lacks" in said
    else:
        assert (done.returncode, said) == (0, picked)


@pytest.mark.full
@pytest.mark.parametrize("target", ["cortex-a72", "neoverse-v1", "neoverse-v2", "armv7-neon", "riscv64"])
def test_files_of_other_machines(target, tmp_path):
    command = emulate.emulator(Target.named(target))
    done = subprocess.run([*command, *build(tmp_path, target)], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout.splitlines()) == (0, [target])


@pytest.mark.full
def test_one_file_for_all_64_bit_arm(tmp_path):
    emulate.emulator(Target.named("neoverse-v1"))
    files = build(tmp_path, "aarch64-multi")
    for cpu, picked in (("cortex-a53", "aarch64-multi"), ("max,sve128=on", "neoverse-v1"), ("max", "neoverse-v1")):
        command = ["qemu-aarch64-static", "-cpu", cpu, *files]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert (done.returncode, done.stdout.splitlines()) == (0, [picked])


@pytest.mark.full
def test_a_file_with_scalable_vectors_runs_on_all_that_have_them(tmp_path):
    target = Target.named("neoverse-v1")
    files = build(tmp_path, target.name)
    for bits in emulate.widths(target):
        done = subprocess.run([*emulate.emulator(target, bits), *files], capture_output=True, text=True, timeout=600)
        assert (done.returncode, done.stdout.splitlines()) == (0, [target.name])
    command = ["qemu-aarch64-static", "-cpu", "cortex-a72", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1 and "neoverse-v1, which needs feature" in done.stdout
