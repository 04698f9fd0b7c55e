"""Networks whose results are pictures: the generator of DCGAN (Radford et al., arXiv 1511.06434), and SRResNet."""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded


def dcgan(width: int = 64, noise: int = 100, doublings: int = 4, batch: int = 1) -> tuple[nn.Module, tuple]:
    """Transposed convolutions of 4x4, the first from one pixel, then by two; input (batch, noise, 1, 1) f32."""
    widths = [width << i for i in reversed(range(doublings))]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(zip([noise, *widths[:-1]], widths, strict=True)):
        conv = nn.ConvTranspose2d(before, after, 4, 2 if number else 1, 1 if number else 0, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh()]
    return seeded(nn.Sequential(*layers)), (image(batch, noise, 1, 1),)


class Residual(nn.Module):
    """Two convolutions with a PReLU between them, beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.PReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def srresnet(blocks: int = 4, width: int = 64, size: int = 96, batch: int = 1) -> tuple[nn.Module, tuple]:
    """SRResNet (Ledig et al., arXiv 1609.04802) by a factor of two; input (batch, 3, size, size) f32."""
    model = nn.Sequential(
        nn.Conv2d(3, width, 9, padding=4),
        nn.PReLU(),
        *(Residual(width) for _ in range(blocks)),
        nn.Conv2d(width, 4 * width, 3, padding=1),
        nn.PixelShuffle(2),
        nn.PReLU(),
        nn.Conv2d(width, 3, 9, padding=4),
    )
    return seeded(model), (image(batch, 3, size, size),)
