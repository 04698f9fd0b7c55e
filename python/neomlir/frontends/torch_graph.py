"""Tidy the graph of a decomposed `ExportedProgram` for the importer: state out, norms folded, constants in line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument

from neomlir.errors import ImportFailure
from neomlir.frontends.module import weight_name
from neomlir.frontends.torch_batchnorm import fold
from neomlir.frontends.torch_views import split_views

# Constants of up to this many elements stand in the program, where lowerings can see them.
SMALL = 16


@dataclass
class Prepared:
    """A graph whose placeholders are `arguments` and whose results are `outputs`, in order."""

    graph_module: torch.fx.GraphModule
    arguments: list[tuple[str, str]] = field(default_factory=list)
    """(`neo.weight` or `neo.name`, name) a placeholder."""
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    inputs: list[tuple[str, torch.Tensor]] = field(default_factory=list)
    """(name, fake tensor)."""
    outputs: list[tuple[str, torch.Tensor]] = field(default_factory=list)
    state: dict[str, torch.Tensor] = field(default_factory=dict)


def prepare(program: torch.export.ExportedProgram) -> Prepared:
    """Rewrite the graph of `program` in place.

    A mutated buffer becomes an input and an output of its own name, after the others; a mutated input becomes an
    output of its name. Raises ImportFailure where an input or an output is no tensor.
    """
    graph = program.graph
    result = Prepared(program.graph_module)
    placeholders = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    values = _state(program)
    mutated = {spec.target for spec in program.graph_signature.output_specs if spec.kind == OutputKind.BUFFER_MUTATION}

    users: list[torch.fx.Node] = []
    states: list[torch.fx.Node] = []
    mutable: list[tuple[str, torch.Tensor]] = []
    holders: dict[torch.fx.Node, str] = {}
    for spec in program.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT:
            if isinstance(spec.arg, TensorArgument):
                users.append(node)
                result.inputs.append((spec.arg.name, node.meta["val"]))
            else:
                _bind(graph, node, spec.arg)
        elif spec.kind == InputKind.BUFFER and spec.target in mutated:
            states.append(node)
            mutable.append((spec.target, node.meta["val"]))
            result.state[spec.target] = values[spec.target]
        elif isinstance(spec.arg, TensorArgument) and spec.target in values:
            holders[node] = spec.target
        elif node.users:
            raise ImportFailure(f"{spec.target!r} is {spec.kind.name.lower()}, which is not supported")
        else:
            graph.erase_node(node)

    result.inputs += mutable
    _outputs(program, result)
    fold(graph, holders, values)
    split_views(graph)
    _tie(holders, values)
    taken: set[str] = {name for name, _ in result.inputs}
    kept: list[torch.fx.Node] = []
    constant = {s.arg.name for s in program.graph_signature.input_specs if s.kind != InputKind.PARAMETER}
    for node, target in holders.items():
        value = values[target]
        if not node.users:
            graph.erase_node(node)
        elif value.numel() <= SMALL and node.name in constant and not value.is_floating_point():
            _inline(program.graph_module, node, value.detach())
        else:
            name = weight_name(target, taken)
            result.weights[name] = value
            result.arguments.append(("neo.weight", name))
            kept.append(node)
    _order(graph, kept + users + states)
    result.arguments += [("neo.name", name) for name, _ in result.inputs]
    graph.lint()
    program.graph_module.recompile()
    return result


def _state(program: torch.export.ExportedProgram) -> dict[str, torch.Tensor]:
    values = {**program.state_dict}
    # Non-persistent buffers and lifted constants are here, not in the state dict.
    values.update({name: value for name, value in program.constants.items() if isinstance(value, torch.Tensor)})
    return values


def _bind(graph: torch.fx.Graph, node: torch.fx.Node, argument: Any) -> None:
    if not isinstance(argument, ConstantArgument):
        raise ImportFailure(f"input {argument.name!r} is not a tensor; pass it as a tensor, or fix it in the model")
    node.replace_all_uses_with(argument.value)
    graph.erase_node(node)


def _outputs(program: torch.export.ExportedProgram, result: Prepared) -> None:
    graph = program.graph
    output = next(node for node in graph.nodes if node.op == "output")
    names = _output_names(program)
    user, mutations = [], []
    for spec, node in zip(program.graph_signature.output_specs, output.args[0], strict=True):
        if spec.kind in (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION):
            mutations.append((spec.target, node))
        elif spec.kind != OutputKind.USER_OUTPUT:
            raise ImportFailure(f"outputs of kind {spec.kind.name.lower()} are not supported")
        else:
            name = names.pop(0)
            # What is no tensor (None, a number known already) is no result of a compiled model.
            if isinstance(node, torch.fx.Node) and isinstance(node.meta.get("val"), torch.Tensor):
                user.append((name, node))
            elif isinstance(node, torch.fx.Node):
                raise ImportFailure(f"output {name!r} is not a tensor; return it as a tensor")
    chosen = user + mutations
    if not chosen:
        raise ImportFailure("the model returns no tensor")
    taken: set[str] = set()
    for name, node in chosen:
        while name in taken:
            name += "_"
        taken.add(name)
        result.outputs.append((name, node.meta["val"]))
    output.args = (tuple(node for _, node in chosen),)


def _output_names(program: torch.export.ExportedProgram) -> list[str]:
    """The keys of a dict or of a model output, `output` for one tensor, `output_0` … for several."""
    spec = program.call_spec.out_spec
    count = spec.num_leaves
    skeleton = torch.utils._pytree.tree_unflatten(list(range(count)), spec)
    paths = torch.utils._pytree.tree_flatten_with_path(skeleton)[0]
    names = []
    for number, (path, _) in enumerate(paths):
        keys = [str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", "")))) for k in path]
        named = path and not isinstance(path[0], torch.utils._pytree.SequenceKey)
        names.append(".".join(keys) if named else ("output" if count == 1 else f"output_{number}"))
    return names


def _tie(holders: dict[torch.fx.Node, str], values: dict[str, torch.Tensor]) -> None:
    """Read one placeholder for all weights that are the same memory seen the same way."""
    first: dict[tuple, torch.fx.Node] = {}
    for node, target in holders.items():
        value = values[target]
        if not value.numel():
            continue
        key = (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
        original = first.setdefault(key, node)
        if original is not node:
            node.replace_all_uses_with(original)


def _inline(module: torch.fx.GraphModule, node: torch.fx.Node, value: torch.Tensor) -> None:
    """Make the placeholder `node` a constant of the graph, which may stand in a list beside None (an index)."""
    name = f"_constant_{node.name}"
    module.register_buffer(name, value)
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
    constant.meta.update(node.meta)
    node.replace_all_uses_with(constant)
    module.graph.erase_node(node)


def _order(graph: torch.fx.Graph, nodes: list[torch.fx.Node]) -> None:
    """Make `nodes` the placeholders, in this order, at the start."""
    anchor = next(iter(graph.nodes))
    for node in nodes:
        if node is anchor:
            anchor = anchor.next
            continue
        anchor.prepend(node)
