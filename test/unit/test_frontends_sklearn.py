"""Estimators of scikit-learn: what is imported means what they predict, and what is compiled does it."""

import neomlir
import numpy as np
import pytest
from forest_reference import evaluate, imported
from neomlir.errors import ImportFailure

pytest.importorskip("sklearn")
from sklearn import compose, ensemble, feature_selection, impute, linear_model, pipeline, preprocessing, tree


def rows(count, seed, missing=True):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 6))
    x = np.where(rng.random(x.shape) < 0.15, rng.choice([0.0, -0.0, 1e-40, -1e-36, 1e30, -1e30], x.shape), x)
    return np.where(rng.random(x.shape) < 0.1, np.nan, x) if missing else x


def labels(kind, x, seed):
    rng = np.random.default_rng((seed, 1))
    y = np.nan_to_num(x[:, 0].clip(-3, 3)) + rng.standard_normal(len(x))
    classes = rng.integers(0, 3, len(x))
    made = {"y": y, "positive": np.abs(y), "vectors": np.stack([y, -(y**2)], 1), "classes": classes, "two": classes > 0}
    return made.get(kind)


def predict(model, x):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(x)
    return model.decision_function(x) if isinstance(model, ensemble.IsolationForest) else model.predict(x)


CASES = {
    "tree classifier": (tree.DecisionTreeClassifier(), "classes"),
    "tree regressor": (tree.DecisionTreeRegressor(max_depth=5), "y"),
    "tree of vectors": (tree.DecisionTreeRegressor(), "vectors"),
    "extra tree": (tree.ExtraTreeRegressor(max_depth=7), "y"),
    "forest classifier": (ensemble.RandomForestClassifier(5, n_jobs=1), "classes"),
    "forest regressor": (ensemble.RandomForestRegressor(5, n_jobs=1), "y"),
    "extra trees of vectors": (ensemble.ExtraTreesRegressor(5), "vectors"),
    "extra trees classifier": (ensemble.ExtraTreesClassifier(5), "two"),
    "boosted regressor": (ensemble.GradientBoostingRegressor(n_estimators=6), "y"),
    "boosted from zero": (ensemble.GradientBoostingRegressor(n_estimators=6, init="zero", loss="huber"), "y"),
    "boosted classes": (ensemble.GradientBoostingClassifier(n_estimators=6), "classes"),
    "boosted two classes": (ensemble.GradientBoostingClassifier(n_estimators=6), "two"),
    "boosted exponential": (ensemble.GradientBoostingClassifier(n_estimators=6, loss="exponential"), "two"),
    "histogram regressor": (ensemble.HistGradientBoostingRegressor(max_iter=6), "y"),
    "histogram poisson": (ensemble.HistGradientBoostingRegressor(max_iter=6, loss="poisson"), "positive"),
    "histogram classes": (ensemble.HistGradientBoostingClassifier(max_iter=6), "classes"),
    "histogram two classes": (ensemble.HistGradientBoostingClassifier(max_iter=6), "two"),
    "isolation": (ensemble.IsolationForest(n_estimators=7), "none"),
    "isolation on some features": (ensemble.IsolationForest(n_estimators=7, max_features=0.5), "none"),
}


