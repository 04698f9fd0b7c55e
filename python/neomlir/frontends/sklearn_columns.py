"""What scikit-learn's pipelines do to rows before an estimator: transformers as columns made of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.columns import Join, Lookup, Matrix, Norm, Product, join, pick, step

_SCALERS = ("StandardScaler", "RobustScaler", "MinMaxScaler", "MaxAbsScaler")


def transformed(value: Matrix, transformer: Any, name: str) -> Matrix:
    """`value` after a fitted transformer. Raises ImportFailure for one that is not read."""
    kind = type(transformer).__name__
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return value
    if hasattr(transformer, "get_support"):
        return pick(value, transformer.get_support(indices=True))
    if kind not in _WAYS:
        raise ImportFailure(
            f"{name}: {kind} is not supported before trees; there are {', '.join(_WAYS)}, and selectors of features"
        )
    return _WAYS[kind](value, transformer, name)


def only_scales(transformer: Any) -> bool:
    """Whether a transformer works in the type of the rows whatever it is, each number for itself."""
    if transformer is None or isinstance(transformer, str):
        return True
    return type(transformer).__name__ in _SCALERS or hasattr(transformer, "get_support")


def _standard(value: Matrix, scaler: Any, name: str) -> Matrix:
    value = step(value, "subf", scaler.mean_) if scaler.with_mean else value
    return step(value, "divf", scaler.scale_) if scaler.with_std else value


def _robust(value: Matrix, scaler: Any, name: str) -> Matrix:
    value = step(value, "subf", scaler.center_) if scaler.with_centering else value
    return step(value, "divf", scaler.scale_) if scaler.with_scaling else value


def _largest(value: Matrix, scaler: Any, name: str) -> Matrix:
    value = step(value, "divf", scaler.scale_)
    return _clip(value, -1.0, 1.0) if getattr(scaler, "clip", False) else value


def _range(value: Matrix, scaler: Any, name: str) -> Matrix:
    value = step(step(value, "mulf", scaler.scale_), "addf", scaler.min_)
    return _clip(value, *scaler.feature_range) if scaler.clip else value


def _clip(value: Matrix, low: float, high: float) -> Matrix:
    return step(step(value, "maximumf", low), "minimumf", high)


def _normalise(value: Matrix, normaliser: Any, name: str) -> Matrix:
    # scikit-learn divides by one where the norm is less than this.
    return Norm(value, normaliser.norm, float(np.nextafter(10 * np.finfo(np.float64).eps, 0.0)), "sklearn")


def _binarise(value: Matrix, binariser: Any, name: str) -> Matrix:
    return step(value, "above", binariser.threshold, 1.0)


def _powers(value: Matrix, powers: Any, name: str) -> Matrix:
    factors = [np.repeat(np.arange(len(row)), row) for row in powers.powers_]
    sources = np.full((max(1, max(map(len, factors), default=1)), len(factors)), -1, np.int64)
    for column, row in enumerate(factors):
        sources[: len(row), column] = row
    return Product(value, sources)


def _impute(value: Matrix, imputer: Any, name: str) -> Matrix:
    marker, numbers = imputer.missing_values, np.asarray(imputer.statistics_)
    if not _numeric(numbers) or not _numeric(np.asarray([marker])):
        raise ImportFailure(f"{name}: SimpleImputer fills in other than numbers; rows are numbers")
    numbers, marker = numbers.astype(np.float64), float(marker)
    keep = np.arange(len(numbers)) if imputer.keep_empty_features else np.flatnonzero(~np.isnan(numbers))
    kept = pick(value, keep)
    made = step(kept, "fill", numbers[keep]) if np.isnan(marker) else step(kept, "replace", marker, numbers[keep])
    if not imputer.add_indicator:
        return made
    marked = pick(value, imputer.indicator_.features_)
    return join([made, step(marked, "equals", marker, float(np.isnan(marker)), 1.0)])


def _categories(encoder: Any, name: str) -> list[np.ndarray]:
    """The categories of each column. Raises ImportFailure where they are no numbers."""
    found = []
    for column, categories in enumerate(encoder.categories_):
        if not _numeric(categories):
            raise ImportFailure(
                f"{name}: column {column} of {type(encoder).__name__} has categories that are no numbers "
                f"({categories[0]!r}, …): a compiled model takes rows of numbers; fit it on numbered categories"
            )
        found.append(np.asarray(categories, np.float64))
    return found


def _numeric(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf" or all(isinstance(v, int | float | np.number) for v in values.reshape(-1))


def _table(columns: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(keys, codes, codes of NaN) of a `Lookup` from the categories and codes of each column; NaN where there is no
    category NaN."""
    most = max((len(keys) for keys, _ in columns), default=0)
    keys, codes = np.full((len(columns), max(1, most)), np.nan), np.zeros((len(columns), max(1, most)))
    missing = np.full(len(columns), np.nan)
    for i, (mine, numbers) in enumerate(columns):
        keys[i, : len(mine)], codes[i, : len(mine)] = mine, numbers
        if np.isnan(mine).any():
            missing[i] = numbers[np.isnan(mine)][0]
    return keys, codes, missing


