"""The tools as processes: what they print where, their exit codes, and what an end half-way leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import neomlir
import numpy as np
import pytest
from neomlir.tools import neo_run

onnx = pytest.importorskip("onnx")
from onnx import helper  # noqa: E402

BIN = Path(sys.executable).parent


def value(name, shape=(2, 3)):
    return helper.make_tensor_value_info(name, 1, shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that compiles, one with an operator that nobody knows, and one that is damaged."""
    place = tmp_path_factory.mktemp("models")
    for name, operator in (("good", "Relu"), ("unknown", "Foo")):
        graph = helper.make_graph(
            [helper.make_node(operator, ["x"], ["y"], name="n1")], "g", [value("x")], [value("y")]
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        (place / f"{name}.onnx").write_bytes(made.SerializeToString())
    (place / "damaged.onnx").write_bytes((place / "good.onnx").read_bytes()[:-7])
    run("neo-compile", place / "good.onnx", "-o", place / "good.neo")
    return place


def run(tool, *arguments, **options):
    return subprocess.run([BIN / tool, *arguments], capture_output=True, text=True, timeout=120, **options)


def refused(done, *words):
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.startswith("neo-") and ": error: " in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("model", ["unknown", "damaged"])
def test_a_bad_model_is_one_message_and_no_file(folder, tmp_path, model):
    done = run(
        "neo-compile", folder / f"{model}.onnx", "-o", tmp_path / "out.neo", env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    refused(done, f"{model}.onnx")
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_document_on_stdout(folder, tmp_path):
    done = run("neo-compile", folder / "good.onnx", "-o", tmp_path / "a.neo", "--check", "--json")
    report = json.loads(done.stdout)
    assert {"output", "levels", "kernels", "arena_bytes", "weight_bytes", "code_bytes", "check"} <= report.keys()
    assert done.stderr == ""
    assert (
        json.loads(run("neo-compile", folder / "good.onnx", "--dry-run", "--json").stdout)["kernels"][0]["flops"] == 6
    )
    missing = run("neo-compile", folder / "unknown.onnx", "--dry-run", "--json")
    assert json.loads(missing.stdout)["missing"] == [{"op": "Foo", "count": 1, "nodes": ["n1"]}]
    assert missing.returncode == 1
    level = json.loads(run("neo-compile", folder / "good.onnx", "--stop-at", "linalg", "--json").stdout)
    assert level["level"] == "linalg" and "linalg.generic" in level["ir"]
    assert json.loads(run("neo-run", folder / "good.neo", "--json").stdout)["outputs"][0]["shape"] == [2, 3]
    times = json.loads(run("neo-bench", folder / "good.neo", "--runs", "2", "--json").stdout)
    assert times["results"]["neo"]["runs"] == 2


def test_the_dry_run_says_what_a_run_needs(folder):
    done = run("neo-compile", folder / "good.onnx", "--dry-run")
    for word in ("Schedules", "elementwise", "Needs", "arithmetic a run", "6 FLOP", "48 B", "weights"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("neo-compile", ["good.onnx", "--target", "nosuch"], "there is no target 'nosuch'"),
        ("neo-compile", ["good.onnx", "--pipeline", "cpu-afine"], "there are cpu, cpu-affine, cpu-scalar"),
        (
            "neo-compile",
            ["good.onnx", "--dry-run", "--check", "-o", "x"],
            "--dry-run makes no program: leave --check, --output",
        ),
        (
            "neo-compile",
            ["good.onnx", "--stop-at", "linalg", "--dump", "d"],
            "--stop-at makes no program: leave --dump out",
        ),
        ("neo-compile", ["good.onnx", "-j", "0"], "'0' is not a positive integer"),
        ("neo-bench", ["good.neo", "--against", "onnxruntime"], "--against needs the source model"),
        ("neo-bench", ["good.onnx", "--against", "tensorflow"], "choose from onnxruntime, openvino, torch"),
        ("neo-bench", ["good.onnx", "--target", "nosuch"], "there is no target 'nosuch'"),
        ("neo-run", ["good.neo", "--input", "x"], "'x' is not NAME=VALUE"),
        ("neo-run", ["good.neo", "--threads", "-1"], "'-1' is not a positive integer"),
    ],
)
def test_wrong_arguments(folder, tool, arguments, message):
    done = run(tool, *arguments, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("neo-compile", ["good.onnx", "-o", "."], ["Is a directory"]),
        ("neo-compile", ["good.onnx", "-o", "no/such/x.neo"], ["there is no folder no/such"]),
        ("neo-compile", ["good.onnx", "--dump", "good.onnx/x", "-o", "x.neo"], ["the levels cannot be written"]),
        ("neo-compile", ["good.onnx", "--stop-at", "linalg", "-o", "no/such/x"], ["cannot be written"]),
        ("neo-compile", ["good.onnx", "--input", "z=1", "-o", "x.neo"], ["no input 'z'"]),
        ("neo-compile", ["good.onnx", "--input", "x=2x4", "-o", "x.neo"], ["'x'", "2x3"]),
        ("neo-compile", ["good.onnx", "--input", "x=2x3xi8", "-o", "x.neo"], ["float32 in the model, not int8"]),
        ("neo-run", ["good.onnx"], ["good.onnx"]),
        ("neo-run", ["good.neo", "--input", "x=good.onnx"], ["not a .npy file"]),
        ("neo-run", ["good.neo", "--input", "x=random:2x4"], ["can't be 2x4"]),
        ("neo-run", ["good.neo", "--output", "good.onnx/x"], ["Not a directory"]),
        ("neo-bench", ["good.neo", "--input", "z=3"], ["no input 'z'"]),
    ],
)
def test_what_cannot_be_done_exits_with_1(folder, tool, arguments, words):
    before = sorted(folder.iterdir())
    refused(run(tool, *arguments, cwd=folder), *words)
    assert sorted(folder.iterdir()) == before


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}", bytes(24)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", bytes(24)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", bytes(24)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", bytes(23)),
        npy("__import__('os').abort()", bytes(24)),
        npy("{" * 5000, bytes(24)),
    ],
)
def test_arrays_that_lie(folder, tmp_path, data, capsys):
    (tmp_path / "x.npy").write_bytes(data)
    assert neo_run.main([str(folder / "good.neo"), "--input", f"x={tmp_path / 'x.npy'}"]) == 1
    assert "input 'x': " in capsys.readouterr().err


