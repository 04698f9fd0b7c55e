"""Trees and linear models of `ai.onnx.ml`, of every version of the operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.forest import Collector, linear_trees
from neomlir.frontends.forest_module import Labels
from neomlir.trees import EQUAL, WHOLE, Trees

MODELS = (
    "TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble", "LinearRegressor", "LinearClassifier",
)  # fmt: skip
_POST = {
    "NONE": (), "LOGISTIC": ("sigmoid=1.0",), "SOFTMAX": ("softmax",), "SOFTMAX_ZERO": ("softmax_zero",),
    "PROBIT": ("probit",),
}  # fmt: skip
_NUMBERED = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF")
_MEMBER = 6
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_LARGEST_MEMBER, _MOST_OUTPUTS, _MOST_VALUES = 1 << 20, 1 << 20, 1 << 28


def read(kind: str, attributes: dict[str, Any], features: int, name: str) -> tuple[Trees, Labels | None]:
    """The trees of a node of `MODELS` on `features` columns, and the labels of a classifier. Raises ImportFailure."""
    if kind.startswith("Linear"):
        return _linear(kind, attributes, features, name)
    if kind == "TreeEnsemble":
        return _trees5(attributes, features, name), None
    prefix = "class" if kind.endswith("Classifier") else "target"
    labels = _labels(attributes, "classlabels_int64s", name) if prefix == "class" else None
    outputs = len(labels.numbers) if labels else int(attributes.get("n_targets", 1))
    if not 0 < outputs <= _MOST_OUTPUTS:
        raise ImportFailure(f"{name}: it has {outputs} outputs")
    nodes = {key: attributes.get(f"nodes_{key}", []) for key in ("treeids", "nodeids", "featureids")}
    values = _numbers(attributes, "nodes_values")
    modes = [m.decode() for m in attributes.get("nodes_modes", [])]
    true, false = (np.asarray(attributes.get(f"nodes_{side}nodeids", []), np.int64) for side in ("true", "false"))
    tracks = np.asarray(attributes.get("nodes_missing_value_tracks_true", []) or np.zeros(len(modes)), bool)
    weights = {
        key: np.asarray(attributes.get(f"{prefix}_{key}", []), np.int64) for key in ("treeids", "nodeids", "ids")
    }
    amounts = _numbers(attributes, f"{prefix}_weights")
    double = "nodes_values_as_tensor" in attributes and values.dtype == np.float64
    table = _Table(name, np.asarray(nodes["treeids"], np.int64), np.asarray(nodes["nodeids"], np.int64))
    used = np.unique(weights["ids"])
    binary = prefix == "class" and outputs == 2 and len(used) <= 1
    width = 1 if binary else outputs
    places = table.find(weights["treeids"], weights["nodeids"])
    _room(len(table.tree), width, name)
    leaves = np.zeros((len(table.tree), width), amounts.dtype)
    targets = np.zeros(len(amounts), np.int64) if binary else weights["ids"]
    if len(targets) and (targets.min() < 0 or targets.max() >= width):
        raise ImportFailure(f"{name}: it has weights for output {targets.max()} of {width}")
    np.add.at(leaves, (places, targets), amounts)
    kind = np.float64 if double else np.float32
    found = Collector(name, features, width, kind, kind)
    leaf = np.array([m == "LEAF" for m in modes], bool)
    if {*modes} - {*_MODES}:
        raise ImportFailure(f"{name}: nodes of mode {sorted({*modes} - {*_MODES})[0]!r} are not known")
    comparisons = _Comparisons(modes, values, tracks, np.asarray(nodes["featureids"], np.int64), features, name)
    alone = None if width == 1 else _alone(table, places, targets)
    how = attributes.get("aggregate_function", b"SUM").decode()
    if how not in _AGGREGATES:
        raise ImportFailure(f"{name}: trees are combined by {how!r}; there are {', '.join(_AGGREGATES)}")
    if how in ("MIN", "MAX"):
        weighed = np.zeros((len(table.tree), width), bool)
        weighed[places, targets] = True
        missing = np.flatnonzero(leaf & ~(weighed.all(1) if width == 1 or alone is None else weighed.any(1)))
        if len(missing):
            raise ImportFailure(
                f"{name}: tree {table.ids[missing[0]]} has a leaf without a weight; {how} needs one in each"
            )
    _add(found, table, comparisons, true, false, leaf, leaves, alone)
    base = _numbers(attributes, "base_values")
    post = ["divide=" + repr(float(max(1, len(found.roots))))] if how == "AVERAGE" else []
    transform = attributes.get("post_transform", b"NONE").decode()
    post += _post(transform, name) if not binary else _binary(transform, bool((amounts >= 0).all()), name)
    base = base if len(base) in (width,) else np.zeros(width) if not len(base) else base[-width:]
    if how != "SUM" and base.any():
        raise ImportFailure(f"{name}: base values beside the {how} of trees are not read")
    trees = found.trees(base, "le", post)
    trees.aggregate = how.lower() if how in ("MIN", "MAX") else "sum"
    return trees, labels


def _room(nodes: int, width: int, name: str) -> None:
    if nodes * width > _MOST_VALUES:
        raise ImportFailure(f"{name}: {nodes} nodes with {width} outputs each are more than can be held")


class _Comparisons:
    """The comparisons of nodes as `<=` (or `==`): thresholds, sides changed where need be, flags."""

    def __init__(
        self,
        modes: list[str],
        values: np.ndarray,
        tracks: np.ndarray,
        feature: np.ndarray,
        features: int,
        name: str,
        members: np.ndarray | None = None,
    ):
        numbers = np.array([_MODES.index(mode) for mode in modes], np.int64)

        def one_of(*some: str) -> np.ndarray:
            return np.isin(numbers, [_MODES.index(mode) for mode in some])

        for what, array in (("values", values), ("features", feature), ("marks of missing values", tracks)):
            if len(array) != len(numbers):
                raise ImportFailure(f"{name}: {len(numbers)} nodes have {len(array)} {what}")
        inner = ~one_of("LEAF")
        self.sets = _members(np.flatnonzero(one_of("BRANCH_MEMBER")), members, name)
        below = np.nextafter(values, values.dtype.type(-np.inf))
        self.threshold = np.where(inner, np.where(one_of("BRANCH_LT", "BRANCH_GTE"), below, values), 0)
        self.threshold = self.threshold.astype(values.dtype)
        self.swapped = one_of("BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ")
        # NaN differs from every number, so it goes the way of a true `!=`.
        self.missing_left = (tracks ^ self.swapped) & ~one_of("BRANCH_NEQ")
        self.flags = np.where(one_of("BRANCH_EQ", "BRANCH_NEQ"), EQUAL, 0)
        self.flags = np.where(one_of("BRANCH_MEMBER"), WHOLE, self.flags)
        self.feature = np.where(inner, feature, 0)


def _members(nodes: np.ndarray, members: np.ndarray | None, name: str) -> dict[int, np.ndarray]:
    """The sets of the nodes that test membership: numbers that NaN parts."""
    if not len(nodes):
        return {}
    numbers = np.asarray([] if members is None else members, np.float64).reshape(-1)
    ends = np.flatnonzero(np.isnan(numbers))
    if len(ends) < len(nodes):
        raise ImportFailure(f"{name}: {len(nodes)} nodes test membership, of {len(ends)} sets")
    found, begin = {}, 0
    for node, end in zip(nodes.tolist(), ends.tolist(), strict=False):
        mine, begin = numbers[begin:end], end + 1
        bad = mine[(mine != np.floor(mine)) | (mine < 0) | (mine >= _LARGEST_MEMBER)]
        if len(bad):
            raise ImportFailure(
                f"{name}: node {node} tests for {bad[0]}; members are whole numbers from 0 to {_LARGEST_MEMBER - 1}"
            )
        whole = mine.astype(np.int64)
        words = np.zeros((int(whole.max()) >> 5) + 1 if len(whole) else 1, np.uint32)
        np.bitwise_or.at(words, whole >> 5, np.uint32(1) << (whole & 31).astype(np.uint32))
        found[node] = words
    return found


def _alone(table: _Table, places: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """The one output of each tree; None where a tree has several."""
    order = np.lexsort((targets, table.tree[places]))
    tree, target = table.tree[places][order], targets[order]
    first = np.searchsorted(tree, np.arange(table.count))
    last = np.searchsorted(tree, np.arange(table.count), side="right") - 1
    if (last < first).any() or (target[first] != target[last]).any():
        return None
    return target[first]


def _add(
    found: Collector,
    table: _Table,
    comparisons: _Comparisons,
    true: np.ndarray,
    false: np.ndarray,
    leaf: np.ndarray,
    leaves: np.ndarray,
    alone: np.ndarray | None,
) -> None:
    """Every tree; `alone` is the output of each where each has one."""
    if len(true) != len(leaf) or len(false) != len(leaf):
        raise ImportFailure(f"{found.name}: {len(leaf)} nodes have {len(true)} and {len(false)} children")
    position = np.full(len(table.tree), -1, np.int64)
    for tree in range(table.count):
        mine = table.members(tree)
        position[mine] = np.arange(len(mine))
        inner = mine[~leaf[mine]]
        sides = np.full((2, len(mine)), -1, np.int64)
        for side, ids in enumerate((true, false)):
            sides[side, position[inner]] = position[table.find(table.ids[inner], ids[inner])]
        sides = np.where(comparisons.swapped[mine], sides[::-1], sides)
        target = 0 if alone is None else int(alone[tree])
        found.add(
            sides[0],
            sides[1],
            comparisons.feature[mine],
            comparisons.threshold[mine],
            comparisons.missing_left[mine],
            leaves[mine] if alone is None else leaves[mine, target],
            leaf=leaf[mine],
            target=target,
            flags=comparisons.flags[mine],
        )


class _Table:
    """Nodes by (tree, number)."""

    def __init__(self, name: str, ids: np.ndarray, numbers: np.ndarray):
        if len(ids) != len(numbers):
            raise ImportFailure(f"{name}: {len(ids)} nodes have {len(numbers)} numbers")
        self.name, self.ids = name, ids
        known, first = np.unique(ids, return_index=True)
        order = np.argsort(first)
        self.tree = np.argsort(order)[np.searchsorted(known, ids)] if len(ids) else ids
        self.count = len(known)
        self.place = {pair: i for i, pair in enumerate(zip(ids.tolist(), numbers.tolist(), strict=True))}
        if len(self.place) != len(ids):
            raise ImportFailure(f"{name}: two nodes have the same tree and number")
        self.sorted = np.argsort(self.tree, kind="stable")
        self.bounds = np.searchsorted(self.tree[self.sorted], np.arange(self.count + 1))

    def members(self, tree: int) -> np.ndarray:
        """The nodes of a tree, its root (the first one) first."""
        return self.sorted[self.bounds[tree] : self.bounds[tree + 1]]

    def find(self, ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The places of nodes. Raises ImportFailure that names the one that is missing."""
        found = [self.place.get(pair, -1) for pair in zip(ids.tolist(), numbers.tolist(), strict=True)]
        if -1 in found:
            at = found.index(-1)
            raise ImportFailure(f"{self.name}: tree {ids[at]} has no node {numbers[at]}")
        return np.array(found, np.int64)


