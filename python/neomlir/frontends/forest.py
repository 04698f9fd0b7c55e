"""What every frontend of trees does: gather trees and check them, and read what inputs are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Inputs
from neomlir.trees import CATEGORICAL, MISSING_LEFT, Trees

INPUT, OUTPUT = "x", "y"
_MOST_NODES = 1 << 27
_MOST_WORDS = 1 << 25


def _rounded_down(numbers: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The largest numbers of a type that are not larger: x <= t is the same for every x of that type."""
    if numbers.dtype == kind:
        return numbers
    with np.errstate(over="ignore"):
        rounded = numbers.astype(kind)
        return np.where(rounded > numbers, np.nextafter(rounded, kind.type(-np.inf)), rounded)


def _whole(numbers: np.ndarray) -> np.ndarray:
    """Numbers of nodes or features; -1, which is out of any range, for what is none."""
    numbers = np.asarray(numbers)
    if numbers.dtype.kind == "f":
        numbers = np.where((np.abs(numbers) < 1 << 31) & (numbers == np.trunc(numbers)), numbers, -1)
    return numbers.astype(np.int64)


class Collector:
    """Trees one by one, in a framework's own form: nodes and leaves numbered together, the root first."""

    def __init__(self, name: str, features: int, outputs: int, kind: Any, value_kind: Any) -> None:
        """`kind` and `value_kind` are the dtypes of inputs and of leaf values; `name` is what messages call the
        model."""
        self.name, self.features, self.outputs = name, features, outputs
        self.kind, self.value_kind = np.dtype(kind), np.dtype(value_kind)
        self.parts: dict[str, list[np.ndarray]] = {}
        self.roots: list[int] = []
        self.targets: list[int] = []
        self.nodes = self.leaves = self.words = 0
        self.sets: list[np.ndarray] = []

    def add(
        self,
        left: np.ndarray,
        right: np.ndarray,
        feature: np.ndarray,
        threshold: np.ndarray,
        missing_left: np.ndarray,
        values: np.ndarray,
        *,
        leaf: np.ndarray,
        target: int = 0,
        flags: np.ndarray | None = None,
        sets: Mapping[int, np.ndarray] | None = None,
    ) -> np.ndarray:
        """One tree: arrays over all its nodes, `leaf` says which are leaves, `values` are [nodes] or [nodes, W].

        `flags` are further flags of `forest.ensemble`; `sets` the words (uint32) of categorical nodes, whose members go
        left. Returns the numbers of the tree's leaves among its nodes, in the order in which they were added. Raises
        ImportFailure that names the tree and the node.
        """
        number = len(self.roots)
        left, right, feature = map(_whole, (left, right, feature))
        leaf = np.asarray(leaf, bool)
        self._check(number, left, right, feature, threshold, leaf, sets or {})
        keep = self._reached(number, left, right, leaf)
        inner, ends = keep & ~leaf, keep & leaf
        names = np.zeros(len(left), np.int64)
        names[inner] = self.nodes + np.arange(inner.sum())
        names[ends] = -1 - (self.leaves + np.arange(ends.sum()))
        bits = np.where(np.asarray(missing_left, bool), MISSING_LEFT, 0).astype(np.int8)
        if flags is not None:
            bits |= np.asarray(flags, np.int8)
        sizes = np.zeros(int(inner.sum()), np.int64)
        for place, node in enumerate(np.flatnonzero(inner)) if sets else ():
            if node in sets:
                bits[node] |= CATEGORICAL
                words = np.asarray(sets[node], np.uint32).view(np.int32)
                self.sets.append(words)
                self.words += len(words)
                if self.words > _MOST_WORDS:
                    raise ImportFailure(
                        f"{self.name}: tree {number}, node {node}: the sets of categories are larger than "
                        f"{_MOST_WORDS * 4 >> 20} MB in all"
                    )
                sizes[place] = len(words)
        values = np.asarray(values, self.value_kind)
        threshold = _rounded_down(np.asarray(threshold), self.kind)
        threshold = np.where(bits & CATEGORICAL, 0, threshold).astype(self.kind)
        self.roots.append(int(names[0]))
        self.targets.append(target)
        for key, array in (
            ("features", feature[inner].astype(np.int32)),
            ("thresholds", threshold[inner]),
            ("left", names[left[inner]].astype(np.int32)),
            ("right", names[right[inner]].astype(np.int32)),
            ("flags", bits[inner]),
            ("set_sizes", sizes),
            ("values", values[ends].reshape(int(ends.sum()), -1)),
        ):
            self.parts.setdefault(key, []).append(array)
        self.nodes += int(inner.sum())
        self.leaves += int(ends.sum())
        if self.nodes > _MOST_NODES:
            raise ImportFailure(f"{self.name}: more than {_MOST_NODES} nodes up to tree {number}")
        return np.flatnonzero(ends)

    def _check(self, number, left, right, feature, threshold, leaf, sets) -> None:
        count = len(left)
        if not count:
            raise ImportFailure(f"{self.name}: tree {number} has no nodes")
        for what, array in (
            ("right children", right),
            ("features", feature),
            ("thresholds", threshold),
            ("marks", leaf),
        ):
            if len(array) != count:
                raise ImportFailure(f"{self.name}: tree {number} has {count} nodes, but {len(array)} {what}")
        for side, children in (("left", left), ("right", right)):
            bad = np.flatnonzero(~leaf & ((children < 0) | (children >= count)))
            if len(bad):
                self._refuse(
                    number, bad[0], f"its {side} child {children[bad[0]]} is out of range, there are {count} nodes"
                )
        bad = np.flatnonzero(~leaf & ((feature < 0) | (feature >= self.features)))
        if len(bad):
            self._refuse(number, bad[0], f"it splits feature {feature[bad[0]]}, there are {self.features}")
        for node in np.flatnonzero(~leaf & np.isnan(np.asarray(threshold, float))):
            if node not in sets:
                self._refuse(number, node, "its threshold is NaN")

    def _reached(self, number: int, left: np.ndarray, right: np.ndarray, leaf: np.ndarray) -> np.ndarray:
        """Which nodes the root leads to; the others were pruned away. Refuses circles and nodes of two parents."""
        reached = np.zeros(len(left), bool)
        at = np.zeros(1, np.int64)
        while len(at):
            seen, times = np.unique(at, return_counts=True)
            bad = seen[reached[seen] | (times > 1)]
            if len(bad):
                self._refuse(number, bad[0], "it is reached in two ways: a circle, or two parents")
            reached[at] = True
            inner = at[~leaf[at]]
            at = np.concatenate([left[inner], right[inner]])
        return reached

    def _refuse(self, tree: int, node: int, why: str) -> None:
        raise ImportFailure(f"{self.name}: tree {tree}, node {node}: {why}")

    def trees(self, base: Sequence[float] | np.ndarray, predicate: str, post: Sequence[str] = ()) -> Trees:
        """The whole ensemble."""
        width = self.parts["values"][0].shape[1] if self.roots else 1

        def part(name: str, kind: Any, shape: tuple = (0,)) -> np.ndarray:
            arrays = self.parts.get(name, [])
            return np.concatenate(arrays).astype(kind, copy=False) if arrays else np.zeros(shape, kind)

        trees = Trees(
            np.array(self.roots, np.int32),
            part("features", np.int32),
            part("thresholds", self.kind),
            part("left", np.int32),
            part("right", np.int32),
            part("flags", np.int8),
            part("values", self.value_kind, (0, width)),
            np.array(self.targets, np.int32),
            np.asarray(base, self.value_kind).reshape(-1),
            predicate=predicate,
            post=tuple(post),
        )
        if self.sets:
            trees.sets = np.concatenate(self.sets)
            trees.set_begin = np.concatenate([[0], np.cumsum(part("set_sizes", np.int64))]).astype(np.int32)
        return trees


