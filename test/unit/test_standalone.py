"""Executables and embeddable objects, of programs written in LLVM IR by hand."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import neomlir
import numpy as np
import pytest
from neomlir.artifact import Spec
from neomlir.codegen.elf_symbols import rename_symbols, undefined_symbols
from neomlir.codegen.objects import emit_object
from neomlir.codegen.program_source import identifier, quoted
from neomlir.codegen.runtime_library import FLAGS
from neomlir.codegen.standalone import link_executable, link_object
from neomlir.codegen.zig import run, static_triple
from neomlir.emitted import Emitted
from neomlir.errors import CompileError, ModelError
from neomlir.tools import neo_compile
from programs import ADD, DYNAMIC, DYNAMIC_OUTPUTS, baseline, field, item, main

pytestmark = pytest.mark.long  # zig builds a C library first, for half a minute

X = np.arange(6, dtype=np.float32).reshape(2, 3)
WEIGHTS = np.arange(6, dtype=np.float32) * 10
INPUT, OUTPUT = [Spec("x", "float32", (2, 3))], [Spec("y", "float32", (2, 3))]
COPY = main(
    field("inputs") + field("outputs") + item("inputs", 0, "x") + item("outputs", 0, "y")
    + "\n  %v = load i64, ptr %x, align 2\n  store i64 %v, ptr %y, align 2\n  ret i32 0"
)  # fmt: skip


def program(text: str, weights: np.ndarray | None = None, allocates: bool = False) -> SimpleNamespace:
    """What `staircase.Program` has, for a program of one object."""
    arrays = [] if weights is None else [(0, weights)]
    return SimpleNamespace(
        objects=[emit_object(text, baseline())],
        weights=arrays,
        weight_bytes=0 if weights is None else weights.nbytes,
        arena_bytes=4096,
        allocates=allocates,
        report={"kernels": [{"name": "k"}], "steps": [0]},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("programs")


def executable(path: Path, made: SimpleNamespace, inputs: list[Spec], outputs: list[Spec]) -> Emitted:
    path.write_bytes(link_executable(made, baseline(), inputs, outputs))
    path.chmod(0o755)
    return Emitted("exe", (path,), inputs, outputs, {}, runs=True)


@pytest.fixture(scope="module")
def add(folder) -> Emitted:
    return executable(folder / "add", program(ADD, WEIGHTS), INPUT, OUTPUT)


@pytest.fixture(scope="module")
def dynamic(folder) -> Emitted:
    made = program(DYNAMIC, allocates=True)
    return executable(folder / "dynamic", made, [Spec("x", "float32", (None,))], DYNAMIC_OUTPUTS)


def call(emitted: Emitted, *arguments: object, code: int = 0) -> str:
    done = subprocess.run([emitted.files[0], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ") == bool(code)
    return done.stderr if code else done.stdout


# Executables.


def test_npy_in_and_out(add):
    y = add.run({"x": X}, threads=2)["y"]
    assert y.dtype == np.float32 and np.array_equal(y, X + WEIGHTS.reshape(2, 3))


def test_raw_in_and_out(add, tmp_path):
    X.tofile(tmp_path / "x.raw")
    said = call(add, "--input", f"x={tmp_path}/x.raw", "--output", tmp_path, "--raw", "--repeat", 3)
    assert "y: float32 2x3" in said and "median of 3 runs" in said
    assert np.array_equal(np.fromfile(tmp_path / "y.raw", np.float32), X.reshape(-1) + WEIGHTS)


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_dynamic_extents(dynamic, n):
    x = np.random.default_rng(n).random(n, np.float32)
    outputs = dynamic.run({"x": x})
    assert outputs["count"] == n and outputs["count"].shape == ()
    assert np.array_equal(outputs["y"], np.stack([x, x]))


def test_dynamic_extents_of_raw_files(dynamic, tmp_path):
    path = tmp_path / "x.raw"
    X.tofile(path)
    assert "y: float32 2x6" in call(dynamic, "--input", f"x={path}:6")
    assert "needs its shape" in call(dynamic, "--input", f"x={path}", code=1)
    assert "too long" in call(dynamic, "--input", f"x={path}:5", code=1)
    assert "too short" in call(dynamic, "--input", f"x={path}:7", code=1)
    assert "does not fit" in call(dynamic, "--input", f"x={path}:2x3", code=1)
    assert "larger than memory" in call(dynamic, "--input", f"x={path}:9000000000000000000", code=1)


def test_dtypes_that_numpy_has_not(folder):
    spec = ([Spec("x", "bfloat16", (4,))], [Spec("a/../b", "bfloat16", (4,))])
    x = np.array([1, -2, 0.5, 3], ml_dtypes.bfloat16)
    y = executable(folder / "copy", program(COPY), *spec).run({"x": x})["a/../b"]
    assert y.dtype == x.dtype and np.array_equal(y, x)


def test_the_executable_needs_nothing(add):
    assert b"ld-linux" not in add.files[0].read_bytes()
    assert add.files[0].stat().st_size < 100_000


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        ([], 2, "input x is missing"),
        (["--no-such"], 2, "no option '--no-such'"),
        (["--input", "z=a"], 2, "no input 'z'"),
        (["--input", "x"], 2, "NAME=FILE"),
        (["--threads", "0"], 2, "1 to 1024"),
        (["--repeat"], 2, "needs a number"),
        (["--input", "x=/nowhere/x.npy"], 1, "No such file"),
    ],
)
def test_wrong_arguments(add, arguments, code, match):
    assert match in call(add, *arguments, code=code)


def test_wrong_files(add, tmp_path):
    path = tmp_path / "x.npy"

    def refused(array: np.ndarray | bytes, match: str) -> None:
        np.save(path, array) if isinstance(array, np.ndarray) else path.write_bytes(array)
        assert match in call(add, "--input", f"x={path}", code=1)

    refused(X.astype(np.float64), "another dtype")
    refused(X.astype(">f4"), "another dtype")
    refused(X.view(np.int32), "another dtype")
    refused(X.T, "Fortran order")
    refused(X[:, :2].copy(), "another shape")
    refused(X[:, 0].copy(), "fewer dimensions")
    refused(X[:, :, None], "more dimensions")
    refused(b"", "no .npy file")
    np.save(path, X)
    data = path.read_bytes()
    for size in range(len(data)):
        refused(data[:size], ": ")
    refused(data + b"\0", "too long")
    refused(data.replace(b"(2, 3)", b"(2, -3)"), "cannot be read")
    refused(data.replace(b"(2, 3)", b"(2, x3"), "cannot be read")
    np.save(path, X)
    assert "cannot be written" in call(add, "--input", f"x={path}", "--output", "/nowhere", code=1)


def test_emitted_says_what_it_cannot(add):
    with pytest.raises(ModelError, match="'x' is missing"):
        add.run({})
    with pytest.raises(ModelError, match="another dtype"):
        add.run({"x": X.astype(np.int32)})
    with pytest.raises(ModelError, match="no program that this machine runs"):
        Emitted("obj", (Path("m.o"), Path("m.h")), INPUT, OUTPUT, {}).run({"x": X})


def test_targets_without_a_static_c_library():
    with pytest.raises(CompileError, match="no static program"):
        static_triple(SimpleNamespace(name="t", triple="arm64-apple-macosx"))


# Objects.

TWO_MODELS = """
#include <stdio.h>
#include "first.h"
#include "second.h"
static _Alignas(64) unsigned char arena[FIRST_ARENA_BYTES];
int main(void) {
  float x[6] = {0, 1, 2, 3, 4, 5}, y[6], z[6];
  if (first_run(x, y, arena) || second_run(y, z, arena)) return 1;
  for (int i = 0; i < 6; i++) printf("%g ", z[i]);
  return 0;
}
"""


def test_two_objects_in_one_program(tmp_path):
    for name, weights in (("first", WEIGHTS), ("second", WEIGHTS * 10)):
        data, header = link_object(program(ADD, weights), baseline(), INPUT, OUTPUT, name)
        (tmp_path / f"{name}.o").write_bytes(data)
        (tmp_path / f"{name}.h").write_text(header)
        assert undefined_symbols(data) <= {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}
    (tmp_path / "main.c").write_text(TWO_MODELS)
    files = [str(tmp_path / name) for name in ("main.c", "first.o", "second.o")]
    run("cc", "-target", static_triple(baseline()), *FLAGS, *files, "-o", f"{tmp_path}/two")
    said = subprocess.run([tmp_path / "two"], capture_output=True, text=True, check=True).stdout
    assert np.array_equal(np.array(said.split(), np.float32), np.arange(6) + WEIGHTS * 11)


def test_no_plain_function_where_memory_is_asked_for():
    inputs = [Spec("x", "float32", (None,))]
    _, text = link_object(program(DYNAMIC, allocates=True), baseline(), inputs, DYNAMIC_OUTPUTS, "d")
    assert "d_run" not in text and "const struct neo_program d;" in text
    heap = main("\n  %p = call ptr @malloc(i64 8)\n  store ptr %p, ptr %call\n  ret i32 0", "declare ptr @malloc(i64)")
    data, text = link_object(program(heap), baseline(), INPUT, OUTPUT, "h")
    assert "h_run" not in text and "malloc" in undefined_symbols(data)


def test_names():
    assert [identifier(t) for t in ("a-b.c", "1x", "int", "", "x")] == ["a_b_c", "model_1x", "model_int", "model_", "x"]
    assert quoted('a"\\?\né') == '"a\\042\\134\\077\\012\\303\\251"'
    with pytest.raises(CompileError, match="ELF objects only"):
        rename_symbols(b"\0asm\1\0\0\0", lambda name: name)


# From the tool.

SMALL = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU()).eval(), (torch.ones(1, 5),)
"""


def test_the_tool_emits(tmp_path, capsys):
    pytest.importorskip("torch")
    (tmp_path / "small.py").write_text(SMALL)
    source, out = f"{tmp_path}/small.py:make", tmp_path / "out"
    out.mkdir()
    assert neo_compile.main([source, "--emit", "exe", "-o", str(out / "small"), "--check"]) == 0
    assert "same argmax" in capsys.readouterr().out
    assert neo_compile.main([source, "--emit", "obj", "-o", str(out / "small.o")]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["small", "small.h", "small.o"]
    assert "small_run(const float *" in (out / "small.h").read_text()
    capsys.readouterr()
    assert neo_compile.main([source, "--emit", "obj", "-o", str(out / "other.o"), "--check"]) == 1
    assert "check it as --emit exe" in capsys.readouterr().err and not (out / "other.h").exists()
    with pytest.raises(CompileError, match="needs output="):
        neomlir.compile("m.onnx", emit="exe")
    with pytest.raises(CompileError, match="the forms are neo, exe, obj"):
        neomlir.compile("m.onnx", emit="elf")
