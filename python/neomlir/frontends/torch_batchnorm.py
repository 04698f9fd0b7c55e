"""Fold inference-mode batch norm: into the convolution before it, else to one multiplication and one addition."""

from __future__ import annotations

import operator

import torch

_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default
_CONVOLUTION = torch.ops.aten.convolution.default


def fold(graph: torch.fx.Graph, holders: dict[torch.fx.Node, str], values: dict[str, torch.Tensor]) -> None:
    """Rewrite each batch norm whose statistics and affine parameters are weights.

    y = (x - mean) / sqrt(var + eps) * weight + bias is x * scale + shift. The placeholders of `weight` and `bias` are
    given the new values in `values` (computed in double precision), so they must have no other reader.
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not _NORM:
            continue
        x, weight, bias, mean, var, _, eps = node.args
        takers = list(node.users)
        if any(user.target is not operator.getitem or user.args[1] != 0 for user in takers):
            continue
        if any(parameter not in holders for parameter in (weight, bias, mean, var)):
            continue
        if len(weight.users) != 1 or len(bias.users) != 1 or _shared(holders, values, weight, bias):
            continue
        gamma, beta, mu, sigma2 = (values[holders[p]].detach().double() for p in (weight, bias, mean, var))
        scale = gamma / torch.sqrt(sigma2 + eps)
        shift = beta - mu * scale
        dtype = values[holders[weight]].dtype
        result = _into_convolution(x, bias, scale, shift, holders, values)
        if result is None:
            values[holders[weight]], values[holders[bias]] = scale.to(dtype), shift.to(dtype)
            result = _multiply_add(graph, node, x, weight, bias)
        for user in takers:
            user.replace_all_uses_with(result)
            graph.erase_node(user)
        graph.erase_node(node)


def _shared(holders, values, *nodes: torch.fx.Node) -> bool:
    """Whether another placeholder is the same memory as one of `nodes`."""
    pointers = [values[holders[node]].data_ptr() for node in nodes]
    return sum(values[target].data_ptr() in pointers for target in holders.values()) != len(set(nodes))


def _into_convolution(x, bias, scale, shift, holders, values) -> torch.fx.Node | None:
    if x.target is not _CONVOLUTION or len(x.users) != 1:
        return None
    source, weight, old_bias, *rest = x.args
    transposed, groups = rest[3], rest[5]
    if (
        weight not in holders
        or len(weight.users) != 1
        or (transposed and groups != 1)
        or _shared(holders, values, weight)
    ):
        return None
    if old_bias is not None and old_bias not in holders:
        return None
    kernel = values[holders[weight]].detach()
    axis = 1 if transposed else 0
    shape = [-1 if number == axis else 1 for number in range(kernel.dim())]
    if old_bias is not None:
        shift = shift + values[holders[old_bias]].detach().double() * scale
    values[holders[weight]] = (kernel.double() * scale.reshape(shape)).to(kernel.dtype)
    values[holders[bias]] = shift.to(kernel.dtype)
    # The placeholder of the norm's bias stands before every operation, so the convolution may read it.
    x.args = (source, weight, bias, *rest)
    return x


def _multiply_add(graph, node, x, weight, bias) -> torch.fx.Node:
    shape = [-1] + [1] * (x.meta["val"].dim() - 2)
    aten = torch.ops.aten

    def make(target, *arguments):
        made = graph.call_function(target, arguments)
        fakes = [a.meta["val"] if isinstance(a, torch.fx.Node) else a for a in arguments]
        made.meta.update(node.meta)
        made.meta.pop("tensor_meta", None)
        made.meta["val"] = target(*fakes)
        return made

    with graph.inserting_before(node), x.meta["val"].fake_mode:
        columns = [values.meta["val"].shape[0] for values in (weight, bias)]
        sizes = [[columns[0], *shape[1:]], [columns[1], *shape[1:]]]
        scaled = make(aten.mul.Tensor, x, make(aten.view.default, weight, sizes[0]))
        return make(aten.add.Tensor, scaled, make(aten.view.default, bias, sizes[1]))
