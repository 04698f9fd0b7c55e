"""scikit-learn: fitted estimators of trees, and pipelines that end in one."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure, NeoError
from neomlir.frontends.base import Frontend, Imported, Inputs
from neomlir.frontends.columns import Matrix, Rows
from neomlir.frontends.forest import INPUT, OUTPUT, Collector, rows_and_kind
from neomlir.frontends.forest_module import to_module
from neomlir.frontends.sklearn_columns import only_scales, transformed
from neomlir.mlir import ir
from neomlir.trees import Trees

_SINGLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
_FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_KNOWN = (*_SINGLE, *_FORESTS, *_BOOSTED, *_HISTOGRAM, "IsolationForest")


class Sklearn(Frontend):
    """Reads fitted estimators of scikit-learn."""

    objects = f"an estimator of scikit-learn ({', '.join(_KNOWN)}, a Pipeline)"

    def reads(self, source: Any) -> bool:
        # Whoever holds such an object has imported sklearn.
        package = sys.modules.get("sklearn.base")
        kind = type(source)
        return (
            package is not None
            and isinstance(source, package.BaseEstimator)
            and kind.__module__.partition(".")[0] == "sklearn"
        )

    def import_(self, source: Any, inputs: Inputs, context: ir.Context) -> Imported:
        """The estimator as one `forest.ensemble`: `predict` of a regressor, `predict_proba` of a classifier,
        `decision_function` of an isolation forest.

        Rows are of float32 or float64, as scikit-learn takes them: the first is the default but where it computes in
        float64 (histogram boosting, pipelines).
        """
        name = type(source).__name__
        try:
            return _import(source, inputs, name, context)
        except NeoError:
            raise
        except Exception as error:
            raise ImportFailure(f"{name} could not be imported: {type(error).__name__}: {error}") from error

    def reference(self, source: Any, threads: int = 0) -> Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]:
        """What the estimator itself gives."""
        if threads:
            source = _with_threads(source, threads)
        for name in ("predict_proba", "predict" if hasattr(source, "n_outputs_") else "decision_function", "predict"):
            if hasattr(source, name):
                return lambda arrays: _several(getattr(source, name)(arrays[INPUT]))
        raise ImportFailure(f"{type(source).__name__} predicts nothing")


def _several(made: Any) -> list[np.ndarray]:
    return list(made) if isinstance(made, list) else [made]


def _with_threads(source: Any, threads: int) -> Any:
    """A copy that predicts with so many threads; those of histogram boosting are OpenMP's, set for the process."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="openmp")
    source = copy.copy(source)
    if type(source).__name__ == "Pipeline":
        *steps, (name, estimator) = source.steps
        source.steps = [*steps, (name, _with_threads(estimator, threads))]
    elif hasattr(source, "n_jobs"):
        source.n_jobs = threads
    return source


def _import(source: Any, inputs: Inputs, name: str, context: ir.Context) -> Imported:
    before: list[Any] = []
    estimator = source
    while type(estimator).__name__ == "Pipeline":
        *steps, (_, estimator) = estimator.steps
        before += [step for _, step in steps if step is not None and step != "passthrough"]
    kind = type(estimator).__name__
    if kind not in _KNOWN:
        raise ImportFailure(
            f"{name}: {kind} is not supported; there are {', '.join(_KNOWN)}, and a Pipeline that ends in one"
        )
    if not hasattr(estimator, "n_features_in_"):
        raise ImportFailure(f"{name} has not been fitted")
    features = int((before[0] if before else estimator).n_features_in_)
    wide = kind in _HISTOGRAM
    encoder = getattr(estimator, "_preprocessor", None) if wide else None
    kinds = ("float64", "float32") if wide or before else ("float32",)
    if encoder is not None or not all(map(only_scales, before)):
        # What a pipeline computes in differs from step to step for rows of float32.
        kinds = ("float64",)
    rows, dtype = rows_and_kind(inputs, features, name, kinds)
    columns: Matrix = Rows(features)
    for step in (*before, *([encoder] if encoder is not None else ())):
        columns = transformed(columns, step, name)
    # Trees of the Cython kind compare in float32; those of histograms in float64.
    trees = _trees(estimator, kind, columns.width, dtype if wide else "float32", name)
    classes = _classes(estimator)
    ends = np.cumsum([0, *classes]).tolist()
    outputs: list[tuple[str, Any]] = [(OUTPUT, "scores")]
    if len(classes) > 1:
        outputs = [(f"{OUTPUT}{i}", (ends[i], ends[i + 1])) for i in range(len(classes))]
    return to_module(trees, features, rows, name, context, before=(columns, dtype), outputs=outputs)


def _classes(estimator: Any) -> list[int]:
    """The number of classes of each output of a classifier; none of a regressor."""
    if not hasattr(estimator, "classes_"):
        return []
    several = getattr(estimator, "n_outputs_", 1) > 1
    return [len(c) for c in estimator.classes_] if several else [len(estimator.classes_)]


