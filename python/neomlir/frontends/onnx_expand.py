"""Write ONNX operators that have no lowering of their own as the simpler ones that the standard defines them by."""

from __future__ import annotations

import onnx
from onnx import helper, inliner, shape_inference

# Those with a lowering of their own are better off with it.
EXPANDED = frozenset(
    {
        "Attention",
        "CenterCropPad",
        "GroupNormalization",
        "NegativeLogLikelihoodLoss",
        "RMSNormalization",
        "SpaceToDepth",
        "Swish",
    }
)


def expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the bodies of operators in EXPANDED in their place, `model` itself where there are none.

    The bodies depend on types and ranks, so every value must be typed by the time: shapes are inferred first.
    Raises what onnx raises.
    """
    present = {node.op_type for node in model.graph.node if not node.domain} & EXPANDED
    if not present:
        return model
    typed = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    operators = [("", name) for name in sorted(present)]
    made = inliner.inline_selected_functions(typed, operators, exclude=False, inline_schema_functions=True)
    del made.graph.value_info[:]
    return made


def resolve_cast_like(graph: onnx.GraphProto) -> None:
    """Make each CastLike whose second operand has a known type a Cast."""
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    for node in graph.node:
        if node.op_type != "CastLike" or node.domain or not types.get(node.input[1]):
            continue
        cast = helper.make_node("Cast", [node.input[0]], list(node.output), name=node.name, to=types[node.input[1]])
        node.CopyFrom(cast)
