"""What is wrong with an ONNX model, found before any native code sees it: MLIR and onnx crash on some of these."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import onnx

from neomlir.errors import ImportFailure
from neomlir.frontends.onnx_external import element_dtype, elements
from neomlir.frontends.unsupported import Unsupported

# Deeper nesting than any real model has, and far less than what overflows a native stack.
DEEPEST = 64
DEFAULT_DOMAINS = ("", "ai.onnx")


def check(model: onnx.ModelProto, source_name: str) -> None:
    """Raises ImportFailure for a structure that no later step can bear. The data of tensors is not looked at."""
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ImportFailure(f"{source_name} has no graph: it is not an ONNX model, or it is truncated")
    _versions(model, source_name)
    functions = _functions(model)
    missing: dict[str, list[str]] = {}
    bodies = [model.graph.node, *(function.node for function in model.functions)]
    for node in (node for body in bodies for node in walk(body)):
        if (node.domain, node.op_type) in functions:
            continue
        domain = "" if node.domain in DEFAULT_DOMAINS else node.domain
        if domain or not onnx.defs.has(node.op_type):
            label = node.op_type if not domain else f"{domain}.{node.op_type}"
            missing.setdefault(label, []).append(node.name or next(iter(node.output), ""))
    if missing:
        raise Unsupported(source_name, missing)
    for value in [*model.graph.input, *model.graph.output]:
        _value(value)
    _graph(model.graph, set())


def walk(nodes: Iterable[onnx.NodeProto], depth: int = 0) -> Iterator[onnx.NodeProto]:
    """The nodes and those of their subgraphs. Raises ImportFailure where subgraphs nest deeper than DEEPEST."""
    if depth > DEEPEST:
        raise ImportFailure(f"subgraphs nest more than {DEEPEST} deep")
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]:
                yield from walk(graph.node, depth + 1)


def _versions(model: onnx.ModelProto, source_name: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    versions = [opset.version for opset in model.opset_import if opset.domain in DEFAULT_DOMAINS]
    if not versions and model.opset_import:
        raise ImportFailure(f"{source_name} does not say which version of the ONNX operators it uses")
    for version in versions:
        if not 1 <= version <= newest:
            raise ImportFailure(f"{source_name} uses version {version} of the ONNX operators; 1 to {newest} are known")


def _functions(model: onnx.ModelProto) -> set[tuple[str, str]]:
    """The local functions, none of which may call itself or nest deeper than DEEPEST."""
    calls: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for function in model.functions:
        key = (function.domain, function.name)
        if key in calls:
            raise ImportFailure(f"function {function.name!r} is defined twice")
        calls[key] = {(node.domain, node.op_type) for node in walk(function.node)}
    depth: dict[tuple[str, str], int] = {}
    # Leaves first, over and over, without recursion: a chain of thousands must not overflow this stack either.
    waiting = dict(calls)
    for _ in range(DEEPEST):
        ready = [key for key, called in waiting.items() if all(c in depth or c not in calls for c in called)]
        if not ready:
            break
        for key in ready:
            depth[key] = 1 + max((depth.get(c, 0) for c in calls[key]), default=0)
            del waiting[key]
    if waiting:
        name = next(iter(waiting))[1]
        raise ImportFailure(f"functions call each other in a circle or more than {DEEPEST} deep, {name!r} among them")
    return set(calls)


def _value(value: onnx.ValueInfoProto) -> None:
    kind = value.type.WhichOneof("value")
    if kind is not None and kind != "tensor_type":
        raise ImportFailure(f"{value.name!r} is a {kind.removesuffix('_type')}, not a tensor")
    if kind is None:
        raise ImportFailure(f"{value.name!r} has no type")
    tensor = value.type.tensor_type
    if tensor.elem_type:
        element_dtype(tensor.elem_type, value.name)
    if tensor.HasField("shape"):
        # -1 is what some exporters write for an extent that is not known.
        elements([d.dim_value if d.dim_value != -1 else 1 for d in tensor.shape.dim], value.name)


def _graph(graph: onnx.GraphProto, outer: set[str]) -> None:
    made = set(outer)
    for tensor in graph.initializer:
        if tensor.name in made - outer:
            raise ImportFailure(f"two initializers are named {tensor.name!r}")
        made.add(tensor.name)
        elements(tensor.dims, tensor.name)
        element_dtype(tensor.data_type, tensor.name)
    if graph.sparse_initializer:
        raise ImportFailure("sparse initializers are not supported")
    names = [value.name for value in graph.input]
    if len(set(names)) != len(names):
        raise ImportFailure("two inputs have the same name")
    made.update(names)
    produced: set[str] = set()
    for node in graph.node:
        for name in filter(None, node.output):
            if name in produced or name in made:
                raise ImportFailure(f"{name!r} is defined twice, by {label(node)} among others")
            produced.add(name)
    for node in graph.node:
        for name in node.input:
            if name and name not in made and name not in produced:
                raise ImportFailure(f"nothing makes {name!r}, which {label(node)} reads")
    in_order(graph)
    for output in graph.output:
        if output.name not in made | produced:
            raise ImportFailure(f"nothing makes the output {output.name!r}")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]:
                _graph(inner, made | produced)


def in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes, each after those it reads; sorted ones stay as they are. Raises ImportFailure for a circle."""
    made = {name for node in graph.node for name in node.output}
    readers: dict[str, list[int]] = {}
    missing = []
    for index, node in enumerate(graph.node):
        needs = set(node.input) & made
        needs.discard("")
        missing.append(len(needs))
        for name in needs:
            readers.setdefault(name, []).append(index)
    # Smallest index first keeps a sorted graph as it is.
    ready = [index for index, count in enumerate(missing) if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for name in filter(None, graph.node[index].output):
            for reader in readers.get(name, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    heapq.heappush(ready, reader)
    if len(order) < len(missing):
        stuck = ", ".join(label(graph.node[index]) for index, count in enumerate(missing) if count)
        raise ImportFailure(f"the graph has a circle: {stuck[:200]} wait for each other")
    return [graph.node[index] for index in order]


def label(node: onnx.NodeProto) -> str:
    """What messages call a node."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"
