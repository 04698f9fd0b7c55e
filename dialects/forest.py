"""The dialect `forest`: ensembles of decision trees, as a framework means them and as kernels read them."""

from typing import Any

from neomlir.mlir import ext, ir
from neomlir.trees import POSTS, Trees, fault, parse_post, result_width

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
        return _say(operation, _ensemble_fault(operation))


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
        return _say(operation, _destination_fault(operation, 2) or _trees_fault(operation, ()))


class ScoreOp(Forest.Operation, name="score"):
    """Any ensemble, its trees in tables.

    `splits[n]` is the feature of node n plus 2^27 times its flags (see `forest.ensemble`), thresholds compare with
    `<=`,
    `children[n]` are left and right, `roots` are sorted by output and `classes[k]` is the first root of output k (with
    one column of `values`). `sets` and what begins with `linear` are tables of one element where no node is
    categorical and
    no leaf linear; the attributes `categorical` and `linear` say whether they are. `aggregate` is `sum`, `min` or `max`
    of the values of an output's trees and its `base`.

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
        return _say(operation, _destination_fault(operation, 15) or _score_fault(operation))


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
        return _say(operation, _destination_fault(operation, 10) or _heap_fault(operation))


class RaggedOp(Forest.Operation, name="ragged"):
    """Trees of any shape on ranks (see `forest.heap`).

    Tree t has nodes `begin[t]` up to `begin[t + 1]`, parents before children, and leaves `leaf_begin[t]` up to
    `leaf_begin[t + 1]`. `children[n]` are slots within the tree: numbers below `slots` are nodes, `slots + l` is leaf
    l. No
    tree has more than `slots` nodes, `leaves` leaves, or `depth` nodes on a way down.

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
        return _say(operation, _destination_fault(operation, 13) or _ragged_fault(operation))


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
        return _say(operation, _destination_fault(operation, 4) or _total_fault(operation))


def _say(operation: ir.Operation, wrong: str | None) -> bool:
    if wrong is None:
        return True
    operation.location.emit_error(f"'{operation.name}' op {wrong}")
    return False


def _matrix_fault(value: ir.Value, what: str) -> str | None:
    kind = value.type
    if not isinstance(kind, ir.RankedTensorType) or kind.rank != 2 or kind.is_dynamic_dim(1):
        return f"needs {what}, a tensor of rows and a known number of columns"
    if not isinstance(kind.element_type, ir.F32Type | ir.F64Type):
        return f"needs {what} of f32 or f64"
    return None


def _result_fault(value: ir.Value) -> str | None:
    kind = value.type
    if not isinstance(kind, ir.RankedTensorType) or kind.rank not in (1, 2):
        return "gives a vector or a matrix"
    if kind.rank == 2 and kind.is_dynamic_dim(1):
        return "gives a known number of columns"
    if not isinstance(kind.element_type, ir.F32Type | ir.F64Type):
        return "gives f32 or f64"
    return None


def _ensemble_fault(operation: ir.Operation) -> str | None:
    if len(operation.operands) != 1 or len(operation.results) != 1:
        return "takes one operand and gives one result"
    wrong = _matrix_fault(operation.operands[0], "its input") or _result_fault(operation.results[0])
    if wrong:
        return wrong
    post = operation.attributes.get("post", None)
    if not isinstance(post, ir.ArrayAttr) or not all(isinstance(a, ir.StringAttr) for a in post):
        return "needs 'post', an array of strings"
    predicate = operation.attributes.get("predicate", None)
    if not isinstance(predicate, ir.StringAttr) or predicate.value not in ("le", "lt"):
        return 'needs \'predicate\', "le" or "lt"'
    try:
        steps = [parse_post(a.value) for a in post]
    except ValueError as error:
        return f"has no post-transform {error}; there are {', '.join(POSTS)}"
    return _trees_fault(operation, steps)


def _trees_fault(operation: ir.Operation, post) -> str | None:
    x = ir.RankedTensorType(operation.operands[0].type)
    kind = ir.RankedTensorType(operation.results[0].type)
    if "aggregate" in operation.attributes and not isinstance(operation.attributes["aggregate"], ir.StringAttr):
        return "needs 'aggregate', a string"
    try:
        trees = Trees.of(operation)
    except ValueError as error:
        return str(error)
    for name, type_ in (("thresholds", x.element_type), ("values", kind.element_type), ("base", kind.element_type)):
        if ir.RankedTensorType(operation.attributes[name].type).element_type != type_:
            return f"needs '{name}' of {type_}"
    wrong = fault(trees, x.get_dim_size(1))
    if wrong:
        return wrong
    try:
        width = result_width(len(trees.base), post)
    except ValueError as error:
        return str(error)
    given = kind.get_dim_size(1) if kind.rank == 2 else 1
    if given != width:
        return f"gives {width} numbers a row, not {given}"
    return None


def _destination_fault(operation: ir.Operation, operands: int) -> str | None:
    if len(operation.operands) != operands or len(operation.results) != 1:
        return f"takes {operands} operands and gives one result"
    wrong = _matrix_fault(operation.operands[0], "its input") or _result_fault(operation.results[0])
    if wrong:
        return wrong
    if operation.operands[operands - 1].type != operation.results[0].type:
        return "gives what its last operand, the destination, is"
    return None