def takes_missing(model):
    return not type(model).__name__.startswith(("Gradient", "ExtraTree"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(2))
def test_imported_estimators(name, seed):
    model, kind = CASES[name]
    model.set_params(**({"random_state": seed} if "random_state" in model.get_params() else {}))
    x, test = rows(300, seed, takes_missing(model)), rows(150, seed + 9, takes_missing(model))
    model.fit(x, labels(kind, x, seed))
    np.testing.assert_allclose(evaluate(imported(model), test), predict(model, test), rtol=1e-14)


@pytest.mark.parametrize("name", ["forest classifier", "histogram two classes", "isolation"])
def test_compiled_estimators(name):
    model, kind = CASES[name]
    x = rows(300, 2, takes_missing(model))
    model.fit(x, labels(kind, x, 2))
    compiled = neomlir.compile(model)
    test = rows(150, 11, takes_missing(model)).astype(compiled.inputs[0].dtype)
    np.testing.assert_allclose(compiled(test), predict(model, test), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_pipelines_of_scalers(dtype):
    x = rows(300, 3).clip(-5, 5).astype(dtype)
    scalers = [preprocessing.StandardScaler(), preprocessing.RobustScaler(), preprocessing.MinMaxScaler()]
    model = pipeline.make_pipeline(*scalers, "passthrough", preprocessing.MaxAbsScaler(), tree.DecisionTreeRegressor())
    model.fit(x, labels("y", x, 3))
    test = rows(150, 12).clip(-5, 5).astype(dtype)
    compiled = neomlir.compile(model, inputs=(((None, 6), dtype),))
    np.testing.assert_array_equal(compiled(test), model.predict(test))


def after(*steps):
    return pipeline.make_pipeline(*steps, tree.DecisionTreeRegressor(max_depth=7, random_state=0))


def mixed(count, seed, missing=False):
    """Numbers, and categories in the last two columns; some that training does not see."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 6)).clip(-3, 3)
    x[:, 4], x[:, 5] = rng.integers(0, 5 + seed % 2, count), rng.integers(-2, 9 + seed % 2, count) / 2
    return np.where(rng.random(x.shape) < 0.1, np.nan, x) if missing else x


def encoders(**more):
    hot = preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30)
    numbered = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return compose.ColumnTransformer(
        [
            ("scaled", pipeline.make_pipeline(preprocessing.StandardScaler(), preprocessing.MaxAbsScaler()), [3, 0]),
            ("hot", preprocessing.OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False), [4]),
            ("grouped", hot, [5]),
            ("numbered", numbered, [5, 4]),
            ("dropped", "drop", [1]),
        ],
        remainder="passthrough",
        **more,
    )


PIPELINES = {
    "columns": (after(encoders()), False),
    "weighed columns": (after(encoders(transformer_weights={"hot": 0.5, "scaled": 3.0})), False),
    "union": (
        after(pipeline.FeatureUnion([("a", preprocessing.MinMaxScaler(clip=True)), ("b", preprocessing.Binarizer())])),
        False,
    ),
    "imputed": (after(impute.SimpleImputer(strategy="median", add_indicator=True)), True),
    "replaced": (after(impute.SimpleImputer(missing_values=2.0, strategy="constant", fill_value=-7)), False),
    "powers": (after(preprocessing.PolynomialFeatures(3)), False),
    "interactions": (after(preprocessing.PolynomialFeatures((2, 2), interaction_only=True, include_bias=False)), False),
    "largest": (after(preprocessing.Normalizer("max")), False),
    "length": (after(preprocessing.Normalizer()), False),
    "selected": (after(feature_selection.SelectKBest(feature_selection.f_regression, k=3)), False),
    "nothing": (after(preprocessing.FunctionTransformer(), preprocessing.RobustScaler()), False),
    "missing categories": (
        after(compose.ColumnTransformer([("n", preprocessing.OrdinalEncoder(encoded_missing_value=-3), [4]),
            ("h", preprocessing.OneHotEncoder(handle_unknown="ignore"), [4])])),
        True,
    ),
    "categorical histogram": (
        ensemble.HistGradientBoostingRegressor(max_iter=8, categorical_features=[4, 5]), True,
    ),
    "categorical histogram behind a scaler": (
        pipeline.make_pipeline(
            preprocessing.MinMaxScaler(),
            ensemble.HistGradientBoostingClassifier(max_iter=4, categorical_features=[4, 5]),
        ),
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_compiled_pipelines(name):
    model, missing = PIPELINES[name]
    x = mixed(400, 0, missing)
    target = np.nan_to_num(x[:, 0] + x[:, 4] * (x[:, 5] > 1))
    model.fit(x, target > 0 if "Classifier" in type(model).__name__ + str(model) else target)
    # Where missing numbers are what the encoder saw in training, unknown ones are refused by it.
    test = mixed(200, 0 if name == "missing categories" else 1, missing)
    np.testing.assert_allclose(neomlir.compile(model)(test), predict(model, test), rtol=1e-12)


@pytest.mark.parametrize(
    ("norm", "dtype"), [("l1", "float32"), ("l1", "float64"), ("l2", "float32"), ("l2", "float64")]
)
def test_norms_are_the_same_bits(norm, dtype):
    """Every threshold is a number of a row: one that is a bit larger goes the other way."""
    rng = np.random.default_rng(3)
    for width in (5, 21, 140):
        x = rng.standard_normal((300, width))
        model = pipeline.make_pipeline(preprocessing.Normalizer(norm), tree.DecisionTreeRegressor(max_leaf_nodes=200))
        model.fit(x, rng.standard_normal(len(x)))
        found = model[0].transform(x).astype(np.float32)
        inner = model[1].tree_.children_left >= 0
        for node in np.flatnonzero(inner):
            numbers = found[:, model[1].tree_.feature[node]]
            model[1].tree_.threshold[node] = numbers[np.abs(numbers - model[1].tree_.threshold[node]).argmin()]
        got = neomlir.compile(model, inputs=((None, width),))(x)
        np.testing.assert_array_equal(got.reshape(-1), model.predict(x))


def test_classifiers_of_several_outputs():
    x = rows(200, 6)
    y = np.stack([labels("classes", x, 6), labels("two", x, 7)], 1)
    for model in (tree.DecisionTreeClassifier(max_depth=4), ensemble.ExtraTreesClassifier(4, max_depth=5)):
        compiled = neomlir.compile(model.fit(x, y))
        assert [(o.name, o.shape) for o in compiled.outputs] == [("y0", (None, 3)), ("y1", (None, 2))]
        test = rows(80, 8).astype(np.float32)
        for got, wanted in zip(compiled(test), model.predict_proba(test), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12)
    assert max(a.error for a in neomlir.check(model, compiled)) < 1e-12


def test_what_is_not_read_is_said():
    x = rows(100, 4, missing=False).clip(-5, 5)
    y = labels("y", x, 4)
    for model, message in (
        (tree.DecisionTreeRegressor(), "has not been fitted"),
        (linear_model.LinearRegression().fit(x, y), "LinearRegression is not supported"),
        (
            pipeline.make_pipeline(preprocessing.QuantileTransformer(n_quantiles=10), tree.DecisionTreeRegressor()).fit(
                x, y
            ),
            "QuantileTransformer is not supported",
        ),
        (after(preprocessing.FunctionTransformer(np.log1p)).fit(np.abs(x), y), "Python function log1p"),
        (after(preprocessing.OneHotEncoder()).fit(np.array([["a"], ["b"]] * 50), y), "categories that are no numbers"),
        (
            after(preprocessing.OrdinalEncoder(max_categories=3)).fit(x.round(), y),
            "groups infrequent",
        ),
    ):
        with pytest.raises(ImportFailure, match=message):
            imported(model)


def test_checking_against_the_framework():
    x = rows(200, 5)
    for model, y in ((tree.DecisionTreeClassifier(), "classes"), (ensemble.IsolationForest(n_estimators=5), "none")):
        model.fit(x, labels(y, x, 5))
        (agreement,) = neomlir.check(model, neomlir.compile(model))
        assert agreement.error < 1e-12
