"""ONNX's operators of classical models (`ai.onnx.ml`): a chain of steps, trees or a linear model, and what follows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Imported, Inputs
from neomlir.frontends.forest import Collector, Labels, Steps, linear_trees, rows_and_kind, to_module
from neomlir.mlir import ir
from neomlir.trees import EQUAL, Trees

DOMAIN = "ai.onnx.ml"
_MODELS = (
    "TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble", "LinearRegressor", "LinearClassifier",
)  # fmt: skip
_BEFORE = ("Scaler", "ArrayFeatureExtractor", "Cast", "Identity")
_AFTER = ("ZipMap", "Cast", "Identity", "Normalizer")
_POST = {
    "NONE": (), "LOGISTIC": ("sigmoid=1.0",), "SOFTMAX": ("softmax",), "SOFTMAX_ZERO": None, "PROBIT": ("probit",),
}  # fmt: skip
_NUMBERED = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF")
_KINDS = {1: "float32", 11: "float64"}


def has_models(model: Any) -> bool:
    """Whether a ModelProto is of this kind."""
    return any(node.domain == DOMAIN for node in model.graph.node)


def import_model(model: Any, inputs: Inputs, name: str, context: ir.Context) -> Imported:
    """The model as one `forest.ensemble`, with the names of the ONNX model; a ZipMap gives its array.

    Raises ImportFailure for what is no chain, and for operators that are not read.
    """
    chain = _Chain(model, name)
    shape = [d.dim_value or None if d.HasField("dim_value") else None for d in chain.input.type.tensor_type.shape.dim]
    kind = _KINDS.get(chain.input.type.tensor_type.elem_type)
    if kind is None or len(shape) != 2:
        raise ImportFailure(f"{name}: its input {chain.input.name!r} is not a matrix of float or double")
    features = chain.features(shape[1])
    rows, _ = rows_and_kind(inputs, features, name, (kind,), input_name=chain.input.name)
    steps, columns = Steps(kind), np.arange(features)
    for node in chain.before:
        attributes = _attributes(node)
        if node.op_type == "Scaler":
            # A scale of one feature is for all; features that an extractor drops later are scaled for nothing.
            for what, key in (("subf", "offset"), ("mulf", "scale")):
                numbers = np.asarray(attributes.get(key, [0.0 if key == "offset" else 1.0]))
                steps.add(what, _spread(numbers, columns, features))
        elif node.op_type == "ArrayFeatureExtractor":
            chosen = chain.constants[node.input[1]].reshape(-1).astype(np.int64)
            if not len(chosen) or chosen.min() < 0 or chosen.max() >= len(columns):
                raise ImportFailure(f"{name}: node {node.name!r} extracts features out of range")
            columns = columns[chosen]
        elif node.op_type == "Cast" and attributes["to"] not in _KINDS:
            raise ImportFailure(f"{name}: node {node.name!r} casts features to type {attributes['to']}")
    trees, labels = _model(chain, columns, features, name)
    if chain.normaliser:
        norm = _attributes(chain.normaliser).get("norm", b"MAX").decode()
        if norm != "L1":
            raise ImportFailure(f"{name}: Normalizer with norm {norm} is not supported behind a model; only L1")
        # The sums are of probabilities: none is negative.
        trees.post = (*trees.post, "normalise")
    names = [(output.name, chain.kind_of[output.name]) for output in model.graph.output]
    return to_module(
        trees,
        features,
        rows if rows is not None else shape[0],
        name,
        context,
        steps=steps,
        input_name=chain.input.name,
        outputs=names,
        labels=labels,
        matrix=labels is None,
    )


def _spread(numbers: np.ndarray, columns: np.ndarray, features: int) -> np.ndarray:
    neutral = np.zeros(features) if len(numbers) == len(columns) else np.full(features, numbers[0])
    if len(numbers) == len(columns):
        neutral[columns] = numbers
    elif len(numbers) != 1:
        raise ImportFailure(f"a Scaler has {len(numbers)} numbers for {len(columns)} features")
    return neutral


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


class _Chain:
    """The nodes of a graph in order: `before` the model, the `model`, and what follows, by name of value."""

    def __init__(self, model: Any, name: str):
        import onnx

        graph = model.graph
        outside = [t.name for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        if outside:
            raise ImportFailure(f"{name}: initializer {outside[0]!r} lies outside of the file; that is not read here")
        self.constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and len(node.attribute) and node.attribute[0].name == "value":
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        given = [value for value in graph.input if value.name not in self.constants]
        if len(given) != 1:
            raise ImportFailure(f"{name}: a model of {DOMAIN} has one input, this one has {len(given)}")
        self.input, self.before, self.model, self.normaliser = given[0], [], None, None
        rows, self.kind_of = self.input.name, {}
        for node in graph.node:
            if node.op_type == "Constant":
                continue
            where = f"{name}: node {node.name or node.output[0]!r}"
            if self.model is None and node.input[0] == rows and node.op_type in (*_BEFORE, *_MODELS):
                if node.op_type in _BEFORE:
                    self.before.append(node)
                    rows = node.output[0]
                    continue
                self.model = node
                classifier = node.op_type.endswith("Classifier")
                kinds = ("label", "scores") if classifier else ("scores",)
                self.kind_of.update(zip(node.output, kinds, strict=False))
            elif node.op_type in _AFTER and self.model is not None and node.input[0] in self.kind_of:
                kind = self.kind_of[node.input[0]]
                if node.op_type == "Normalizer":
                    if kind != "scores" or self.normaliser is not None:
                        raise ImportFailure(f"{where}: a Normalizer stands where none is read")
                    self.normaliser = node
                self.kind_of[node.output[0]] = kind
            else:
                raise ImportFailure(
                    f"{where}: {node.op_type} is not read here; a model of {DOMAIN} is a chain of "
                    f"{', '.join(_BEFORE)}, one of {', '.join(_MODELS)}, and {', '.join(_AFTER)}"
                )
        if self.model is None:
            raise ImportFailure(f"{name}: no node of {', '.join(_MODELS)} is on the way from its input")
        for output in graph.output:
            if output.name not in self.kind_of:
                raise ImportFailure(f"{name}: its output {output.name!r} is not what a model gives")

    def features(self, known: int | None) -> int:
        """The columns of the input; from the model where the graph leaves them open."""
        if known:
            return known
        attributes = _attributes(self.model)
        if "nodes_featureids" in attributes and not any(n.op_type == "ArrayFeatureExtractor" for n in self.before):
            return int(max(attributes["nodes_featureids"], default=0)) + 1
        raise ImportFailure(f"the input {self.input.name!r} has no known number of columns; give its shape")


def _model(chain: _Chain, columns: np.ndarray, features: int, name: str) -> tuple[Trees, Labels | None]:
    node, attributes = chain.model, _attributes(chain.model)
    if node.op_type.startswith("Linear"):
        return _linear(node.op_type, attributes, columns, features, name)
    if node.op_type == "TreeEnsemble":
        return _trees5(attributes, columns, features, name), None
    prefix = "class" if node.op_type.endswith("Classifier") else "target"
    labels = _labels(attributes, "classlabels_int64s", name) if prefix == "class" else None
    outputs = len(labels.numbers) if labels else int(attributes.get("n_targets", 1))
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
    comparisons = _Comparisons(modes, values, tracks, np.asarray(nodes["featureids"], np.int64), columns, name)
    _add(found, table, comparisons, true, false, leaf, leaves, None if width == 1 else _alone(table, places, targets))
    how = attributes.get("aggregate_function", b"SUM").decode()
    if how not in ("SUM", "AVERAGE"):
        raise ImportFailure(f"{name}: trees are combined by {how}; only SUM and AVERAGE are read")
    base = _numbers(attributes, "base_values")
    post = ["divide=" + repr(float(max(1, len(found.roots))))] if how == "AVERAGE" else []
    transform = attributes.get("post_transform", b"NONE").decode()
    post += _post(transform, name) if not binary else _binary(transform, bool((amounts >= 0).all()), name)
    base = base if len(base) in (width,) else np.zeros(width) if not len(base) else base[-width:]
    if how == "AVERAGE" and base.any():
        raise ImportFailure(f"{name}: base values beside an average of trees are not read")
    return found.trees(base, "le", post), labels


class _Comparisons:
    """The comparisons of nodes as `<=` (or `==`): thresholds, sides changed where need be, flags."""

    def __init__(
        self,
        modes: list[str],
        values: np.ndarray,
        tracks: np.ndarray,
        feature: np.ndarray,
        columns: np.ndarray,
        name: str,
    ):
        numbers = np.array([_MODES.index(mode) for mode in modes], np.int64)

        def one_of(*some: str) -> np.ndarray:
            return np.isin(numbers, [_MODES.index(mode) for mode in some])

        for what, array in (("values", values), ("features", feature), ("marks of missing values", tracks)):
            if len(array) != len(numbers):
                raise ImportFailure(f"{name}: {len(numbers)} nodes have {len(array)} {what}")
        inner = ~one_of("LEAF")
        bad = np.flatnonzero(inner & ((feature < 0) | (feature >= len(columns))))
        if len(bad):
            raise ImportFailure(f"{name}: a node splits feature {feature[bad[0]]}, there are {len(columns)}")
        below = np.nextafter(values, values.dtype.type(-np.inf))
        self.threshold = np.where(inner, np.where(one_of("BRANCH_LT", "BRANCH_GTE"), below, values), 0)
        self.threshold = self.threshold.astype(values.dtype)
        self.swapped = one_of("BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ")
        # NaN differs from every number, so it goes the way of a true `!=`.
        self.missing_left = (tracks ^ self.swapped) & ~one_of("BRANCH_NEQ")
        self.flags = np.where(one_of("BRANCH_EQ", "BRANCH_NEQ"), EQUAL, 0)
        self.feature = columns[np.where(inner, feature, 0)]


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


def _trees5(attributes: dict[str, Any], columns: np.ndarray, features: int, name: str) -> Trees:
    """`TreeEnsemble` of ai.onnx.ml 5: nodes and leaves apart, all trees in one numbering."""
    import onnx

    values = onnx.numpy_helper.to_array(attributes["nodes_splits"])
    weights = onnx.numpy_helper.to_array(attributes["leaf_weights"])
    modes = onnx.numpy_helper.to_array(attributes["nodes_modes"]).astype(np.int64)
    if "membership_values" in attributes or not ((modes >= 0) & (modes < 6)).all():
        raise ImportFailure(f"{name}: nodes that test membership are not read")
    names = [_MODES[mode] for mode in modes]
    outputs, count = int(attributes["n_targets"]), len(values)
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
    comparisons = _Comparisons(names, values, tracks, feature, columns, name)
    sides = np.full((2, total), -1, np.int64)
    sides[0, :count] = np.where(is_leaf[0], true + count, true)
    sides[1, :count] = np.where(is_leaf[1], false + count, false)
    sides[:, :count] = np.where(comparisons.swapped, sides[::-1, :count], sides[:, :count])
    every = np.zeros((total, outputs), weights.dtype)
    every[np.arange(count, total), targets] = weights
    position = np.full(total, -1, np.int64)
    for root in attributes["tree_roots"]:
        mine = _reached(int(root), sides, count, name)
        position[mine] = np.arange(len(mine))
        inner = mine < count
        at = np.where(inner, mine, 0)
        found.add(
            np.where(inner, position[sides[0, mine]], -1),
            np.where(inner, position[sides[1, mine]], -1),
            comparisons.feature[at],
            np.where(inner, comparisons.threshold[at], 0),
            comparisons.missing_left[at],
            every[mine],
            leaf=~inner,
            flags=np.where(inner, comparisons.flags[at], 0),
        )
    how = int(attributes.get("aggregate_function", 1))
    if how not in (0, 1):
        raise ImportFailure(f"{name}: trees are combined by MIN or MAX; only SUM and AVERAGE are read")
    post = ["divide=" + repr(float(max(1, len(found.roots))))] if how == 0 else []
    post += _post(_NUMBERED[int(attributes.get("post_transform", 0))], name)
    return found.trees(np.zeros(outputs), "le", post)


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
    import onnx

    if f"{key}_as_tensor" in attributes:
        return onnx.numpy_helper.to_array(attributes[f"{key}_as_tensor"])
    return np.asarray(attributes.get(key, []), np.float32)


def _labels(attributes: dict[str, Any], key: str, name: str) -> Labels:
    if key not in attributes:
        raise ImportFailure(f"{name}: classes that are strings are not supported; number them")
    return Labels(np.asarray(attributes[key], np.int64))


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


def _linear(
    kind: str, attributes: dict[str, Any], columns: np.ndarray, features: int, name: str
) -> tuple[Trees, Labels | None]:
    labels = _labels(attributes, "classlabels_ints", name) if kind == "LinearClassifier" else None
    coefficients = np.asarray(attributes["coefficients"], np.float32)
    outputs = len(coefficients) // max(1, len(columns))
    if not outputs or len(coefficients) != outputs * len(columns):
        raise ImportFailure(f"{name}: {len(coefficients)} coefficients are not a multiple of {len(columns)} features")
    weights = np.zeros((features, outputs), np.float32)
    np.add.at(weights, columns, coefficients.reshape(outputs, -1).T)
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
