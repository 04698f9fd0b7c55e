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


def agrees(make, target, folder):
    chosen = Target.named(target)
    emulate.emulator(chosen)
    model, wanted = make()
    there = neomlir.compile(
        model, target, inputs=(((ROWS, FEATURES), "float32"),), emit="exe", output=folder / "program"
    )
    (got,) = emulate.run(there, chosen, {"x": data(1)[0]}, folder)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("make", "target"), [(xgboost, "cortex-a72"), (lightgbm, "riscv64-v"), (sklearn, "armv7-neon")]
)
def test_forests_agree_with_their_framework(make, target, tmp_path):
    agrees(make, target, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("make", [xgboost, lightgbm, sklearn])
def test_forests_agree_everywhere(make, target, tmp_path):
    agrees(make, target, tmp_path)
