"""LightGBM: a `Booster`, an `LGBMModel` (the scikit-learn classes), or a text model (`.txt`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neomlir.errors import ImportFailure, NeoError
from neomlir.frontends.base import Frontend, Imported, Inputs
from neomlir.frontends.forest import INPUT, Collector, rows_and_kind
from neomlir.frontends.forest_module import to_module
from neomlir.mlir import ir
from neomlir.trees import ZERO, ZERO_MISSING, Trees

# What an objective does to the sum; numbers come from the model's own line.
_EXP = ("poisson", "gamma", "tweedie")
_IDENTITY = (
    "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom",
)  # fmt: skip
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NONE, _ZERO, _NAN = 0, 1, 2


class Saved(NamedTuple):
    """A model in memory as its text."""

    name: str
    text: str


class LightGBM(Frontend):
    """Reads LightGBM models of any boosting type."""

    suffixes = (".txt",)
    objects = "a LightGBM Booster or LGBMModel"

    def reads(self, source: Any) -> bool:
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            if path.suffix not in self.suffixes or not path.is_file():
                return False
            with path.open("rb") as file:
                return file.read(5) in (b"tree\n", b"tree\r")
        if isinstance(source, Saved):
            return True
        # Whoever holds such an object has imported lightgbm.
        package = sys.modules.get("lightgbm")
        return package is not None and isinstance(source, (package.Booster, package.LGBMModel))

    def hold(self, source: Any) -> Any:
        """The text of a model in memory: its threads do not survive a fork."""
        if isinstance(source, str | os.PathLike | Saved):
            return source
        name = type(source).__name__
        try:
            booster = source.booster_ if isinstance(source, sys.modules["lightgbm"].LGBMModel) else source
        except Exception as error:
            raise ImportFailure(f"{name} has not been fitted: {error}") from error
        return Saved(name, booster.model_to_string())

    def import_(self, source: Any, inputs: Inputs, context: ir.Context) -> Imported:
        """The model as one `forest.ensemble` that gives what `Booster.predict` gives.

        Rows are of float64, or of float32 where `inputs` says so; the leaves reached are LightGBM's in both.
        """
        source = self.hold(source)
        name = source.name if isinstance(source, Saved) else Path(source).name
        try:
            text = source.text if isinstance(source, Saved) else Path(source).read_text()
            return _import(text, inputs, name, context)
        except NeoError:
            raise
        except OSError as error:
            raise ImportFailure(f"{name} can't be read: {error.strerror}") from error
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            raise ImportFailure(
                f"{name} is not a LightGBM model, or it is damaged: {type(error).__name__}: {error}"
            ) from error

    def reference(self, source: Any, threads: int = 0) -> Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]:
        """`Booster.predict`. Raises ImportFailure where lightgbm is not installed."""
        try:
            import lightgbm
        except ImportError as error:
            raise ImportFailure("running a LightGBM model takes lightgbm: pip install 'neomlir[lightgbm]'") from error
        held = self.hold(source)
        booster = lightgbm.Booster(model_str=held.text if isinstance(held, Saved) else Path(held).read_text())
        return lambda arrays: [booster.predict(arrays[INPUT], num_threads=threads)]


def _import(text: str, inputs: Inputs, name: str, context: ir.Context) -> Imported:
    head, *rest = text.split("\nTree=")
    lines = dict(line.partition("=")[::2] for line in head.splitlines())
    if "end of trees" not in text:
        raise ImportFailure(f"{name} is truncated: it has no line 'end of trees'")
    if rest:
        rest[-1] = rest[-1].partition("\nend of trees")[0]
    features = int(lines["max_feature_idx"]) + 1
    boosted = int(lines["num_tree_per_iteration"])
    if not 0 < boosted <= 1 << 20 or not 0 < features <= 1 << 27:
        raise ImportFailure(f"{name}: it has {features} features and {boosted} trees an iteration")
    rows, kind = rows_and_kind(inputs, features, name, ("float64", "float32"))
    sizes = lines.get("tree_sizes", "").split()
    if len(sizes) != len(rest):
        raise ImportFailure(f"{name}: it announces {len(sizes)} trees and has {len(rest)}")
    post = _post(lines.get("objective", "custom"), boosted, name)
    if "average_output" in lines and rest:
        post = [f"divide={float(len(rest) // boosted)}", *post]
    found = Collector(name, features, boosted, kind, np.float64)
    linear = _Linear()
    for number, block in enumerate(rest):
        _add(found, linear, number, block, number % boosted, name)
    trees = found.trees(np.zeros(boosted), "le", post)
    linear.complete(trees)
    return to_module(trees, features, rows, name, context)


def _post(objective: str, outputs: int, name: str) -> list[str]:
    kind, *words = objective.split() or ["custom"]
    settings = dict(word.partition(":")[::2] for word in words)
    if kind in _IDENTITY:
        return ["signed_square"] if "sqrt" in settings else []
    if kind in _EXP:
        return ["exp"]
    if kind == "multiclass":
        return ["softmax"] if outputs > 1 else []
    if kind in ("binary", "multiclassova"):
        return [f"sigmoid={float(settings.get('sigmoid', 1))}"]
    if kind == "cross_entropy":
        return ["sigmoid=1.0"]
    if kind == "cross_entropy_lambda":
        return ["softplus"]
    raise ImportFailure(f"{name}: its objective {kind!r} is not known")


def _add(found: Collector, linear: _Linear, number: int, block: str, target: int, name: str) -> None:
    """One tree: LightGBM numbers nodes and leaves apart, leaf l as ~l; here leaves follow the nodes."""
    fields = dict(line.partition("=")[::2] for line in block.splitlines()[1:])
    leaves = int(fields["num_leaves"])
    if not 1 <= leaves <= 1 << 24:
        raise ImportFailure(f"{name}: tree {number} has {leaves} leaves")
    nodes = leaves - 1

    def numbers(key: str, kind: Any, count: int) -> np.ndarray:
        words = fields.get(key, "").split()
        if len(words) != count:
            raise ImportFailure(f"{name}: tree {number} has {len(words)} numbers in {key}, not {count}")
        return np.array(words, np.float64 if kind is float else np.int64)

    def sides(key: str) -> np.ndarray:
        children = numbers(key, int, nodes)
        bad = np.flatnonzero((children >= nodes) | (children < -leaves))
        if len(bad):
            raise ImportFailure(
                f"{name}: tree {number}, node {bad[0]}: its {key} {children[bad[0]]} is out of range "
                f"({nodes} nodes, {leaves} leaves)"
            )
        return np.where(children < 0, nodes - 1 - children, children)

    left, right = sides("left_child"), sides("right_child")
    feature, threshold = numbers("split_feature", int, nodes), numbers("threshold", float, nodes)
    given = threshold
    decision = numbers("decision_type", int, nodes)
    missing = decision >> 2 & 3
    categorical = decision & _CATEGORICAL != 0
    # NaN is zero where no value was missing in training.
    goes_left = np.where(missing == _NONE, threshold >= 0, decision & _DEFAULT_LEFT != 0) & ~categorical
    # LightGBM reads numbers of a row that are as near to zero as ZERO, or nearer, as zero.
    threshold = np.where((threshold >= -ZERO) & (threshold < 0), np.nextafter(-ZERO, -np.inf), threshold)
    threshold = np.where((threshold >= 0) & (threshold < ZERO), ZERO, threshold)
    flags = np.where((missing == _ZERO) & ~categorical, ZERO_MISSING, 0)
    sets = {}
    if categorical.any():
        count = int(fields["num_cat"])
        bounds = numbers("cat_boundaries", int, count + 1)
        words = np.array(fields["cat_threshold"].split(), np.uint64).astype(np.uint32)
        for node in np.flatnonzero(categorical):
            place = int(given[node])
            if not 0 <= place < count or not 0 <= bounds[place] <= bounds[place + 1] <= len(words):
                raise ImportFailure(f"{name}: tree {number}, node {node}: its categories are out of range")
            sets[int(node)] = words[bounds[place] : bounds[place + 1]]
    values = numbers("leaf_value", float, leaves)
    pad = np.zeros(leaves, np.int64)
    kept = found.add(
        np.concatenate([left, pad]),
        np.concatenate([right, pad]),
        np.concatenate([feature, pad]),
        np.concatenate([threshold, pad.astype(float)]),
        np.concatenate([goes_left, pad.astype(bool)]),
        np.concatenate([np.zeros(nodes), values]),
        leaf=np.arange(nodes + leaves) >= nodes,
        target=target,
        flags=np.concatenate([flags, pad]),
        sets=sets,
    )
    linear.add(fields, kept - nodes, values, numbers, f"{name}: tree {number}")


class _Linear:
    """The linear models in the leaves, where there are any."""

    def __init__(self) -> None:
        self.any = False
        self.counts: list[np.ndarray] = []
        self.features: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.constants: list[np.ndarray] = []
        self.defaults: list[np.ndarray] = []

    def add(self, fields: dict[str, str], kept: np.ndarray, values: np.ndarray, numbers: Any, where: str) -> None:
        """The leaves `kept` of one tree."""
        leaves = len(values)
        if fields.get("is_linear", "0").strip() != "1":
            counts, constants = np.zeros(leaves, np.int64), values
            features, weights = np.zeros(0, np.int64), np.zeros(0)
        else:
            self.any = True
            counts, constants = numbers("num_features", int, leaves), numbers("leaf_const", float, leaves)
            if (counts < 0).any():
                raise ImportFailure(f"{where} has a leaf with {counts.min()} linear terms")
            features = numbers("leaf_features", int, int(counts.sum()))
            weights = numbers("leaf_coeff", float, int(counts.sum()))
        begin = np.concatenate([[0], np.cumsum(counts)])
        order = [np.arange(begin[leaf], begin[leaf + 1]) for leaf in kept]
        order = np.concatenate(order) if order else np.zeros(0, np.int64)
        self.counts.append(counts[kept])
        self.features.append(features[order])
        self.weights.append(weights[order])
        self.constants.append(constants[kept])
        self.defaults.append(values[kept])

    def complete(self, trees: Trees) -> None:
        """Put the linear models into trees that hold the plain values."""
        if not self.any:
            return
        trees.values = np.concatenate(self.constants)[:, None]
        trees.linear_default = np.concatenate(self.defaults)
        trees.linear_begin = np.concatenate([[0], np.cumsum(np.concatenate(self.counts))]).astype(np.int32)
        trees.linear_features = np.concatenate(self.features).astype(np.int32)
        trees.linear_weights = np.concatenate(self.weights)


FRONTEND = LightGBM()
