"""XGBoost: a `Booster`, an `XGBModel` (the scikit-learn classes), or a model file (`.json`, `.ubj`)."""

from __future__ import annotations

import ctypes
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neomlir.errors import ImportFailure, NeoError
from neomlir.frontends import ubjson
from neomlir.frontends.base import Frontend, Imported, Inputs
from neomlir.frontends.columns import Rows, step
from neomlir.frontends.forest import INPUT, Collector, linear_trees, rows_and_kind
from neomlir.frontends.forest_module import to_module
from neomlir.mlir import ir
from neomlir.trees import Trees

# What an objective does to the margin, and to the base score that a file holds (docs/frontends/xgboost.md).
_POST = {
    "binary:logistic": ("sigmoid=1.0",),
    "reg:logistic": ("sigmoid=1.0",),
    "binary:hinge": ("step",),
    "multi:softprob": ("softmax",),
    "multi:softmax": ("argmax",),
    "count:poisson": ("exp",),
    "reg:gamma": ("exp",),
    "reg:tweedie": ("exp",),
    "survival:cox": ("exp",),
    "survival:aft": ("exp",),
}
_IDENTITY = (
    "binary:logitraw", "reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
    "reg:quantileerror", "reg:expectileerror", "reg:linear", "rank:pairwise", "rank:ndcg", "rank:map",
)  # fmt: skip
_LOGIT = ("binary:logistic", "reg:logistic")
_LOG = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
_CATEGORICAL = 1


