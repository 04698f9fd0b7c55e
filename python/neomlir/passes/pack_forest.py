"""Choose how the trees of an ensemble are walked, and lay them out in tables for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neomlir.errors import PassFailure
from neomlir.mlir import ir, ml_program
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.schedules.forest_bits import FEW
from neomlir.schedules.forest_loops import FLAGS
from neomlir.trees import MISSING_LEFT, Trees, dense

STRATEGIES = ("auto", "bits", "branches", "loops")


_FEW_ROWS, _FEW_NODES = 8, 256
_MOST_BRANCHES, _MOST_NESTED = 1 << 13, 64
_DEEPEST = 8
_LANES = 16
"""Columns are ranked in vectors of up to this many."""
_PADDING = 4
"""Complete trees may hold this many times the leaves of the trees that they stand for."""
_MOST_LEAVES = 256
_MANY_TREES = 1024
"""From here on threads share the trees of a few rows: waking them takes a few microseconds."""
_SHARED = ("forest.heap", "forest.ragged")

Packed = tuple[str, dict[str, np.ndarray], dict[str, ir.Attribute]]


@register
@dataclass(frozen=True)
class PackForest(ModulePass):
    """Rewrite each `forest.ensemble` without post-transforms as the operation of a strategy, in destination style.

    The tables become globals with a value (`ml_program.global … (dense<…>)`), which go to the weights of the `.neo`
    file as imported weights do.
    """

    name = "neo-pack-forest"

    strategy: str = "auto"
    """`bits`: trees on ranks (`forest.heap`, `forest.ragged`), for blocks of rows; `branches`: a small ensemble as code
    (`forest.branches`); `loops`: tables of nodes (`forest.score`), also walked by vectors of rows that gather. A
    strategy
    that does not fit an ensemble gives way to `loops`. `auto` is `branches` for few nodes and few rows, else `bits`."""

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
    rows = ir.RankedTensorType(op.operands[0].type).shape[0]
    if strategy == "branches" or (strategy == "auto" and 0 <= rows <= _FEW_ROWS and len(trees.features) <= _FEW_NODES):
        packed = branches(trees)
    if packed is None and strategy in ("auto", "bits"):
        packed = bits(trees)
    if packed is not None and packed[0] in _SHARED and 0 < rows < FEW and len(trees.roots) >= _MANY_TREES:
        _share_trees(module, op, prefix, trees, rows)
        return
    with ir.InsertionPoint(op), op.location:
        made = _operation(module, op, prefix, packed or score(trees), op.results[0].type)
    s.replace(op, [made])


def _share_trees(module: ir.Module, op: ir.Operation, prefix: str, trees: Trees, rows: int) -> None:
    """Two kernels: an output a tree, which threads share, and the sums of these in the order of the trees."""
    order, classes = trees.sorted_by_target()
    count = len(order)
    # Nothing changes when it is added to -0.
    alone = replace(
        trees, roots=trees.roots[order], targets=np.arange(count, dtype=np.int32), base=np.full(count, -0.0)
    )
    alone.base = alone.base.astype(trees.base.dtype)
    kind = ir.RankedTensorType(op.results[0].type)
    with ir.InsertionPoint(op), op.location:
        values = ir.RankedTensorType.get([rows, count], kind.element_type)
        made = _operation(module, op, prefix, bits(alone), values)
        tables = {"outputs": classes, "start": trees.base}
        operands = [made, *(_load(module, op, f"{prefix}_{n}", dense(a)) for n, a in tables.items())]
        total = ir.Operation.create(
            "forest.total", results=[kind], operands=[*operands, _empty(op, kind)], attributes={}
        )
    s.replace(op, list(total.results))


def _operation(module: ir.Module, op: ir.Operation, prefix: str, packed: Packed, kind: ir.Type) -> ir.Value:
    """The operation of a strategy in place of `op`, with its tables."""
    name, tables, attributes = packed
    operands = [op.operands[0]]
    for table, array in tables.items():
        operands.append(_load(module, op, f"{prefix}_{table}", dense(array)))
    operands.append(_empty(op, kind))
    return ir.Operation.create(name, results=[kind], operands=operands, attributes=attributes).results[0]


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


def _empty(op: ir.Operation, kind: ir.Type) -> ir.Value:
    """Memory for a result of type `kind`: as many rows as the input has."""
    kind = ir.RankedTensorType(kind)
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


def score(trees: Trees) -> Packed:
    """The tables of `forest.score`."""
    order, classes = trees.sorted_by_target()
    flags = trees.flags.astype(np.int32) << FLAGS
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
        "base": trees.start(),
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
        "depth": _number(int(depths.max(initial=0))),
        "aggregate": ir.StringAttr.get(trees.aggregate),
    }
    return "forest.score", tables, attributes


def branches(trees: Trees) -> Packed | None:
    """`forest.branches`, the trees in its attributes; None for other than numerical nodes, and where it would be much
    code."""
    numerical = trees.set_begin is None and trees.linear_begin is None and not (trees.flags & ~MISSING_LEFT).any()
    if not numerical or trees.aggregate != "sum" or trees.values.shape[1] > 1 or np.isnan(trees.thresholds).any():
        return None
    if len(trees.features) > _MOST_BRANCHES or trees.depths().max(initial=0) > _MOST_NESTED:
        return None
    return "forest.branches", {}, trees.attributes()


def bits(trees: Trees) -> Packed | None:
    """The tables of `forest.heap`, or of `forest.ragged` where complete trees would be too large; None where ranks
    cannot
    express the nodes, or trees have too many leaves."""
    if trees.aggregate != "sum" or trees.values.shape[1] > 1 or trees.linear_begin is not None:
        return None
    if (trees.flags & ~MISSING_LEFT).any():
        return None
    if np.isnan(trees.thresholds).any() or not len(trees.features):
        return None
    depth = int(trees.depths().max(initial=0))
    if depth <= _DEEPEST and len(trees.roots) << depth <= _PADDING * len(trees.values):
        return _heap(trees, depth, Columns.of(trees))
    return _ragged(trees)


@dataclass
class Columns:
    """The ranks of an ensemble's thresholds, feature by feature."""

    column: np.ndarray
    """Of each node: the place of its feature; in the second half where it sends NaN right and others send it left."""
    rank: np.ndarray
    """Of each node, from the least value of `kind` up."""
    kind: type
    index_kind: type
    tables: dict[str, np.ndarray]
    missing: ir.Attribute

    @classmethod
    def of(cls, trees: Trees) -> Columns:
        """Sort the thresholds of each feature."""
        keys, place = np.unique(trees.features, return_inverse=True)
        cuts, rank = [], np.zeros(len(place), np.int64)
        by_place = np.argsort(place, kind="stable")
        bounds = np.searchsorted(place[by_place], np.arange(len(keys) + 1))
        for c in range(len(keys)):
            mine = by_place[bounds[c] : bounds[c + 1]]
            numbers, rank[mine] = np.unique(trees.thresholds[mine], return_inverse=True)
            cuts.append(numbers)
        sizes = np.array([len(c) for c in cuts])
        kind = np.int8 if sizes.max() < 1 << 8 else np.int16 if sizes.max() < 1 << 16 else np.int32
        padded = -(-len(keys) // _LANES) * _LANES
        table = np.full((padded, (1 << int(sizes.max()).bit_length()) - 1), np.inf, trees.thresholds.dtype)
        for c, numbers in enumerate(cuts):
            table[c, : len(numbers)] = numbers
        counts, features = np.zeros(padded, np.int32), np.zeros(padded, np.int32)
        counts[: len(keys)], features[: len(keys)] = sizes, keys
        left = (trees.flags & MISSING_LEFT) != 0
        missing = "left" if left.all() else "both" if left.any() else "right"
        column = place + np.where(left, 0, padded if missing == "both" else 0)
        width = 2 * padded if missing == "both" else padded
        index_kind = np.int8 if width <= 128 else np.int16 if width <= 1 << 15 else np.int32
        tables = {"features": features, "counts": counts, "cuts": table}
        return cls(column, rank + np.iinfo(kind).min, kind, index_kind, tables, ir.StringAttr.get(missing))


def _heap(trees: Trees, depth: int, found: Columns) -> Packed:
    order, classes = trees.sorted_by_target()
    count = len(order)
    columns = np.zeros((count, 1 << depth), found.index_kind)
    # Nothing is greater than the largest rank: below a leaf all rows go left.
    ranks = np.full((count, 1 << depth), np.iinfo(found.kind).max, found.kind)
    at = trees.roots[order].astype(np.int64)[:, None]
    for level in range(depth):
        slots, inner = slice(1 << level, 2 << level), at >= 0
        columns[:, slots][inner] = found.column[at[inner]]
        ranks[:, slots][inner] = found.rank[at[inner]]
        children = np.repeat(at[:, :, None], 2, axis=2)
        children[inner] = np.stack([trees.left, trees.right], 1)[at[inner]]
        at = children.reshape(count, -1)
    tables = {
        **found.tables,
        "columns": columns,
        "ranks": ranks,
        "values": trees.values[-1 - at, 0],
        "classes": classes,
        "base": trees.base,
    }
    return "forest.heap", tables, {"depth": _number(depth), "missing": found.missing}


def _ragged(trees: Trees) -> Packed | None:
    order, classes = trees.sorted_by_target()
    # Nodes and leaves level by level, and then tree by tree: parents first.
    at, tree = trees.roots[order].astype(np.int64), np.arange(len(order))
    ids, owners = [at], [tree]
    while len(at := at[(inner := at >= 0)]):
        tree = np.repeat(tree[inner], 2)
        at = np.stack([trees.left, trees.right], 1)[at].reshape(-1).astype(np.int64)
        ids.append(at)
        owners.append(tree)
    ids, owners = np.concatenate(ids), np.concatenate(owners)
    sort = np.argsort(owners, kind="stable")
    ids, owners = ids[sort], owners[sort]
    nodes, leaves = ids[ids >= 0], -1 - ids[ids < 0]
    begin, leaf_begin = (
        np.searchsorted(owners[mask], np.arange(len(order) + 1)).astype(np.int32) for mask in (ids >= 0, ids < 0)
    )
    most, most_leaves = int(np.diff(begin).max(initial=1)), int(np.diff(leaf_begin).max(initial=1))
    if most_leaves > _MOST_LEAVES:
        return None
    slot, leaf_slot = np.zeros(len(trees.left), np.int64), np.zeros(len(trees.values), np.int64)
    slot[nodes] = np.arange(len(nodes)) - begin[owners[ids >= 0]]
    leaf_slot[leaves] = np.arange(len(leaves)) - leaf_begin[owners[ids < 0]] + most
    children = np.stack([trees.left, trees.right], 1)[nodes].astype(np.int64)
    inner = children >= 0
    children[inner] = slot[children[inner]]
    children[~inner] = leaf_slot[-1 - children[~inner]]
    found = Columns.of(trees)
    tables = {
        **found.tables,
        "begin": begin,
        "leaf_begin": leaf_begin,
        "columns": found.column[nodes].astype(found.index_kind),
        "ranks": found.rank[nodes].astype(found.kind),
        "children": children.astype(np.int16),
        "values": trees.values[leaves, 0],
        "classes": classes,
        "base": trees.base,
    }
    attributes = {"slots": _number(most), "leaves": _number(most_leaves), "missing": found.missing}
    attributes["depth"] = _number(int(trees.depths().max(initial=0)))
    return "forest.ragged", tables, attributes


def _number(value: int) -> ir.IntegerAttr:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)
