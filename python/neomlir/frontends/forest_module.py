"""Trees as a module: one function of one `forest.ensemble`, and what labels its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Imported, Spec
from neomlir.frontends.columns import Each, Matrix, Rows
from neomlir.frontends.columns_text import ColumnsText
from neomlir.frontends.forest import INPUT, OUTPUT
from neomlir.mlir import ir
from neomlir.passes.structured import clone_into
from neomlir.trees import Trees, fault, parse_post, result_width

PIPELINE = "builtin.module(neo-forest-post,neo-weights-to-globals,canonicalize,cse)"


@dataclass(frozen=True)
class Labels:
    """The numbers of classes, in the order of the scores: the label of a row is that of its largest score."""

    numbers: np.ndarray
    names: tuple[str, ...] | None = None
    """What the numbers stand for, where the model's own labels are strings."""


def to_module(
    trees: Trees,
    features: int,
    rows: int | None,
    name: str,
    context: ir.Context,
    *,
    before: tuple[Matrix, str] | None = None,
    input_name: str = INPUT,
    outputs: Sequence[tuple[str, Any]] = ((OUTPUT, "scores"),),
    labels: Labels | None = None,
    matrix: bool = False,
) -> Imported:
    """One function of one `forest.ensemble`, whose columns are those of `before` (with the dtype of the rows), made
    from rows of `features` numbers; without it the rows themselves.

    `outputs` are (name, `scores`, `label`, or the first and the last score, plus one); labels are int64. `matrix` keeps
    single scores in a column. Raises ImportFailure where the trees are none.
    """
    if before and isinstance(before[0], Each) and isinstance(before[0].base, Rows) and not before[0].steps:
        # Chosen columns need not be copied: trees read them where they are.
        wrong = fault(trees, before[0].width)
        if not wrong:
            trees.features = before[0].source[trees.features].astype(np.int32)
            if trees.linear_features is not None:
                trees.linear_features = before[0].source[trees.linear_features].astype(np.int32)
            before = (Rows(features), before[1])
    wrong = fault(trees, before[0].width if before else features)
    if wrong:
        raise ImportFailure(f"{name} {wrong}")
    width = result_width(len(trees.base), [parse_post(p) for p in trees.post])
    if labels and len(labels.numbers) != width:
        raise ImportFailure(f"{name}: it has {len(labels.numbers)} labels for {width} scores")
    shape = (rows, width) if width > 1 or matrix else (rows,)
    inner, outer = trees.thresholds.dtype.name, before[1] if before else trees.thresholds.dtype.name
    made = None
    with context, ir.Location.unknown():
        if before and not (isinstance(before[0], Rows) and outer == inner):
            made = ColumnsText(before[0], rows, features, outer, inner)
        weights = made.weights if made else {}
        x = _tensor((rows, features), _ELEMENTS[outer])
        y = _tensor(shape, _ELEMENTS[trees.values.dtype.name])
        kinds = {"scores": y, "label": _tensor((rows,), "i64")}
        element = _ELEMENTS[trees.values.dtype.name]
        results = [kinds[k] if isinstance(k, str) else _tensor((rows, k[1] - k[0]), element) for _, k in outputs]
        module = ir.Module.create()
        named = [{"neo.name": input_name}, *({"neo.weight": weight} for weight in weights)]
        types = [x, *(_tensor(array.shape, _ELEMENTS[array.dtype.name]) for array in weights.values())]
        function = ir.Operation.create(
            "func.func",
            regions=1,
            attributes={
                "sym_name": ir.StringAttr.get("main"),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, results)),
                "arg_attrs": _names(named),
                "res_attrs": _names([{"neo.name": output} for output, _ in outputs]),
            },
            ip=ir.InsertionPoint(module.body),
        )
        block = ir.Block.create_at_start(function.regions[0], types)
        at = ir.InsertionPoint(block)
        value = block.arguments[0]
        if made:
            value = _inline(made.text(), list(block.arguments), at)
        attributes = {
            **trees.attributes(),
            "predicate": ir.StringAttr.get(trees.predicate),
            "post": ir.ArrayAttr.get([ir.StringAttr.get(p) for p in trees.post]),
        }
        ensemble = ir.Operation.create("forest.ensemble", results=[y], operands=[value], attributes=attributes, ip=at)
        values = {"scores": ensemble.results[0]}
        if labels and any(kind == "label" for _, kind in outputs):
            values["label"] = _label(labels, ensemble.results[0], at)
        given = [
            values[kind] if isinstance(kind, str) else _slice(values["scores"], *kind, result, at)
            for (_, kind), result in zip(outputs, results, strict=True)
        ]
        ir.Operation.create("func.return", operands=given, ip=at)
    inputs = [Spec(input_name, outer, (rows, features))]
    scores = trees.values.dtype.name
    specs = [
        Spec(output, *({"scores": (scores, shape), "label": ("int64", (rows,))}[kind]))
        if isinstance(kind, str)
        else Spec(output, scores, (rows, kind[1] - kind[0]))
        for output, kind in outputs
    ]
    return Imported(module, weights, PIPELINE, inputs, specs, name)