def _trees(estimator: Any, kind: str, features: int, dtype: str, name: str) -> Trees:
    if kind in _SINGLE:
        return _voting([estimator], estimator, features, dtype, name, ())
    if kind in _FORESTS:
        count = len(estimator.estimators_)
        return _voting(estimator.estimators_, estimator, features, dtype, name, (f"divide={float(count)}",))
    if kind in _BOOSTED:
        return _boosted(estimator, kind, features, dtype, name)
    if kind in _HISTOGRAM:
        return _histogram(estimator, features, dtype, name)
    return _isolation(estimator, features, dtype, name)


def _add(found: Collector, tree: Any, values: np.ndarray, target: int = 0, features: np.ndarray | None = None) -> None:
    """A `sklearn.tree._tree.Tree`; `features` are the columns of the input that it was trained on."""
    missing = getattr(tree, "missing_go_to_left", None)
    leaf = tree.children_left < 0
    feature = np.where(leaf, 0, tree.feature)
    found.add(
        tree.children_left,
        tree.children_right,
        feature if features is None else np.asarray(features)[feature],
        np.where(leaf, 0.0, tree.threshold),
        np.zeros(len(leaf), bool) if missing is None else np.asarray(missing, bool),
        values,
        leaf=leaf,
        target=target,
    )


def _voting(members: list, estimator: Any, features: int, dtype: str, name: str, post: tuple[str, ...]) -> Trees:
    classes = _classes(estimator)
    width = sum(classes) or estimator.n_outputs_
    found = Collector(name, features, width, dtype, np.float64)
    for member in members:
        tree = member.tree_
        values = [tree.value[:, i, :count] for i, count in enumerate(classes)] or [tree.value[:, :, 0]]
        _add(found, tree, np.concatenate(values, axis=1))
    return found.trees(np.zeros(width), "le", post)


def _boosted(estimator: Any, kind: str, features: int, dtype: str, name: str) -> Trees:
    init = type(estimator.init_).__name__
    if estimator.init_ != "zero" and init not in ("DummyClassifier", "DummyRegressor"):
        raise ImportFailure(f"{name}: an estimator of one's own as init ({init}) is not supported")
    base = np.asarray(estimator._raw_predict_init(np.zeros((1, features), np.float32)), np.float64).reshape(-1)
    found = Collector(name, features, len(base), dtype, np.float64)
    for stage in estimator.estimators_:
        for target, member in enumerate(stage):
            _add(found, member.tree_, estimator.learning_rate * member.tree_.value[:, 0, 0], target)
    post: tuple[str, ...] = ()
    if kind == "GradientBoostingClassifier":
        post = ("softmax",) if len(base) > 1 else ("sigmoid=1.0", "pair")
        if estimator.loss == "exponential":
            post = ("sigmoid=2.0", "pair")
    return found.trees(base, "le", post)


def _histogram(estimator: Any, features: int, dtype: str, name: str) -> Trees:
    base = np.asarray(estimator._baseline_prediction, np.float64).reshape(-1)
    found = Collector(name, features, len(base), dtype, np.float64)
    for stage in estimator._predictors:
        for target, predictor in enumerate(stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            # A category is the number that the encoder before gives; what training has not seen is NaN by then.
            categorical = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
            sets = {int(n): predictor.raw_left_cat_bitsets[nodes["bitset_idx"][n]] for n in categorical}
            found.add(
                nodes["left"].astype(np.int64),
                nodes["right"].astype(np.int64),
                np.where(leaf, 0, nodes["feature_idx"]),
                np.where(leaf | nodes["is_categorical"].astype(bool), 0.0, nodes["num_threshold"]),
                nodes["missing_go_to_left"].astype(bool),
                nodes["value"],
                leaf=leaf,
                target=target,
                sets=sets,
            )
    if hasattr(estimator, "classes_"):
        post = ("softmax",) if len(base) > 1 else ("sigmoid=1.0", "pair")
    else:
        post = ("exp",) if estimator.loss in ("poisson", "gamma") else ()
    return found.trees(base, "le", post)


def _isolation(estimator: Any, features: int, dtype: str, name: str) -> Trees:
    from sklearn.ensemble._iforest import _average_path_length

    found = Collector(name, features, 1, dtype, np.float64)
    lengths, averages = estimator._decision_path_lengths, estimator._average_path_length_per_tree
    for number, (member, columns) in enumerate(zip(estimator.estimators_, estimator.estimators_features_, strict=True)):
        _add(found, member.tree_, lengths[number] + averages[number] - 1.0, features=columns)
    most = len(estimator.estimators_) * float(_average_path_length([estimator._max_samples])[0])
    post = (f"divide={most!r}", "negate", "exp2", "negate", f"add={-float(estimator.offset_)!r}")
    return found.trees(np.zeros(1), "le", post)


FRONTEND = Sklearn()
