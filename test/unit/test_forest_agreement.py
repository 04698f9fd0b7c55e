"""Over 200 randomly trained models agree with their frameworks: raw sums bit for bit where those sum in order in the
same type, else within 1e-6. Rows hold missing numbers, thresholds, their neighbours, and the edges of the type.

A few models by default, all with `-m full`.
"""

import warnings

import forest_models
import neomlir
import numpy as np
import pytest
from forest_reference import evaluate, imported

COUNTS = {"xgboost": 95, "lightgbm": 64, "sklearn": 51, "onnx": 36}
DEFAULT = {"xgboost": (2, 13, 38, 44), "lightgbm": (0, 11, 22, 35), "sklearn": (3, 12, 14, 15), "onnx": (3, 7, 10)}
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
]


def numbers(framework):
    """The numbers of the models of a framework; all but a few are marked `full`."""
    return [
        pytest.param(n, marks=() if n in DEFAULT[framework] else pytest.mark.full, id=str(n))
        for n in range(COUNTS[framework])
    ]


def close(got, wanted, scale=0.0):
    """Within 1e-6 of each number (or of `scale`); NaN and infinities at the same places."""
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6 * scale + 1e-37)


def raw(model, inputs=None):
    """The trees of a model without what follows the sum."""
    trees = imported(model, inputs)
    post, trees.post = trees.post, ()
    return trees, post


@pytest.mark.parametrize("number", numbers("xgboost"))
def test_xgboost(number):
    package = pytest.importorskip("xgboost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        booster, rows, categorical = forest_models.xgboost(number)
    trees, post = raw(booster)
    # XGBoost's matrices take no infinity.
    x = forest_models.strange(trees, rows, number, extremes=())
    x[:, list(categorical)] = rows[:, list(categorical)]
    if trees.linear_begin is not None:
        x = np.where(np.abs(x) > 1e6, 1.0, x).astype(np.float32)
    kinds = booster.feature_types
    matrix = package.DMatrix(x, feature_types=kinds, enable_categorical=bool(categorical), nthread=1)
    margin = booster.predict(matrix, output_margin=True)
    exact = trees.linear_begin is None
    compare = np.testing.assert_array_equal if exact else lambda a, b: close(a, b, np.abs(b).max())
    if not any(p == "argmax" for p in post):
        compare(evaluate(trees, x), margin)
    got, wanted = neomlir.compile(booster)(x), booster.predict(matrix)
    if not post:
        compare(got, wanted)
    else:
        close(got, wanted)


@pytest.mark.parametrize("number", numbers("lightgbm"))
def test_lightgbm(number):
    pytest.importorskip("lightgbm")
    booster, rows, categorical = forest_models.lightgbm(number)
    kind = ("float64", "float32")[number % 2]
    inputs = (((None, rows.shape[1]), kind),)
    trees, post = raw(booster, inputs)
    x = forest_models.strange(trees, rows.astype(kind), number)
    x[:, list(categorical)] = rows[:, list(categorical)]
    margin = booster.predict(x, raw_score=True, num_threads=1)
    exact = trees.linear_begin is None
    with np.errstate(all="ignore"):
        compare = np.testing.assert_array_equal if exact else close
        compare(evaluate(trees, x), margin)
        got, wanted = neomlir.compile(booster, inputs=inputs)(x), booster.predict(x, num_threads=1)
    compare = np.testing.assert_array_equal if exact and not post else close
    compare(got, wanted)


@pytest.mark.parametrize("number", numbers("sklearn"))
def test_sklearn(number):
    pytest.importorskip("sklearn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, x = forest_models.sklearn(number)
        if not hasattr(model, "steps") and getattr(model, "_preprocessor", None) is None:
            trees, _ = raw(model, (((None, x.shape[1]), x.dtype.name),))
            strange = forest_models.strange(trees, x, number, extremes=())
            # Numbers beyond float32 are infinite to trees that take float32, which scikit-learn refuses.
            x = np.where(np.isnan(strange) & ~np.isnan(x).any(), x, strange).astype(x.dtype)
        compiled = neomlir.compile(model, inputs=(((None, x.shape[1]), x.dtype.name),))
        predict = next(
            getattr(model, n) for n in ("predict_proba", "decision_function", "predict") if hasattr(model, n)
        )
        wanted = predict(x)
    got = compiled(x)
    for a, b in zip(*(v if isinstance(v, tuple | list) else (v,) for v in (got, wanted)), strict=True):
        close(a, b)


@pytest.mark.parametrize("number", numbers("onnx"))
def test_onnx(number):
    runtime = pytest.importorskip("onnxruntime")
    data, rows = forest_models.onnx(number)
    trees, _ = raw(data)
    x = forest_models.strange(trees, rows, number)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    *label, wanted = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    made = neomlir.compile(data).run({"x": x})
    close(made["scores"].reshape(wanted.shape), wanted, np.abs(trees.values).max() * len(trees.roots))
    if label:
        clear = np.diff(np.sort(wanted, 1)[:, -2:], axis=1)[:, 0] > 1e-5
        np.testing.assert_array_equal(made["label"][clear], label[0][clear])
