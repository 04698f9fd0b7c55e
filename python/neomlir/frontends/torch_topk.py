"""`topk`, `sort` and `argsort` of PyTorch by comparing every element with every other."""

from __future__ import annotations

import torch

aten = torch.ops.aten


def topk(self: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True):
    """The first k of a stable sort; like PyTorch's, NaN is greater than all numbers."""
    if not self.dim():
        return self.clone(), torch.zeros((), dtype=torch.int64)
    dim %= self.dim()
    index = _indices(self, k, dim, largest)
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
