"""Profiles: what is read off a program, what is made of measurements, and the report."""

from __future__ import annotations

import base64
import gzip
import html
import importlib.util
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import neomlir
import numpy as np
import pytest
from neomlir.dialects import context
from neomlir.errors import ModelError
from neomlir.machine import Machine, Meter
from neomlir.mlir import ir
from neomlir.passes.functions import defined_functions
from neomlir.profiling import Profile, _costs, _profile, code_target
from neomlir.report import mlir_lexer
from neomlir.steps import steps_of
from neomlir.targets import Target
from neomlir.tools import neo_bench
from plotly.offline import get_plotlyjs
from programs import baseline, write_add
from test_replay import model

HOST = """
func.func @main(%x: memref<8xf32>, %y: memref<8xf32>,
    %weights: memref<?xi8>, %arena: memref<?xi8>, %runtime: !llvm.ptr) {
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %w = memref.view %weights[%c64][] : memref<?xi8> to memref<8xf32>
  %a = memref.view %arena[%c64][] : memref<?xi8> to memref<8xf32>
  %b = memref.view %arena[%c0][] : memref<?xi8> to memref<2xi1>
  %1 = builtin.unrealized_conversion_cast %x, %w, %a : memref<8xf32>, memref<8xf32>, memref<8xf32>
    to tuple<memref<8xf32>, memref<8xf32>, memref<8xf32>>
  "neo.dispatch"(%runtime, %one, %1) {kernel = @first}
    : (!llvm.ptr, index, tuple<memref<8xf32>, memref<8xf32>, memref<8xf32>>) -> ()
  %v = memref.expand_shape %a [[0, 1]] output_shape [2, 4] : memref<8xf32> into memref<2x4xf32>
  %2 = builtin.unrealized_conversion_cast %x, %b : memref<8xf32>, memref<2xi1> to tuple<memref<8xf32>, memref<2xi1>>
  "neo.dispatch"(%runtime, %one, %2) {kernel = @second} : (!llvm.ptr, index, tuple<memref<8xf32>, memref<2xi1>>) -> ()
  %3 = builtin.unrealized_conversion_cast %v, %y : memref<2x4xf32>, memref<8xf32>
    to tuple<memref<2x4xf32>, memref<8xf32>>
  "neo.dispatch"(%runtime, %one, %3) {kernel = @first}
    : (!llvm.ptr, index, tuple<memref<2x4xf32>, memref<8xf32>>) -> ()
  return
}
"""


def test_steps_and_lives_of_buffers():
    """A view of a view lives as long as what it looks at; weights, inputs and outputs are no intermediates."""
    with context():
        module = ir.Module.parse(HOST)
        steps = steps_of(next(iter(defined_functions(module.operation))))
    assert steps.kernels == ["first", "second", "first"]
    assert sorted(steps.buffers) == [(0, 2, 1, 1), (64, 32, 0, 2)]


def events(steps: list[int], seconds: float) -> np.ndarray:
    """Two runs whose kernels take `seconds` each, one after another with 1 µs between."""
    begin = np.arange(len(steps)) * (seconds * 1e9 + 1000)
    one = np.stack([begin, begin + seconds * 1e9, np.full(len(steps), 3)], axis=1).astype(np.int64)
    later = one + np.array([10**9, 10**9, 0])
    return np.stack([one, later])


class Program:
    """As much of a model as a profile is made of."""

    target, threads = "x86-64-v3", 2

    def __init__(self, **kernel):
        first = {"name": "first", "schedule": "window", "calls": 2, "flops": 10_000, "bytes": 1000, "in": ["main"]}
        unused = {"name": "compile-time", "schedule": "elementwise", "calls": 1, "flops": 1, "bytes": 1}
        self.report = {
            "kernels": [
                first | kernel,
                unused,
                {"name": "second", "calls": 1, "parameters": {"rows": 4}, "tuned": True},
            ],
            "steps": [0, 2, 0],
            "buffers": [[0, 640, 0, 1], [640, 64, 1, 2]],
            "arena_bytes": 704,
        }


MACHINE = Machine(2, 1e9, ((1 << 14, 4e9), (1 << 20, 1e9)))


def made(**kernel) -> Profile:
    program = Program(**kernel)
    costs = _costs(program, {})
    return _profile(program, MACHINE, [0.5, 0.5], [0.6, 0.6], events([0, 2, 0], 20e-6), {}, costs)


