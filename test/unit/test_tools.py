"""The command-line tools: exit codes, messages, and what they leave behind."""

import argparse
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from neomlir import workers
from neomlir.errors import ImportFailure, InternalError
from neomlir.tools import console, neo_bench, neo_compile, neo_run, sources


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1x3x640x640xf32", ("x", (1, 3, 640, 640), "float32")),
        ("x=1x?xi64", ("x", (1, None), "int64")),
        ("x=2x3", ("x", (2, 3), None)),
        ("x=f32", ("x", (), "float32")),
        ("a/b:0=4xbf16", ("a/b:0", (4,), "bfloat16")),
    ],
)
def test_shape_argument(text, expected):
    assert console.shape_argument(text) == expected


@pytest.mark.parametrize("text", ["x", "x=", "=1x2", "x=1xx2", "x=-1x2", "x=1x2xf33", "x=1,2", "x=f32xf32", "x=²x2"])
def test_shape_argument_refuses(text):
    with pytest.raises(argparse.ArgumentTypeError):
        console.shape_argument(text)


@pytest.mark.parametrize("tool", [neo_compile, neo_run, neo_bench])
def test_wrong_arguments_exit_with_2(tool, capsys):
    with pytest.raises(SystemExit) as exit_:
        tool.main(["--no-such-flag"])
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "name"), [(neo_compile, "neo-compile"), (neo_run, "neo-run"), (neo_bench, "neo-bench")]
)
def test_a_missing_file_exits_with_1(tool, name, capsys, tmp_path):
    missing = tmp_path / ("missing.neo" if tool is neo_run else "missing.onnx")
    assert tool.main([str(missing)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{name}: error: ")
    assert str(missing) in error


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"not a model"])
def test_garbage_gives_an_error_and_no_output(content, tmp_path, capsys):
    model, output = tmp_path / "bad.onnx", tmp_path / "bad.neo"
    model.write_bytes(content)
    assert neo_compile.main([str(model), "-o", str(output)]) == 1
    assert capsys.readouterr().err.startswith("neo-compile: error: ")
    assert not output.exists()


def test_garbage_program_exits_with_1(tmp_path, capsys):
    program = tmp_path / "bad.neo"
    program.write_bytes(b"not a program")
    assert neo_run.main([str(program)]) == 1
    assert capsys.readouterr().err.startswith("neo-run: error: ")


def test_interrupt_exits_with_130(capsys):
    def body(arguments):
        raise KeyboardInterrupt

    assert console.run_tool(argparse.ArgumentParser("tool"), body, []) == 130
    assert capsys.readouterr().err == "tool: interrupted\n"


def test_unwritable_output_exits_with_1(capsys):
    def body(arguments):
        raise PermissionError(13, "Permission denied", "/sealed/x.neo")

    assert console.run_tool(argparse.ArgumentParser("tool"), body, []) == 1
    assert capsys.readouterr().err == "tool: error: Permission denied: /sealed/x.neo\n"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 s"), (4e-8, "40 ns"), (1.5e-6, "1.5 µs"), (0.25, "250.00 ms"), (61.2, "61.20 s")]
)
def test_durations_in_the_unit_that_suits_them(value, text):
    assert console.seconds(value) == text


def test_json_has_no_nan(capsys):
    console.print_json({"a": [float("nan"), float("inf"), 1.5], "b": {"c": 1}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5], "b": {"c": 1}}


def test_starting_a_tool_loads_no_framework():
    code = (
        "import sys, neomlir.tools.neo_run, neomlir.tools.neo_compile, neomlir.tools.neo_bench\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'openvino') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_source_from_a_function(tmp_path):
    (tmp_path / "helper.py").write_text("VALUE = 3\n")
    (tmp_path / "m.py").write_text("import helper\ndef make():\n    return 'module', (helper.VALUE,)\n")
    assert sources.open_source(f"{tmp_path}/m.py:make") == ("module", (3,))


@pytest.mark.parametrize(
    ("function", "message"),
    [("absent", "no function 'absent'"), ("fails", "raised ValueError: no"), ("wrong", "must return")],
)
def test_source_from_a_bad_function(tmp_path, function, message):
    (tmp_path / "m.py").write_text("def fails():\n    raise ValueError('no')\ndef wrong():\n    return 1\n")
    with pytest.raises(ImportFailure, match=message):
        sources.open_source(f"{tmp_path}/m.py:{function}")


def test_saved_outputs_stay_in_their_folder(tmp_path):
    arrays = {name: np.full(2, i) for i, name in enumerate(["../up", "a/b", "a_b", "", "..", "/etc/x"])}
    files = neo_run._save(arrays, tmp_path / "out")
    assert len(set(files.values())) == len(arrays)
    assert {path.parent for path in (tmp_path / "out").rglob("*")} == {tmp_path / "out"}
    for name, array in arrays.items():
        assert np.array_equal(np.load(files[name]), array)


def test_shapes_take_the_place_of_example_inputs():
    torch = pytest.importorskip("torch")

    class Two(torch.nn.Module):
        def forward(self, ids, x):
            return x[ids]

    source = sources.Source(Two(), (torch.zeros(3, dtype=torch.int64), torch.zeros(4)))
    assert source.with_shapes([]) is source.inputs
    inputs = source.with_shapes([("ids", (None,), None)])
    assert inputs["ids"] == ((None,), "int64")
    assert inputs["x"] is source.inputs[1]
    with pytest.raises(ImportFailure, match="no input 'y'; its inputs are ids, x"):
        source.with_shapes([("y", (1,), None)])
    assert sources.Source("m.onnx", None).with_shapes([("x", (1, 2), "float32")]) == {"x": (1, 2)}


def test_a_mistake_of_ours_is_one_line(capsys, monkeypatch):
    def body(arguments):
        raise KeyError("lost")

    assert console.run_tool(argparse.ArgumentParser("tool"), body, []) == 1
    assert re.fullmatch(
        r"tool: error: internal error: KeyError: 'lost' \(.*test_tools.py:\d+\)\n", capsys.readouterr().err
    )
    monkeypatch.setenv("NEO_TRACEBACK", "1")
    assert console.run_tool(argparse.ArgumentParser("tool"), body, []) == 1
    assert capsys.readouterr().err.startswith("Traceback (most recent call last)")


def test_a_mistake_in_a_worker_keeps_its_trace():
    with pytest.raises(InternalError, match=r"internal error: ZeroDivisionError: ") as error:
        workers.isolated(lambda emit: 1 // 0)
    assert "Traceback" in error.value.trace
