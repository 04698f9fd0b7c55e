"""Convolutions that the importer does not lower: depthwise ones that are transposed, or have three dimensions."""

from __future__ import annotations

import torch

aten = torch.ops.aten


def convolution(x, weight, bias, stride, padding, dilation, transposed: bool, output_padding, groups: int):
    """A convolution whose groups have one channel as one whose groups have two, the second of zeros.

    Groups of several channels are lowered in any number of dimensions.
    """
    inside = weight.shape[0] // groups if transposed else weight.shape[1]
    if groups == 1 or inside != 1 or (weight.dim() < 5 and not transposed):
        return NotImplemented
    x = torch.stack((x, torch.zeros_like(x)), 2).flatten(1, 2)
    at = 1 if transposed else 2
    weight = torch.stack((weight, torch.zeros_like(weight)), at).flatten(at - 1, at)
    return aten.convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)


DECOMPOSITIONS = {aten.convolution.default: convolution}
