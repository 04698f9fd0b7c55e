"""Mixtures of experts in PyTorch: products of groups of rows, and the counts that say where groups end."""

from __future__ import annotations

import torch

aten = torch.ops.aten


def grouped_mm(rows: torch.Tensor, weight: torch.Tensor, offs: torch.Tensor | None = None, bias=None, out_dtype=None):
    """Rows of the group g, those from `offs[g - 1]` to `offs[g]`, times `weight[g]`; rows behind the last are zero.

    One product: a row lies in its group's part of a row for all weights, which are one above the other. A few rows
    for many weights, of which most would be multiplied with nothing, read those of their groups.
    """
    if offs is None or rows.dim() != 2 or weight.dim() != 3:
        return NotImplemented
    groups, depth, columns = weight.shape
    number = torch.arange(rows.shape[0])
    if isinstance(rows.shape[0], int) and rows.shape[0] * 2 <= groups:
        group = (offs.unsqueeze(0) <= number.unsqueeze(1)).sum(1)
        chosen = torch.index_select(weight, 0, group.clamp(max=groups - 1))
        product = torch.bmm(rows.unsqueeze(1), chosen).squeeze(1)
        product = torch.where((group < groups).unsqueeze(1), product, 0)
    else:
        begins = torch.cat((torch.zeros_like(offs[:1]), offs[:-1]))
        inside = (number.unsqueeze(1) >= begins) & (number.unsqueeze(1) < offs)
        spread = torch.where(inside.unsqueeze(2), rows.unsqueeze(1), 0).reshape(-1, groups * depth)
        product = torch.mm(spread, weight.reshape(groups * depth, columns))
    product = product if bias is None else product + bias
    return product if out_dtype is None else product.to(out_dtype)


def histc(self: torch.Tensor, bins: int = 100, min: float = 0, max: float = 0):
    """How many numbers lie in each of equal parts of a range, the upper end of which belongs to the last part."""
    if min >= max or self.dtype not in (torch.float32, torch.float64):
        return NotImplemented
    x = self.reshape(-1, 1)
    part = ((x - min) * bins / (max - min)).floor().clamp(max=bins - 1)
    match = (part == torch.arange(bins)) & (x >= min) & (x <= max)
    return match.to(self.dtype).sum(0)


def _fallback(rows: torch.Tensor, weight: torch.Tensor, offs: torch.Tensor):
    return grouped_mm(rows, weight, offs)


DECOMPOSITIONS = {aten._grouped_mm.default: grouped_mm, aten.histc.default: histc}
OTHERS = {"transformers::grouped_mm_fallback": _fallback}
"""Operators that a package registers where it is imported, by name."""
