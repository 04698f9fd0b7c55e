"""`topk`, `sort` and `argsort` of PyTorch by comparing every two elements, or by taking one after another."""

from __future__ import annotations

import torch

aten = torch.ops.aten

_FEW = 64
"""As many elements are taken one after another at most: each is some operations of the program."""
_PASSES = 8
"""Comparisons of every two elements that one of those costs, an element."""


def topk(self: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True):
    """The first k of a stable sort; like PyTorch's, NaN is greater than all numbers."""
    if not self.dim():
        return self.clone(), torch.zeros((), dtype=torch.int64)
    dim %= self.dim()
    extent = self.shape[dim]
    few = isinstance(extent, int) and 0 < k <= _FEW and k * _PASSES <= extent
    index = (_taken if few else _indices)(self, k, dim, largest)
    return torch.gather(self, dim, index), index


def sort(self: torch.Tensor, dim: int = -1, descending: bool = False):
    """Values and indices, equal elements in their order."""
    return topk(self, self.shape[dim] if self.dim() else 1, dim, descending)


def sort_stable(self: torch.Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False):
    """`sort` is stable anyway."""
    return sort(self, dim, descending)


def argsort(self: torch.Tensor, dim: int = -1, descending: bool = False):
    """The indices of `sort`."""
    return sort(self, dim, descending)[1]


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


def _indices(x: torch.Tensor, k: int, dim: int, largest: bool) -> torch.Tensor:
    """Which element is at each of the first k places along `dim`.

    An element's place is the number of those that come before it: greater ones, and equal ones on its left. The index
    at a place is the sum over all elements of their number where that is their place.
    """
    behind = [1] * (x.dim() - 1 - dim)
    here, there = x.unsqueeze(dim + 1), x.unsqueeze(dim)
    ahead, equal = (there > here if largest else there < here), there == here
    if x.dtype.is_floating_point:
        here_nan, there_nan = here != here, there != there
        first, last = (there_nan, here_nan) if largest else (here_nan, there_nan)
        ahead, equal = ahead | (first & ~last), equal | (first & last)
    number = torch.arange(x.shape[dim])
    here_number, there_number = number.reshape([-1, 1, *behind]), number.reshape([-1, *behind])
    before = ahead | (equal & (there_number < here_number))
    place = before.to(torch.int64).sum(dim + 1, keepdim=True)
    wanted = torch.arange(k).reshape([-1, *behind])
    return torch.where(place == wanted, here_number, 0).sum(dim)


DECOMPOSITIONS = {
    aten.topk.default: topk,
    aten.sort.default: sort,
    aten.sort.stable: sort_stable,
    aten.argsort.default: argsort,
}
