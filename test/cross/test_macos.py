"""Objects for macOS: linked to a program, they define what their header says, and compute what they should.

No emulator of macOS is at hand. But its programs are mapped at a fixed address, and what they compute without libSystem
is plain AArch64 code: a loader of our own runs it under QEMU.
"""

import subprocess

import bare
import emulate
import neomlir
import pytest
from neomlir.codegen.macho_symbols import rename_symbols, undefined_symbols
from neomlir.codegen.zig import run
from neomlir.errors import CompileError
from neomlir.targets import Target
from product import product

MAIN = """
#include "net.h"

static _Alignas(64) unsigned char arena[NET_ARENA_BYTES];

int main(void) {
  static float x[64], y[48];
  float wanted = 0;
  for (int i = 0; i < 64; i++) x[i] = (float)i, wanted += (float)(3 * i);
  if (net_run(x, y, arena)) return 1;
  for (int i = 0; i < 48; i++)
    if (y[i] != wanted) return 2;
  return 42;
}
"""
LOADER = """
typedef unsigned char byte;
enum { SEGMENT = 0x19, ENTRY = 0x80000028, MAP_PAGES = 222, READ_WRITE_EXECUTE = 7, PRIVATE_ANONYMOUS_FIXED = 0x32 };
static byte *const start = (byte *)0x100000000;
static const byte program[] = {
#embed "main"
};

static unsigned number(const byte *at) { return *(const unsigned *)at; }
static unsigned long wide(const byte *at) { return *(const unsigned long *)at; }

static int check(void) {
  register long x0 __asm__("x0") = (long)start, x1 __asm__("x1") = 1 << 26, x2 __asm__("x2") = READ_WRITE_EXECUTE;
  register long x3 __asm__("x3") = PRIVATE_ANONYMOUS_FIXED, x4 __asm__("x4") = -1, x5 __asm__("x5") = 0;
  register long x8 __asm__("x8") = MAP_PAGES;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory");
  if (x0 != (long)start) return 90;
  unsigned long entry = 0;
  const byte *at = program + 32;
  for (unsigned left = number(program + 16); left; left--, at += number(at + 4)) {
    if (number(at) == (unsigned)ENTRY) entry = wide(at + 8);
    if (number(at) != SEGMENT) continue;
    byte *to = (byte *)wide(at + 24);
    const byte *from = program + wide(at + 40);
    for (unsigned long i = 0; i < wide(at + 48); i++) to[i] = from[i];
  }
  return ((int (*)(void))(start + entry))();
}

__attribute__((noreturn)) void _start(void) {
  LEAVE(check());
  __builtin_unreachable();
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("macos")
    neomlir.compile(product(), "apple-m1", emit="obj", output=place / "net.o")
    (place / "program.c").write_text(MAIN)
    (place / "main.c").write_text(bare.SYSTEM + LOADER)
    return place


def test_only_the_names_of_the_header_are_public(folder):
    data = (folder / "net.o").read_bytes()
    assert data[:4] == b"\xcf\xfa\xed\xfe"
    seen = []
    rename_symbols(data, seen.append)
    assert {"net", "net_run"} <= set(seen) and all(name.startswith("net") for name in seen)
    assert undefined_symbols(data) <= {"memcpy", "memset", "bzero"}


def test_the_object_computes_in_a_program(folder):
    target = Target.named("cortex-a76")
    command = emulate.emulator(target)
    files = [str(folder / name) for name in ("program.c", "net.o")]
    run("cc", "-target", "aarch64-macos", "-O1", *files, "-o", str(folder / "main"))
    assert subprocess.run([*command, bare.link(folder, target, [])], timeout=60).returncode == 42


def test_no_file_for_the_runtime_is_made(tmp_path):
    with pytest.raises(CompileError, match=r"apple-m1: a \.neo file holds a library for Linux; emit obj instead"):
        neomlir.compile(product(), "apple-m1", output=tmp_path / "net.neo")
    with pytest.raises(CompileError, match=r"wasm32-simd128: a \.neo file holds a library for Linux; emit exe instead"):
        neomlir.compile(product(), "wasm32-simd128", output=tmp_path / "net.neo")
    assert not list(tmp_path.iterdir())
