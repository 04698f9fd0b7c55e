"""LightGBM models: what is imported means what `Booster.predict` gives, and what is compiled does it."""

import neomlir
import numpy as np
import pytest
from forest_reference import evaluate, imported
from neomlir.errors import ImportFailure

lightgbm = pytest.importorskip("lightgbm")


def rows(count, seed):
    """Rows with missing values, zeros and next to zeros, large numbers; the last two columns are categories."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 6))
    x[:, 4], x[:, 5] = rng.integers(0, 40, count), rng.integers(0, 5, count)
    special = rng.choice([0.0, -0.0, 1e-36, -1e-36, 1e300, -1e300, np.nan, np.nan], x.shape)
    return np.where(rng.random(x.shape) < 0.15, np.where(np.arange(6) < 4, special, np.nan), x)


def train(parameters, seed=0, labels="y", count=400, rounds=4, **data):
    x, rng = rows(count, seed), np.random.default_rng((seed, 1))
    y = np.nan_to_num(x[:, 0].clip(-3, 3)) + rng.standard_normal(count)
    classes = rng.integers(0, 3, count)
    y = {
        "y": y,
        "category": y + 4 * np.sin(np.nan_to_num(x[:, 4])),
        "positive": np.abs(y) + 0.1,
        "classes": classes,
        "two": classes > 0,
        "half": (classes > 0) * 0.5,
    }[labels]
    if parameters.get("linear_tree"):
        x = np.where(np.abs(x) > 1e10, 0, x)
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "seed": seed, **parameters}
    return lightgbm.train(settings, lightgbm.Dataset(x, y, **data), rounds)


CATEGORIES = {"min_data_per_group": 5, "cat_smooth": 1}
RF = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
RAW = {
    "plain": {}, "zero": {"zero_as_missing": True}, "never missing": {"use_missing": False}, "forest": RF,
    "dart": {"boosting": "dart"}, "goss": {"data_sample_strategy": "goss"}, "linear": {"linear_tree": True},
    "root": {"reg_sqrt": True}, "l1": {"objective": "regression_l1"}, "deep": {"num_leaves": 63, "min_data_in_leaf": 1},
    "stumps": {"num_leaves": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("seed", range(3))
def test_imported_sums_are_bit_equal(name, seed):
    booster, x = train(RAW[name], seed), rows(200, seed + 50)
    np.testing.assert_array_equal(evaluate(imported(booster), x), booster.predict(x))
    if name != "linear":
        # Every float32 goes the way that the same double goes.
        x = x.clip(-1e30, 1e30).astype(np.float32)
        trees = imported(booster, (((None, 6), "float32"),))
        np.testing.assert_array_equal(evaluate(trees, x), booster.predict(x))


@pytest.mark.parametrize("seed", range(3))
def test_imported_categories_are_bit_equal(seed):
    booster, x = train(CATEGORIES, seed, "category", categorical_feature=[4, 5]), rows(200, seed + 50)
    x[:, 4] = np.random.default_rng(seed).choice([-1, -0.5, 0.5, 3.7, 31, 32, 39, 63, 64, 1e9, np.nan], 200)
    assert "num_cat=0" not in booster.model_to_string().split("\nTree=")[1]
    np.testing.assert_array_equal(evaluate(imported(booster), x), booster.predict(x))


SMOOTH = {
    "poisson": "positive", "gamma": "positive", "tweedie": "positive", "cross_entropy": "half",
    "cross_entropy_lambda": "half", "multiclass": "classes", "multiclassova": "classes", "binary": "two",
    "huber": "y", "fair": "y", "quantile": "y", "mape": "y", "lambdarank": "classes", "rank_xendcg": "classes",
}  # fmt: skip


@pytest.mark.parametrize("objective", SMOOTH)
def test_imported_objectives(objective):
    parameters = {"objective": objective, "sigmoid": 0.7}
    parameters |= {"num_class": 3} if objective.startswith("multi") else {}
    more = {"group": [200, 200]} if "rank" in objective else {}
    booster, x = train(parameters, 3, SMOOTH[objective], **more), rows(100, 4)
    np.testing.assert_allclose(evaluate(imported(booster), x), booster.predict(x), rtol=1e-14)


def test_compiled_from_memory_and_from_a_file(tmp_path):
    booster, x = train({"linear_tree": True}, 5), rows(333, 6)
    x = np.where(np.abs(x) > 1e10, 0, x)
    np.testing.assert_array_equal(neomlir.compile(booster)(x), booster.predict(x))
    booster, x = train({"max_depth": 4, "objective": "binary"}, 5, "two"), x.astype(np.float32)
    booster.save_model(tmp_path / "model.txt")
    model = neomlir.compile(tmp_path / "model.txt", inputs={"x": x[:1]})
    got = np.concatenate([model(x[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(got, booster.predict(x[:40]), rtol=1e-14)


def test_a_classifier_of_scikit_learn():
    x, y = rows(300, 7), np.random.default_rng(0).integers(0, 3, 300)
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(x, y)
    np.testing.assert_allclose(evaluate(imported(model), x), model.predict_proba(x), rtol=1e-14)
    with pytest.raises(ImportFailure, match="has not been fitted"):
        imported(lightgbm.LGBMClassifier())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("left_child=", "left_child=99 ", "numbers in left_child"),
        ("left_child=1", "left_child=0", "tree 0, node 0: it is reached in two ways"),
        ("left_child=1", "left_child=77", "tree 0, node 0: its left_child 77 is out of range"),
        ("split_feature=", "split_feature=6 9 ", "numbers in split_feature"),
        ("max_feature_idx=5", "max_feature_idx=0", "there are 1"),
        ("num_leaves=", "num_leaves=999999999", "leaves"),
        ("end of trees", "", "truncated"),
        ("objective=regression", "objective=mine", "its objective 'mine' is not known"),
        ("tree_sizes=", "tree_sizes=7 ", "announces 5 trees and has 4"),
        ("threshold=", "threshold=nan ", "numbers in threshold"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0", "0 trees an iteration"),
    ],
)
def test_damaged_files_are_refused_with_the_place(old, new, message, tmp_path):
    text = train({"num_leaves": 7}, 8).model_to_string()
    assert old in text
    path = tmp_path / "model.txt"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ImportFailure, match=r"model\.txt") as error:
        imported(path)
    assert message in str(error.value)


def test_any_damage_is_an_import_failure_or_harmless(tmp_path):
    data = train({"num_leaves": 5}, 9, rounds=2).model_to_string().encode()
    rng, path = np.random.default_rng(0), tmp_path / "model.txt"
    for number in range(60):
        broken = bytearray(data)
        if number % 3:
            broken[rng.integers(5, len(data))] = rng.integers(32, 127)
        else:
            del broken[rng.integers(5, len(data)) :]
        path.write_bytes(broken)
        try:
            imported(path)
        except ImportFailure as error:
            assert "model.txt" in str(error)


def test_checking_against_the_framework(tmp_path):
    booster = train({"objective": "binary"}, 10, "two")
    booster.save_model(tmp_path / "model.txt")
    for source in (booster, tmp_path / "model.txt"):
        (agreement,) = neomlir.check(source, neomlir.compile(source))
        assert agreement.error < 1e-12
