"""Forests on other CPUs reach the same leaves: sums are the same bits as the framework's, under an emulator."""

import emulate
import neomlir
import numpy as np
import pytest
from neomlir.targets import Target

ROWS, FEATURES = 290, 7
TARGETS = ("cortex-a72", "neoverse-v1", "armv7-neon", "riscv64-v", "riscv64", "wasm32-simd128", "x86-64-v2")


def data(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, np.nan_to_num(x) @ rng.standard_normal(FEATURES)


def xgboost():
    """Complete trees, float32."""
    package = pytest.importorskip("xgboost")
    x, y = data(0)
    booster = package.train({"max_depth": 4, "nthread": 1}, package.DMatrix(x, y), 6)
    return booster, booster.predict(package.DMatrix(data(1)[0]))


def lightgbm():
    """Trees of any shape, float64."""
    package = pytest.importorskip("lightgbm")
    x, y = data(2)
    settings = {"num_leaves": 20, "min_data_in_leaf": 3, "num_threads": 1, "verbose": -1}
    booster = package.train(settings, package.Dataset(x, y), 5)
    return booster, booster.predict(data(1)[0])


def sklearn():
    """Leaves that hold vectors."""
    package = pytest.importorskip("sklearn.tree")
    x, y = data(3)
    model = package.DecisionTreeClassifier(random_state=0).fit(x, np.digitize(y, [-1, 1]))
    return model, model.predict_proba(data(1)[0])


def categorical():
    """Sets of categories, in vectors of rows that gather."""
    package = pytest.importorskip("lightgbm")
    x, y = data(4)
    x[:, 0] = np.arange(ROWS) % 40
    settings = {"num_leaves": 12, "min_data_in_leaf": 3, "min_data_per_group": 2, "num_threads": 1, "verbose": -1}
    made = package.Dataset(x, y + (x[:, 0] % 3), categorical_feature=[0])
    booster = package.train(settings, made, 4)
    test = data(1)[0]
    test[:, 0] = np.arange(ROWS) % 43 - 1
    return booster, booster.predict(test), test


def branches():
    """A few rows through a small ensemble: code without tables."""
    booster, wanted = xgboost()
    return booster, wanted[:3], data(1)[0][:3]


def shared():
    """A few rows through many trees, whose values are added by a kernel of its own."""
    package = pytest.importorskip("xgboost")
    x, y = data(5)
    booster = package.train({"max_depth": 2, "nthread": 1, "num_parallel_tree": 40}, package.DMatrix(x, y), 26)
    test = data(1)[0][:2]
    return booster, booster.predict(package.DMatrix(test)), test


def agrees(make, target, folder):
    chosen = Target.named(target)
    emulate.emulator(chosen)
    model, wanted, *more = make()
    x = more[0] if more else data(1)[0]
    there = neomlir.compile(model, target, inputs=((x.shape, "float32"),), emit="exe", output=folder / "program")
    (got,) = emulate.run(there, chosen, {"x": x}, folder)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("make", "target"),
    [
        (xgboost, "cortex-a72"),
        (lightgbm, "riscv64-v"),
        (sklearn, "armv7-neon"),
        (categorical, "cortex-a72"),
        (branches, "wasm32-simd128"),
    ],
)
def test_forests_agree_with_their_framework(make, target, tmp_path):
    agrees(make, target, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("make", [xgboost, lightgbm, sklearn, categorical, branches, shared])
def test_forests_agree_everywhere(make, target, tmp_path):
    agrees(make, target, tmp_path)
