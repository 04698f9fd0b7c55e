"""Fold inference-mode batch norm: into the convolution before it, else to one multiplication and one addition."""

from __future__ import annotations

import contextlib
import operator

import torch

aten = torch.ops.aten
_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default
_CONVOLUTION = torch.ops.aten.convolution.default


def fold(graph: torch.fx.Graph, holders: dict[torch.fx.Node, str], values: dict[str, torch.Tensor]) -> None:
    """Rewrite each batch norm; where its statistics and parameters are weights, with new weights.

    y = (x - mean) / sqrt(var + eps) * weight + bias is x * scale + shift. The placeholders of `weight` and `bias` are
    given the new values in `values` (computed in double precision), so they must have no other reader.
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not _NORM:
            continue
        takers = list(node.users)
        if any(user.target is not operator.getitem or user.args[1] != 0 for user in takers):
            continue
        result = _folded(graph, node, holders, values) or _written_out(graph, node)
        for user in takers:
            user.replace_all_uses_with(result)
            graph.erase_node(user)
        graph.erase_node(node)


def _folded(graph, node, holders, values) -> torch.fx.Node | None:
    x, weight, bias, mean, var, _, eps = node.args
    if any(parameter not in holders for parameter in (weight, bias, mean, var)):
        return None
    if len(weight.users) != 1 or len(bias.users) != 1 or _shared(holders, values, weight, bias):
        return None
    gamma, beta, mu, sigma2 = (values[holders[p]].detach().double() for p in (weight, bias, mean, var))
    scale = gamma / torch.sqrt(sigma2 + eps)
    shift = beta - mu * scale
    dtype = values[holders[weight]].dtype
    result = _into_convolution(x, bias, scale, shift, holders, values)
    if result is not None:
        return result
    values[holders[weight]], values[holders[bias]] = scale.to(dtype), shift.to(dtype)
    with _Writer(graph, node) as write:
        return write.affine(weight, bias)


def _written_out(graph, node) -> torch.fx.Node:
    """The norm of parameters that are no weights, or that others read too: constants of weights are folded later."""
    _, weight, bias, mean, var, _, eps = node.args
    with _Writer(graph, node) as write:
        scale = write(aten.rsqrt.default, write(aten.add.Scalar, var, eps))
        scale = scale if weight is None else write(aten.mul.Tensor, scale, weight)
        shift = write(aten.neg.default, write(aten.mul.Tensor, mean, scale))
        shift = shift if bias is None else write(aten.add.Tensor, shift, bias)
        return write.affine(scale, shift)


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


class _Writer:
    """Adds operators to a graph in the place of a norm, each with the fake value that the importer reads."""

    def __init__(self, graph: torch.fx.Graph, norm: torch.fx.Node):
        self.graph, self.norm, self.x = graph, norm, norm.args[0]

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(self.graph.inserting_before(self.norm))
        self.stack.enter_context(self.x.meta["val"].fake_mode)
        return self

    def __exit__(self, *error):
        self.stack.close()

    def __call__(self, target, *arguments) -> torch.fx.Node:
        made = self.graph.call_function(target, arguments)
        made.meta.update(self.norm.meta)
        made.meta.pop("tensor_meta", None)
        made.meta["val"] = target(*(a.meta["val"] if isinstance(a, torch.fx.Node) else a for a in arguments))
        return made

    def affine(self, scale: torch.fx.Node, shift: torch.fx.Node) -> torch.fx.Node:
        """x * scale + shift along the channels."""
        sizes = [scale.meta["val"].shape[0]] + [1] * (self.x.meta["val"].dim() - 2)
        scaled = self(aten.mul.Tensor, self.x, self(aten.view.default, scale, sizes))
        return self(aten.add.Tensor, scaled, self(aten.view.default, shift, sizes))