def test_rates_and_shares_are_those_of_the_events():
    profile = made()
    first, second = profile.kernels
    assert (first.name, first.calls, second.name, second.calls) == ("first", 2, "second", 1)
    assert first.seconds == pytest.approx(40e-6) and first.share == pytest.approx(2 / 3)
    assert first.flops_rate == pytest.approx(20_000 / 40e-6)
    assert first.bytes_rate == pytest.approx(2000 / 40e-6)
    assert first.roof == pytest.approx(0.5), "10,000 operations at 1 GFLOP/s take 10 of 20 µs"
    assert (second.flops_rate, second.roof, second.tuned) == (None, None, True), "dynamic extents"
    assert [(s.kernel, s.items) for s in profile.steps] == [(0, 3), (1, 3), (0, 3)]
    assert profile.steps[1].begin == pytest.approx(21e-6)
    assert profile.outside == pytest.approx(0.6 - 60e-6)


def test_the_roof_is_the_slower_of_arithmetic_and_a_copy_as_large():
    assert MACHINE.shortest(1e6, 0) == pytest.approx(1e-3)
    assert MACHINE.shortest(0, 1 << 14) == pytest.approx((1 << 14) / 4e9)
    assert MACHINE.copy_rate(1) == 4e9 and MACHINE.copy_rate(1 << 30) == MACHINE.bandwidth == 1e9
    assert MACHINE.copy_rate(1 << 17) == pytest.approx(2.5e9), "half way on a logarithmic scale"
    assert MACHINE.merged(Machine(2, 2e9, ((1 << 14, 1e9), (1 << 20, 3e9)))) == Machine(
        2, 2e9, ((1 << 14, 4e9), (1 << 20, 3e9))
    )


def test_the_peak_is_that_of_the_code_that_runs():
    assert code_target("x86-64-v2").name == "x86-64-v2"
    multi = Target.named("generic-multi")
    best = next((v for v in multi.variants if Target.named(v).runs_here()), multi.name)
    assert code_target("generic-multi").name == best


@pytest.mark.parametrize("threads", [1, 2])
def test_the_meter_measures_something(threads):
    meter = Meter(baseline(), threads)
    machine = meter.measure(bursts=1)
    assert meter.pace() > 1e7
    assert machine.threads == threads
    assert machine.flops > 1e7 and all(rate > 1e6 for _, rate in machine.copies)
    assert [size for size, _ in machine.copies] == sorted({size for size, _ in machine.copies})


class Page(HTMLParser):
    """The texts of a page, and the attributes that would load something."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts, self.loads, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        self.loads += [(tag, name, value) for name, value in attributes if name in ("src", "href", "action", "data")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


def test_the_page_holds_no_text_of_the_model_as_markup():
    """Names and IR are escaped wherever they stand: in the table, in the plots' texts, in the packed IR."""
    text = f'func.func @"{EVIL}"() // {EVIL}'
    profile = replace(made(name=EVIL, schedule=EVIL), levels={EVIL: {"kernels": text}})
    plain, page = Page(made().html("title")), profile.html(EVIL)
    found = Page(page)
    assert len(found.scripts) == len(plain.scripts) == 5
    assert not found.loads
    assert "<img" not in page.replace(get_plotlyjs(), "")
    figures = [json.loads(script) for script in found.scripts[1:3]]
    assert "<img" not in json.dumps([[trace.get("text"), trace.get("name")] for f in figures for trace in f["data"]])
    packed = json.loads(found.scripts[3])[EVIL]["kernels"]
    shown = gzip.decompress(base64.b64decode(packed)).decode()
    assert "<img" not in shown and "<script" not in shown
    assert html.unescape(re.sub("<[^>]*>", "", shown)).strip() == text


def test_mlir_in_colours_keeps_its_text():
    text = """module {
  %0:2 = "a.b"(%arg0) {x = dense<1.0> : tensor<4x?xf32>} : (!llvm.ptr) -> i32 // done
  ^bb0: #map
}
"""
    shown = mlir_lexer.coloured(text)
    assert html.unescape(re.sub("<[^>]*>", "", shown)) == text
    for token, kind in (("%0:2", "nv"), ("tensor", "kt"), ("#map", "no"), ("^bb0", "nl"), ("4", "mi")):
        assert f'<span class="s-{kind}">{token}</span>' in shown, shown
    assert 's-err"' not in shown


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "m.neo"
    neomlir.compile(model(), output=path, include_ir=True)
    return path