def test_arrays_of_other_types_come_back(tmp_path, capsys):
    """numpy's format has no name for bfloat16: such a file holds bare bytes."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 16, (2, 3))],
        [helper.make_tensor_value_info("y", 16, (2, 3))],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    neomlir.compile(made, output=tmp_path / "m.neo")
    x = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", x)
    arguments = ["--input", f"x={tmp_path / 'x.npy'}", "--output", str(tmp_path), "--json"]
    assert neo_run.main([str(tmp_path / "m.neo"), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"][0]["min"] == -5
    assert np.array_equal(np.load(tmp_path / "y.npy").view(ml_dtypes.bfloat16), -x)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_half_way_leaves_nothing(folder, tmp_path, number, code):
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir(), out.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch), "NEO_CACHE_DIR": str(tmp_path / "cache")}
    # A shell's background jobs ignore SIGINT, and what they start inherits that.
    process = subprocess.Popen(
        [BIN / "neo-compile", folder / "good.onnx", "--no-cache", "-o", out / "x.neo"],
        env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(scratch.rglob("*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert (stdout, stderr) == ("", "neo-compile: interrupted\n" if number == signal.SIGINT else "")
    assert list(out.iterdir()) == list(scratch.iterdir()) == []


def test_a_device_as_the_place_of_a_program_stays(folder, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    assert run("neo-compile", folder / "good.onnx", "-o", pipe).returncode == 0
    assert pipe.is_fifo()
    assert os.read(end, 1 << 16) == (folder / "good.neo").read_bytes()
    os.close(end)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"jobs": 0}, "jobs= is how many"),
        ({"jobs": "all"}, "jobs= is how many"),
        ({"threads": 0}, "1 to 1024 threads"),
        ({"target": 7}, "target= is a name or a Target"),
        ({"pipeline": "cpu-fast"}, "there is no pipeline 'cpu-fast'"),
        ({"stop_at": "asm"}, "there is no level 'asm'"),
        ({"stop_at": "linalg", "dump": "d"}, "stop_at= makes no program: leave dump= out"),
        ({"stop_at": "linalg", "emit": "exe", "include_ir": True}, "leave include_ir=, emit='exe' out"),
        ({"stop_at": "linalg", "output": "no/such/x"}, "no/such/x cannot be written"),
        ({"inputs": {"x": (2, 4)}}, "'x'"),
        ({"inputs": 5}, "could not be imported"),
        ({"output": 5}, "output= is a path, not int"),
        ({"output": "a\0b"}, "output= is a path; .* null character"),
        ({"dump": 5}, "dump= is a path, not int"),
        ({"tuned": 5}, "tuned= is a path, not int"),
    ],
)
def test_wrong_options_of_compile(folder, options, match):
    with pytest.raises(neomlir.NeoError, match=match):
        neomlir.compile(folder / "good.onnx", **options)


def test_a_level_is_written_where_it_is_asked_for(folder, tmp_path):
    text = neomlir.compile(folder / "good.onnx", stop_at="linalg", output=tmp_path / "level.mlir")
    assert "linalg.generic" in text
    assert (tmp_path / "level.mlir").read_text() == text
