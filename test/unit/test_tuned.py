"""The database of tuned parameters: what it keeps, how it fails, and what a compile makes of it."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import neomlir
import numpy as np
import pytest
from neomlir.dialects import context
from neomlir.errors import TuningError
from neomlir.mlir import ir
from neomlir.passes.functions import functions, kernel_modules
from neomlir.passes.schedule import schedule_space
from neomlir.staircase import LEVELS
from neomlir.targets import Target
from neomlir.tuned import Database, Entry, default_place, kernel_key
from test_replay import model

KERNEL = """module attributes {%s} {
  func.func @%s(%%a: tensor<%dxf32>, %%out: tensor<%dxf32>) -> tensor<%dxf32> {
    return %%out : tensor<%dxf32>
  }
}"""


def key(name="k", size=4, target="x86-64-v3", marks="neo.kernel") -> str:
    with context():
        module = ir.Module.parse(KERNEL % (marks, name, *[size] * 4))
        return kernel_key(module.operation, Target.named(target))


def entry(**more) -> Entry:
    return Entry(
        **{"kernel": "k", "target": "t", "parameters": {"rows": 4}, "seconds": 1.0, "analytic_seconds": 2.0} | more
    )


def test_a_kernel_is_known_by_its_text_and_target_not_by_its_name():
    assert key() == key("other") == key(marks='neo.kernel, neo.rung = "affine"')
    assert len({key(), key(size=5), key(target="x86-64-v4")}) == 3


def test_what_is_put_is_there_for_the_next_reader(tmp_path):
    path = tmp_path / "new" / "t.json"
    Database(path).put("a", entry())
    other = Database(path)
    Database(path).put("b", entry(parameters={"schedule": "window"}))
    other.put("a", entry(tried={"rows=4": 0.5, "rows=8": None}, complete=True))
    read = Database(path).entries
    assert set(read) == {"a", "b"}
    assert read["a"].tried == {"rows=4": 0.5, "rows=8": None} and read["a"].complete
    assert sorted(p.name for p in path.parent.iterdir()) == [".t.json.lock", "t.json"]


def _put(path, number):
    Database(path).put(f"key{number}", entry())


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    processes = [
        multiprocessing.get_context("fork").Process(target=_put, args=(tmp_path / "t.json", n)) for n in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(Database(tmp_path / "t.json").entries) == 8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "kernels": {"a": {}}}',
        '{"format": 1, "kernels": {"a": 3}}',
        '{"format": 2, "kernels": {}}',
        '{"format": 1, "kernels": {"a": %s}}',
        '{"format": 1, "kernels',
    ],
)
def test_a_damaged_file_is_one_error(text, tmp_path, capsys):
    from neomlir.tools import neo_compile

    path = tmp_path / "t.json"
    bad = {**entry().__dict__, "parameters": {"rows": "4},neo-evil{"}}
    path.write_text(text % json.dumps(bad) if "%s" in text else text)
    with pytest.raises(TuningError, match=r"t\.json"):
        Database(path)
    (tmp_path / "m.onnx").write_bytes(model())
    arguments = [str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.neo"), "--tuned", str(path)]
    assert neo_compile.main(arguments) == 1
    assert capsys.readouterr().err.startswith("neo-compile: error: ")
    assert not (tmp_path / "m.neo").exists()


def test_a_database_that_is_not_there(tmp_path):
    with pytest.raises(TuningError, match="neo-tune --database"):
        neomlir.compile(model(), tuned=tmp_path / "none.json")


def other_values(folder: Path, target: str) -> dict[str, dict]:
    """A database with other parameters than the analytic ones for every kernel of `model()` that has any."""
    chosen = {}
    database = Database(folder / "tuned.json")
    with context():
        module = ir.Module.parse(neomlir.compile(model(), target=target, stop_at="kernels", tuned=False))
        for nested in kernel_modules(module.operation):
            space = schedule_space(functions(nested)[0], Target.named(target))
            told = {name: values[-1] for name, values in space.items() if name != "schedule" and len(values) > 1}
            if told:
                database.put(kernel_key(nested, Target.named(target)), entry(parameters=told))
                chosen[str(functions(nested)[0].attributes["sym_name"])] = told
    return chosen


def test_tuned_parameters_are_taken_and_replay(tmp_path):
    """They are a step of the dump's pipelines: whoever replays it needs no database."""
    target = "x86-64-v3"
    told = other_values(tmp_path, target)
    tuned = neomlir.compile(
        model(), target=target, dump=tmp_path, tuned=tmp_path / "tuned.json", output=tmp_path / "tuned.neo"
    )
    plain = neomlir.compile(model(), target=target, tuned=False)
    taken = {f'"{k["name"]}"': k["parameters"] for k in tuned.report["kernels"] if k["tuned"]}
    assert taken.keys() == told.keys() and len(told) > 3
    assert sum(taken[name].items() >= told[name].items() for name in told) > 3
    assert not any(k["tuned"] for k in plain.report["kernels"])
    saved = {k["name"]: k for k in neomlir.load(tmp_path / "tuned.neo").report["kernels"]}
    assert any(k.get("tuned") and k["parameters"] for k in saved.values())
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(tuned(x), plain(x), rtol=1e-5, atol=1e-6)
    files = [tmp_path / f"{i:02}-{level}.mlir" for i, level in enumerate(LEVELS)]
    assert "neo-set-parameters{kernels=" in (tmp_path / "02-global.pipeline").read_text()
    tool = Path(sys.executable).parent / "neo-opt"
    for before, after in itertools.pairwise(files[2:5]):
        passes = before.with_suffix(".pipeline").read_text().strip()
        done = subprocess.run([tool, f"--pass-pipeline={passes}", before], capture_output=True, text=True, check=False)
        assert done.stdout == after.read_text(), f"{before.name} does not lead to {after.name}\n{done.stderr}"
    level = neomlir.compile(model(), target=target, stop_at="vector", tuned=tmp_path / "tuned.json")
    assert level == files[4].read_text()


def test_the_default_place_is_read_unless_forbidden(tmp_path, monkeypatch):
    other_values(tmp_path, "x86-64-v3")
    monkeypatch.setenv("NEO_CACHE_DIR", str(tmp_path))
    assert default_place() == tmp_path / "tuned.json"
    assert any(k["tuned"] for k in neomlir.dry_run(model(), "x86-64-v3").kernels)
    assert not any(k["tuned"] for k in neomlir.dry_run(model(), "x86-64-v3", tuned=False).kernels)
