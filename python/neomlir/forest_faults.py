"""What the verifiers of the dialect `forest` find wrong: each function gives the rest of a sentence on an operation."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.trees import POSTS, Trees, fault, parse_post, result_width


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


def ensemble_fault(operation: ir.Operation) -> str | None:
    """What is wrong with a `forest.ensemble`, or None."""
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
    return trees_fault(operation, steps)


def trees_fault(operation: ir.Operation, post) -> str | None:
    """What is wrong with the trees in the attributes of an operation whose result has had `post`, or None."""
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


def destination_fault(operation: ir.Operation, operands: int) -> str | None:
    """What is wrong with the input, the destination or the number of operands, or None."""
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


def score_fault(operation: ir.Operation) -> str | None:
    """What is wrong with the tables of a `forest.score`, or None."""
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


def heap_fault(operation: ir.Operation) -> str | None:
    """What is wrong with the tables of a `forest.heap`, or None."""
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


def ragged_fault(operation: ir.Operation) -> str | None:
    """What is wrong with the tables of a `forest.ragged`, or None."""
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


def total_fault(operation: ir.Operation) -> str | None:
    """What is wrong with the tables of a `forest.total`, or None."""
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
