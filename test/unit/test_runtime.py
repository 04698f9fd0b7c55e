"""Models at run time, on programs written in LLVM IR by hand."""

import gc
import os
import subprocess
import sys
import time

import ml_dtypes
import numpy as np
import programs
import pytest
from neomlir import results
from neomlir.artifact import Spec
from neomlir.errors import ArtifactError, ModelError
from neomlir.runtime import Model, load
from programs import COUNT, PARALLEL, field, item, main

X = np.arange(6, dtype=np.float32).reshape(2, 3)
EXPECTED = X + np.arange(6).reshape(2, 3) * 10


def returning(tmp_path, body: str, outputs: list[Spec]) -> Model:
    return load(programs.write(tmp_path / "r.neo", main(body), [Spec("x", "float32", (None,))], outputs))


# Calls.


def test_call_and_run(add):
    assert np.array_equal(add(X), EXPECTED)
    assert list(add.run({"x": X})) == ["y"]
    assert np.array_equal(add.run({"x": X})["y"], EXPECTED)
    assert add.inputs == (("x", "float32", (2, 3)),)
    assert add.inputs[0].name == "x" and add.outputs[0].shape == (2, 3)


def test_trace_notes_each_loop_of_a_run(tmp_path):
    spec = [Spec("x", "int64", (COUNT,))]
    path = programs.write(tmp_path / "p.neo", PARALLEL, spec, [Spec("y", "int64", (COUNT,))])
    model, x = load(path, threads=2, report={"steps": [0, 0, 0]}), np.zeros(COUNT, np.int64)
    plain = model.run({"x": x})["y"]
    before = time.monotonic_ns()
    outputs, events = model.trace({"x": x})
    assert np.array_equal(outputs["y"], plain)
    assert events[:, 2].tolist() == [COUNT, 0, 1]
    times = [before, *events[:, :2].reshape(-1), time.monotonic_ns()]
    assert times == sorted(times)
    events[:] = -1
    assert np.array_equal(model.run({"x": x})["y"], plain)
    assert (events == -1).all(), "a plain run notes nothing"
    with pytest.raises(ModelError, match="ran 3 kernels, its file names 1"):
        load(path, report={"steps": [0]}).trace({"x": x})


def test_results_are_new_arrays(add):
    first = add(X)
    add(X * 0)
    assert np.array_equal(first, EXPECTED)


@pytest.mark.parametrize("large", [False, True])
def test_long_results_start_at_a_line_of_the_cache(parallel, monkeypatch, large):
    monkeypatch.setattr(results, "_LONG", 8 * COUNT)
    monkeypatch.setattr(results, "_LARGE", 8 * COUNT + (not large))
    found = [parallel(np.zeros(COUNT, np.int64)) for _ in range(5)]
    assert {y.ctypes.data % 64 for y in found} == {0} and all(y.flags.writeable for y in found)


