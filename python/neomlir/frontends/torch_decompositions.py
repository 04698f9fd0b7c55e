"""Decompositions of ATen operators that have no lowering, or get a better program than by the importer's own."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch._prims_common import compute_elementwise_output_logical_to_physical_perm

aten = torch.ops.aten

_MANY = 16384
"""Comparisons of positions with indices that take longer than a scatter."""


def table() -> dict[Any, Callable]:
    """What `ExportedProgram.run_decompositions` takes, with the `DECOMPOSITIONS` of the files that have some, and their
    `OTHERS` where the package that has the operator is imported.

    Batch norm stays whole, so that it can be folded.
    """
    from neomlir.mlir import fx_decomp_util

    chosen = dict(fx_decomp_util.get_decomposition_table())
    chosen.pop(aten._native_batch_norm_legit_no_training.default, None)
    for file in sorted(Path(__file__).parent.glob("torch_*.py")):
        if "\nDECOMPOSITIONS = " in file.read_text():
            module = importlib.import_module(f"neomlir.frontends.{file.stem}")
            chosen.update(module.DECOMPOSITIONS)
            chosen.update(_registered(getattr(module, "OTHERS", {})))
    return chosen


def _registered(others: dict[str, Callable]) -> dict[Any, Callable]:
    """Those of `others`, operators of packages by name, that there are now."""
    found = {}
    for name, function in others.items():
        space, _, operator = name.partition("::")
        if hasattr(getattr(torch.ops, space), operator):
            found[getattr(getattr(torch.ops, space), operator).default] = function
    return found


def index_put(self: torch.Tensor, indices, values: torch.Tensor, accumulate: bool = False):
    """Writing along one dimension (a cache at a position) as a choice between the old and the new for each element.

    One row index a position, found by comparing positions with indices, or, of many, by writing their numbers where
    they belong; of equal indices the last one stays. Anything else, many rows of the first dimension among it, is left
    to the importer.
    """
    given = [(d, index) for d, index in enumerate(indices) if index is not None]
    if accumulate or len(given) != 1:
        return NotImplemented
    dimension, index = given[0]
    if index.dim() != 1 or index.dtype not in (torch.int64, torch.int32) or not isinstance(index.shape[0], int):
        return NotImplemented
    count, extent = index.shape[0], self.shape[dimension]
    if count == 0:
        return NotImplemented
    column = [1] * self.dim()
    column[dimension] = extent
    shape = list(self.shape)
    shape[dimension] = count
    # Indices count from the end where negative, as everywhere in PyTorch.
    index = torch.where(index < 0, index + extent, index)
    values = values.expand(shape)
    numbers = torch.arange(1, count + 1)
    if isinstance(extent, int) and count * extent >= _MANY:
        if dimension == 0:
            return NotImplemented
        order = torch.zeros(extent, dtype=torch.int64).scatter(0, index.to(torch.int64), numbers)
    else:
        match = torch.arange(extent).unsqueeze(1) == index.unsqueeze(0)
        if count == 1:
            return torch.where(match.reshape(column), values, self)
        order = torch.where(match, numbers.unsqueeze(0), 0).amax(1)
    rows = torch.index_select(values, dimension, (order - 1).clamp(min=0))
    return torch.where((order > 0).reshape(column), rows, self)


def native_group_norm(x: torch.Tensor, weight, bias, batch, channels, pixels, group: int, eps: float):
    """Group norm with the mean and the deviation of each group, in reshapes only.

    PyTorch's own folds scale and shift into one factor a channel through `as_strided`, which becomes a gather.
    """
    rows = x.reshape(batch, group, channels // group * pixels)
    variance, mean = torch.var_mean(rows, 2, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    normal = ((rows - mean) * scale).reshape(x.shape)
    column = [1, channels] + [1] * (x.dim() - 2)
    if weight is not None:
        normal = normal * weight.reshape(column)
    if bias is not None:
        normal = normal + bias.reshape(column)
    return normal, mean.reshape(batch, group), scale.reshape(batch, group)


def gelu(x: torch.Tensor, *, approximate: str = "none"):
    """The approximation by tanh (Hendrycks and Gimpel, 2016), in fp32 at least, as PyTorch computes it.

    The importer's own has 0.797724 for the root of 2 / pi, and is off by 5e-5. That by erf is left to it.
    """
    if approximate != "tanh":
        return NotImplemented
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * (wide * wide * wide))
    return (0.5 * wide * (1 + torch.tanh(inner))).to(x.dtype)


def attention(query, key, value, dropout_p: float = 0.0, is_causal: bool = False, *, attn_mask=None, scale=None):
    """Attention of (batch, heads, tokens, size) tensors, its result laid out in memory as the query is.

    That is what the CPU's kernel gives, and views behind it rely on. PyTorch's own decomposition has the layout
    (tokens, batch, heads, size) for any query, of which a batch of more than one cannot be viewed.
    """
    output, weights = aten._scaled_dot_product_attention_math.default(
        query,
        key,
        value,
        attn_mask=attn_mask,
        dropout_p=dropout_p,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=query.size(1) != key.size(1),
    )
    order, _ = compute_elementwise_output_logical_to_physical_perm(query)
    back = [order.index(d) for d in range(len(order))]
    return output.permute(order).contiguous().permute(back), weights


DECOMPOSITIONS = {
    aten._scaled_dot_product_flash_attention_for_cpu.default: attention,
    aten.gelu.default: gelu,
    aten.index_put.default: index_put,
    aten.native_group_norm.default: native_group_norm,
}