def _trees5(attributes: dict[str, Any], features: int, name: str) -> Trees:
    """`TreeEnsemble` of ai.onnx.ml 5: nodes and leaves apart, all trees in one numbering."""
    values, weights = (np.asarray(attributes[key]).reshape(-1) for key in ("nodes_splits", "leaf_weights"))
    modes = np.asarray(attributes["nodes_modes"]).reshape(-1).astype(np.int64)
    bad = np.flatnonzero((modes < 0) | (modes > _MEMBER))
    if len(bad):
        raise ImportFailure(f"{name}: node {bad[0]} has the unknown mode {modes[bad[0]]}")
    names = [_MODES[mode] for mode in modes]
    outputs, count = int(attributes["n_targets"]), len(values)
    if not 0 < outputs <= _MOST_OUTPUTS:
        raise ImportFailure(f"{name}: it has {outputs} targets")
    targets = np.asarray(attributes["leaf_targetids"], np.int64)
    if len(targets) != len(weights) or (targets < 0).any() or (targets >= outputs).any():
        raise ImportFailure(f"{name}: its leaves have targets out of range")
    found = Collector(name, features, outputs, values.dtype, values.dtype)
    # One numbering of nodes, then leaves.
    true, false = (np.asarray(attributes[f"nodes_{side}nodeids"], np.int64) for side in ("true", "false"))
    is_leaf = [np.asarray(attributes[f"nodes_{side}leafs"], bool) for side in ("true", "false")]
    bound = [np.where(mask, len(weights), count) for mask in is_leaf]
    if ((true < 0) | (true >= bound[0]) | (false < 0) | (false >= bound[1])).any():
        raise ImportFailure(f"{name}: a child is out of range")
    total = count + len(weights)
    tracks = np.asarray(attributes.get("nodes_missing_value_tracks_true", []) or np.zeros(count), bool)
    feature = np.asarray(attributes["nodes_featureids"], np.int64)
    members = attributes.get("membership_values")
    comparisons = _Comparisons(names, values, tracks, feature, features, name, members)
    sides = np.full((2, total), -1, np.int64)
    sides[0, :count] = np.where(is_leaf[0], true + count, true)
    sides[1, :count] = np.where(is_leaf[1], false + count, false)
    sides[:, :count] = np.where(comparisons.swapped, sides[::-1, :count], sides[:, :count])
    _room(total, outputs, name)
    every = np.zeros((total, outputs), weights.dtype)
    every[np.arange(count, total), targets] = weights
    how = int(attributes.get("aggregate_function", 1))
    if not 0 <= how < len(_AGGREGATES):
        raise ImportFailure(f"{name}: trees are combined by the unknown function {how}")
    whole: list[int | None] = []
    position = np.full(total, -1, np.int64)
    for root in attributes["tree_roots"]:
        mine = _reached(int(root), sides, count, name)
        position[mine] = np.arange(len(mine))
        inner = mine < count
        at = np.where(inner, mine, 0)
        leaves = mine[~inner] - count
        alone = outputs == 1 or len(np.unique(targets[leaves])) == 1
        if how in (2, 3) and not alone:
            raise ImportFailure(f"{name}: the tree at node {root} has leaves of several targets; MIN and MAX need one")
        whole.append(None if not alone else int(targets[leaves[0]]))
        found.add(
            np.where(inner, position[sides[0, mine]], -1),
            np.where(inner, position[sides[1, mine]], -1),
            comparisons.feature[at],
            np.where(inner, comparisons.threshold[at], 0),
            comparisons.missing_left[at],
            every[mine],
            leaf=~inner,
            flags=np.where(inner, comparisons.flags[at], 0),
            sets={place: comparisons.sets[n] for place, n in enumerate(mine.tolist()) if n in comparisons.sets},
        )
    post = ["divide=" + repr(float(max(1, len(found.roots))))] if how == 0 else []
    transform = int(attributes.get("post_transform", 0))
    if not 0 <= transform < len(_NUMBERED):
        raise ImportFailure(f"{name}: the post-transform {transform} is unknown")
    post += _post(_NUMBERED[transform], name)
    trees = found.trees(np.zeros(outputs), "le", post)
    if None not in whole and whole:
        # Each tree is for one target: a column of values is enough.
        # Where there are more, all but that one are zero.
        trees.targets = np.array(whole, np.int32)
        trees.values = trees.values.sum(1, keepdims=True)
    trees.aggregate = _AGGREGATES[how].lower() if how > 1 else "sum"
    return trees


