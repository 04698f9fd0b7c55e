"""An ensemble evaluated by numpy, node by node: what importers give, checked without compiling."""

import numpy as np
from neomlir.dialects import context
from neomlir.frontends import import_model
from neomlir.trees import CATEGORICAL, EQUAL, MISSING_LEFT, WHOLE, ZERO, ZERO_MISSING, Trees, parse_post


def imported(model, inputs=None) -> Trees:
    """The trees that the frontend makes of a model, with their post-transforms."""
    module = import_model(model, inputs, context()).module
    operations = [op.operation for op in module.body.operations[0].regions[0].blocks[0].operations]
    operation = next(op for op in operations if op.name == "forest.ensemble")
    trees = Trees.of(operation)
    trees.post = tuple(a.value for a in operation.attributes["post"])
    return trees


def evaluate(trees: Trees, x: np.ndarray) -> np.ndarray:
    """What the ensemble gives for rows `x`: [rows, outputs], or [rows] for one output."""
    x = x.astype(trees.thresholds.dtype)
    out = np.tile(trees.start(), (len(x), 1))
    combine = {"sum": np.add, "min": np.minimum, "max": np.maximum}[trees.aggregate]
    rows = np.arange(len(x))
    for root, target in zip(trees.roots, trees.targets, strict=True):
        node = np.full(len(x), root)
        while (inner := node >= 0).any():
            r, n = rows[inner], node[inner]
            node[inner] = np.where(_left(trees, n, x[r, trees.features[n]]), trees.left[n], trees.right[n])
        leaf = -1 - node
        if trees.values.shape[1] == 1:
            out[:, target] = combine(out[:, target], _value(trees, leaf, x))
        else:
            out = combine(out, trees.values[leaf])
    for text in trees.post:
        out = _post(*parse_post(text), out)
    return out[:, 0] if out.shape[1] == 1 else out


def _left(trees, n, v):
    flags = trees.flags[n]
    with np.errstate(invalid="ignore"):
        left = v < trees.thresholds[n] if trees.predicate == "lt" else v <= trees.thresholds[n]
        left = np.where(flags & EQUAL != 0, v == trees.thresholds[n], left)
        missing = np.isnan(v) | ((np.abs(v) <= ZERO) & (flags & ZERO_MISSING != 0))
    for i in np.flatnonzero(flags & CATEGORICAL):
        words = trees.sets[trees.set_begin[n[i]] : trees.set_begin[n[i] + 1]].view(np.uint32)
        number = int(v[i]) if np.isfinite(v[i]) and v[i] > -1 else -1
        number = number if not flags[i] & WHOLE or number == v[i] else -1
        left[i] = 0 <= number < 32 * len(words) and bool(int(words[number // 32]) >> (number % 32) & 1)
    return np.where(missing, flags & MISSING_LEFT != 0, left)


def _value(trees, leaf, x):
    value = trees.values[leaf, 0].copy()
    if trees.linear_begin is None:
        return value
    for i, n in enumerate(leaf):
        for term in range(trees.linear_begin[n], trees.linear_begin[n + 1]):
            value[i] += trees.linear_weights[term] * x[i, trees.linear_features[term]].astype(value.dtype)
        if np.isnan(x[i, trees.linear_features[trees.linear_begin[n] : trees.linear_begin[n + 1]]]).any():
            value[i] = trees.linear_default[n]
    return value


def _post(name, number, y):
    with np.errstate(over="ignore"):
        match name:
            case "divide":
                return y / y.dtype.type(number)
            case "add":
                return y + y.dtype.type(number)
            case "negate":
                return -y
            case "sigmoid":
                return 1 / (1 + np.exp(-y.dtype.type(number) * y))
            case "exp" | "exp2":
                return getattr(np, name)(y)
            case "softplus":
                return np.log1p(np.exp(y))
            case "softmax":
                power = np.exp(y - y.max(1, keepdims=True))
                return power / power.sum(1, keepdims=True)
            case "softmax_zero":
                most, some = y.max(1, keepdims=True), np.abs(y) > 1e-7
                power = np.where(some, np.exp(y - most), y * np.exp(-most))
                with np.errstate(invalid="ignore"):
                    return power / np.where(some, power, 0).sum(1, keepdims=True)
            case "probit":
                p = 2 * y - 1
                log = np.log((1 - p) * (1 + p))
                v = y.dtype.type(np.float32(2) / (np.float32(3.14159) * np.float32(0.147))) + y.dtype.type(0.5) * log
                size = np.sqrt(np.sqrt(v * v - y.dtype.type(np.float32(1) / np.float32(0.147)) * log) - v)
                return y.dtype.type(1.41421356) * np.copysign(size, p)
            case "normalise":
                return y / y.sum(1, keepdims=True)
            case "argmax":
                return y.argmax(1)[:, None].astype(y.dtype)
            case "step":
                return (y > 0).astype(y.dtype)
            case "signed_square":
                return y * np.abs(y)
            case "pair":
                return np.concatenate([1 - y, y], 1)
    raise AssertionError(name)
