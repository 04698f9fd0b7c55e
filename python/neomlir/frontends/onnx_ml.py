"""ONNX's operators of classical models (`ai.onnx.ml`): columns, trees or a linear model, and what follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Imported, Inputs
from neomlir.frontends.columns import Each, Matrix, Rows
from neomlir.frontends.forest import rows_and_kind
from neomlir.frontends.forest_module import to_module
from neomlir.frontends.onnx_ml_columns import BEFORE, Node, columns
from neomlir.frontends.onnx_ml_trees import MODELS, read
from neomlir.mlir import ir

DOMAIN = "ai.onnx.ml"
_AFTER = ("ZipMap", "Cast", "Identity", "Normalizer")
_KINDS = {1: "float32", 11: "float64"}


def has_models(model: Any) -> bool:
    """Whether a ModelProto is of this kind."""
    return any(node.domain == DOMAIN for node in model.graph.node)


def import_model(model: Any, inputs: Inputs, name: str, context: ir.Context, folder: Path | None = None) -> Imported:
    """The model as one `forest.ensemble`, with the names of the ONNX model; a ZipMap gives its array.

    Classes that are strings come out as their numbers, and stand in the artifact's `labels`. `folder` is where the file
    lies, for data outside of it. Raises ImportFailure for what is no model of rows, and for operators that are not
    read.
    """
    graph = _Graph(model, name, folder)
    shape = [d.dim_value or None if d.HasField("dim_value") else None for d in graph.input.type.tensor_type.shape.dim]
    kind = _KINDS.get(graph.input.type.tensor_type.elem_type)
    if kind is None or len(shape) != 2:
        raise ImportFailure(f"{name}: its input {graph.input.name!r} is not a matrix of float or double")
    features = shape[1] or _features(graph, inputs)
    rows, _ = rows_and_kind(inputs, features, name, (kind,), input_name=graph.input.name)
    before = graph.walk(features)
    trees, labels = read(graph.model.kind, graph.model.attributes, before.width, name)
    if graph.normaliser is not None:
        norm = graph.normaliser.attributes.get("norm", b"MAX").decode()
        if norm != "L1":
            graph.normaliser.refuse(f"norm {norm} is not supported behind a model; only L1")
        # The sums are of probabilities: none is negative.
        trees.post = (*trees.post, "normalise")
    imported = to_module(
        trees,
        features,
        rows if rows is not None else shape[0],
        name,
        context,
        before=(before, kind),
        input_name=graph.input.name,
        outputs=[(output.name, graph.kind_of[output.name]) for output in model.graph.output],
        labels=labels,
        matrix=labels is None,
    )
    if labels is not None and labels.names is not None:
        imported.labels = {o: labels.names for o, kind in graph.kind_of.items() if kind == "label"}
        imported.labels = {o.name: imported.labels[o.name] for o in model.graph.output if o.name in imported.labels}
    return imported


def _features(graph: _Graph, inputs: Inputs) -> int:
    """The columns of an input whose graph leaves them open: from `inputs`, or from a model that reads it itself."""
    given = None
    if inputs:
        given = next(iter(inputs.values())) if hasattr(inputs, "values") else inputs[0]
    if given is not None:
        extents = tuple(given.shape) if hasattr(given, "shape") else given
        extents = extents[0] if len(extents) == 2 and isinstance(extents[1], str) else extents
        if len(extents) == 2 and extents[1]:
            return int(extents[1])
    ids = graph.model.attributes.get("nodes_featureids")
    if ids and graph.model.inputs[0] == graph.input.name:
        return int(max(ids)) + 1
    raise ImportFailure(f"the input {graph.input.name!r} has no known number of columns; give its shape")


class _Graph:
    """The nodes of a graph: those `before` the model, the `model`, and what follows, by name of value."""

    def __init__(self, model: Any, name: str, folder: Path | None) -> None:
        import onnx

        from neomlir.frontends.onnx_external import tensor_array

        def array(tensor: Any) -> np.ndarray:
            if tensor.data_type == onnx.TensorProto.STRING:
                return np.array(list(tensor.string_data), object)
            made = tensor_array(tensor, folder, tensor.name or "of an attribute")
            # Bindings of MLIR take no array whose dtype names its byte order.
            return made.view(made.dtype.type) if made.dtype.isnative else made.astype(made.dtype.type)

        def attributes(node: Any) -> dict[str, Any]:
            found = {}
            for a in node.attribute:
                value = onnx.helper.get_attribute_value(a)
                found[a.name] = array(value) if isinstance(value, onnx.TensorProto) else value
            return found

        graph = model.graph
        self.name = name
        constants = {t.name: array(t) for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and len(node.attribute) and node.attribute[0].name == "value":
                constants[node.output[0]] = array(node.attribute[0].t)
        given = [value for value in graph.input if value.name not in constants]
        if len(given) != 1:
            raise ImportFailure(f"{name}: a model of {DOMAIN} has one input, this one has {len(given)}")
        self.input, self.before = given[0], []
        self.model: Node | None = None
        self.normaliser: Node | None = None
        self.kind_of: dict[str, str] = {}
        made = {self.input.name}
        for raw in graph.node:
            if raw.op_type == "Constant":
                continue
            if not raw.output:
                raise ImportFailure(f"{name}: a node {raw.op_type} has no output")
            node = Node(raw, attributes(raw), constants, f"{name}: node {raw.name or raw.output[0]!r}")
            first = next((i for i in node.inputs if i not in constants), "")
            if node.kind in MODELS and self.model is None and first in made:
                self.model = node
                kinds = ("label", "scores") if node.kind.endswith("Classifier") else ("scores",)
                self.kind_of.update(zip(raw.output, kinds, strict=False))
            elif node.kind in BEFORE and first in made:
                self.before.append((node, raw.output[0]))
                made.add(raw.output[0])
            elif node.kind in _AFTER and first in self.kind_of:
                kind = self.kind_of[first]
                if node.kind == "Normalizer":
                    if kind != "scores" or self.normaliser is not None:
                        node.refuse("it stands where none is read")
                    self.normaliser = node
                self.kind_of[raw.output[0]] = kind
            else:
                raise ImportFailure(
                    f"{node.where}: {node.kind} is not read here; a model of {DOMAIN} is columns made by "
                    f"{', '.join(BEFORE)}, one of {', '.join(MODELS)}, and {', '.join(_AFTER)}"
                )
        if self.model is None:
            raise ImportFailure(f"{name}: no node of {', '.join(MODELS)} is on the way from its input")
        for output in graph.output:
            if output.name not in self.kind_of:
                raise ImportFailure(f"{name}: its output {output.name!r} is not what a model gives")

    def walk(self, features: int) -> Matrix:
        """The columns that the model reads."""
        matrices: dict[str, Matrix] = {self.input.name: Rows(features)}
        for node, output in self.before:
            made = columns(node, matrices)
            if made.width > 1 << 24:
                node.refuse(f"it makes {made.width} columns")
            matrices[output] = made
        made = matrices[self.model.inputs[0]]
        return made if isinstance(made, Rows | Each) else Each(made, np.arange(made.width))
