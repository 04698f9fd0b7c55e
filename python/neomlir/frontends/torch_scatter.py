"""`scatter` and its kind of PyTorch into a part of the other dimensions, as a scatter into one row.

The importer's own makes a matrix of the indices along every dimension, one row an element; a number each will do. Those
into whole other dimensions are left to it: `neo-lower-tm-tensor` knows them.
"""

from __future__ import annotations

import math

import torch

aten = torch.ops.aten


def _flat(x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor):
    """What is written to, the number of each place in it, and what is put there, all in one row; None where that is
    left to the importer, or extents are not known."""
    if x.dim() < 2 or not all(isinstance(n, int) for n in (*x.shape, *index.shape)) or not index.numel():
        return None
    dim %= x.dim()
    if all(d == dim or index.shape[d] == x.shape[d] == source.shape[d] for d in range(x.dim())):
        return None
    places = None
    for d in range(x.dim()):
        step = math.prod(x.shape[d + 1 :])
        along = [1] * x.dim()
        along[d] = -1
        term = index * step if d == dim else (torch.arange(index.shape[d]) * step).reshape(along)
        places = term if places is None else places + term
    source = source[tuple(slice(0, n) for n in index.shape)]
    return x.reshape(-1), places.reshape(-1), source.reshape(-1)


def _left(operator, x: torch.Tensor, dim: int, *arguments, **options):
    """To the importer, which ends the process where a dimension counts from the end."""
    return operator(x, dim % x.dim(), *arguments, **options) if dim < 0 and x.dim() else NotImplemented


def scatter_src(self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor):
    """Of equal indices the last one stays."""
    found = _flat(self, dim, index, src)
    if found is None:
        return _left(aten.scatter.src, self, dim, index, src)
    row, places, source = found
    return row.scatter(0, places, source).reshape(self.shape)


def scatter_value(self: torch.Tensor, dim: int, index: torch.Tensor, value: float):
    """The same of one number."""
    return torch.scatter(self, dim, index, torch.full(index.shape, value, dtype=self.dtype))


def scatter_add(self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor):
    """Sums at equal indices."""
    found = _flat(self, dim, index, src)
    if found is None:
        return _left(aten.scatter_add.default, self, dim, index, src)
    row, places, source = found
    return row.index_put((places,), source, accumulate=True).reshape(self.shape)


def scatter_reduce(
    self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, reduce: str, *, include_self: bool = True
):
    """Products, extremes or means at equal indices."""
    found = _flat(self, dim, index, src)
    if found is None:
        return _left(aten.scatter_reduce.two, self, dim, index, src, reduce, include_self=include_self)
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
