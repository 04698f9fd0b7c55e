"""The search for parameters: on a made-up kernel whose times are known, and once on a real one, whatever its times."""

from __future__ import annotations

import json
import os
import signal

import neomlir
import numpy as np
import pytest
from neomlir import kernel_trial, tuner
from neomlir.dialects import context
from neomlir.errors import ImportFailure, TargetError, TuningError
from neomlir.kernel_trial import Candidate, Comparison, agree, candidate, compare
from neomlir.mlir import ir
from neomlir.passes.functions import kernel_modules
from neomlir.pipeline import pipeline_module
from neomlir.staircase import split_stage
from neomlir.subjects import Subject
from neomlir.targets import Target
from neomlir.tools import neo_tune
from neomlir.tuned import Database, Entry, kernel_key
from neomlir.workers import WorkerDied, isolated

KERNEL = """
func.func @{name}(%a: tensor<{n}xf32>, %s: f32, %out: tensor<{n}xf32>) -> tensor<{n}xf32> {{
  %c = linalg.generic {{
    indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> ()>, affine_map<(n) -> (n)>],
    iterator_types = ["parallel"]
  }} ins(%a, %s : tensor<{n}xf32>, f32) outs(%out : tensor<{n}xf32>) {{
  ^bb0(%x: f32, %y: f32, %o: f32):
    %r = arith.{op} %x, %y : f32
    linalg.yield %r : f32
  }} -> tensor<{n}xf32>
  return %c : tensor<{n}xf32>
}}
"""


def kernel(name="k", n=999, op="mulf") -> str:
    return KERNEL.format(name=name, n=n, op=op)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "k.mlir"
    path.write_text(kernel())
    return path


# A made-up kernel: `vectors` is best at 2, and `rows`, whose space depends on it, at 6.


def cost(parameters: dict) -> float:
    if parameters.get("schedule") == "window":
        return 3.0
    return 1 + abs(parameters.get("vectors", 4) - 2) + abs(parameters.get("rows", 1) - 6) / 4


def fake_candidate(text, parameters, stages, target):
    if parameters.get("rows") == 5:
        raise TuningError("no code for it")
    return Candidate("k", json.dumps(parameters).encode(), "", {})


def fake_space(_emit, text, parameters, target):
    rows = (1, 2, 5, 6) if parameters.get("vectors") == 2 else (1, 2)
    return {"schedule": ("contraction", "window"), "vectors": (4, 1, 2), "rows": rows}


def fake_compare(_emit, new, old, target, core=None, given=None, around=None):
    new, old = json.loads(new.object), json.loads(old.object)
    if new.get("vectors") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return Comparison(cost(new) / cost(old), cost(new), 1)


@pytest.fixture
def fake(monkeypatch):
    for name, function in (("candidate", fake_candidate), ("space_of", fake_space), ("compare", fake_compare)):
        monkeypatch.setattr(tuner, name, function)


def test_the_search_ends_at_the_best(fake, file, tmp_path):
    """A crash and a failure to compile are candidates that do not count."""
    (found,) = neomlir.tune(file, budget=60, database=tmp_path / "t.json")
    assert found.complete and found.parameters == {"vectors": 2, "rows": 6}
    assert found.seconds / found.analytic_seconds == pytest.approx(1 / cost({}))
    (entry,) = Database(tmp_path / "t.json").entries.values()
    assert entry.parameters == found.parameters and entry.complete
    assert entry.tried["vectors=1"] is None and entry.tried["rows=5,vectors=2"] is None
    assert entry.tried["schedule=window"] == pytest.approx(3 / cost({}), rel=1e-3)
    assert entry.tried["rows=6,vectors=2"] == pytest.approx(1 / cost({}), rel=1e-3)


def test_an_interrupted_search_goes_on(fake, file, tmp_path):
    """Wherever it is interrupted: what was measured is kept, nothing of it is measured again, the end is the same."""
    (whole,) = neomlir.tune(file, budget=60, database=tmp_path / "whole.json")
    seen: list[str] = []

    def interrupt(kernel, spent, found):
        if found:
            seen.append(found.split(":")[0])
            if len(seen) % 3 == 0:
                raise KeyboardInterrupt

    database, results = tmp_path / "t.json", []
    while not results:
        try:
            results = neomlir.tune(file, budget=60, database=database, progress=interrupt)
        except KeyboardInterrupt:
            assert len(Database(database).entries) == 1
    assert results[0].parameters == whole.parameters and results[0].complete
    assert len(seen) == len(set(seen)) == results[0].tried > 5
    (again,) = neomlir.tune(file, budget=60, database=database, progress=interrupt)
    assert again == results[0]


