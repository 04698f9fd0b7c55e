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


def with_code_of(path, variant: str, place):
    """The file for one variant alone."""
    file = artifact.read(path)
    told = {**file.manifest, "target": next(v for v in file.manifest["variants"] if v["name"] == variant)}
    for name in ("variants", "parts", "weight_bytes"):
        del told[name]
    weights = np.frombuffer(file.part(manifest.WEIGHTS), np.uint8)
    artifact.write(place, told, bytes(file.part(f"code-{variant}.so")), [(0, weights)], weights.nbytes)
    return place


def test_a_variant_a_part(path):
    file = artifact.read(path)
    assert [v["name"] for v in file.manifest["variants"]] == ["x86-64-v4", "x86-64-v3"]
    codes = [name for name in file.parts if name.startswith("code")]
    assert codes == ["code.so", "code-x86-64-v4.so", "code-x86-64-v3.so"]
    assert len({bytes(file.part(name)) for name in codes}) == 3
    assert file.manifest["target"]["needs"] == sorted(MULTI.needs) == sorted(Target.named("x86-64-v2").needs)


def test_every_variant_gives_the_same_result(path, tmp_path):
    wanted = neomlir.compile(model(), "x86-64-v2")(X)
    np.testing.assert_allclose(neomlir.load(path)(X), wanted, rtol=1e-5)
    for variant in MULTI.variants:
        if Target.named(variant).runs_here():
            np.testing.assert_allclose(
                neomlir.load(with_code_of(path, variant, tmp_path / "one.neo"))(X), wanted, rtol=1e-5
            )


def test_a_machine_below_the_base_is_refused(path, monkeypatch):
    monkeypatch.setattr(targets, "host_cpu", lambda: ("pretended", frozenset()))
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
