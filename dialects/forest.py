"""The dialect `forest`: ensembles of decision trees, as a framework means them and as kernels read them."""

from typing import Any

from neomlir.forest_faults import (
    destination_fault,
    ensemble_fault,
    heap_fault,
    ragged_fault,
    score_fault,
    total_fault,
    trees_fault,
)
from neomlir.mlir import ext, ir

Operand, Result = ext.Operand, ext.Result


class Forest(ext.Dialect, name="forest"):
    """Ensembles of decision trees.

    `forest.ensemble` is a whole model in its attributes. `neo-forest-post` writes what follows the sum as linalg;
    `neo-pack-forest` chooses a strategy and lays the trees out in tables for it (external arrays, as weights are);
    what is left then (`forest.score`, `forest.heap`, `forest.ragged`, `forest.branches`) is one kernel, written by a
    schedule, or by `neo-lower-forest` as plain loops; or two, of which `forest.total` is the second.
    """


class EnsembleOp(Forest.Operation, name="ensemble"):
    """The sum over trees of the values of the leaves that each row reaches, and what is made of it.

    `x` has a row an example. A child that is not negative is a node, `-1 - i` is leaf `i`; `roots` has such a number a
    tree. A row goes left where `x[features[n]] <= thresholds[n]` (`predicate = "le"`; `<` where it is `"lt"`).
    `flags[n]` is a sum of: 1, NaN goes left (else right); 2, |x| <= 1e-35 goes where NaN goes; 4, the node is
    categorical: x goes left if the whole number next to it towards zero is in the set of bits
    `sets[set_begin[n] : set_begin[n + 1]]` (32 a word), and right if it is not, is negative or is none; 8, x goes left
    where it equals the threshold, whatever the predicate; 16, with 4, x goes left only if it is itself a whole number
    in the set.
    Leaf `l` of tree `t` adds `values[l, 0]` to output `targets[t]`, or, where there are several columns, `values[l, j]`
    to each output j. With `linear_begin`, it adds `values[l, 0] + sum(linear_weights[i] * x[linear_features[i]])` for
    i in
    `linear_begin[l]` up to `linear_begin[l + 1]`, and `linear_default[l]` where one of these x is NaN.
    Sums start from `base` and go in the order of the trees, in the type of `values`. With `aggregate = "min"` or
    `"max"` an output is the least or the largest value of its trees instead (`base` where it has none).
    `post` is then done in order:
    `divide=c`, `add=c`, `sigmoid=a` (1 / (1 + exp(-a x))), `softmax`, `exp`, `exp2`, `negate`, `argmax`, `step` (x >
    0),
    `softplus`, `signed_square`, `normalise` (by the sum of the row), `pair` (x to [1 - x, x]), `probit`,
    `softmax_zero` (softmax that leaves zeros zero).

    One output is a vector or a matrix of one column. The verifier refuses trees that are none (circles, nodes of two
    parents, children out of range) and thresholds and sets that cannot be.

    ```mlir
    // One stump: 0.5 where x[1] < 2.0 or is missing, else -0.5, through the logistic function.
    %y = "forest.ensemble"(%x) {
      roots = dense<0> : tensor<1xi32>, features = dense<1> : tensor<1xi32>, thresholds = dense<2.0> : tensor<1xf32>,
      left = dense<-1> : tensor<1xi32>, right = dense<-2> : tensor<1xi32>, flags = dense<1> : tensor<1xi8>,
      values = dense<[[0.5], [-0.5]]> : tensor<2x1xf32>, targets = dense<0> : tensor<1xi32>,
      base = dense<0.0> : tensor<1xf32>, predicate = "lt", post = ["sigmoid=1.0"]
    } : (tensor<?x4xf32>) -> tensor<?xf32>
    ```
    """

    result: Result[Any]
    x: Operand[Any]
    roots: Any
    features: Any
    thresholds: Any
    left: Any
    right: Any
    flags: Any
    values: Any
    targets: Any
    base: Any
    predicate: ir.StringAttr
    post: ir.ArrayAttr

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the shapes, the trees, and what follows the sum."""
        operation = op.operation
        return _say(operation, ensemble_fault(operation))


class BranchesOp(Forest.Operation, name="branches"):
    """A small ensemble that becomes code: the trees stand in the attributes, as in `forest.ensemble` without `post`.

    The result is written to `out`.

    ```mlir
    %y = "forest.branches"(%x, %out) {…} : (tensor<?x4xf32>, tensor<?xf32>) -> tensor<?xf32>
    ```
    """

    result: Result[Any]
    x: Operand[Any]
    out: Operand[Any]
    roots: Any
    features: Any
    thresholds: Any
    left: Any
    right: Any
    flags: Any
    values: Any
    targets: Any
    base: Any

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the shapes and the trees."""
        operation = op.operation
        return _say(operation, destination_fault(operation, 2) or trees_fault(operation, ()))