def test_memory_of_large_results_is_used_again_when_nobody_looks(parallel, monkeypatch):
    monkeypatch.setattr(results, "_LARGE", 8 * COUNT)
    monkeypatch.setattr(results, "_LONG", 8 * COUNT)
    x = np.arange(COUNT)
    wanted = parallel(x).copy()
    place = parallel(x).ctypes.data
    others = [np.empty(8 * COUNT + 64, np.uint8) for _ in range(4)]
    assert parallel(x).ctypes.data == place and len(others) == 4
    view = parallel(x)[COUNT // 2 :]
    kept = [parallel(x * 0 + i) for i in range(5)]
    assert len({y.ctypes.data for y in kept}) == 5
    parallel.close()
    gc.collect()
    assert np.array_equal(view, wanted[COUNT // 2 :])


@pytest.mark.parametrize("order", ["transposed", "reversed", "strided", "read-only", "unaligned"])
def test_any_layout(add, order):
    given = {
        "transposed": X.T.copy().T,
        "reversed": X[::-1].copy()[::-1],
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
        "read-only": X.copy(),
        "unaligned": np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(2, 3),
    }[order]
    if order == "read-only":
        given.flags.writeable = False
    assert np.array_equal(add(given), EXPECTED)


def test_torch_tensors(add):
    torch = pytest.importorskip("torch")
    assert np.array_equal(add(torch.from_numpy(X)), EXPECTED)
    assert np.array_equal(add(torch.from_numpy(X).requires_grad_()), EXPECTED)
    assert np.array_equal(add(torch.from_numpy(X.T.copy()).T), EXPECTED)
    with pytest.raises(ModelError, match="float64"):
        add(torch.from_numpy(X).double())


def test_other_exporters(add):
    class Exporter:
        def __init__(self, **methods: object) -> None:
            self.__dict__.update(methods)

    class Dlpack(Exporter):
        __dlpack__ = lambda self, **options: X.__dlpack__(**options)  # noqa: E731
        __dlpack_device__ = lambda self: X.__dlpack_device__()  # noqa: E731

    class Array(Exporter):
        __array__ = lambda self, dtype=None, copy=None: X  # noqa: E731

    assert np.array_equal(add(Dlpack()), EXPECTED)
    assert np.array_equal(add(Array()), EXPECTED)


def test_bfloat16(tmp_path):
    body = field("inputs") + field("outputs") + item("inputs", 0, "x") + item("outputs", 0, "y")
    body += "\n  %v = load i64, ptr %x, align 2\n  store i64 %v, ptr %y, align 2\n  ret i32 0"
    spec = [Spec("x", "bfloat16", (4,))]
    model = load(programs.write(tmp_path / "b.neo", main(body), spec, [Spec("y", "bfloat16", (4,))]))
    x = np.array([1, -2, 0.5, 3], ml_dtypes.bfloat16)
    assert model(x).dtype == x.dtype and np.array_equal(model(x), x)
    torch = pytest.importorskip("torch")
    assert np.array_equal(model(torch.tensor([1, -2, 0.5, 3], dtype=torch.bfloat16)), x)
    strided = torch.tensor([1, 9, -2, 9, 0.5, 9, 3, 9], dtype=torch.bfloat16)[::2]
    assert np.array_equal(model(strided), x)


@pytest.mark.parametrize(
    "given, match",
    [
        (X.astype(np.float64), r"'x' has dtype float64, the model takes x: float32\(2, 3\)"),
        (X.astype(">f4"), "'x' has dtype >f4"),
        (X.T, r"'x' has shape \(3, 2\), the model takes x: float32\(2, 3\)"),
        (X[0], r"'x' has shape \(3\)"),
        (np.float32(1), r"'x' has shape \(\)"),
        ("text", "'x' has dtype"),
        (None, "'x' has dtype object"),
        ([[1.0], [2.0, 3.0]], "'x': a list that is no array"),
    ],
)
def test_wrong_arrays(add, given, match):
    with pytest.raises(ModelError, match=match):
        add(given)
    assert np.array_equal(add(X), EXPECTED)


@pytest.mark.parametrize("given", [[X], None, 3, "x"])
def test_run_takes_names(add, given):
    with pytest.raises(ModelError, match="a dict of arrays by input name"):
        add.run(given)


def test_wrong_names_and_counts(add):
    with pytest.raises(ModelError, match=r"takes 1 inputs \(x: float32\(2, 3\)\), 2 were given"):
        add(X, X)
    with pytest.raises(ModelError, match="the inputs are x; missing: x; unknown: z"):
        add.run({"z": X})


# Dynamic shapes.


@pytest.mark.parametrize("n", [1, 5, 1000, 300_000, 0])
def test_dynamic_outputs(dynamic, n):
    x = np.random.default_rng(n).random(n, np.float32)
    count, y = dynamic(x)
    assert count == n and count.shape == ()
    assert y.shape == (2, n) and np.array_equal(y, np.stack([x, x]))
    assert y.flags.writeable


def test_dynamic_outputs_keep_their_memory(dynamic):
    arrays = [np.full(100 + i, i, np.float32) for i in range(20)]
    views = [dynamic(x)[1][1, 10:] for x in arrays]
    dynamic.close()
    gc.collect()
    for x, view in zip(arrays, views, strict=True):
        assert np.array_equal(view, x[10:])


def test_memory_of_outputs_is_used_again(dynamic):
    x = np.ones(50_000, np.float32)
    places = {dynamic(x)[1].ctypes.data for _ in range(20)}
    assert len(places) <= 2
    kept = [dynamic(x)[1] for _ in range(5)]
    assert len({y.ctypes.data for y in kept}) == 5


# Failures.


def test_codes_and_their_inputs(tmp_path):
    model = returning(tmp_path, "\n  ret i32 3", [Spec("y", "float32", (1,))])
    with pytest.raises(ModelError, match=r"a dimension contradicts another; the inputs were x: \(7\)"):
        model(np.ones(7, np.float32))
    with pytest.raises(ModelError, match="code 77"):
        returning(tmp_path, "\n  ret i32 77", [])(np.ones(7, np.float32))


ANNOUNCE = """
  %dims = alloca [40 x i64]
  store i64 EXTENT, ptr %dims
  %d1 = getelementptr i64, ptr %dims, i64 1
  store i64 EXTENT, ptr %d1
  %y = call ptr %output(ptr %runtime, i64 INDEX, i64 RANK, ptr %dims)
  store i8 1, ptr %y
  ret i32 0"""


@pytest.mark.parametrize(
    "index, rank, extent, match",
    [
        (0, 2, -4, "output 'y' would have extent -4 in dimension 0"),
        (0, 2, 1 << 45, "'y' would have more bytes than can be counted"),
        (0, 2, 1 << 28, "no memory for output 'y'"),
        (1, 2, 4, "output 1 of rank 2"),
        (-1, 2, 4, "output -1"),
        (0, 33, 4, "rank 33"),
        (0, 1, 4, r"'y' came with shape \(4\), the model says \(\?, \?\); the inputs were x: \(7\)"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, index, rank, extent, match):
    body = field("output") + field("runtime") + ANNOUNCE
    for name, value in (("INDEX", index), ("RANK", rank), ("EXTENT", extent)):
        body = body.replace(name, str(value))
    model = returning(tmp_path, body, [Spec("y", "float32", (None, None))])
    for _ in range(3):
        with pytest.raises(ModelError, match=match):
            model(np.ones(7, np.float32))


def test_an_output_that_is_not_written(tmp_path):
    model = returning(tmp_path, "\n  ret i32 0", [Spec("y", "float32", (None,))])
    with pytest.raises(ModelError, match="did not write its output 'y'"):
        model(np.ones(1, np.float32))


def test_no_memory_ends_the_run_only(tmp_path):
    body = field("alloc") + field("runtime")
    body += """
  %a = call ptr %alloc(ptr %runtime, i64 100)
  %b = call ptr %alloc(ptr %runtime, i64 4611686018427387904)
  store i8 1, ptr %b
  ret i32 0"""
    model = returning(tmp_path, body, [])
    for _ in range(100):
        with pytest.raises(ModelError, match="no memory for an intermediate of 4611686018427387904 bytes"):
            model(np.ones(1, np.float32))


def test_programs_that_cannot_be_loaded(tmp_path):
    missing = main("\n  call void @nowhere()\n  ret i32 0", "declare void @nowhere()")
    with pytest.raises(ArtifactError, match=r"cannot be loaded.*nowhere"):
        load(programs.write(tmp_path / "m.neo", missing, [], []))
    with pytest.raises(ArtifactError, match="no entry 'neo_other'"):
        load(programs.write(tmp_path / "a.neo", main("\n  ret i32 0"), [], [], entry="neo_other"))


def test_an_arena_that_no_machine_has(tmp_path):
    spec = [Spec("x", "float32", (2, 3))]
    path = programs.write(tmp_path / "a.neo", programs.ADD, spec, [Spec("y", "float32", (2, 3))], arena_bytes=1 << 42)
    code = f"""
import resource, neomlir
resource.setrlimit(resource.RLIMIT_AS, (1 << 36, 1 << 36))
try:
    neomlir.load({str(path)!r})
except neomlir.ModelError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no memory for an arena of 4398046511104 bytes" in done.stdout


# Files.


def test_bytes_and_unlinked_files(tmp_path):
    path = programs.write_add(tmp_path / "add.neo")
    data = path.read_bytes()
    from_file, from_bytes = load(path), load(data)
    path.unlink()
    assert np.array_equal(from_file(X), EXPECTED) and np.array_equal(from_bytes(X), EXPECTED)
    for model in (from_file, from_bytes):
        model.save(tmp_path / "again.neo")
        assert (tmp_path / "again.neo").read_bytes() == data


def test_models_are_not_taken_for_each_other(tmp_path, parallel):
    """Their code lies in memory files whose names repeat."""
    path = programs.write_add(tmp_path / "add.neo")
    for _ in range(3):
        with load(path) as model:
            assert np.array_equal(model(X), EXPECTED)
        other = load(tmp_path / "p.neo")
        assert other(np.zeros(COUNT, np.int64))[5] == 6
        other.close()


def test_descriptors_are_given_back(tmp_path):
    path = programs.write_add(tmp_path / "add.neo")
    load(path).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        load(path)(X)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_report(tmp_path, add):
    assert add.report["arena_bytes"] == 4096 and add.report["weight_bytes"] == 24 and add.report["kernels"] == []
    assert load(tmp_path / "add.neo", report={"own": 1}).report == {"own": 1}


def test_closed(tmp_path, add):
    y = add(X)
    add.close()
    add.close()
    assert np.array_equal(y, EXPECTED)
    for use in (lambda: add(X), lambda: add.save(tmp_path / "s.neo"), lambda: setattr(add, "threads", 2)):
        with pytest.raises(ModelError, match="closed"):
            use()


def test_the_runtime_is_built_once_and_where_there_is_room(tmp_path):
    path = programs.write_add(tmp_path / "add.neo")
    code = f"import neomlir, numpy; print(neomlir.load({str(path)!r})(numpy.ones((2, 3), 'f4')).sum())"
    cache = tmp_path / "cache"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "NEO_CACHE_DIR": str(cache)})
    assert len(list((cache / "runtime").iterdir())) == 1
    nowhere = {**os.environ, "NEO_CACHE_DIR": "/proc/nowhere", "HOME": "/proc/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True, env=nowhere, timeout=100)
    assert done.stdout.strip() == "156.0"
