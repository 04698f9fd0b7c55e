"""Write ONNX operators that have no lowering of their own as simpler ones.

They are the standard's own bodies, or those of `onnx_functions/`: a file an operator, in ONNX's textual form.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper, inliner, parser, shape_inference

_OURS = "neo"
_FUNCTIONS = Path(__file__).parent / "onnx_functions"

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
    """`model` with the bodies of operators in EXPANDED and of ours in their place, `model` itself where there are none.

    The bodies depend on types and ranks, so every value must be typed by the time: shapes are inferred first.
    Raises what onnx raises.
    """
    present = {node.op_type for node in model.graph.node if not node.domain} & EXPANDED
    if present:
        typed = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        operators = [("", name) for name in sorted(present)]
        model = inliner.inline_selected_functions(typed, operators, exclude=False, inline_schema_functions=True)
        del model.graph.value_info[:]
    return _with_ours(model)


def functions() -> dict[str, Path]:
    """The files of `onnx_functions/` by the operator that each is the body of."""
    return {path.stem: path for path in sorted(_FUNCTIONS.glob("*.onnxtxt"))}


def _with_ours(model: onnx.ModelProto) -> onnx.ModelProto:
    bodies = functions()
    nodes = [node for node in model.graph.node if not node.domain and node.op_type in bodies]
    if not nodes:
        return model
    for name in sorted({node.op_type for node in nodes}):
        function = parser.parse_function(bodies[name].read_text())
        # Functions of another opset than the model's are not inlined; these use what is the same in both.
        del function.opset_import[:]
        function.opset_import.extend(model.opset_import)
        model.functions.append(function)
    for node in nodes:
        node.domain = _OURS
    model.opset_import.append(helper.make_opsetid(_OURS, 1))
    return inliner.inline_local_functions(model)


def resolve_cast_like(graph: onnx.GraphProto) -> None:
    """Make each CastLike whose second operand has a known type a Cast."""
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    for node in graph.node:
        if node.op_type != "CastLike" or node.domain or not types.get(node.input[1]):
            continue
        cast = helper.make_node("Cast", [node.input[0]], list(node.output), name=node.name, to=types[node.input[1]])
        node.CopyFrom(cast)