class ScoreOp(Forest.Operation, name="score"):
    """Any ensemble, its trees in tables.

    `splits[n]` is the feature of node n plus 2^27 times its flags (see `forest.ensemble`), thresholds compare with
    `<=`, `children[n]` are left and right, `roots` are sorted by output and `classes[k]` is the first root of output k
    (with one column of `values`). `sets` and what begins with `linear` are tables of one element where no node is
    categorical and no leaf linear; the attributes `categorical` and `linear` say whether they are. `aggregate` is
    `sum`, `min` or `max` of the values of an output's trees and its `base`.

    ```mlir
    %y = "forest.score"(%x, %roots, %splits, %thresholds, %children, %values, %classes, %base, %sets, %set_begin,
                        %linear_begin, %linear_features, %linear_weights, %linear_default, %out)
      {categorical = false, linear = false, depth = 6 : i64, aggregate = "sum"} : (…) -> tensor<?xf32>
    ```
    """

    result: Result[Any]
    x: Operand[Any]
    roots: Operand[Any]
    splits: Operand[Any]
    thresholds: Operand[Any]
    children: Operand[Any]
    values: Operand[Any]
    classes: Operand[Any]
    base: Operand[Any]
    sets: Operand[Any]
    set_begin: Operand[Any]
    linear_begin: Operand[Any]
    linear_features: Operand[Any]
    linear_weights: Operand[Any]
    linear_default: Operand[Any]
    out: Operand[Any]
    categorical: Any
    linear: Any
    depth: ir.IntegerAttr
    aggregate: ir.StringAttr

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the shapes of the tables."""
        operation = op.operation
        return _say(operation, destination_fault(operation, 15) or score_fault(operation))


class HeapOp(Forest.Operation, name="heap"):
    """Complete trees of one depth d on ranks instead of numbers.

    `cuts[c]` are the thresholds of feature `features[c]`, sorted, `counts[c]` of them, padded with infinity. The rank
    of a number is how many of them are smaller, as a signed integer of the type of `ranks` from its least value up:
    every comparison comes out as that of the numbers. `missing` says where nodes send NaN, whose rank is the least for
    `"left"` and `counts[c]` for `"right"`; with `"both"` there are two columns a feature, one for each, the second
    ones behind all first ones.

    Node i of tree t (root 1, children 2i and 2i + 1) sends a row right where column `columns[t, i]` is greater than
    `ranks[t, i]`; the leaf is the number of the node on level d, less 2^d. Trees are sorted by output, `classes[k]` is
    the first of output k.

    ```mlir
    %y = "forest.heap"(%x, %features, %counts, %cuts, %columns, %ranks, %values, %classes, %base, %out)
      {depth = 6 : i64, missing = "left"}
      : (tensor<?x4xf32>, tensor<7xi32>, tensor<7xi32>, tensor<7x255xf32>, tensor<9x64xi16>, tensor<9x64xi8>,
      tensor<9x64xf32>, tensor<2xi32>, tensor<1xf32>, tensor<?xf32>) -> tensor<?xf32>
    ```
    """

    result: Result[Any]
    x: Operand[Any]
    features: Operand[Any]
    counts: Operand[Any]
    cuts: Operand[Any]
    columns: Operand[Any]
    ranks: Operand[Any]
    values: Operand[Any]
    classes: Operand[Any]
    base: Operand[Any]
    out: Operand[Any]
    depth: ir.IntegerAttr
    missing: ir.StringAttr

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the shapes of the tables."""
        operation = op.operation
        return _say(operation, destination_fault(operation, 10) or heap_fault(operation))


class RaggedOp(Forest.Operation, name="ragged"):
    """Trees of any shape on ranks (see `forest.heap`).

    Tree t has nodes `begin[t]` up to `begin[t + 1]`, parents before children, and leaves `leaf_begin[t]` up to
    `leaf_begin[t + 1]`. `children[n]` are slots within the tree: numbers below `slots` are nodes, `slots + l` is leaf
    l. No tree has more than `slots` nodes, `leaves` leaves, or `depth` nodes on a way down.

    ```mlir
    %y = "forest.ragged"(%x, %features, %counts, %cuts, %begin, %leaf_begin, %columns, %ranks,
                         %children, %values, %classes, %base, %out)
      {slots = 30 : i64, leaves = 31 : i64, depth = 9 : i64, missing = "left"} : (…) -> tensor<?xf32>
    ```
    """

    result: Result[Any]
    x: Operand[Any]
    features: Operand[Any]
    counts: Operand[Any]
    cuts: Operand[Any]
    begin: Operand[Any]
    leaf_begin: Operand[Any]
    columns: Operand[Any]
    ranks: Operand[Any]
    children: Operand[Any]
    values: Operand[Any]
    classes: Operand[Any]
    base: Operand[Any]
    out: Operand[Any]
    slots: ir.IntegerAttr
    leaves: ir.IntegerAttr
    depth: ir.IntegerAttr
    missing: ir.StringAttr

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the shapes of the tables."""
        operation = op.operation
        return _say(operation, destination_fault(operation, 13) or ragged_fault(operation))


class TotalOp(Forest.Operation, name="total"):
    """The values that trees gave, a column a tree, added up in order.

    Output k of a row is `base[k]` and the columns from `classes[k]` up to `classes[k + 1]` of `values`. Where threads
    share the trees of a few rows, an operation before it has an output a tree.

    ```mlir
    %y = "forest.total"(%values, %classes, %base, %out)
      : (tensor<1x5000xf32>, tensor<2xi32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1xf32>
    ```
    """

    result: Result[Any]
    values: Operand[Any]
    classes: Operand[Any]
    base: Operand[Any]
    out: Operand[Any]

    @classmethod
    def verify_invariants(cls, op) -> bool:
        """Check the shapes of the tables."""
        operation = op.operation
        return _say(operation, destination_fault(operation, 4) or total_fault(operation))


def _say(operation: ir.Operation, wrong: str | None) -> bool:
    if wrong is None:
        return True
    operation.location.emit_error(f"'{operation.name}' op {wrong}")
    return False


DIALECT = Forest