def _ordinal(value: Matrix, encoder: Any, name: str) -> Matrix:
    if any(m is not None for m in getattr(encoder, "_default_to_infrequent_mappings", None) or ()):
        raise ImportFailure(f"{name}: OrdinalEncoder that groups infrequent categories is not supported before trees")
    categories = _categories(encoder, name)
    keys, codes, missing = _table([(c, np.arange(len(c))) for c in categories])
    known = encoder.handle_unknown == "use_encoded_value"
    unknown = np.full(len(categories), float(encoder.unknown_value) if known else np.nan)
    missing = np.where(np.isnan(missing), unknown, float(encoder.encoded_missing_value))
    return Lookup(value, keys, codes, missing, unknown)


def _one_hot(value: Matrix, encoder: Any, name: str) -> Matrix:
    categories = _categories(encoder, name)
    groups = list(getattr(encoder, "_default_to_infrequent_mappings", None) or [None] * len(categories))
    dropped = encoder._drop_idx_after_grouping
    dropped = [None] * len(categories) if dropped is None else list(dropped)
    if all(group is None for group in groups):
        source, chosen = [], []
        for column, (numbers, drop) in enumerate(zip(categories, dropped, strict=True)):
            kept = [n for i, n in enumerate(numbers) if i != drop]
            source += [column] * len(kept)
            chosen += kept
        keys = np.array(chosen)
        return step(pick(value, source), "equals", keys, np.isnan(keys).astype(float), 1.0)
    codes = [np.arange(len(c)) if g is None else g for c, g in zip(categories, groups, strict=True)]
    keys, numbers, missing = _table(list(zip(categories, codes, strict=True)))
    unknown = np.full(len(categories), -1.0)
    if encoder.handle_unknown in ("infrequent_if_exist", "warn"):
        for column, indices in enumerate(encoder._infrequent_indices):
            if indices is not None:
                unknown[column] = codes[column][indices[0]]
    grouped = Lookup(value, keys, numbers, np.where(np.isnan(missing), unknown, missing), unknown)
    source, chosen = [], []
    for column, (mine, drop) in enumerate(zip(codes, dropped, strict=True)):
        kept = [n for n in range(int(max(mine)) + 1) if n != drop]
        source += [column] * len(kept)
        chosen += kept
    return step(pick(grouped, source), "equals", np.array(chosen, float), 0.0, 1.0)


def _pipeline(value: Matrix, pipeline: Any, name: str) -> Matrix:
    for _, part in pipeline.steps:
        value = transformed(value, part, name)
    return value


def _by_columns(value: Matrix, transformer: Any, name: str) -> Matrix:
    parts, weights = [], transformer.transformer_weights or {}
    for key, part, _ in transformer.transformers_:
        indices = transformer._transformer_to_input_indices[key]
        if (isinstance(part, str) and part == "drop") or not len(indices):
            continue
        made = transformed(pick(value, indices), part, name)
        parts.append(step(made, "mulf", weights[key]) if key in weights else made)
    return _side_by_side(parts, name)


def _union(value: Matrix, union: Any, name: str) -> Matrix:
    weights, parts = union.transformer_weights or {}, []
    for key, part in union.transformer_list:
        if isinstance(part, str) and part == "drop":
            continue
        made = transformed(value, part, name)
        parts.append(step(made, "mulf", weights[key]) if key in weights else made)
    return _side_by_side(parts, name)


def _side_by_side(parts: list[Matrix], name: str) -> Matrix:
    made = join(parts)
    if isinstance(made, Join) and not made.parts:
        raise ImportFailure(f"{name}: its transformers leave no columns")
    return made


def _function(value: Matrix, transformer: Any, name: str) -> Matrix:
    # What histogram boosting puts before numerical columns only checks them.
    checks = getattr(getattr(transformer.func, "func", None), "__name__", "") == "check_array"
    if transformer.func is not None and not checks:
        raise ImportFailure(
            f"{name}: FunctionTransformer calls the Python function {_called(transformer.func)}, which can't be "
            "compiled; apply it to the rows before the model, and leave it out of the pipeline"
        )
    return value


def _called(function: Any) -> str:
    return getattr(function, "__name__", repr(function))


_WAYS: dict[str, Callable[[Matrix, Any, str], Matrix]] = {
    "StandardScaler": _standard, "RobustScaler": _robust, "MinMaxScaler": _range, "MaxAbsScaler": _largest,
    "Normalizer": _normalise, "Binarizer": _binarise, "PolynomialFeatures": _powers, "SimpleImputer": _impute,
    "OrdinalEncoder": _ordinal, "OneHotEncoder": _one_hot, "FunctionTransformer": _function,
    "Pipeline": _pipeline, "ColumnTransformer": _by_columns, "FeatureUnion": _union,
}  # fmt: skip
