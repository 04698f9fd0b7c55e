"""Say views of symbolic shapes as flattenings and unflattenings of single dimensions.

The importer's lowering of `aten.view` guesses which dimensions go together where several are dynamic, and guesses
wrong: (batch, tokens, 32) seen as (batch * tokens, 32) becomes a program for one token.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

aten = torch.ops.aten
VIEWS = (aten.view.default, aten._unsafe_view.default, aten.reshape.default)


def split_views(graph: torch.fx.Graph) -> None:
    """Rewrite, in place, the views among `graph`'s nodes that have a symbolic extent."""
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in VIEWS:
            continue
        source = node.args[0]
        old, new = [expression(n) for n in source.meta["val"].shape], [expression(n) for n in node.meta["val"].shape]
        if all(isinstance(n, int) for n in old + new):
            continue
        groups = grouped(old, new)
        if groups is None:
            continue
        with graph.inserting_before(node):
            value = _rewrite(graph, source, list(node.args[1]), new, groups)
        node.replace_all_uses_with(value)
        graph.erase_node(node)


def expression(extent: Any) -> Any:
    """An extent as an int or a sympy expression."""
    return extent if isinstance(extent, int) else extent.node.expr


def grouped(old: list[Any], new: list[Any]) -> list[tuple[range, range]] | None:
    """The finest groups of neighbouring dimensions of two shapes with equal products; None where there is one only.

    A dimension of extent one that has no partner makes a group with an empty range on the other side.
    """
    ends = [(0, 0)]
    i = j = 0
    while i < len(old) or j < len(new):
        i, j = _next_end(old, new, i, j)
        ends.append((i, j))
    pairs = [(range(a, c), range(b, d)) for (a, b), (c, d) in itertools.pairwise(ends)]
    return pairs if len(pairs) > 1 or min(len(old), len(new)) == 1 else None


def _next_end(old: list[Any], new: list[Any], i: int, j: int) -> tuple[int, int]:
    """The nearest (k, l) behind (i, j) up to which the products agree."""
    for total in range(1, len(old) - i + len(new) - j + 1):
        # Equal numbers of dimensions first: they are left as they are.
        for k in sorted(range(total + 1), key=lambda k: abs(2 * k - total)):
            if i + k > len(old) or j + total - k > len(new):
                continue
            left, right = math.prod(old[i : i + k]), math.prod(new[j : j + total - k])
            if left == right or (hasattr(left - right, "expand") and (left - right).expand() == 0):
                return i + k, j + total - k
    return len(old), len(new)


def _rewrite(graph: torch.fx.Graph, value: torch.fx.Node, sizes: list[Any], new: list[Any], groups) -> torch.fx.Node:
    """The nodes for `groups`, from the last to the first, so that the dimensions before a group keep their places."""
    for before, after in reversed(groups):
        if len(before) == len(after) == 1:
            continue
        if not before:
            for _ in after:
                value = _call(graph, aten.unsqueeze.default, value, before.start)
        elif not after:
            for _ in before:
                value = _call(graph, aten.squeeze.dim, value, before.start)
        else:
            if len(before) > 1:
                value = _call(graph, aten.flatten.using_ints, value, before.start, before.stop - 1)
            if len(after) > 1:
                # A static extent is better than a -1 that must be inferred.
                chosen = [new[d] if isinstance(new[d], int) else sizes[d] for d in after]
                value = _call(graph, aten.unflatten.int, value, before.start, chosen)
    return value


def _call(graph: torch.fx.Graph, target: Any, *arguments: Any) -> torch.fx.Node:
    node = graph.call_function(target, arguments)
    known = torch.fx.node.map_arg(arguments, lambda n: n.meta["val"])
    node.meta["val"] = target(*known)
    return node
