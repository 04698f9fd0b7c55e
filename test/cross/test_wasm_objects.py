"""Objects for WebAssembly: several of them link to one program, which computes what it should in Node.js."""

import subprocess

import emulate
import neomlir
import pytest
from neomlir.codegen.wasm_symbols import rename_symbols, undefined_symbols
from neomlir.codegen.zig import run
from neomlir.errors import CompileError
from neomlir.targets import Target
from product import product

TARGET = "wasm32-simd128"
MAIN = """
#include "one.h"
#include "two.h"

static _Alignas(64) unsigned char arena[ONE_ARENA_BYTES + TWO_ARENA_BYTES];

int main(void) {
  static float x[64], y[48], z[48];
  float wanted = 0;
  for (int i = 0; i < 64; i++) x[i] = (float)i, wanted += (float)(3 * i);
  if (one_run(x, y, arena) || two_run(x, z, arena)) return 1;
  for (int i = 0; i < 48; i++)
    if (y[i] != wanted || z[i] != wanted) return 2;
  return 42;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("wasm")
    for name in ("one", "two"):
        neomlir.compile(product(), TARGET, emit="obj", output=place / f"{name}.o")
    (place / "main.c").write_text(MAIN)
    return place


def test_only_the_names_of_the_header_are_public(folder):
    data = (folder / "one.o").read_bytes()
    seen = []
    assert rename_symbols(data, seen.append) == data
    assert set(seen) == {"one", "one_run"}
    assert undefined_symbols(data) <= {"memcpy", "memset", "__stack_pointer", "__memory_base", "__table_base"} | {
        "__linear_memory",
        "__indirect_function_table",
    }
    with pytest.raises(CompileError, match="WebAssembly objects of version 1"):
        undefined_symbols(b"\x7fELF" + bytes(60))


def test_two_objects_compute_in_one_program(folder):
    command = emulate.emulator(Target.named(TARGET))
    files = [str(folder / name) for name in ("main.c", "one.o", "two.o")]
    run("cc", "-target", "wasm32-wasi", "-O1", *files, "-o", str(folder / "program"))
    assert subprocess.run([*command, folder / "program"], timeout=60).returncode == 42
