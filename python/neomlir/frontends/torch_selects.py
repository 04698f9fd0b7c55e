"""Select from what was expanded, not from the expansion: an index of each row, of which a copy an element was made."""

from __future__ import annotations

import torch

from neomlir.frontends.torch_views import call

aten = torch.ops.aten


def select_before_expanding(graph: torch.fx.Graph) -> None:
    """Rewrite, in place, each `select` of an `expand` among `graph`'s nodes as an `expand` of a `select`."""
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target != aten.select.int:
            continue
        source, dim, index = node.args
        sizes = list(source.meta["val"].shape)
        if source.target != aten.expand.default or not all(isinstance(n, int) for n in sizes):
            continue
        value, dim = source.args[0], dim % len(sizes)
        # Of a dimension that was repeated there is one place, of one that was added none.
        place = dim - (len(sizes) - value.meta["val"].dim())
        with graph.inserting_before(node):
            if place >= 0:
                single = value.meta["val"].shape[place] != sizes[dim]
                value = call(graph, aten.select.int, value, place, 0 if single else index)
            del sizes[dim]
            if list(value.meta["val"].shape) != sizes:
                value = call(graph, aten.expand.default, value, sizes)
        node.replace_all_uses_with(value)
        graph.erase_node(node)
