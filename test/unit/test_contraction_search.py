"""Choices that are made before there are kernels: the search for them, and what a compile makes of them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import neomlir
import numpy as np
import pytest
import torch
from neomlir import contraction_search, kernel_trial, tuner
from neomlir.contraction_trial import ContractionSubject
from neomlir.errors import CompileError
from neomlir.kernel_trial import Comparison
from neomlir.staircase import LEVELS
from neomlir.targets import Target
from neomlir.tools import neo_tune
from neomlir.tuned import Database, Entry, contraction_key
from test_replay import model

SUBJECT = ContractionSubject("8x8-0", "", 2, 64, (8, 8), {"winograd": (4, 0, 2), "panel": (32, 16, 48)})
COST = {"": 2.0, "winograd=0": 1.9, "winograd=2": 3.0, "panel=16,winograd=0": 1.0, "panel=48,winograd=0": 1.95}


def fake_program(subject, told, rest, stages, target, place):
    if told.get("winograd") == 2:
        raise CompileError("no code for it")
    return Path(contraction_search.describe(told) or "-")


def fake_compare(_emit, new, old, subject, target, core):
    cost = [COST[str(place).replace("-", "")] for place in (new, old)]
    return Comparison(cost[0] / cost[1], cost[0], 1)


@pytest.fixture
def search(monkeypatch, tmp_path):
    monkeypatch.setattr(contraction_search, "contraction_program", fake_program)
    monkeypatch.setattr(contraction_search, "compare_programs", fake_compare)

    def run(progress=lambda *_: None, budget=60.0, others=()):
        database = Database(tmp_path / "t.json")
        made = contraction_search.ContractionSearch(database, Target.named("x86-64-v3"), {}, "", progress, 0, [0])
        return made.run([SUBJECT, *others], budget, tmp_path)[0]

    return run


def test_the_search_takes_winograd_first_and_panels_of_what_is_direct(search, tmp_path):
    found = search()
    assert found.complete and found.kind == "contraction" and found.calls == 2
    assert found.parameters == {"winograd": 0, "panel": 16} and found.seconds == pytest.approx(1.0)
    (entry,) = Database(tmp_path / "t.json").entries.values()
    assert entry.tried == {
        "winograd=0": 0.95,
        "winograd=2": None,
        "panel=16,winograd=0": 0.5,
        "panel=48,winograd=0": 0.975,
    }


def test_the_algorithms_of_all_come_before_the_panels_of_any(search):
    seen = []
    other = replace(SUBJECT, signature="4x4-0", work=1)
    search(lambda name, _spent, told: seen.append((told.startswith("panel"), name)), others=[other])
    assert len(seen) == 8 and [name for _, name in seen] == [name for name in ("8x8-0", "4x4-0") * 2 for _ in range(2)]
    assert [panel for panel, _ in seen] == sorted(panel for panel, _ in seen)


def test_it_goes_on_where_it_was_interrupted(search, tmp_path):
    seen = []

    def interrupt(_name, _spent, told):
        seen.append(told)
        raise KeyboardInterrupt

    while len(seen) < 9:
        try:
            found = search(interrupt)
            break
        except KeyboardInterrupt:
            assert len(Database(tmp_path / "t.json").entries) == 1
    assert len(seen) == len(set(seen)) == found.tried == 4 and found.parameters == {"winograd": 0, "panel": 16}
    assert not search(budget=1e-9).tried - 4


def chosen(folder: Path, target: str) -> Path:
    """A database with choices for the contractions of `model()` that no analytic model makes."""
    from neomlir.dialects import context
    from neomlir.mlir import ir
    from neomlir.passes.contraction import Contraction
    from neomlir.passes.structured import operations, straight_line
    from neomlir.pipeline import Pipeline, named_stages, split_at
    from neomlir.tuned import CHOOSING

    database = Database(folder / "t.json")
    with context():
        module = ir.Module.parse(neomlir.compile(model(), target=target, stop_at="linalg", tuned=False))
        Pipeline(split_at(named_stages("cpu", Target.named(target))["global"], CHOOSING)[0]).run(module, isolate=False)
        for function in straight_line(module):
            for c in filter(None, map(Contraction.match, operations(function))):
                told = {"winograd": 2} if len(c.reductions) == 3 else {"panel": 24}
                entry = Entry(c.signature, target, told, 1.0, 2.0)
                database.put(contraction_key(c.signature, Target.named(target)), entry)
    return folder / "t.json"


def test_choices_are_taken_and_replay(tmp_path):
    """They are options in the dump's pipelines: whoever replays it needs no database."""
    target = "x86-64-v3"
    database = chosen(tmp_path, target)
    assert len(Database(database).entries) == 2
    tuned = neomlir.compile(model(), target=target, tuned=database, dump=tmp_path)
    plain = neomlir.compile(model(), target=target, tuned=False)
    schedules = [{k["schedule"] for k in made.report["kernels"]} for made in (tuned, plain)]
    assert "winograd" in schedules[0] and "winograd" not in schedules[1]
    passes = (tmp_path / "01-linalg.pipeline").read_text()
    assert ":2" in passes.split("neo-winograd{")[1].split("}")[0]
    assert ":24" in passes.split("neo-pack-contractions{")[1].split("}")[0]
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(tuned(x), plain(x), rtol=1e-4, atol=1e-6)
    files = [tmp_path / f"{i:02}-{level}.mlir" for i, level in enumerate(LEVELS)]
    tool = Path(sys.executable).parent / "neo-opt"
    for before, after in itertools.pairwise(files[1:4]):
        command = [tool, f"--pass-pipeline={before.with_suffix('.pipeline').read_text().strip()}", before]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout == after.read_text(), f"{before.name} does not lead to {after.name}\n{done.stderr}"
    assert neomlir.compile(model(), target=target, stop_at="kernels", tuned=database) == files[3].read_text()


