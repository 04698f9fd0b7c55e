"""UNet (Ronneberger et al., arXiv 1505.04597) with padded convolutions and learned upsampling."""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """`depth` halvings by max pooling, then as many doublings by transposed convolution, with skips between."""

    def __init__(self, width: int, depth: int, classes: int):
        super().__init__()
        self.first = _double(3, width)
        self.down = nn.ModuleList(_double(width << i, width << (i + 1)) for i in range(depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(width << (i + 1), width << i, 2, 2) for i in reversed(range(depth)))
        self.merge = nn.ModuleList(_double(width << (i + 1), width << i) for i in reversed(range(depth)))
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.first(x)]
        for block in self.down:
            skips.append(block(nn.functional.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.last(x)


def build(
    width: int = 32, depth: int = 4, classes: int = 2, size: int = 128, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """Input (batch, 3, size, size) f32, `size` a multiple of 2^depth."""
    return seeded(UNet(width, depth, classes)), (image(batch, 3, size, size),)