def test_profile_of_a_program(program):
    """A whole one: each kernel is measured in the run, and its IR is that of the dump's levels."""
    profile = neomlir.profile(program, runs=2, ir=True)
    report = neomlir.load(program).report
    in_run = {k["name"] for k in report["kernels"] if "main" in k["in"]}
    assert {k.name for k in profile.kernels} == in_run
    assert len(profile.steps) == sum(k.calls for k in profile.kernels) == len(report["steps"])
    assert all(0 <= s.begin < s.end for s in profile.steps)
    assert 0 < sum(k.seconds for k in profile.kernels) < profile.traced_seconds
    assert sum(k.share for k in profile.kernels) == pytest.approx(1)
    assert all(k.flops is not None and k.roof >= 0 for k in profile.kernels)
    assert max(b.offset + b.bytes for b in profile.buffers) <= profile.arena_bytes
    assert profile.levels.keys() == in_run
    for levels in profile.levels.values():
        assert list(levels) == ["kernels", "vector", "memref", "llvm"]
        assert "neo.schedule" in levels["vector"] and "llvm.func" in levels["llvm"]
    with pytest.raises(ModelError, match="unknown: nothing"):
        neomlir.profile(program, {"nothing": np.zeros(1)}, runs=1)


def dynamic_model() -> bytes:
    """A pad, a product, a softmax, a transpose and sums of rows whose number is not known."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((8, 12)).astype("f4"), "p": np.array([1, 0, 2, 0]), "a": np.array([1])}
    nodes = [
        helper.make_node("Pad", ["x", "p"], ["padded"]),
        helper.make_node("MatMul", ["padded", "w"], ["c"]),
        helper.make_node("Softmax", ["c"], ["s"], axis=1),
        helper.make_node("Transpose", ["s"], ["t"], perm=[1, 0]),
        helper.make_node("ReduceSum", ["t", "a"], ["y"], keepdims=0),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", ["n", 8]), ("y", [12]))]
    graph = helper.make_graph(
        nodes, "rows", values[:1], values[1:], [numpy_helper.from_array(v, n) for n, v in weights.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    return made.SerializeToString()


def test_costs_of_dynamic_kernels_are_those_of_the_same_static_ones():
    dynamic = neomlir.compile(dynamic_model(), include_ir=True)
    static = neomlir.compile(dynamic_model(), inputs={"x": (5, 8)})
    kernels = dynamic.report["kernels"]
    assert any(kernels[number]["flops"] is None for number in dynamic.report["steps"])
    costs = _costs(dynamic, {"x": np.zeros((5, 8), "f4")})
    assert len(costs) == len(dynamic.report["steps"]) and all(None not in cost for cost in costs)
    wanted = [static.report["kernels"][number] for number in static.report["steps"]]
    assert sum(flops for flops, _ in costs) == sum(kernel["flops"] for kernel in wanted)
    assert sorted(size for _, size in costs) == sorted(kernel["bytes"] for kernel in wanted)
    without = neomlir.compile(dynamic_model())
    assert any(None in cost for cost in _costs(without, {"x": np.zeros((5, 8), "f4")})), "the file holds no IR"


def test_bench_profile(program, tmp_path, capsys):
    cores = os.sched_getaffinity(0)
    page = tmp_path / "r.html"
    assert neo_bench.main([str(program), "--profile", "--runs", "2", "--html", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert os.sched_getaffinity(0) == cores
    assert told["machine"]["flops"] > 0 and told["kernels"][0]["share"] > 0 and "levels" not in told
    assert len(json.loads(Page(page.read_text()).scripts[3])) == len(told["kernels"])
    assert neo_bench.main([str(program), "--profile", "--html", str(tmp_path / "none" / "r.html"), "--runs", "1"]) == 1
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        neo_bench.main([str(program), "--profile", "--against", "torch"])
    with pytest.raises(SystemExit):
        neo_bench.main(["m.onnx", "--profile", "--against", "torch"])
    assert "--profile times the kernels of Neo" in capsys.readouterr().err


def test_a_missing_library_is_told_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "plotly" else name)
    assert neo_bench.main(["missing.onnx", "--html", "r.html"]) == 1
    assert "needs plotly; `pip install 'neomlir[report]'`" in capsys.readouterr().err


def test_a_program_without_ir_has_a_page_without_it(tmp_path, capsys):
    path = write_add(tmp_path / "add.neo")
    with pytest.raises(ModelError, match="include_ir=True"):
        neomlir.load(path).ir()
    assert neo_bench.main([str(path), "--profile", "--html", str(tmp_path / "r.html"), "--runs", "1"]) == 0
    assert "--include-ir" in capsys.readouterr().err
    assert "--include-ir" in (tmp_path / "r.html").read_text()
