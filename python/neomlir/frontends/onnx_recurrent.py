"""Recurrent layers of ONNX: what their attributes may say."""

from __future__ import annotations

import onnx
from onnx import helper

from neomlir.errors import ImportFailure
from neomlir.passes.recurrent_onnx import directions_of, functions_of


def check_recurrent(graph: onnx.GraphProto) -> None:
    """Raises ImportFailure for a layer with a direction or with activations that ONNX does not have."""
    for node in graph.node:
        if node.op_type not in ("LSTM", "GRU", "RNN") or node.domain:
            continue
        said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        try:
            directions = directions_of(said.get("direction", b"forward").decode(errors="replace"))
            names = [name.decode(errors="replace") for name in said.get("activations", ())]
            constants = (said.get(f"activation_{name}", ()) for name in ("alpha", "beta"))
            functions_of(node.op_type.lower(), len(directions), names, *constants)
        except ValueError as error:
            raise ImportFailure(f"node {node.name or node.output[0]!r} ({node.op_type}) {error}") from None
