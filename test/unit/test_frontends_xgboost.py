"""XGBoost models: what is imported means what `Booster.predict` gives, and what is compiled does it."""

import itertools
import json

import neomlir
import numpy as np
import pytest
from forest_reference import evaluate, imported
from neomlir.dialects import context
from neomlir.errors import ImportFailure
from neomlir.mlir import ir

xgboost = pytest.importorskip("xgboost")
FEATURES = 6
KINDS = ["q"] * 4 + ["c"] * 2


def rows(count, seed):
    """Rows with missing values, zeros, denormals and large numbers; the last two columns are categories."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, FEATURES)).astype(np.float32)
    x[:, 4], x[:, 5] = rng.integers(0, 40, count), rng.integers(0, 5, count)
    special = np.array([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, np.nan, np.nan], np.float32)
    return np.where(rng.random(x.shape) < 0.15, np.where(np.arange(6) < 4, rng.choice(special, x.shape), np.nan), x)


def matrix(count=300, seed=0, labels=None, **more):
    """Training data; `labels` makes labels of (rng, x)."""
    x = rows(count, seed)
    rng = np.random.default_rng((seed, 1))
    y = np.nan_to_num(x[:, 0].clip(-3, 3)) + rng.standard_normal(count) if labels is None else labels(rng, x)
    return xgboost.DMatrix(x, y, **more)


def train(parameters, data, rounds):
    """One thread: the tests share the machine."""
    return xgboost.train({"nthread": 1, **parameters}, data, rounds)


def classes(number):
    return lambda rng, x: (np.nan_to_num(x[:, 1].clip(0, 2)) + rng.integers(0, number, len(x))).astype(int) % number


def positive(rng, x):
    return np.abs(np.nan_to_num(x[:, 1].clip(-2, 2))) + rng.random(len(x)) + 0.1


def agree(got, wanted, tight=True):
    assert got.shape == wanted.shape
    if tight:
        np.testing.assert_array_equal(got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


def predict(booster, x):
    kinds = booster.feature_types
    return booster.predict(xgboost.DMatrix(x, feature_types=kinds, enable_categorical=kinds is not None))


RAW = {
    "plain": ({}, None),
    "dart": ({"booster": "dart", "rate_drop": 0.5}, None),
    "linear": ({"booster": "gblinear", "max_depth": None}, None),
    "parallel": ({"num_parallel_tree": 3, "subsample": 0.5}, None),
    "lossguide": ({"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0}, None),
    "exact": ({"tree_method": "exact", "max_depth": 8, "gamma": 0.5}, None),
    "outputs": ({"multi_strategy": "one_output_per_tree"}, lambda rng, x: rng.standard_normal((len(x), 3))),
    "vectors": ({"multi_strategy": "multi_output_tree"}, lambda rng, x: rng.standard_normal((len(x), 3))),
    "hinge": ({"objective": "binary:hinge"}, classes(2)),
    "logitraw": ({"objective": "binary:logitraw"}, classes(2)),
    "softmax": ({"objective": "multi:softmax", "num_class": 4}, classes(4)),
}


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("seed", range(3))
def test_imported_margins_are_bit_equal(name, seed):
    parameters, labels = RAW[name]
    parameters = {"max_depth": 2 + seed, "seed": seed, "base_score": [None, 0.3][seed % 2], **parameters}
    parameters = {key: value for key, value in parameters.items() if value is not None}
    booster = train(parameters, matrix(200, seed, labels), 4)
    x = rows(100, seed + 100)
    agree(evaluate(imported(booster), x), predict(booster, x))


@pytest.mark.parametrize("onehot", [1, 100])
@pytest.mark.parametrize("seed", range(3))
def test_imported_categories_are_bit_equal(onehot, seed):
    data = matrix(400, seed, feature_types=KINDS, enable_categorical=True)
    booster = train({"max_cat_to_onehot": onehot, "max_depth": 5, "tree_method": "hist"}, data, 5)
    x = rows(200, seed + 100)
    x[:, 4] = np.random.default_rng(seed).choice([-1, 0.5, 3.7, 31, 32, 39, 63, 64, 1e9, 2**24, np.nan], 200)
    agree(evaluate(imported(booster), x), predict(booster, x))


SMOOTH = {
    "binary:logistic": classes(2), "reg:logistic": classes(2), "multi:softprob": classes(3),
    "count:poisson": positive, "reg:gamma": positive, "reg:tweedie": positive, "survival:cox": positive,
    "reg:squaredlogerror": positive, "reg:pseudohubererror": None, "reg:absoluteerror": None,
    "reg:quantileerror": None, "survival:aft": None,
}  # fmt: skip


@pytest.mark.parametrize("objective", SMOOTH)
def test_imported_objectives(objective):
    parameters = {"objective": objective, "max_depth": 3}
    if objective.startswith("multi"):
        parameters["num_class"] = 3
    if objective == "reg:quantileerror":
        parameters["quantile_alpha"] = [0.1, 0.5]
    data = matrix(300, 5, SMOOTH[objective])
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", np.ones(300))
        data.set_float_info("label_upper_bound", np.full(300, 4.0))
    booster = train(parameters, data, 4)
    x = rows(100, 6)
    agree(evaluate(imported(booster), x), predict(booster, x), tight=False)


def test_compiled_classifier_and_files(tmp_path):
    booster = train({"objective": "multi:softprob", "num_class": 3, "max_depth": 4}, matrix(300, 7, classes(3)), 6)
    x = rows(333, 8)
    for suffix in ("json", "ubj"):
        booster.save_model(tmp_path / f"model.{suffix}")
        model = neomlir.compile(tmp_path / f"model.{suffix}", pipeline="cpu-scalar" if suffix == "ubj" else None)
        agree(model(x), predict(booster, x), tight=False)
        agree(model(x[:1]), predict(booster, x[:1]), tight=False)
    assert model.inputs[0].shape == (None, FEATURES)
    assert model(x[:0]).shape == (0, 3)


def test_compiled_categories_and_one_row():
    data = matrix(400, 9, feature_types=KINDS, enable_categorical=True)
    booster = train({"max_depth": 5, "tree_method": "hist"}, data, 5)
    x = rows(64, 10)
    x[:, 4] = np.random.default_rng(0).choice([-1, 0.5, 3.7, 31, 32, 39, 63, 64, 1e9, 2**24, np.nan], 64)
    model = neomlir.compile(booster, inputs=((1, FEATURES),))
    agree(np.concatenate([model(x[i : i + 1]) for i in range(64)]), predict(booster, x))


def test_compiled_vectors_and_linear_models():
    outputs = lambda rng, x: rng.standard_normal((len(x), 3))  # noqa: E731
    x = rows(50, 12)
    for parameters in ({"multi_strategy": "multi_output_tree"}, {"booster": "gblinear"}):
        booster = train(parameters, matrix(200, 11, outputs), 3)
        got, wanted = neomlir.compile(booster)(x), predict(booster, x)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("missing", [0.0, -999.0])
def test_what_is_missing_for_a_model_of_scikit_learn(missing):
    rng = np.random.default_rng(2)
    x = np.where(rng.random((300, 4)) < 0.3, missing, rng.standard_normal((300, 4))).astype(np.float32)
    y = np.where(x[:, 0] == missing, 2.0, x[:, 0]) + x[:, 1] ** 2
    model = xgboost.XGBRegressor(n_estimators=4, max_depth=3, n_jobs=1, missing=missing).fit(x, y)
    x[:5] = np.nan
    compiled = neomlir.compile(model, jobs=1)
    agree(compiled(x), model.predict(x))
    assert neomlir.check(model, compiled, inputs={"x": x})[0].error == 0


def test_a_classifier_of_scikit_learn_gives_probabilities_of_its_best_iteration():
    x, y = rows(300, 13), classes(2)(np.random.default_rng(0), rows(300, 13))
    model = xgboost.XGBClassifier(n_estimators=30, n_jobs=1, early_stopping_rounds=2, max_depth=3)
    model.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)
    assert model.best_iteration < 27
    agree(evaluate(imported(model), x), model.predict_proba(x)[:, 1], tight=False)


@pytest.fixture
def document():
    booster = train({"max_depth": 2}, matrix(100, 14), 2)
    return json.loads(booster.save_raw("json"))


def tree(document):
    return document["learner"]["gradient_booster"]["model"]["trees"][1]


DAMAGE = {
    "circle": (lambda d: tree(d)["left_children"].__setitem__(1, 0), "tree 1, node 0: it is reached in two ways"),
    "range": (lambda d: tree(d)["right_children"].__setitem__(1, 99), "tree 1, node 1: its right child 99 is out of"),
    "feature": (
        lambda d: tree(d)["split_indices"].__setitem__(0, 6),
        "tree 1, node 0: it splits feature 6, there are 6",
    ),
    "nan": (lambda d: tree(d)["split_conditions"].__setitem__(0, float("nan")), "tree 1, node 0: its threshold is NaN"),
    "short": (lambda d: tree(d)["split_conditions"].pop(), "tree 1"),
    "empty": (lambda d: [v.clear() for v in tree(d).values() if isinstance(v, list)], "tree 1 has no nodes"),
    "count": (lambda d: d["learner"]["gradient_booster"]["model"]["tree_info"].pop(), "2 trees, but says what 1"),
    "class": (lambda d: d["learner"]["gradient_booster"]["model"].update(tree_info=[0, 5]), "tree 1 for output 5 of 1"),
    "absurd": (lambda d: d["learner"]["learner_model_param"].update(num_feature="999999999999"), "features"),
    "objective": (lambda d: d["learner"]["objective"].update(name="my:own"), "its objective 'my:own' is not known"),
    "booster": (lambda d: d["learner"]["gradient_booster"].update(name="forest"), "its booster 'forest' is not known"),
    "part": (lambda d: d["learner"].pop("objective"), "not an XGBoost model, or it is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_refused_with_the_place(name, document, tmp_path):
    damage, message = DAMAGE[name]
    damage(document)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ImportFailure, match=r"model\.json") as error:
        imported(path)
    assert message in str(error.value)


def test_any_damage_to_a_binary_file_is_an_import_failure_or_harmless(tmp_path):
    data = bytes(train({"max_depth": 2}, matrix(100, 14), 2).save_raw("ubj"))
    rng = np.random.default_rng(0)
    path = tmp_path / "model.ubj"
    for number in range(150):
        broken = bytearray(data)
        if number % 3:
            broken[rng.integers(len(data))] = rng.integers(256)
        else:
            del broken[rng.integers(len(data)) :]
        path.write_bytes(broken)
        try:
            imported(path)
        except ImportFailure as error:
            assert "model.ubj" in str(error)


def test_inputs_that_do_not_fit_are_refused():
    booster = train({"max_depth": 2}, matrix(100, 14), 1)
    for inputs in ({"z": (1, 6)}, ((1, 7),), ((1, 6), (1, 6)), (((1, 6), "float64"),)):
        with pytest.raises(ImportFailure):
            imported(booster, inputs)


def test_checking_against_the_framework(tmp_path):
    booster = train({"objective": "binary:logistic"}, matrix(200, 15, classes(2)), 3)
    booster.save_model(tmp_path / "model.ubj")
    for source in (booster, tmp_path / "model.ubj"):
        (agreement,) = neomlir.check(source, neomlir.compile(source))
        assert agreement.error < 1e-6


@pytest.mark.parametrize("strategy", ["auto", "loops"])
def test_the_dump_of_a_forest_replays(strategy, tmp_path):
    booster = train({"objective": "multi:softprob", "num_class": 3, "max_depth": 3}, matrix(200, 16, classes(3)), 3)
    pipeline = f"cpu{{neo-pack-forest.strategy={strategy}}}"
    neomlir.compile(booster, target="x86-64-v3", pipeline=pipeline, dump=tmp_path)
    files = sorted(tmp_path.glob("*.mlir"))
    assert len(files) == 7
    assert ("strategy=loops" in (tmp_path / "01-linalg.pipeline").read_text()) == (strategy == "loops")
    for before, after in itertools.pairwise(files):
        with context():
            module = ir.Module.parse(before.read_text())
            neomlir.Pipeline(before.with_suffix(".pipeline").read_text().strip()).run(module, isolate=False)
            assert str(module).strip() == after.read_text().strip(), f"{before.name} does not lead to {after.name}"


def test_absurd_categories_are_refused(document, tmp_path):
    """A category of 2^24 - 1 is a set of 2 MB, and there may be one a node."""
    nodes = 255
    left = [2 * i + 1 if i < nodes // 2 else -1 for i in range(nodes)]
    inner = [i for i in range(nodes) if left[i] > 0]
    found = tree(document)
    found.update(
        left_children=left,
        right_children=[n + 1 if n > 0 else -1 for n in left],
        split_indices=[0] * nodes,
        split_conditions=[0.0] * nodes,
        default_left=[0] * nodes,
        split_type=[int(n > 0) for n in left],
        categories=[2**24 - 1],
        categories_nodes=inner,
        categories_segments=[0] * len(inner),
        categories_sizes=[1] * len(inner),
    )
    path = tmp_path / "model.json"
    document["learner"]["gradient_booster"]["model"]["trees"] = [found] * 2
    path.write_text(json.dumps(document))
    with pytest.raises(ImportFailure, match="the sets of categories are larger than 128 MB"):
        imported(path)