def test_time_goes_where_most_can_be_won():
    """The roofs are the best rates among the kernels: what reaches one has little to win."""

    def state(name, flops, size):
        entry = Entry(name, "", {}, 1.0, 1.0)
        return tuner._State(Subject(name, "", name, 1, flops=flops, bytes=size), entry, 1.0)

    states = [state("fast", 100, 1), state("slow", 25, 1), state("copy", 0, 10), state("open", None, None)]
    assert tuner._worth(states) == pytest.approx({"fast": 0.1, "slow": 0.75, "copy": 0.1, "open": 1.0})


def test_no_budget_leaves_the_analytic_choice(fake, file, tmp_path):
    (found,) = neomlir.tune(file, budget=1e-6, database=tmp_path / "t.json")
    assert not found.parameters and not found.complete and not found.tried


def test_what_another_compiler_measured_is_measured_again(fake, file, tmp_path, monkeypatch):
    (before,) = neomlir.tune(file, budget=60, database=tmp_path / "t.json")
    monkeypatch.setattr(tuner, "compiler", lambda: "another")
    said = []
    (after,) = neomlir.tune(file, budget=60, database=tmp_path / "t.json", progress=lambda k, s, f: said.append(f))
    assert after.parameters == before.parameters and after.complete
    assert any(f.startswith("rows=2,vectors=2") for f in said)
    (entry,) = Database(tmp_path / "t.json").entries.values()
    assert entry.compiler == "another"


def test_gains_that_are_noise_are_dropped_at_the_end(fake, file, tmp_path, monkeypatch):
    """Each step looked faster, the whole is not."""

    def noisy(_emit, new, old, target, core=None, given=None, around=None):
        final = json.loads(old.object) == {} and json.loads(new.object).get("rows") is not None
        return Comparison(1.0 if final else fake_compare(None, new, old, target).ratio, 1.0, 1)

    monkeypatch.setattr(tuner, "compare", noisy)
    (found,) = neomlir.tune(file, budget=60, database=tmp_path / "t.json")
    assert not found.parameters and found.complete and found.seconds == found.analytic_seconds


# A real kernel.


def compiled(text: str, **parameters) -> Candidate:
    target = Target.host()
    stages = pipeline_module("cpu").stages(target)
    passes = {level: split_stage(stages[level])[0] for level in ("vector", "memref", "llvm")}
    return isolated(
        lambda _, *a: candidate(*a), f"module attributes {{neo.kernel}} {{{text}}}", parameters, passes, target
    )