class XGBoost(Frontend):
    """Reads XGBoost models of gbtree, dart and gblinear."""

    suffixes = (".json", ".ubj")
    objects = "an XGBoost Booster or XGBModel"

    def reads(self, source: Any) -> bool:
        if isinstance(source, str | os.PathLike):
            return Path(source).suffix in self.suffixes and Path(source).is_file()
        if isinstance(source, Saved):
            return True
        # Whoever holds such an object has imported xgboost.
        package = sys.modules.get("xgboost")
        return package is not None and isinstance(source, (package.Booster, package.XGBModel))

    def hold(self, source: Any) -> Any:
        """The bytes of a model in memory: its threads do not survive a fork."""
        return source if isinstance(source, str | os.PathLike | Saved) else Saved.of(source)

    def import_(self, source: Any, inputs: Inputs, context: ir.Context) -> Imported:
        """The model as one `forest.ensemble` that gives what `Booster.predict` gives, for rows of float32.

        `inputs` may fix the number of rows: `{"x": (1, features)}`. A model stopped early keeps its best iteration, as
        `XGBModel.predict` does.
        """
        source = self.hold(source)
        name = source.name if isinstance(source, Saved) else Path(source).name
        try:
            model = _document(source, name)
            missing = source.missing if isinstance(source, Saved) else math.nan
            return _import(model, inputs, name, context, missing)
        except NeoError:
            raise
        except RecursionError:
            raise ImportFailure(f"{name}: values nested too deep") from None
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, AttributeError, MemoryError) as error:
            raise ImportFailure(
                f"{name} is not an XGBoost model, or it is damaged: {type(error).__name__}: {error}"
            ) from error

    def reference(self, source: Any, threads: int = 0) -> Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]:
        """`Booster.predict`. Raises ImportFailure where xgboost is not installed."""
        try:
            import xgboost
        except ImportError as error:
            raise ImportFailure("running an XGBoost model takes xgboost: pip install 'neomlir[xgboost]'") from error
        held = self.hold(source)
        booster = xgboost.Booster(model_file=bytearray(held.data) if isinstance(held, Saved) else os.fspath(held))
        if threads:
            booster.set_param({"nthread": threads})

        kinds, missing = booster.feature_types, held.missing if isinstance(held, Saved) else math.nan
        linear = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"] == "gblinear"
        if threads and not linear and "c" not in (kinds or ()):
            # To be timed: without a copy of the rows.
            return lambda arrays: [booster.inplace_predict(arrays[INPUT], validate_features=False, missing=missing)]

        def run(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            rows = xgboost.DMatrix(
                arrays[INPUT],
                missing=missing,
                feature_types=kinds,
                enable_categorical=kinds is not None,
                nthread=threads or None,
            )
            return [booster.predict(rows, validate_features=False)]

        return run


class Saved(NamedTuple):
    """A model in memory as the bytes of its `.ubj` file."""

    name: str
    data: bytes
    missing: float = math.nan
    """What stands for a missing number beside NaN: `missing=` of an XGBModel."""

    @classmethod
    def of(cls, source: Any) -> Saved:
        """Save a Booster or an XGBModel, up to its best iteration. Raises ImportFailure where it has not been
        fitted."""
        package, name = sys.modules["xgboost"], type(source).__name__
        booster, missing = source, math.nan
        if isinstance(source, package.XGBModel):
            missing = math.nan if source.missing is None else float(source.missing)
            try:
                booster = source.get_booster()
            except Exception as error:
                raise ImportFailure(f"{name} has not been fitted: {error}") from error
            best = booster.attr("best_iteration")
            if best is not None and booster.num_boosted_rounds() > int(best) + 1:
                booster = booster[: int(best) + 1]
        return cls(name, bytes(booster.save_raw(raw_format="ubj")), missing)


def _document(source: Any, name: str) -> dict:
    if isinstance(source, Saved):
        return ubjson.loads(source.data)
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise ImportFailure(f"{name} can't be read: {error.strerror}") from error
    return json.loads(data) if Path(source).suffix == ".json" else ubjson.loads(data)


def _import(model: dict, inputs: Inputs, name: str, context: ir.Context, missing: float) -> Imported:
    learner = model["learner"]
    parameters, objective = learner["learner_model_param"], learner["objective"]["name"]
    if objective not in _POST and objective not in _IDENTITY:
        raise ImportFailure(
            f"{name}: its objective {objective!r} is not known; there are {', '.join((*_POST, *_IDENTITY))}"
        )
    features = int(parameters["num_feature"])
    groups = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    if not 0 < groups <= 1 << 20 or not 0 < features <= 1 << 27:
        raise ImportFailure(f"{name}: it has {features} features and {groups} outputs")
    base = _base_score(parameters["base_score"], objective, groups, name)
    booster = learner["gradient_booster"]
    kind = booster["name"]
    rows, _ = rows_and_kind(inputs, features, name, ("float32",))
    post = _POST.get(objective, ())
    if objective.startswith("multi:") and groups == 1:
        post = ()
    if kind == "gblinear":
        trees = _linear(booster["model"], base, features, groups, post, name)
    elif kind in ("gbtree", "dart"):
        gbtree = booster["gbtree"] if kind == "dart" else booster
        drops = booster["weight_drop"] if kind == "dart" else None
        trees = _trees(gbtree["model"], drops, base, features, groups, post, name)
    else:
        raise ImportFailure(f"{name}: its booster {kind!r} is not known; there are gbtree, dart and gblinear")
    before = None if math.isnan(missing) else (step(Rows(features), "replace", missing, math.nan), "float32")
    return to_module(trees, features, rows, name, context, before=before)


def _base_score(text: Any, objective: str, groups: int, name: str) -> np.ndarray:
    """The margins that sums start from; files hold them as predictions."""
    numbers = np.array([float(part) for part in str(text).strip("[] ").split(",")], np.float32)
    if len(numbers) not in (1, groups):
        raise ImportFailure(f"{name}: it has {len(numbers)} base scores for {groups} outputs")
    if objective in _LOGIT:
        if ((numbers <= 0) | (numbers >= 1)).any():
            raise ImportFailure(f"{name}: its base score {text} is no probability")
        numbers = -_log(np.float32(1.0) / numbers - np.float32(1.0))
    elif objective in _LOG:
        if (numbers <= 0).any():
            raise ImportFailure(f"{name}: its base score {text} is not positive")
        numbers = _log(numbers)
    return np.broadcast_to(numbers, (groups,)).astype(np.float32)


def _log(numbers: np.ndarray) -> np.ndarray:
    """The logarithm of the C library in float32, as XGBoost takes it: its last bit differs from the rounded one now and
    then."""
    try:
        function = ctypes.CDLL(None).logf
    except (OSError, AttributeError):
        return np.array([math.log(n) if n > 0 else -math.inf for n in numbers.tolist()], np.float32)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return np.array([function(n) for n in numbers.tolist()], np.float32)


def _trees(
    model: dict, drops: Any, base: np.ndarray, features: int, groups: int, post: tuple[str, ...], name: str
) -> Trees:
    trees, targets = model["trees"], model["tree_info"]
    if len(targets) != len(trees):
        raise ImportFailure(f"{name}: it has {len(trees)} trees, but says what {len(targets)} are for")
    if drops is not None and len(drops) != len(trees):
        raise ImportFailure(f"{name}: it has {len(trees)} trees, but {len(drops)} weights for them")
    found = Collector(name, features, groups, np.float32, np.float32)
    for number, (tree, target) in enumerate(zip(trees, targets, strict=True)):
        left, right = np.asarray(tree["left_children"]), np.asarray(tree["right_children"])
        for part in ("right_children", "split_indices", "split_conditions", "default_left"):
            if len(tree[part]) != len(left):
                raise ImportFailure(f"{name}: tree {number} has {len(left)} nodes, but {len(tree[part])} {part}")
        leaf = left == -1
        width = int(tree["tree_param"].get("size_leaf_vector", 1))
        threshold = np.asarray(tree["split_conditions"], np.float32)
        if width > 1:
            leaves = np.asarray(tree["leaf_weights"], np.float32).reshape(-1, width)
            if width != groups or (right[leaf] >= len(leaves)).any() or (right[leaf] < 0).any():
                raise ImportFailure(f"{name}: tree {number} has {leaves.shape} leaf weights for {groups} outputs")
            values = np.zeros((len(left), width), np.float32)
            values[leaf] = leaves[right[leaf]]
        else:
            values = threshold
        if drops is not None:
            values = values * np.float32(drops[number])
        sets = _sets(tree, number, name)
        # Members of an XGBoost set go right, so the sides change places: and NaN's with them.
        swapped = np.zeros(len(left), bool)
        swapped[list(sets)] = True
        default = np.asarray(tree["default_left"]).astype(bool)
        found.add(
            np.where(swapped, right, left),
            np.where(swapped, left, right),
            np.asarray(tree["split_indices"]),
            np.where(leaf, 0, threshold),
            default ^ swapped,
            values,
            leaf=leaf,
            target=0 if width > 1 else int(target),
            sets=sets,
        )
    return found.trees(base, "lt", post)


def _sets(tree: dict, number: int, name: str) -> dict[int, np.ndarray]:
    """The words of the sets of the categorical nodes of a tree."""
    kinds = np.asarray(tree.get("split_type", []))
    nodes = np.asarray(tree.get("categories_nodes", []), np.int64)
    categorical = np.flatnonzero(kinds == _CATEGORICAL)
    missing = np.setdiff1d(categorical, nodes)
    if len(missing):
        raise ImportFailure(f"{name}: tree {number}, node {missing[0]}: it is categorical and has no categories")
    categories = np.asarray(tree.get("categories", []), np.int64)
    if len(categories) and not (categories.min() >= 0 and categories.max() < 1 << 24):
        raise ImportFailure(f"{name}: tree {number} has categories out of range")
    found = {}
    for node, start, size in zip(nodes, tree["categories_segments"], tree["categories_sizes"], strict=True):
        members = categories[int(start) : int(start) + int(size)]
        if len(members) != int(size) or node < 0 or node >= len(kinds):
            raise ImportFailure(f"{name}: tree {number}, node {node}: its categories are out of range")
        words = np.zeros((int(members.max()) >> 5) + 1 if len(members) else 1, np.uint32)
        np.bitwise_or.at(words, members >> 5, np.uint32(1) << (members & 31).astype(np.uint32))
        found[int(node)] = words
    return found


def _linear(model: dict, base: np.ndarray, features: int, groups: int, post: tuple[str, ...], name: str) -> Trees:
    weights = np.asarray(model["weights"], np.float32)
    if weights.size != (features + 1) * groups:
        raise ImportFailure(f"{name}: it has {weights.size} weights for {features} features and {groups} outputs")
    weights = weights.reshape(features + 1, groups)
    # XGBoost adds the first base score to every output of a linear model.
    return linear_trees(weights[:-1], base[0] + weights[-1], np.float32, post)


FRONTEND = XGBoost()
