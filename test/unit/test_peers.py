"""Models of trees beside their own frameworks."""

import json

import neomlir
import numpy as np
import pytest
from neomlir import peers
from neomlir.tools import neo_bench, sources

X = np.random.default_rng(0).standard_normal((120, 5)).astype(np.float32)
Y = X[:, 0] * X[:, 1]

FILE = """
import numpy as np
import {package}


def make():
    x = np.random.default_rng(0).standard_normal((80, 5))
    return {model}, None
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    ensemble, pipeline, preprocessing = (
        pytest.importorskip(f"sklearn.{name}") for name in ("ensemble", "pipeline", "preprocessing")
    )
    folder = tmp_path_factory.mktemp("models")
    boosted = xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(X, Y), 4)
    boosted.save_model(folder / "trees.json")
    data = lightgbm.Dataset(X, Y, free_raw_data=False)
    leafwise = lightgbm.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}, data, 4)
    leafwise.save_model(folder / "trees.txt")
    forest = ensemble.RandomForestRegressor(4, max_depth=3, n_jobs=3).fit(X, Y)
    scaled = pipeline.make_pipeline(preprocessing.StandardScaler(), forest).fit(X, Y)
    linear = xgboost.train({"booster": "gblinear", "nthread": 1}, xgboost.DMatrix(X, Y), 2)
    return {
        "xgboost": (folder / "trees.json", boosted.predict(xgboost.DMatrix(X))),
        "xgboost, linear": (linear, linear.predict(xgboost.DMatrix(X))),
        "lightgbm": (folder / "trees.txt", leafwise.predict(X)),
        "sklearn": (forest, forest.predict(X)),
        "sklearn, scaled": (scaled, scaled.predict(X)),
    }


@pytest.mark.parametrize("which", ["xgboost", "xgboost, linear", "lightgbm", "sklearn", "sklearn, scaled"])
def test_a_framework_runs_its_own_models_only(which, models):
    name, (source, wanted) = which.split(",")[0], models[which]
    (got,) = peers.make(name, source, {"x": X}, threads=2)({"x": X})
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    for other in {"xgboost", "lightgbm", "sklearn", "torch"} - {name}:
        with pytest.raises(peers.PeerUnavailable, match=f"{other} can't run .*; {name} can"):
            peers.make(other, source, {"x": X})


def test_threads_are_not_those_of_the_users_estimator(models, monkeypatch):
    forest, _ = models["sklearn"]
    seen = []
    predict = type(forest).predict
    monkeypatch.setattr(type(forest), "predict", lambda self, x: seen.append(self.n_jobs) or predict(self, x))
    peers.make("sklearn", forest, {"x": X}, threads=2)({"x": X})
    assert seen == [2] and forest.n_jobs == 3


def test_trees_do_not_run_what_is_none():
    with pytest.raises(peers.PeerUnavailable, match=r"xgboost can't run net\.onnx$"):
        pytest.importorskip("xgboost") and peers.make("xgboost", "net.onnx", {})


def test_bench_beside_the_own_framework(models, capsys):
    path, _ = models["xgboost"]
    arguments = [str(path), "--against", "xgboost,sklearn", "--runs", "2", "--input", "x=7x5xf32", "--json"]
    assert neo_bench.main(arguments) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["results"]["xgboost"]["difference"] < 1e-6
    assert told["missing"] == {"sklearn": "sklearn can't run trees.json; xgboost can"}


@pytest.mark.parametrize(
    ("package", "model"),
    [
        ("xgboost", "xgboost.train({'nthread': 1}, xgboost.DMatrix(x, x[:, 0]), 1)"),
        ("lightgbm", "lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, x[:, 0]), 1)"),
        ("sklearn.tree", "sklearn.tree.DecisionTreeRegressor().fit(x, x[:, 0])"),
    ],
)
def test_a_function_may_make_trees(package, model, tmp_path):
    pytest.importorskip(package)
    file = tmp_path / f"make_{package.partition('.')[0]}.py"
    file.write_text(FILE.format(package=package, model=model))
    found = sources.open_source(f"{file}:make")
    assert neomlir.frontends.find(found.model).reference(found.model)({"x": X})[0].shape == (120,)