def _reached(root: int, sides: np.ndarray, count: int, name: str) -> np.ndarray:
    if not 0 <= root < sides.shape[1]:
        raise ImportFailure(f"{name}: a tree begins at node {root}, there are {count}")
    found, at = [np.array([root])], np.array([root])
    while len(at := at[at < count]):
        at = sides[:, at].reshape(-1)
        found.append(at)
        if sum(map(len, found)) > sides.shape[1]:
            raise ImportFailure(f"{name}: the tree at node {root} has a circle, or a node of two parents")
    return np.concatenate(found)


def _numbers(attributes: dict[str, Any], key: str) -> np.ndarray:
    if f"{key}_as_tensor" in attributes:
        return np.asarray(attributes[f"{key}_as_tensor"]).reshape(-1)
    return np.asarray(attributes.get(key, []), np.float32)


def _labels(attributes: dict[str, Any], key: str, name: str) -> Labels:
    """The classes; those that are strings become their numbers."""
    if key in attributes:
        return Labels(np.asarray(attributes[key], np.int64))
    strings = attributes.get("classlabels_strings", [])
    if not strings:
        raise ImportFailure(f"{name}: it has no class labels")
    return Labels(np.arange(len(strings)), tuple(text.decode("utf-8", "replace") for text in strings))


