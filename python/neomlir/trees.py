"""An ensemble of decision trees as arrays: what frontends fill, the dialect `forest` holds, and passes lay out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from neomlir.mlir import ir

MISSING_LEFT, ZERO_MISSING, CATEGORICAL, EQUAL, WHOLE = 1, 2, 4, 8, 16
ZERO = float(np.float32(1e-35))
"""What counts as zero where zero means missing (LightGBM's `kZeroThreshold`)."""

POSTS = {
    "divide": True, "add": True, "sigmoid": True, "softmax": False, "exp": False, "exp2": False, "negate": False,
    "argmax": False, "step": False, "softplus": False, "signed_square": False, "normalise": False, "pair": False,
    "probit": False, "softmax_zero": False,
}  # fmt: skip
"""The post-transforms; whether each takes a number."""

_OPTIONAL = ("sets", "set_begin", "linear_begin", "linear_features", "linear_weights", "linear_default")
_INTEGERS = {"roots": "i32", "features": "i32", "left": "i32", "right": "i32", "flags": "i8", "targets": "i32"}
_INTEGERS |= {"sets": "i32", "set_begin": "i32", "linear_begin": "i32", "linear_features": "i32"}
_RANKS = {"values": 2}


def _i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@dataclass
class Trees:
    """The attributes of `forest.ensemble` (its docstring says what each means) as arrays.

    `roots`, `targets` are i32[T]; `features`, `left`, `right` i32[N]; `flags` i8[N]; `thresholds` of the input's type
    [N];
    `values` of the output's type [L, W], `base` [K] with W = 1 or W = K.
    """

    roots: np.ndarray
    features: np.ndarray
    thresholds: np.ndarray
    left: np.ndarray
    right: np.ndarray
    flags: np.ndarray
    values: np.ndarray
    targets: np.ndarray
    base: np.ndarray
    sets: np.ndarray | None = None
    set_begin: np.ndarray | None = None
    linear_begin: np.ndarray | None = None
    linear_features: np.ndarray | None = None
    linear_weights: np.ndarray | None = None
    linear_default: np.ndarray | None = None
    aggregate: str = "sum"
    predicate: str = "le"
    post: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, operation: ir.Operation) -> Trees:
        """Read the attributes of an operation of the dialect `forest`. Raises ValueError that says what is wrong."""
        arrays = {}
        names = ("roots", "features", "thresholds", "left", "right", "flags", "values", "targets", "base")
        for name in (*names, *(n for n in _OPTIONAL if n in operation.attributes)):
            arrays[name] = _array(operation, name)
        for name in ("predicate", "aggregate"):
            if name in operation.attributes:
                arrays[name] = ir.StringAttr(operation.attributes[name]).value
        return cls(**arrays)

    def attributes(self) -> dict[str, ir.Attribute]:
        """The arrays as attributes, in the active context."""
        found = {}
        for name in ("roots", "features", "thresholds", "left", "right", "flags", "values", "targets", "base"):
            found[name] = dense(getattr(self, name))
        found.update({name: dense(getattr(self, name)) for name in _OPTIONAL if getattr(self, name) is not None})
        if self.aggregate != "sum":
            found["aggregate"] = ir.StringAttr.get(self.aggregate)
        return found

    def up_to(self) -> Trees:
        """The same trees with the predicate `le`: x < t is x <= the number before t (exact: no number lies between)."""
        if self.predicate == "le":
            return self
        numeric = (self.flags & (CATEGORICAL | EQUAL)) == 0
        below = np.nextafter(self.thresholds, np.array(-np.inf, self.thresholds.dtype))
        # Nothing is smaller than -inf: NaN as a threshold of <= lets nothing through either.
        below = np.where(self.thresholds == -np.inf, np.nan, below).astype(self.thresholds.dtype)
        return replace(self, thresholds=np.where(numeric, below, self.thresholds), predicate="le")

    def sorted_by_target(self) -> tuple[np.ndarray, np.ndarray]:
        """The order of the trees by output, stable, and where each output's begin (K + 1 entries)."""
        outputs = len(self.base) if self.values.shape[1] == 1 else 1
        order = np.argsort(self.targets, kind="stable")
        begin = np.searchsorted(self.targets[order], np.arange(outputs + 1)).astype(np.int32)
        return order, begin

    def start(self) -> np.ndarray:
        """What the values of leaves are added to, or where the search for the least or the largest begins, [K]."""
        if self.aggregate == "sum":
            return self.base
        empty = np.inf if self.aggregate == "min" else -np.inf
        reached = np.ones(len(self.base), bool)
        if self.values.shape[1] == 1:
            reached = np.isin(np.arange(len(self.base)), self.targets)
        return np.where(reached & (len(self.roots) > 0), empty, self.base).astype(self.base.dtype)

    def depths(self) -> np.ndarray:
        """The number of comparisons on the longest way down each tree, i32[T]."""
        return walk(self.roots, self.left, self.right)[0]


