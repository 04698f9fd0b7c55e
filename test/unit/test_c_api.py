"""The C API under sanitizers, by the system's gcc: test/runtime/api.c and the fuzzer's corpus."""

import importlib.resources
import shutil
import subprocess
from pathlib import Path

import numpy as np
import programs
import pytest
from neomlir.artifact import Spec
from neomlir.codegen.runtime_library import write_sources
from neomlir.codegen.zig import run as zig
from neomlir.codegen.zig import static_triple
from neomlir.tools import neo_runtime
from programs import COUNT, DYNAMIC, DYNAMIC_OUTPUTS, PARALLEL, field, item, main

HERE = Path(__file__).parents[1] / "runtime"
FLAGS = ("-g", "-O1", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror")
LEAST = ("-Os", "-s", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-D_GNU_SOURCE")
"""Of the command in docs/runtime.md."""
SANITIZERS = {
    "address": ("-fsanitize=address,undefined",),
    "thread": ("-fsanitize=thread", "-DNEO_PLAIN_SHA256"),
    "none": ("-O2", "-DNEO_NO_FUTEX"),
}
"""And between them the ways that other machines go."""

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc and its sanitizers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    programs.write_add(folder / "add.neo")
    programs.write(folder / "dynamic.neo", DYNAMIC, [Spec("x", "float32", (None,))], DYNAMIC_OUTPUTS)
    sides = [Spec("x", "int64", (COUNT,))], [Spec("y", "int64", (COUNT,))]
    steps = {"report": [{"name": "fill"}], "steps": [0, 0, 0]}
    programs.write(folder / "parallel.neo", PARALLEL, *sides, arena_bytes=1 << 16, **steps)
    return folder


def build(folder: Path, name: str, sanitizer: str, *sources: str) -> Path:
    """The program NAME of the runtime and `sources` of test/runtime."""
    runtime = Path(str(importlib.resources.files("neomlir.runtime_src")))
    files = [*map(str, runtime.glob("*.c")), *(str(HERE / s) for s in sources)]
    out = folder / f"{name}-{sanitizer}"
    flags = [*FLAGS, *SANITIZERS[sanitizer], "-fno-sanitize-recover=all", "-I", str(runtime)]
    subprocess.run(["gcc", *flags, *files, "-lm", "-lpthread", "-o", str(out)], check=True)
    return out


def run(program: Path, *arguments: object) -> str:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("sanitizer", "threads", "runs"), [("address", 4, 100), ("thread", 4, 100), ("none", 16, 200)])
def test_every_call(folder, sanitizer, threads, runs):
    program = build(folder, "api", sanitizer, "api.c")
    files = [folder / f"{name}.neo" for name in ("add", "dynamic", "parallel")]
    assert "all is well" in run(program, *files, threads, runs)


def test_the_corpus_of_the_fuzzer(folder):
    program = build(folder, "replay", "address", "fuzz_open.c", "replay.c")
    corpus = sorted((HERE / "corpus").iterdir())
    assert corpus and f"{len(corpus)} files" in run(program, *corpus)


def test_many_threads_for_long(folder):
    """16 threads, 100,000 runs of a convolutional network."""
    torch = pytest.importorskip("torch")
    import neomlir

    layers = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 64, 10)]
    neomlir.compile(torch.nn.Sequential(*layers).eval(), inputs=(torch.zeros(1, 3, 8, 8),), output=folder / "small.neo")
    assert "all alike" in run(build(folder, "soak", "none", "soak.c"), folder / "small.neo", 16, 100_000)


@pytest.mark.parametrize("target", ["host", "cortex-a72"])
def test_the_libraries_of_the_tool(folder, tmp_path, target, capsys):
    assert neo_runtime.main([str(tmp_path), "--target", target]) == 0
    assert "libneo.so" in capsys.readouterr().out
    assert (tmp_path / "libneo.so").stat().st_size <= 1 << 16
    if target != "host":
        return
    source = str(HERE.parents[1] / "benchmarks" / "startup.c")
    for library in ("libneo.so", "libneo.a"):
        out = tmp_path / f"start-{library}"
        files = [source, str(tmp_path / library), "-lm", "-lpthread", f"-Wl,-rpath,{tmp_path}"]
        subprocess.run(["gcc", "-I", str(tmp_path), *files, "-o", str(out)], check=True)
        run(out, folder / "add.neo")


USES_ALL = main(
    field("weights") + field("arena") + field("outputs") + item("outputs", 0, "y")
    + f"""
  call void @llvm.memset.p0.i64(ptr %arena, i8 1, i64 {4 << 20}, i1 false)
  %w = load float, ptr %weights
  store float %w, ptr %y
  ret i32 0""",
    "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n",
)  # fmt: skip


@pytest.mark.long
def test_peak_memory_is_weights_and_arena(tmp_path):
    """And one MiB, in a static program, whose C library is small."""
    weights = np.ones(2 << 20, np.float32)
    file = programs.write(
        tmp_path / "m.neo", USES_ALL, [], [Spec("y", "float32", (1,))], [(0, weights)], arena_bytes=4 << 20
    )
    sources = [*write_sources(tmp_path), str(HERE.parents[1] / "benchmarks" / "startup.c")]
    out = tmp_path / "start"
    command = ["cc", "-target", static_triple(programs.baseline()), *LEAST, "-I", str(tmp_path), *sources]
    zig(*command, "-o", str(out))
    peak = int(run(out, file).split()[1]) * 1024
    assert weights.nbytes + (4 << 20) <= peak <= weights.nbytes + (4 << 20) + (1 << 20)
    assert out.stat().st_size <= 100_000


def test_the_tool_says_what_it_cannot(tmp_path, capsys):
    assert neo_runtime.main([str(tmp_path), "--target", "apple-m1"]) == 1
    assert capsys.readouterr().err.startswith("neo-runtime: error: no shared library")