def _post(transform: str, name: str) -> list[str]:
    if _POST.get(transform) is None:
        raise ImportFailure(f"{name}: the post-transform {transform} is not supported")
    return list(_POST[transform])


def _binary(transform: str, positive: bool, name: str) -> list[str]:
    """One column of weights for two classes, as ONNX Runtime treats it."""
    if positive:
        return [*(["probit"] if transform == "PROBIT" else []), "pair"]
    if transform == "LOGISTIC":
        return ["sigmoid=1.0", "pair"]
    raise ImportFailure(f"{name}: weights of one class of two, some negative, need the post-transform LOGISTIC")


def _linear(kind: str, attributes: dict[str, Any], features: int, name: str) -> tuple[Trees, Labels | None]:
    labels = _labels(attributes, "classlabels_ints", name) if kind == "LinearClassifier" else None
    coefficients = np.asarray(attributes["coefficients"], np.float32)
    outputs = len(coefficients) // max(1, features)
    if not outputs or len(coefficients) != outputs * features:
        raise ImportFailure(f"{name}: {len(coefficients)} coefficients are not a multiple of {features} features")
    weights = np.ascontiguousarray(coefficients.reshape(outputs, -1).T)
    base = np.asarray(attributes.get("intercepts", np.zeros(outputs)), np.float32)
    post = _post(attributes.get("post_transform", b"NONE").decode(), name)
    if labels and outputs == 1 and len(labels.numbers) == 2:
        if post != ["sigmoid=1.0"]:
            raise ImportFailure(f"{name}: one score for two classes needs the post-transform LOGISTIC")
        post.append("pair")
    if not np.isfinite(coefficients).all() or not math.isfinite(float(np.abs(base).max(initial=0))):
        raise ImportFailure(f"{name}: a coefficient is not finite")
    trees = linear_trees(weights, base, np.float32, post)
    # Here a missing number makes the sum missing.
    trees.linear_default = np.full(len(trees.linear_default), np.nan, np.float32)
    return trees, labels
