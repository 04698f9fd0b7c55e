"""Resized pictures: PyTorch's own decompositions, at the places that its kernels read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch._decomp import decomposition_table

aten = torch.ops.aten


def nearest(x: torch.Tensor, output_size, scale_factors):
    """Reads by tables of indices; what is dynamic is left to the importer.

    That divides by the rounded scale, which falls short of whole numbers that the product with its inverse reaches.
    """
    if not all(isinstance(n, int) for n in (*x.shape[2:], *(output_size or ()))):
        return NotImplemented
    return decomposition_table[aten.upsample_nearest2d.vec](x, output_size, scale_factors)


def _linear(op: torch._ops.OpOverload) -> Callable:
    def linear(x: torch.Tensor, output_size, align_corners: bool, scale_factors):
        """PyTorch copies along a dimension that stays as long as it is, whatever its factor."""
        if scale_factors is not None:
            factors = zip(x.shape[2:], scale_factors, strict=True)
            scale_factors = [1.0 if isinstance(n, int) and int(n * factor) == n else factor for n, factor in factors]
        return decomposition_table[op](x, output_size, align_corners, scale_factors)

    return linear


DECOMPOSITIONS = {
    aten.upsample_nearest2d.vec: nearest,
    **{op: _linear(op) for op in (aten.upsample_bilinear2d.vec, aten.upsample_trilinear3d.vec)},
}
