"""How far rounding alone moves the outputs of a quantised ONNX model: measured, with a few integers moved by a step.

A value next to a half is rounded up by one program and down by another: a step of *its* scale, which may be many steps
of the result's. How many depends on the weights and scales between the two, so the model itself is asked: it runs with
randomly chosen elements of every quantised tensor one step off, and the distance from its own results is what a right
program may have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neomlir import peers, quanta
from neomlir.errors import NeoError

SHARE = 0.02
"""The share of elements that is moved: far more than lie next to a half, and less noise than quantising makes."""
DRAWS = 32
"""How often the model runs, each time with others moved, so that few elements are moved too."""
# Where an operator keeps the scale and the zero point of its first result: among its inputs, or its results.
_INPUTS = {"QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7)}
_RESULTS = {"DynamicQuantizeLinear": (1, 2)}


def spread(source: Any, batch: Mapping[str, np.ndarray], expected: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """For each result the largest difference that moved integers make, and the largest root of the mean square.

    `source` is an ONNX model (a path, the bytes, or a ModelProto) whose results on `batch` are `expected`. All 0
    where ONNX Runtime can't run the changed model.
    """
    nothing = [(0.0, 0.0)] * len(expected)
    found = list(nothing)
    try:
        model = moved(source).SerializeToString()
        run = peers.make("onnxruntime", model, batch)
        for _ in range(DRAWS):
            for i, (result, wanted) in enumerate(zip(run(batch), expected, strict=True)):
                apart = np.abs(result.astype(np.float64) - wanted)
                apart = apart[np.isfinite(apart)]
                largest, distance = float(apart.max(initial=0.0)), float(np.sqrt((apart**2).sum() / max(1, apart.size)))
                found[i] = max(found[i][0], largest), max(found[i][1], distance)
    except (NeoError, ValueError):
        return nothing
    return found


def moved(source: Any, seed: int = 0) -> Any:
    """A ModelProto that moves `SHARE` of the elements of every quantised tensor by a step, others in each run.

    Left alone are weights, tensors with a scale a channel, and what is itself a result of the model.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(quanta.onnx_model(source))
    graph = model.graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    results = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    nodes = []
    for number, node in enumerate(graph.node):
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        nodes.append(node)
        point = _point(node)
        if point is None or node.output[0] in results or node.input[0] in arrays:
            continue
        if point[0] in arrays and len(arrays[point[0]].dims) > 0 and list(arrays[point[0]].dims) != [1]:
            continue
        nodes += _move(node, point, f"{node.output[0]}.moved", seed + number)
        renamed[node.output[0]] = f"{node.output[0]}.moved"
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _point(node: Any) -> list[str] | None:
    """The names of the scale and, where there is one, the zero point of a node's quantised result."""
    names, places = (node.input, _INPUTS) if node.op_type in _INPUTS else (node.output, _RESULTS)
    if node.op_type not in places:
        return None
    return [names[i] for i in places[node.op_type] if i < len(names) and names[i]]


def _move(node: Any, point: list[str], name: str, seed: int) -> list[Any]:
    """Nodes that give `name`: the result of `node` as numbers, plus -1, 0 or 1 times the scale, and back."""
    from onnx import helper

    domain = node.domain if node.op_type == "QuantizeLinear" else ""
    kept = [a for a in node.attribute if node.op_type == "QuantizeLinear" and a.name in ("output_dtype", "saturate")]
    half = 0.5 / (1.0 - SHARE)
    quantise = helper.make_node("QuantizeLinear", [f"{name}.sum", *point], [name], domain=domain)
    quantise.attribute.extend(kept)
    return [
        helper.make_node("DequantizeLinear", [node.output[0], *point], [f"{name}.old"], domain=domain),
        helper.make_node("RandomUniformLike", [f"{name}.old"], [f"{name}.any"], low=-half, high=half, seed=float(seed)),
        helper.make_node("Round", [f"{name}.any"], [f"{name}.steps"]),
        helper.make_node("Mul", [f"{name}.steps", point[0]], [f"{name}.by"]),
        helper.make_node("Add", [f"{name}.old", f"{name}.by"], [f"{name}.sum"]),
        quantise,
    ]
