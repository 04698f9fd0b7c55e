"""`scatter` and its kind of PyTorch, along one dimension of several, as a scatter into one row.

The importer's own makes a matrix of the indices along every dimension, one row an element; a number each will do.
"""

from __future__ import annotations

import math

import torch

aten = torch.ops.aten


def _flat(x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor):
    """What is written to, the number of each place in it, and what is put there, all in one row; None where `x` has
    one anyway, or extents that are not known."""
    if x.dim() < 2 or not all(isinstance(n, int) for n in (*x.shape, *index.shape)) or not index.numel():
        return None
    dim %= x.dim()
    places = None
    for d in range(x.dim()):
        step = math.prod(x.shape[d + 1 :])
        along = [1] * x.dim()
        along[d] = -1
        term = index * step if d == dim else (torch.arange(index.shape[d]) * step).reshape(along)
        places = term if places is None else places + term
    source = source[tuple(slice(0, n) for n in index.shape)]
    return x.reshape(-1), places.reshape(-1), source.reshape(-1)


def _rows(x: torch.Tensor, dim: int, index: torch.Tensor) -> torch.Tensor | None:
    """One index a row, where `index` is an `expand` of those, as graph networks have it, over all other dimensions."""
    others = [d for d in range(x.dim()) if d != dim]
    if not others or not all(index.stride(d) == 0 and index.shape[d] == x.shape[d] for d in others):
        return None
    for d in reversed(others):
        index = index.select(d, 0)
    return index


def scatter_src(self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor):
    """Of equal indices the last one stays."""
    found = _flat(self, dim, index, src)
    if found is None:
        return NotImplemented
    row, places, source = found
    return row.scatter(0, places, source).reshape(self.shape)


def scatter_value(self: torch.Tensor, dim: int, index: torch.Tensor, value: float):
    """The same of one number."""
    return scatter_src(self, dim, index, torch.full(index.shape, value, dtype=self.dtype))


def scatter_add(self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor):
    """Sums at equal indices; of whole rows where all elements of one have the same."""
    dim %= max(1, self.dim())
    rows = _rows(self, dim, index)
    if rows is not None:
        return self.index_add(dim, rows, src[tuple(slice(0, n) for n in index.shape)])
    found = _flat(self, dim, index, src)
    if found is None:
        return NotImplemented
    row, places, source = found
    return row.index_put((places,), source, accumulate=True).reshape(self.shape)


def scatter_reduce(
    self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, reduce: str, *, include_self: bool = True
):
    """Products, extremes or means at equal indices."""
    found = _flat(self, dim, index, src)
    if found is None:
        return NotImplemented
    row, places, source = found
    return torch.scatter_reduce(row, 0, places, source, reduce, include_self=include_self).reshape(self.shape)


def index_add(self: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, alpha: float = 1):
    """Sums of whole rows, which the first dimension counts: others change places with it."""
    if not self.dim():
        return self + (source * alpha).sum()
    if alpha != 1:
        source = source * alpha
    rows, added = self.transpose(0, dim), source.transpose(0, dim)
    return rows.index_put((index.reshape(-1),), added, accumulate=True).transpose(0, dim)


DECOMPOSITIONS = {
    aten.index_add.default: index_add,
    aten.scatter.src: scatter_src,
    aten.scatter.value: scatter_value,
    aten.scatter_add.default: scatter_add,
    aten.scatter_reduce.two: scatter_reduce,
}
