"""ConvNeXt (Liu et al., arXiv 2201.03545): depthwise 7x7 convolutions and linear layers on channels."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from .seeded import image, seeded


class Block(nn.Module):
    """A depthwise convolution, a layer norm and a GELU perceptron of each pixel, scaled, beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.mlp(self.norm(self.conv(x).permute(0, 2, 3, 1)))
        return x + (self.scale * y).permute(0, 3, 1, 2)


class Norm(nn.LayerNorm):
    """A layer norm of each pixel's channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def build(
    depths: tuple[int, ...] = (3, 3, 9, 3), width: int = 96, classes: int = 1000, size: int = 224, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """ConvNeXt-T by default; input (batch, 3, size, size) f32, `size` a multiple of 4 and of 2 a further stage."""
    widths = [width << stage for stage in range(len(depths))]
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 4), Norm(width)]
    for stage, depth in enumerate(depths):
        layers += [Block(widths[stage]) for _ in range(depth)]
        for before, after in list(pairwise(widths))[stage : stage + 1]:
            layers += [Norm(before), nn.Conv2d(before, after, 2, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(widths[-1]), nn.Linear(widths[-1], classes)]
    return seeded(nn.Sequential(*layers, *head)), (image(batch, 3, size, size),)