def _tables_fault(operation: ir.Operation, wanted: list[tuple[str, int, tuple[type, ...]]]) -> str | None:
    for number, (name, rank, elements) in enumerate(wanted, 1):
        kind = operation.operands[number].type
        good = isinstance(kind, ir.RankedTensorType) and kind.rank == rank and kind.has_static_shape
        if not good or not isinstance(kind.element_type, elements):
            return f"needs table '{name}' as operand {number}, of rank {rank} and static shape"
    return None


_I, _F = (ir.IntegerType,), (ir.F32Type, ir.F64Type)


def _score_fault(operation: ir.Operation) -> str | None:
    names = ("roots", "splits", "thresholds", "children", "values", "classes", "base", "sets", "set_begin")
    kinds = ((1, _I), (1, _I), (1, _F), (2, _I), (2, _F), (1, _I), (1, _F), (1, _I), (1, _I))
    names += ("linear_begin", "linear_features", "linear_weights", "linear_default")
    kinds += ((1, _I), (1, _I), (1, _F), (1, _F))
    wrong = _tables_fault(operation, [(name, *kind) for name, kind in zip(names, kinds, strict=True)])
    if wrong:
        return wrong
    for name in ("categorical", "linear"):
        if name not in operation.attributes or not isinstance(operation.attributes[name], ir.BoolAttr):
            return f"needs '{name}', true or false"
    aggregate = operation.attributes.get("aggregate", None)
    if not isinstance(aggregate, ir.StringAttr) or aggregate.value not in ("sum", "min", "max"):
        return 'needs \'aggregate\', "sum", "min" or "max"'
    return _depth_fault(operation, 1 << 20)


def _heap_fault(operation: ir.Operation) -> str | None:
    wanted = [("features", 1, _I), ("counts", 1, _I), ("cuts", 2, _F), ("columns", 2, _I)]
    wanted += [("ranks", 2, _I), ("values", 2, _F), ("classes", 1, _I), ("base", 1, _F)]
    wrong = _tables_fault(operation, wanted) or _depth_fault(operation, 8) or _missing_fault(operation)
    if wrong:
        return wrong
    depth = ir.IntegerAttr(operation.attributes["depth"]).value
    trees = ir.RankedTensorType(operation.operands[4].type).shape[0]
    for number in (4, 5, 6):
        if ir.RankedTensorType(operation.operands[number].type).shape != [trees, 1 << depth]:
            return f"needs table '{wanted[number - 1][0]}' with {1 << depth} entries for each of {trees} trees"
    columns = ir.RankedTensorType(operation.operands[1].type).shape[0]
    for number in (2, 3):
        if ir.RankedTensorType(operation.operands[number].type).shape[0] != columns:
            return f"needs table '{wanted[number - 1][0]}' with an entry for each of {columns} columns"
    if ir.RankedTensorType(operation.operands[5].type).element_type.width not in (8, 16, 32):
        return "needs ranks of 8, 16 or 32 bits"
    return None


def _ragged_fault(operation: ir.Operation) -> str | None:
    wanted = [("features", 1, _I), ("counts", 1, _I), ("cuts", 2, _F), ("begin", 1, _I)]
    wanted += [("leaf_begin", 1, _I), ("columns", 1, _I), ("ranks", 1, _I), ("children", 2, _I), ("values", 1, _F)]
    wrong = _tables_fault(operation, [*wanted, ("classes", 1, _I), ("base", 1, _F)]) or _missing_fault(operation)
    wrong = wrong or _depth_fault(operation, 256)
    if wrong:
        return wrong
    for name in ("slots", "leaves"):
        if name not in operation.attributes or not isinstance(operation.attributes[name], ir.IntegerAttr):
            return f"needs '{name}', a number"
        if not 1 <= ir.IntegerAttr(operation.attributes[name]).value <= 256:
            return f"needs '{name}', from 1 to 256"
    if ir.RankedTensorType(operation.operands[7].type).element_type.width not in (8, 16, 32):
        return "needs ranks of 8, 16 or 32 bits"
    return None


def _total_fault(operation: ir.Operation) -> str | None:
    wrong = _tables_fault(operation, [("classes", 1, _I), ("base", 1, _F)])
    if wrong:
        return wrong
    outputs = ir.RankedTensorType(operation.operands[2].type).shape[0]
    if ir.RankedTensorType(operation.operands[1].type).shape[0] != outputs + 1:
        return f"needs table 'classes' with {outputs + 1} entries"
    kinds = {str(ir.RankedTensorType(value.type).element_type) for i, value in enumerate(operation.operands) if i != 1}
    return None if len(kinds) == 1 else "adds in one type"


def _missing_fault(operation: ir.Operation) -> str | None:
    missing = operation.attributes["missing"] if "missing" in operation.attributes else None  # noqa: SIM401
    if not isinstance(missing, ir.StringAttr) or missing.value not in ("left", "right", "both"):
        return 'needs \'missing\', "left", "right" or "both"'
    return None


def _depth_fault(operation: ir.Operation, most: int) -> str | None:
    depth = operation.attributes.get("depth", None)
    if not isinstance(depth, ir.IntegerAttr) or not 0 <= depth.value <= most:
        return f"needs 'depth', from 0 to {most}"
    return None


DIALECT = Forest
