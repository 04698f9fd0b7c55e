"""`topk` and its kin of PyTorch by the importer's `sort`, or by taking one element after another."""

from __future__ import annotations

import torch

aten = torch.ops.aten

_FEW = 2
"""As many elements are taken one after another at most."""
_PASSES = 8
"""Extent of a dimension, at least, for each of those."""


def topk(self: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True):
    """The first k of a stable sort; like PyTorch's, NaN is greater than all numbers."""
    if not self.dim():
        return self.clone(), torch.zeros((), dtype=torch.int64)
    dim %= self.dim()
    extent = self.shape[dim]
    if isinstance(extent, int) and 0 < k <= _FEW and k * _PASSES <= extent:
        index = _taken(self, k, dim, largest)
        return torch.gather(self, dim, index), index
    values, index = torch.sort(self, dim=dim, descending=largest)
    return values.narrow(dim, 0, k), index.narrow(dim, 0, k)


def sort(self: torch.Tensor, dim: int = -1, descending: bool = False):
    """The importer's `sort`, which `neo-lower-tm-tensor` makes stable; it takes unsigned numbers for signed ones, and
    knows tensors of one dimension and more."""
    if not self.dim():
        return self.clone(), torch.zeros((), dtype=torch.int64)
    if self.dtype not in (torch.uint8, torch.bool):
        return NotImplemented
    values, index = torch.sort(self.to(torch.int16), dim=dim, descending=descending)
    return values.to(self.dtype), index


def sort_stable(self: torch.Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False):
    """The same."""
    return aten.sort.default(self, dim, descending)


def argsort(self: torch.Tensor, dim: int = -1, descending: bool = False):
    """The indices of `sort`."""
    return torch.sort(self, dim=dim, descending=descending)[1]


def _taken(x: torch.Tensor, k: int, dim: int, largest: bool) -> torch.Tensor:
    """The same for few places: the first of those elements that come behind the one before, k times.

    Every step does the same with another element and its number, so that all of them are one kernel.
    """
    floating = x.dtype.is_floating_point
    shape = list(x.shape)
    shape[dim] = 1
    extent = x.shape[dim]
    number = torch.arange(extent).reshape([-1] + [1] * (x.dim() - 1 - dim))
    low, high = (-torch.inf, torch.inf) if floating else _ends(x.dtype)
    start, end = (torch.nan if floating else high, low) if largest else (low, high)
    before, at = torch.full(shape, start, dtype=x.dtype), torch.full(shape, -1)
    found = []
    for _ in range(k):
        later = number > at
        behind = (x < before if largest else x > before) | ((x == before) & later)
        if floating:
            # NaN comes first of the largest, last of the smallest.
            nan, was = x != x, before != before
            behind = behind | (nan & was & later) | ((was & ~nan) if largest else (nan & ~was))
            left = behind & ~nan
            first = torch.where(behind & nan, number, extent).amin(dim, keepdim=True)
        else:
            left = behind
        kept = torch.where(left, x, end)
        before = kept.amax(dim, keepdim=True) if largest else kept.amin(dim, keepdim=True)
        at = torch.where(left & (x == before), number, extent).amin(dim, keepdim=True)
        if floating:
            take = first < extent if largest else at == extent
            at, before = torch.where(take, first, at), torch.where(take, torch.nan, before)
        found.append(at)
    return torch.cat(found, dim)


def _ends(dtype: torch.dtype) -> tuple[int, int]:
    """The least and the greatest number of a type of integers."""
    if dtype == torch.bool:
        return False, True
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


DECOMPOSITIONS = {
    aten.topk.default: topk,
    aten.sort.default: sort,
    aten.sort.stable: sort_stable,
    aten.argsort.default: argsort,
}