def linear_trees(weights: np.ndarray, base: np.ndarray, kind: Any, post: Sequence[str]) -> Trees:
    """A linear model, weights [features, outputs]: a leaf without a tree a weight, nothing where its feature is NaN."""
    features, outputs = weights.shape
    count, empty = features * outputs, np.zeros(0, np.int32)
    return Trees(
        roots=-1 - np.arange(count, dtype=np.int32),
        features=empty,
        thresholds=np.zeros(0, kind),
        left=empty,
        right=empty,
        flags=np.zeros(0, np.int8),
        values=np.zeros((count, 1), weights.dtype),
        targets=np.tile(np.arange(outputs, dtype=np.int32), features),
        base=np.asarray(base, weights.dtype),
        linear_begin=np.arange(count + 1, dtype=np.int32),
        linear_features=np.repeat(np.arange(features, dtype=np.int32), outputs),
        linear_weights=weights.reshape(-1),
        linear_default=np.zeros(count, weights.dtype),
        post=tuple(post),
    )


def rows_and_kind(
    inputs: Inputs, features: int, name: str, kinds: Sequence[str], *, input_name: str = INPUT
) -> tuple[int | None, str]:
    """The number of rows (None: dynamic) and the dtype that `inputs` asks for; the first of `kinds` if it says none.

    Takes `{"x": (rows, features)}`, an example array, a pair of a shape and a dtype, or a sequence with one of these.
    """
    if inputs is None or (isinstance(inputs, Mapping | Sequence) and not len(inputs)):
        return None, kinds[0]
    if isinstance(inputs, Mapping):
        unknown = [n for n in inputs if n != input_name]
        if unknown:
            raise ImportFailure(f"{name} has no input {unknown[0]!r}; its input is {input_name!r}")
        given = inputs[input_name]
    else:
        if len(inputs) != 1:
            raise ImportFailure(f"{name} has one input, {input_name!r}; {len(inputs)} were given")
        given = inputs[0]
    kind = None
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        kind, given = np.dtype(given.dtype).name, tuple(given.shape)
    elif len(given) == 2 and isinstance(given[1], str):
        given, kind = given
    kind = kind or kinds[0]
    if kind not in kinds:
        raise ImportFailure(f"{name} takes {' or '.join(kinds)}, not {kind}")
    shape = tuple(given)
    if len(shape) != 2 or shape[1] not in (features, None):
        raise ImportFailure(f"{name} takes rows of {features} numbers: shape {shape} is not (rows, {features})")
    return (None if shape[0] is None else int(shape[0])), kind