def test_candidates_that_compute_something_else_are_refused():
    one, other = compiled(kernel(), unroll=2), compiled(kernel())
    assert one.object != other.object and one.parameters["unroll"] == 2
    assert isolated(compare, one, other, Target.host()).seconds > 0
    with pytest.raises(TuningError, match="another"):
        isolated(compare, compiled(kernel(op="addf")), other, Target.host())
    dynamic = compiled(kernel(n="?"))
    with pytest.raises(TuningError, match="dynamic extents"):
        isolated(compare, dynamic, dynamic, Target.host())
    assert isolated(compare, dynamic, dynamic, Target.host(), None, [(99999,), None, (99999,)]).seconds > 2e-6
    with pytest.raises(WorkerDied):
        isolated(lambda *_: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize(
    ("found", "right", "same"),
    [
        ([1, 2], [1, 2.00001], True),
        ([1, 2], [1, 2.1], False),
        ([np.inf, 1], [np.inf, 1], True),
        ([np.inf, 2], [np.inf, 1], False),
        ([np.inf, 1], [-np.inf, 1], False),
        ([1, 1], [np.inf, 1], False),
        ([np.nan, 1], [np.nan, 1], True),
        ([np.nan, 1], [0, 1], False),
        ([0, 0], [0, 0], True),
    ],
)
def test_results_agree(found, right, same):
    assert agree(np.array(found, np.float32), np.array(right, np.float32)) == same


def test_neo_tune_and_neo_compile(tmp_path, capsys, monkeypatch):
    """The whole way: a model's kernel is tuned to the end, and compiled with what was found."""
    monkeypatch.setattr(kernel_trial, "_PATIENCE", 0.01)
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [999])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [999])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 9
    model, database = tmp_path / "m.onnx", tmp_path / "t.json"
    model.write_bytes(made.SerializeToString())
    assert neo_tune.main([str(model), "--budget", "100", "--database", str(database), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["kernels"]
    assert found["complete"] and found["tried"] >= 4 and found["problem"] == ""
    assert 0 < found["seconds"] <= found["analytic_seconds"]
    report = neomlir.compile(str(model), tuned=database).report
    (kernel_,) = [k for k in report["kernels"] if "main" in k["in"]]
    assert kernel_["tuned"] == bool(found["parameters"])


def test_neo_tune_refuses(tmp_path, capsys):
    (tmp_path / "bad.mlir").write_text("no mlir {")
    (tmp_path / "empty.mlir").write_text("module {}")
    (tmp_path / "dynamic.mlir").write_text(kernel(n="?"))
    foreign = "neoverse-n1" if Target.host().architecture == "x86_64" else "x86-64-v3"
    with pytest.raises(ImportFailure, match=r"bad\.mlir is no MLIR"):
        neomlir.tune(tmp_path / "bad.mlir")
    with pytest.raises(TuningError, match=r"empty\.mlir has no kernel"):
        neomlir.tune(tmp_path / "empty.mlir")
    for text in ("func.func @k(%a: memref<4xf32>) {\n  return\n}", kernel().replace("%out: tensor", "%out: memref", 1)):
        (tmp_path / "level.mlir").write_text(text)
        with pytest.raises(ImportFailure, match=r"no kernel of level `kernels`|is no MLIR"):
            neomlir.tune(tmp_path / "level.mlir")
    with pytest.raises(TargetError, match=foreign):
        neomlir.tune(tmp_path / "bad.mlir", foreign)
    for sizes, said in (
        ({"x": (3,)}, "no input 'x'"),
        ({"0": (3, 4)}, "is no size"),
        ({"0": (3,), "2": (4,)}, "given as 4"),
    ):
        with pytest.raises(TuningError, match=said):
            neomlir.tune(tmp_path / "dynamic.mlir", sizes=sizes, database=tmp_path / "t.json")
    assert neo_tune.main([str(tmp_path / "missing.mlir")]) == 1
    assert "no such file" in capsys.readouterr().err
    for option, text in [*(("--budget", text) for text in ("0", "-1", "nan", "x")), ("--at", "x=1x?"), ("--at", "1x2")]:
        with pytest.raises(SystemExit):
            neo_tune.main(["m.mlir", option, text])


def test_kernels_of_dynamic_extents_are_tuned_at_representative_sizes(tmp_path, monkeypatch):
    """They are known by their symbolic shape; what they are measured at follows from the sizes of the inputs."""
    monkeypatch.setattr(kernel_trial, "_PATIENCE", 0.01)
    import torch

    class Twice(torch.nn.Module):
        def forward(self, x):
            y = torch.relu(x.reshape(-1, 8))
            return torch.softmax(y * 2, -1).reshape(x.shape)

    rows = {"x": {0: torch.export.Dim("n", min=2)}}
    exported = torch.export.export(Twice(), (torch.zeros(2, 64),), dynamic_shapes=rows)
    database = tmp_path / "t.json"
    monkeypatch.setattr(tuner, "space_of", lambda *_: {"schedule": ("reduction",), "sums": (4, 2)})
    found = neomlir.tune(exported, budget=1000, database=database, sizes={"x": (2000, 64)})
    assert all((k.complete, k.tried, k.problem) == (True, 1, "") for k in found)
    assert found[0].analytic_seconds > 1e-5
    with context():
        module = ir.Module.parse(neomlir.compile(exported, stop_at="kernels", tuned=False))
        kernels = [kernel_key(nested, Target.host()) for nested in kernel_modules(module.operation)]
    assert "?" in str(module) and set(kernels) == set(Database(database).entries)


def test_a_whole_module_counts_the_calls_of_its_main(fake, tmp_path):
    """What only runs at compile time is left out."""
    nested = "".join(f"module attributes {{neo.kernel}} {{{kernel(name, n)}}}" for name, n in (("a", 8), ("b", 16)))
    types = {"a": "(tensor<8xf32>, f32, tensor<8xf32>) -> tensor<8xf32>"}
    (tmp_path / "m.mlir").write_text(
        f"""
func.func private @a{types["a"]}
func.func @main(%x: tensor<8xf32>, %s: f32) -> tensor<8xf32> {{
  %e = tensor.empty() : tensor<8xf32>
  %1 = call @a(%x, %s, %e) : {types["a"]}
  %2 = call @a(%1, %s, %e) : {types["a"]}
  return %2 : tensor<8xf32>
}}
{nested}"""
    )
    (found,) = neomlir.tune(tmp_path / "m.mlir", budget=60, database=tmp_path / "t.json")
    assert (found.name, found.calls, found.complete) == ("a", 2, True)


def test_the_context_and_the_cores_are_left_alone(file, tmp_path, fake):
    cores = os.sched_getaffinity(0)
    with context():
        assert neomlir.tune(file, budget=1e-6, database=tmp_path / "t.json")
    assert os.sched_getaffinity(0) == cores