def dense(array: np.ndarray) -> ir.Attribute:
    """The `dense` attribute of an array of numbers."""
    array = np.ascontiguousarray(array)
    if not array.size:
        element = {"i": f"i{array.itemsize * 8}", "f": f"f{array.itemsize * 8}"}[array.dtype.kind]
        return ir.Attribute.parse(f"dense<> : tensor<{'x'.join(map(str, array.shape))}x{element}>")
    if array.dtype.kind == "i":
        return ir.DenseElementsAttr.get(array, type=ir.IntegerType.get_signless(array.itemsize * 8), shape=array.shape)
    return ir.DenseElementsAttr.get(array)


def _array(operation: ir.Operation, name: str) -> np.ndarray:
    if name not in operation.attributes:
        raise ValueError(f"needs '{name}'")
    attribute = operation.attributes[name]
    wanted, rank = _INTEGERS.get(name), _RANKS.get(name, 1)
    if not isinstance(attribute, ir.DenseElementsAttr):
        raise ValueError(f"needs '{name}', a dense array")
    kind = ir.RankedTensorType(attribute.type) if isinstance(attribute.type, ir.RankedTensorType) else None
    element = str(kind.element_type) if kind else ""
    if kind is None or kind.rank != rank or (element != wanted if wanted else element not in ("f32", "f64")):
        raise ValueError(f"needs '{name}', a tensor of rank {rank} of {wanted or 'f32 or f64'}")
    dtype = {"i32": np.int32, "i8": np.int8, "f32": np.float32, "f64": np.float64}[element]
    if attribute.is_splat and kind.shape:
        try:
            value = attribute.get_splat_value().value
        except (AttributeError, ValueError):
            value = 0
        return np.full(kind.shape, value, dtype)
    return np.array(attribute, dtype=dtype).reshape(kind.shape) if np.prod(kind.shape) else np.empty(kind.shape, dtype)


def parse_post(text: str) -> tuple[str, float | None]:
    """`sigmoid=2.0` as (`sigmoid`, 2.0). Raises ValueError that quotes it."""
    name, equals, number = text.partition("=")
    if name not in POSTS or bool(equals) != POSTS[name]:
        raise ValueError(repr(text))
    try:
        return name, float(number) if equals else None
    except ValueError:
        raise ValueError(repr(text)) from None


def result_width(outputs: int, steps) -> int:
    """How many numbers a row has after the post-transforms. Raises ValueError where one does not fit."""
    for name, _ in steps:
        if name == "pair" and outputs != 1:
            raise ValueError(f"has {outputs} outputs; 'pair' takes one")
        outputs = {"pair": 2, "argmax": 1}.get(name, outputs)
    return outputs