def _slice(scores: ir.Value, first: int, last: int, kind: ir.Type, at: ir.InsertionPoint) -> ir.Value:
    """Columns `first` up to `last` of the scores."""
    dynamic = ir.RankedTensorType(kind).is_dynamic_dim(0)
    rows = "%rows" if dynamic else ir.RankedTensorType(kind).shape[0]
    lines = [f"func.func @slice(%y: {scores.type}) -> {kind} {{"]
    if dynamic:
        lines += ["%zero = arith.constant 0 : index", f"%rows = tensor.dim %y, %zero : {scores.type}"]
    lines.append(f"%s = tensor.extract_slice %y[0, {first}] [{rows}, {last - first}] [1, 1] : {scores.type} to {kind}")
    lines += [f"return %s : {kind}", "}"]
    return _inline("\n".join(lines), [scores], at)


def _names(entries: list[dict[str, str]]) -> ir.ArrayAttr:
    return ir.ArrayAttr.get([ir.DictAttr.get({k: ir.StringAttr.get(v) for k, v in d.items()}) for d in entries])


def _inline(text: str, arguments: list[ir.Value], at: ir.InsertionPoint) -> ir.Value:
    """The operations of the one function in `text` on `arguments`; gives what it returns."""
    template = ir.Module.parse(text)
    block = template.body.operations[0].regions[0].blocks[0]
    mapping = dict(zip(block.arguments, arguments, strict=True))
    ops = [op.operation for op in block.operations]
    clone_into(ops[:-1], mapping, at)
    return mapping[ops[-1].operands[0]]


def _label(labels: Labels, scores: ir.Value, at: ir.InsertionPoint) -> ir.Value:
    """The label of the largest score of each row, the first of equal ones."""
    kind = ir.RankedTensorType(scores.type)
    element, count = kind.element_type, kind.shape[1]
    dynamic = kind.is_dynamic_dim(0)
    best, place = (_tensor((None if dynamic else kind.shape[0],), e) for e in (str(element), "i64"))
    size = "%rows" if dynamic else ""
    matrix, row = "affine_map<(d0, d1) -> (d0, d1)>", "affine_map<(d0, d1) -> (d0)>"
    low = ir.FloatAttr.get(element, float("-inf"))
    chosen = ["%l0 = arith.constant " + f"{labels.numbers[0]} : i64"]
    for i in range(1, count):
        chosen += [
            f"%n{i} = arith.constant {i} : i64",
            f"%m{i} = arith.constant {labels.numbers[i]} : i64",
            f"%c{i} = arith.cmpi eq, %i, %n{i} : i64",
            f"%l{i} = arith.select %c{i}, %m{i}, %l{i - 1} : i64",
        ]
    lines = [
        f"func.func @label(%y: {kind}) -> {place} {{",
        *(["%zero = arith.constant 0 : index", f"%rows = tensor.dim %y, %zero : {kind}"] if dynamic else []),
        f"%low = arith.constant {low}",
        "%none = arith.constant 0 : i64",
        f"%e0 = tensor.empty({size}) : {best}",
        f"%e1 = tensor.empty({size}) : {place}",
        f"%f0 = linalg.fill ins(%low : {element}) outs(%e0 : {best}) -> {best}",
        f"%f1 = linalg.fill ins(%none : i64) outs(%e1 : {place}) -> {place}",
        f"%r:2 = linalg.generic {{indexing_maps = [{matrix}, {row}, {row}],"
        ' iterator_types = ["parallel", "reduction"]}',
        f" ins(%y : {kind}) outs(%f0, %f1 : {best}, {place}) {{",
        f"^bb0(%x: {element}, %b: {element}, %p: i64):",
        "%d = linalg.index 1 : index",
        "%i = arith.index_cast %d : index to i64",
        f"%c = arith.cmpf ogt, %x, %b : {element}",
        f"%nb = arith.select %c, %x, %b : {element}",
        "%np = arith.select %c, %i, %p : i64",
        f"linalg.yield %nb, %np : {element}, i64",
        f"}} -> ({best}, {place})",
        f"%e2 = tensor.empty({size}) : {place}",
        "%l = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],"
        ' iterator_types = ["parallel"]}',
        f" ins(%r#1 : {place}) outs(%e2 : {place}) {{",
        "^bb0(%i: i64, %o: i64):",
        *chosen,
        f"linalg.yield %l{count - 1} : i64",
        f"}} -> {place}",
        f"return %l : {place}",
        "}",
    ]
    return _inline("\n".join(lines), [scores], at)


_ELEMENTS = {"float32": "f32", "float64": "f64", "int64": "i64"}


def _tensor(shape: tuple[int | None, ...], element: str) -> ir.Type:
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([dynamic if n is None else n for n in shape], ir.Type.parse(element))
