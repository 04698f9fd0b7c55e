"""Choose how the trees of an ensemble are walked, and lay them out in tables for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomlir.errors import PassFailure
from neomlir.mlir import ir, ml_program
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.trees import MISSING_LEFT, Trees, dense

STRATEGIES = ("auto", "bits", "loops")


@register
@dataclass(frozen=True)
class PackForest(ModulePass):
    """Rewrite each `forest.ensemble` without post-transforms as the operation of a strategy, in destination style.

    The tables become globals with a value (`ml_program.global … (dense<…>)`), which go to the weights of the `.neo`
    file as imported weights do.
    """

    name = "neo-pack-forest"

    strategy: str = "auto"
    """`bits`: complete trees on ranks (`forest.heap`); `loops`: tables of nodes (`forest.score`), walked node by node.
    A strategy that does not fit an ensemble gives way to `loops`. `auto` chooses."""

    target: str = "host"
    """The target whose vectors and caches `auto` looks at."""

    def run(self, module: ir.Module) -> None:
        if self.strategy not in STRATEGIES:
            raise PassFailure(f"{self.name}: there is no strategy {self.strategy!r}; there are {', '.join(STRATEGIES)}")
        number = 0
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                for op in [o for o in s.operations(function) if o.name == "forest.ensemble"]:
                    if len(op.attributes["post"]):
                        raise PassFailure(f"{self.name}: post-transforms are left; run neo-forest-post before")
                    _pack(module, op, f"forest_{number}", self.strategy)
                    number += 1


def _pack(module: ir.Module, op: ir.Operation, prefix: str, strategy: str) -> None:
    trees = Trees.of(op).up_to()
    packed = None
    if strategy in ("auto", "bits"):
        packed = heap(trees)
    name, tables, attributes = packed or score(trees)
    with ir.InsertionPoint(op), op.location:
        operands = [op.operands[0]]
        for table, array in tables.items():
            operands.append(_load(module, op, f"{prefix}_{table}", dense(array)))
        new = ir.Operation.create(
            name, results=[op.results[0].type], operands=[*operands, _empty(op)], attributes=attributes
        )
    s.replace(op, list(new.results))


def _load(module: ir.Module, op: ir.Operation, name: str, value: ir.Attribute) -> ir.Value:
    """Declare a global of that value before the function of `op`, and load it where we are."""
    taken = {
        str(o.operation.attributes["sym_name"]) for o in module.body.operations if "sym_name" in o.operation.attributes
    }
    while f'"{name}"' in taken:
        name += "_"
    ir.Operation.create(
        "ml_program.global",
        attributes={
            "sym_name": ir.StringAttr.get(name),
            "sym_visibility": ir.StringAttr.get("private"),
            "type": ir.TypeAttr.get(value.type),
            "value": value,
        },
        ip=ir.InsertionPoint(op.parent.operation if hasattr(op.parent, "operation") else op.parent),
    )
    return ml_program.GlobalLoadConstOp(value.type, ir.FlatSymbolRefAttr.get(name)).results[0]


def _empty(op: ir.Operation) -> ir.Value:
    """Memory for the result: as many rows as the input has."""
    kind = ir.RankedTensorType(op.results[0].type)
    extents = []
    if kind.is_dynamic_dim(0):
        zero = ir.Operation.create(
            "arith.constant",
            results=[ir.IndexType.get()],
            attributes={"value": ir.IntegerAttr.get(ir.IndexType.get(), 0)},
        ).results[0]
        extents = ir.Operation.create(
            "tensor.dim", results=[ir.IndexType.get()], operands=[op.operands[0], zero]
        ).results
    return ir.Operation.create("tensor.empty", results=[kind], operands=list(extents)).results[0]


def score(trees: Trees) -> tuple[str, dict[str, np.ndarray], dict[str, ir.Attribute]]:
    """The tables of `forest.score`."""
    order, classes = trees.sorted_by_target()
    flags = trees.flags.astype(np.int32) << 28
    categorical, linear = trees.set_begin is not None, trees.linear_begin is not None
    none, nothing = np.zeros(1, np.int32), np.zeros(1, trees.values.dtype)

    def or_none(array: np.ndarray | None, other: np.ndarray) -> np.ndarray:
        return other if array is None or not len(array) else array

    def some(array: np.ndarray, other: np.ndarray) -> np.ndarray:
        return array if len(array) else other

    tables = {
        "roots": some(trees.roots[order], np.full(1, -1, np.int32)),
        "splits": some(trees.features | flags, none),
        "thresholds": some(trees.thresholds, np.zeros(1, trees.thresholds.dtype)),
        "children": some(np.stack([trees.left, trees.right], 1), np.full((1, 2), -1, np.int32)),
        "values": some(trees.values, np.zeros((1, trees.values.shape[1]), trees.values.dtype)),
        "classes": classes,
        "base": trees.base,
        "sets": or_none(trees.sets, none),
        "set_begin": or_none(trees.set_begin, none),
        "linear_begin": or_none(trees.linear_begin, none),
        "linear_features": or_none(trees.linear_features, none),
        "linear_weights": or_none(trees.linear_weights, nothing),
        "linear_default": or_none(trees.linear_default, nothing),
    }
    depths = trees.depths()
    attributes = {
        "categorical": ir.BoolAttr.get(categorical),
        "linear": ir.BoolAttr.get(linear),
        "depth": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), int(depths.max(initial=0))),
    }
    return "forest.score", tables, attributes


_DEEPEST = 8
_LANES = 16
"""Columns are ranked in vectors of up to this many."""
_PADDING = 8
"""Complete trees may hold this many times the leaves of the trees that they stand for."""


def heap(trees: Trees) -> tuple[str, dict[str, np.ndarray], dict[str, ir.Attribute]] | None:
    """The tables of `forest.heap`; None where trees are too deep, too lopsided, or have nodes that ranks cannot
    express."""
    depth, count = int(trees.depths().max(initial=0)), len(trees.roots)
    if not 1 <= depth <= _DEEPEST or count << depth > _PADDING * len(trees.values):
        return None
    if trees.values.shape[1] > 1 or trees.linear_begin is not None or (trees.flags & ~MISSING_LEFT).any():
        return None
    if np.isnan(trees.thresholds).any():
        return None
    order, classes = trees.sorted_by_target()
    # A column is a feature and where NaN goes.
    keys, column = np.unique(trees.features * 2 + (trees.flags & MISSING_LEFT), return_inverse=True)
    cuts = [np.unique(trees.thresholds[column == c]) for c in range(len(keys))]
    sizes = np.array([len(c) for c in cuts])
    bits = 8 if sizes.max() < 256 else 16 if sizes.max() < 1 << 16 else 32
    lowest, highest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rank = np.zeros(len(column), np.int64)
    for c, numbers in enumerate(cuts):
        mine = column == c
        rank[mine] = np.searchsorted(numbers, trees.thresholds[mine])
    padded = -(-len(keys) // _LANES) * _LANES
    table = np.full((padded, (1 << int(sizes.max()).bit_length()) - 1), np.inf, trees.thresholds.dtype)
    for c, numbers in enumerate(cuts):
        table[c, : len(numbers)] = numbers
    missing = np.full(padded, lowest, np.int32)
    missing[: len(keys)] = np.where(keys & 1, lowest, sizes + lowest)
    features = np.zeros(padded, np.int32)
    features[: len(keys)] = keys >> 1
    columns = np.zeros((count, 1 << depth), np.int8 if padded <= 128 else np.int16 if padded <= 1 << 15 else np.int32)
    ranks = np.full((count, 1 << depth), highest, {8: np.int8, 16: np.int16, 32: np.int32}[bits])
    at = trees.roots[order].astype(np.int64)[:, None]
    for level in range(depth):
        slots, inner = slice(1 << level, 2 << level), at >= 0
        columns[:, slots][inner] = column[at[inner]]
        ranks[:, slots][inner] = rank[at[inner]] + lowest
        children = np.repeat(at[:, :, None], 2, axis=2)
        children[inner] = np.stack([trees.left, trees.right], 1)[at[inner]]
        at = children.reshape(count, -1)
    tables = {
        "column_features": features,
        "column_missing": missing,
        "cuts": table,
        "columns": columns,
        "ranks": ranks,
        "values": trees.values[-1 - at, 0],
        "classes": classes,
        "base": trees.base,
    }
    return "forest.heap", tables, {"depth": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), depth)}
