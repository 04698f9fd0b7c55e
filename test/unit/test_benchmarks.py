"""The benchmarks' own arithmetic, and that they run; nothing here looks at a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import compile as compile_bench  # noqa: E402
import int8  # noqa: E402
import layers  # noqa: E402
import roofline  # noqa: E402
import scaling  # noqa: E402
import streams  # noqa: E402
import weight_only  # noqa: E402


def test_distinct_convolutions_of_a_network():
    found = layers.convolutions("mobilenet_small")
    from models import MODELS

    model, _ = MODELS["mobilenet_small"].build()
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sum(layer.count for layer in found) == len(convs)
    assert {layer.group for layer in found} == {"mobilenet_small", "mobilenet_small depthwise"}
    stem = found[0]
    outputs = stem.module(stem.example).shape
    assert stem.name == f"3x32 -> {outputs[1]} 3x3/2"
    assert stem.flops == 2 * outputs.numel() * 27
    assert stem.bytes == 4 * (3 * 32 * 32 + outputs.numel() + outputs[1] * 28)


def test_innermost_channels_compute_the_same():
    layer = layers.convolutions("mobilenet_small")[0]
    x = layer.example.permute(0, 2, 3, 1).contiguous()
    torch.testing.assert_close(layers.Last(layer.module)(x).permute(0, 3, 1, 2), layer.module(layer.example))


def test_a_layer_beside_its_peers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["roofline.py", "gemm", "--seconds", "0.01", "--json", str(tmp_path / "r.json")])
    monkeypatch.setattr(roofline.timing, "pin", lambda threads: None)
    monkeypatch.setitem(roofline.GROUPS, "gemm", lambda: [layers._product(33, 1000, 77)])
    threads = torch.get_num_threads()
    roofline.main()
    torch.set_num_threads(threads)
    (result,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert result["error"] < 1e-5 and result["runs"] >= 5
    assert result["flops"] == 2 * 33 * 1000 * 77
    for name in ("neo", "onednn", "onnxruntime"):
        assert 0 < result["best"][name] <= result["median"][name]
        assert result["share"][name] == pytest.approx(result["floor"] / result["best"][name])
    assert "33x1000x77" in capsys.readouterr().out
    assert roofline.summary([result, result])[6] == roofline.row(result)[6]


def test_models_on_several_threads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scaling.timing, "pin", lambda threads: None)
    arguments = ["scaling.py", "mlp", "--threads", "3", "--runs", "4", "--json", str(tmp_path / "r.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    scaling.main()
    (result,) = json.loads((tmp_path / "r.json").read_text())["results"]
    for key in ("median", "best"):
        assert result["ratio"][key] == result["one"][key] / result["several"][key]
    assert "mlp" in capsys.readouterr().out


def test_start_and_memory_of_a_tool(tmp_path):
    compile_bench.prepare("mlp", tmp_path)
    result = compile_bench.measure("mlp", "onnxruntime", tmp_path)
    assert result["seconds"] > 0 and result["peak_bytes"] >= result["before_bytes"] > 1 << 20
    (tmp_path / "model.onnx").write_bytes(b"no model")
    failed = compile_bench.measure("mlp", "onnxruntime", tmp_path)
    assert "failed" in failed and compile_bench.cell(failed) == "failed"


def test_a_quantised_model_beside_onnx_runtime():
    pytest.importorskip("onnxruntime")
    result = int8.measure_one("mobilenet_small", 1, 2, ["onnxruntime"], "s8")
    assert not result["missing"]
    # A value next to a half may go either way. What ONNX Runtime's is off depends on the processor's instructions.
    assert set(result["quanta"]) == {"neo", "onnxruntime"} and result["quanta"]["neo"] <= 1.01
    line = int8.row(result, ["onnxruntime"])
    assert line[0] == "mobilenet_small" and "ms (" in line[2]


def test_products_of_one_row_beside_onnx_runtime(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(weight_only, "BYTES", 1)
    found = weight_only.measure("64x64", 32, 2)
    assert found["products"] == 2 and set(found["microseconds"]) == set(found["errors"]) == set(found["file_bytes"])
    # The two round weights alike, and multiply them alike but for the order of sums.
    assert found["errors"]["neo int4:32"] == pytest.approx(found["errors"]["onnxruntime int4"], rel=1e-3)
    assert found["errors"]["neo int8"] < 0.02 < found["errors"]["neo int4:32"] < 0.2
    assert found["errors"]["onnxruntime fp32"] < 1e-5


def test_a_stream_beside_a_copy(tmp_path, monkeypatch, capsys):
    command = [
        "streams.py",
        "moves",
        "--only",
        "transpose, odd",
        "--large",
        "0",
        "--small",
        "65536",
        "--tiny",
        "0",
        "--seconds",
        "0.01",
    ]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(tmp_path / "s.json")])
    monkeypatch.setattr(streams.timing, "pin", lambda threads: None)
    monkeypatch.setattr(streams, "keep_pages", lambda: None)
    threads = torch.get_num_threads()
    streams.main()
    torch.set_num_threads(threads)
    (result,) = json.loads((tmp_path / "s.json").read_text())["results"]
    assert result["error"] == 0 and result["bytes"] == 2 * 4 * 8 * 1003 and result["by"] == ["elementwise"]
    for name in ("neo", "torch"):
        assert result["share"][name] == pytest.approx(result["bytes"] / result["best"][name] / result["copy"])
    assert "transpose, odd" in capsys.readouterr().out