def walk(roots: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the depth of each tree, the tree of each node or -1 where none leads to it); children must be in range and have
    one parent each."""
    children = np.stack([left, right], 1).astype(np.int64)
    of_node = np.full(len(left), -1, np.int32)
    depth = np.zeros(len(roots), np.int32)
    at, tree, level = roots.astype(np.int64), np.arange(len(roots), dtype=np.int32), 0
    while True:
        inner = at >= 0
        at, tree, level = at[inner], tree[inner], level + 1
        if not len(at):
            return depth, of_node
        of_node[at] = tree
        depth[tree] = level
        at, tree = children[at].reshape(-1), np.repeat(tree, 2)


def fault(trees: Trees, features: int) -> str | None:
    """What is wrong with trees on `features` columns, in words that name the tree and the node; None if nothing is."""
    n, leaves, count = len(trees.features), len(trees.values), len(trees.roots)
    for name, wanted in (("thresholds", n), ("left", n), ("right", n), ("flags", n), ("targets", count)):
        if len(getattr(trees, name)) != wanted:
            return f"needs {wanted} '{name}', not {len(getattr(trees, name))}"
    outputs = len(trees.base)
    if trees.aggregate not in ("sum", "min", "max"):
        return f"needs 'aggregate', sum, min or max, not {trees.aggregate!r}"
    if trees.aggregate != "sum" and trees.linear_begin is not None:
        return f"has linear leaves and the aggregate {trees.aggregate!r}"
    if not outputs or trees.values.shape[1] not in (1, outputs):
        return f"needs 'values' of one column or of {outputs}, one for each of 'base', not {trees.values.shape[1]}"
    bad = np.flatnonzero((trees.targets < 0) | (trees.targets >= outputs))
    if len(bad):
        return f"has tree {bad[0]} for output {trees.targets[bad[0]]} of {outputs}"
    wrong = _shape_fault(trees, n, leaves)
    if wrong:
        return wrong
    where = _Places(trees)
    bad = np.flatnonzero((trees.features < 0) | (trees.features >= features))
    if len(bad):
        return f"has {where.node(bad[0])} on feature {trees.features[bad[0]]} of {features}"
    bad = np.flatnonzero(trees.flags & ~np.int8(MISSING_LEFT | ZERO_MISSING | CATEGORICAL | EQUAL | WHOLE))
    if len(bad):
        return f"has {where.node(bad[0])} with flags {trees.flags[bad[0]]}"
    categorical = (trees.flags & CATEGORICAL) != 0
    bad = np.flatnonzero(np.isnan(trees.thresholds) & ~categorical)
    if len(bad):
        return f"has {where.node(bad[0])} with NaN as its threshold"
    bad = np.flatnonzero((trees.flags & WHOLE != 0) & ~categorical)
    if len(bad):
        return f"has {where.node(bad[0])} with flags {trees.flags[bad[0]]}: 16 is for categorical ones"
    if categorical.any() and trees.set_begin is None:
        return f"has {where.node(np.flatnonzero(categorical)[0])} categorical and no 'sets'"
    return _set_fault(trees, n, where) or _linear_fault(trees, leaves, features)


def _shape_fault(trees: Trees, n: int, leaves: int) -> str | None:
    children = np.stack([trees.left, trees.right], 1).reshape(-1).astype(np.int64)
    every = np.concatenate([trees.roots.astype(np.int64), children])
    bad = np.flatnonzero((every >= n) | (every < -leaves))
    if len(bad):
        number = bad[0] - len(trees.roots)
        who = f"tree {bad[0]} with its root" if number < 0 else f"{_Places(trees).node(number // 2)} with a child"
        return f"has {who} {every[bad[0]]} out of range ({n} nodes, {leaves} leaves)"
    for what, ids, number in (("node", every[every >= 0], n), ("leaf", -1 - every[every < 0], leaves)):
        times = np.bincount(ids, minlength=number)
        bad = np.flatnonzero(times > 1)
        if len(bad):
            place = _Places(trees)
            name = place.node(bad[0]) if what == "node" else f"leaf {bad[0]}"
            return f"has {name} reached in {times[bad[0]]} ways: a circle, or two parents"
        bad = np.flatnonzero(times == 0)
        if len(bad):
            return f"has {what} {bad[0]} that nothing leads to"
    if n and (walk(trees.roots, trees.left, trees.right)[1] < 0).any():
        lost = np.flatnonzero(walk(trees.roots, trees.left, trees.right)[1] < 0)[0]
        return f"has node {lost} in a circle that no root leads to"
    return None


def _set_fault(trees: Trees, n: int, where: _Places) -> str | None:
    if trees.set_begin is None:
        return None
    begin, words = trees.set_begin, 0 if trees.sets is None else len(trees.sets)
    if len(begin) != n + 1:
        return f"needs {n + 1} 'set_begin', not {len(begin)}"
    bad = np.flatnonzero((begin[:-1] < 0) | (begin[1:] < begin[:-1]) | (begin[1:] > words))
    return f"has {where.node(bad[0])} with a set outside of the {words} words of 'sets'" if len(bad) else None


def _linear_fault(trees: Trees, leaves: int, features: int) -> str | None:
    if trees.linear_begin is None:
        return None
    parts = (trees.linear_features, trees.linear_weights, trees.linear_default)
    if any(part is None for part in parts) or trees.values.shape[1] != 1:
        return "needs 'linear_features', 'linear_weights' and 'linear_default', and one column of 'values'"
    begin, terms = trees.linear_begin, len(trees.linear_features)
    if len(begin) != leaves + 1 or len(trees.linear_weights) != terms or len(trees.linear_default) != leaves:
        return f"needs linear terms for {leaves} leaves, a feature and a weight each"
    bad = np.flatnonzero((begin[:-1] < 0) | (begin[1:] < begin[:-1]) | (begin[1:] > terms))
    if len(bad):
        return f"has leaf {bad[0]} with linear terms outside of the {terms} there are"
    bad = np.flatnonzero((trees.linear_features < 0) | (trees.linear_features >= features))
    return f"has linear term {bad[0]} on feature {trees.linear_features[bad[0]]} of {features}" if len(bad) else None


class _Places:
    """Names nodes by tree for messages; also in trees that are none."""

    def __init__(self, trees: Trees):
        self.trees = trees

    def node(self, number: int) -> str:
        """`node 3 of tree 1`, counted within the tree where its nodes lie together."""
        roots = self.trees.roots
        starts = roots[roots >= 0]
        before = np.flatnonzero((roots >= 0) & (roots <= number))
        if len(before) and (np.diff(starts) > 0).all():
            return f"tree {before[-1]}, node {number - roots[before[-1]]}"
        return f"node {number}"
