"""Files with code for several machines."""

import neomlir
import numpy as np
import pytest
from neomlir import artifact, manifest, targets
from neomlir.errors import ArtifactError, CompileError
from neomlir.targets import Target
from test_replay import model

X = np.random.default_rng(3).standard_normal((1, 3, 8, 8), np.float32)
MULTI = Target.named("generic-multi")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("multi") / "model.neo"
    neomlir.compile(model(), "generic-multi", output=place)
    return place


def pretend(monkeypatch, target: str | None) -> None:
    """Let this machine have no more than what a target and the base need."""
    needs = frozenset((*MULTI.needs, *Target.named(target).needs)) if target else frozenset()
    monkeypatch.setattr(targets, "host_cpu", lambda: ("pretended", needs))


def test_a_variant_a_part(path):
    file = artifact.read(path)
    assert [v["name"] for v in file.manifest["variants"]] == ["x86-64-v4", "x86-64-v3"]
    codes = [name for name in file.parts if name.startswith("code")]
    assert codes == ["code.so", "code-x86-64-v4.so", "code-x86-64-v3.so"]
    assert len({bytes(file.part(name)) for name in codes}) == 3
    assert file.manifest["target"]["needs"] == sorted(MULTI.needs) == sorted(Target.named("x86-64-v2").needs)


@pytest.mark.parametrize(
    ("machine", "part"), [("znver4", "-x86-64-v4"), ("x86-64-v3", "-x86-64-v3"), ("x86-64-v2", "")]
)
def test_the_best_that_the_machine_runs_is_picked(path, machine, part, monkeypatch):
    pretend(monkeypatch, machine)
    assert artifact.code_parts(artifact.read(path).manifest)[0] == f"code{part}.so"


def test_every_variant_gives_the_same_result(path, monkeypatch):
    wanted = neomlir.compile(model(), "x86-64-v2")(X)
    here = Target.host().needs
    for name in (*MULTI.variants, MULTI.base):
        if set(Target.named(name).needs) <= set(here):
            pretend(monkeypatch, name)
            np.testing.assert_allclose(neomlir.load(path)(X), wanted, rtol=1e-5)


def test_a_machine_below_the_base_is_refused(path, monkeypatch):
    pretend(monkeypatch, None)
    with pytest.raises(ArtifactError, match=r"generic-multi.*needs features popcnt, sse4\.2"):
        neomlir.load(path)


def test_variants_are_those_that_there_is_code_for(path):
    told = artifact.read(path).manifest
    for broken in (told["variants"][:1], [*told["variants"], {**told["variants"][0], "name": "other"}]):
        with pytest.raises(ArtifactError, match="variants are not those that there is code for"):
            manifest.check({**told, "variants": broken})


def test_only_files_hold_several():
    with pytest.raises(CompileError, match="one of x86-64-v4, x86-64-v3, x86-64-v2"):
        neomlir.compile(model(), "generic-multi", emit="exe", output="program")


def test_each_variant_is_dumped(tmp_path):
    neomlir.compile(model(), "generic-multi", dump=tmp_path)
    for folder, lanes in ((tmp_path / "x86-64-v4", 16), (tmp_path / "x86-64-v3", 8), (tmp_path, 4)):
        assert f"vector<{lanes}xf32>" in (folder / "04-vector.mlir").read_text()
    assert (tmp_path / "03-kernels.mlir").read_text() == (tmp_path / "x86-64-v4" / "03-kernels.mlir").read_text()