def test_winograd_that_is_forbidden_stays_so(tmp_path):
    database = chosen(tmp_path, "x86-64-v3")
    report = neomlir.compile(model(), target="x86-64-v3", tuned=database, winograd=False).report
    assert not any(k["schedule"] == "winograd" for k in report["kernels"])


def test_a_model_is_tuned_and_compiled(tmp_path, monkeypatch, capsys):
    """The whole way, on a convolution that could be Winograd's, with an open batch."""
    monkeypatch.setattr(kernel_trial, "_PATIENCE", 0.01)
    monkeypatch.setattr(tuner._Search, "run", lambda *_: [])
    conv = torch.nn.Conv2d(8, 32, 3, padding=1)
    x = torch.randn(2, 8, 8, 8)
    rows = {"input": {0: torch.export.Dim("n", min=2)}}
    torch.export.save(torch.export.export(conv, (x,), dynamic_shapes=rows), tmp_path / "conv.pt2")
    database = tmp_path / "t.json"
    arguments = [str(tmp_path / "conv.pt2"), "--budget", "1000", "--database", str(database), "--json"]
    assert neo_tune.main([*arguments, "--at", "input=3x8x8x8"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["contractions"]
    assert found["problem"] == ""
    # No panels are tried once tiles turn out faster than direct sums.
    assert found["complete"] and found["tried"] >= (2 if found["parameters"].get("winograd") else 3)
    entry = next(e for e in Database(database).entries.values() if e.kernel == found["name"])
    assert any(ratio for name, ratio in entry.tried.items() if name.startswith("winograd="))
    compiled = neomlir.compile(str(tmp_path / "conv.pt2"), tuned=database)
    assert bool(compiled.report["choices"]) == bool(found["parameters"])
    with torch.inference_mode():
        np.testing.assert_allclose(compiled(x.numpy()), conv(x).numpy(), rtol=1e-4, atol=1e-5)
