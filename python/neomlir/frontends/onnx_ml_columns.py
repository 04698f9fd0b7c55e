"""Operators that stand before a model of `ai.onnx.ml`, as columns made of columns (in the type of the rows)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.columns import Each, Lookup, Matrix, Norm, Product, join, pick, step

_KINDS = {1: "float32", 11: "float64"}
_WHOLE = (6, 7)
"""int32 and int64."""


class Node:
    """A node with its attributes and the constants among its inputs; `where` names it."""

    def __init__(self, node: Any, attributes: dict[str, Any], constants: dict[str, np.ndarray], where: str) -> None:
        self.kind, self.attributes, self.where = node.op_type, attributes, where
        self.inputs, self.constants = list(node.input), constants

    def constant(self, number: int) -> np.ndarray:
        """An input that must be constant. Raises ImportFailure."""
        if number >= len(self.inputs) or self.inputs[number] not in self.constants:
            self.refuse(f"its input {number} is not constant")
        return self.constants[self.inputs[number]]

    def numbers(self, key: str, default: float) -> np.ndarray:
        """A list of floats."""
        return np.asarray(self.attributes.get(key, [default]), np.float64).reshape(-1)

    def a_column(self, numbers: np.ndarray, width: int) -> np.ndarray:
        """`numbers`, one a column or one for all. Raises ImportFailure where they are neither."""
        numbers = np.asarray(numbers, np.float64).reshape(-1)
        if len(numbers) not in (1, width):
            self.refuse(f"{len(numbers)} numbers for {width} columns")
        return np.broadcast_to(numbers, (width,))

    def refuse(self, why: str) -> None:
        raise ImportFailure(f"{self.where}: {self.kind}: {why}")


def _scaler(node: Node, value: Matrix) -> Matrix:
    value = step(value, "subf", node.a_column(node.numbers("offset", 0.0), value.width))
    return step(value, "mulf", node.a_column(node.numbers("scale", 1.0), value.width))


def _extract(node: Node, value: Matrix) -> Matrix:
    if node.kind == "Gather" and node.attributes.get("axis", 0) != 1:
        node.refuse("rows are chosen, not columns")
    chosen = node.constant(1).reshape(-1).astype(np.int64)
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= value.width:
        node.refuse(f"columns out of range are chosen of {value.width}")
    return pick(value, chosen)


def _cast(node: Node, value: Matrix) -> Matrix:
    to = node.attributes.get("to")
    if to in _WHOLE:
        return step(value, "trunc", 1.0)
    if to not in _KINDS:
        node.refuse(f"a cast of columns to type {to}")
    return value


def _impute(node: Node, value: Matrix) -> Matrix:
    if "imputed_value_int64s" in node.attributes:
        numbers, marker = node.numbers("imputed_value_int64s", 0), float(node.attributes.get("replaced_value_int64", 0))
    else:
        numbers, marker = node.numbers("imputed_value_floats", 0), node.attributes.get("replaced_value_float", 0.0)
    numbers = node.a_column(numbers, value.width)
    return step(value, "fill", numbers) if np.isnan(marker) else step(value, "replace", marker, numbers)


def _binarise(node: Node, value: Matrix) -> Matrix:
    return step(value, "above", float(node.attributes.get("threshold", 0.0)), 1.0)


def _normalise(node: Node, value: Matrix) -> Matrix:
    norm = node.attributes.get("norm", b"MAX").decode()
    if norm not in ("L1", "L2"):
        node.refuse(f"norm {norm} is not supported before a model; L1 and L2 are")
    return Norm(value, norm.lower(), 0.0, "onnxruntime")


def _one_hot(node: Node, value: Matrix) -> Matrix:
    if "cats_strings" in node.attributes:
        node.refuse("its categories are strings; a compiled model takes rows of numbers")
    if not node.attributes.get("zeros", 1):
        node.refuse("zeros=0, which fails on unknown categories, is not supported")
    keys = node.numbers("cats_int64s", 0)
    source = np.repeat(np.arange(value.width), len(keys))
    return step(pick(step(value, "trunc", 1.0), source), "equals", np.tile(keys, value.width), 0.0, 1.0)


def _labels(node: Node, value: Matrix) -> Matrix:
    def of(what: str) -> np.ndarray:
        for kind in ("floats", "int64s", "tensor"):
            if f"{what}_{kind}" in node.attributes:
                return np.asarray(node.attributes[f"{what}_{kind}"]).reshape(-1)
        node.refuse(f"it has no numbers as {what}; a compiled model takes rows of numbers")
        raise AssertionError

    keys, codes = of("keys"), of("values")
    if len(keys) != len(codes) or keys.dtype.kind not in "if" or codes.dtype.kind not in "if":
        node.refuse(f"{len(keys)} keys have {len(codes)} values, or they are no numbers")
    whole = "values_int64s" in node.attributes or codes.dtype.kind == "i"
    other = float(node.attributes.get("default_int64", -1) if whole else node.attributes.get("default_float", -0.0))
    if "default_tensor" in node.attributes:
        other = float(np.asarray(node.attributes["default_tensor"]).reshape(-1)[0])
    missing = codes[np.isnan(keys)][0] if np.isnan(keys).any() else other
    count = value.width
    return Lookup(
        value,
        np.tile(keys.astype(np.float64), (count, 1)),
        np.tile(codes.astype(np.float64), (count, 1)),
        np.full(count, float(missing)),
        np.full(count, other),
    )


def _arithmetic(node: Node, value: Matrix) -> Matrix:
    names = {"Mul": "mulf", "Add": "addf", "Sub": "subf", "Div": "divf"}
    return step(value, names[node.kind], node.a_column(node.constant(1), value.width))


def _clip(node: Node, value: Matrix) -> Matrix:
    for number, name, given in ((1, "maximumf", "min"), (2, "minimumf", "max")):
        if given in node.attributes:
            value = step(value, name, float(node.attributes[given]))
        elif len(node.inputs) > number and node.inputs[number]:
            value = step(value, name, node.a_column(node.constant(number), value.width))
    return value


def _reshape(node: Node, value: Matrix) -> Matrix:
    shape = node.constant(1).reshape(-1).tolist()
    if len(shape) != 2 or shape[1] not in (value.width, -1):
        node.refuse(f"rows of {value.width} numbers are reshaped to {shape}")
    return value


def _product(node: Node, value: Matrix) -> Matrix:
    axes = node.attributes.get("axes") or node.constant(1).reshape(-1).tolist()
    if list(axes) != [1] or not node.attributes.get("keepdims", 1):
        node.refuse(f"products over axes {list(axes)} are not supported; those of a row are")
    base, sources = value, np.arange(value.width)
    if isinstance(value, Each) and not value.steps:
        base, sources = value.base, value.source
    return Product(base, sources[::-1, None].copy())


def _same(node: Node, value: Matrix) -> Matrix:
    return value


_WAYS: dict[str, Callable[[Node, Matrix], Matrix]] = {
    "Scaler": _scaler, "ArrayFeatureExtractor": _extract, "Gather": _extract, "Cast": _cast, "Identity": _same,
    "Imputer": _impute, "Binarizer": _binarise, "Normalizer": _normalise, "OneHotEncoder": _one_hot,
    "LabelEncoder": _labels, "Mul": _arithmetic, "Add": _arithmetic, "Sub": _arithmetic, "Div": _arithmetic,
    "Clip": _clip, "Reshape": _reshape, "ReduceProd": _product,
}  # fmt: skip
BEFORE = (*_WAYS, "Concat", "FeatureVectorizer")


def columns(node: Node, matrices: dict[str, Matrix]) -> Matrix:
    """What a node of `BEFORE` makes of the matrices it reads. Raises ImportFailure."""
    if node.kind in ("Concat", "FeatureVectorizer"):
        if node.kind == "Concat" and node.attributes.get("axis") not in (1, -1):
            node.refuse("matrices are put below each other")
        for name in node.inputs:
            if name not in matrices:
                node.refuse(f"its input {name!r} is not made of the columns of the rows")
        return join([matrices[name] for name in node.inputs])
    if len(node.inputs) > 1 and node.inputs[0] not in matrices and node.kind in ("Mul", "Add"):
        node.inputs = node.inputs[::-1]
    return _WAYS[node.kind](node, matrices[node.inputs[0]])
