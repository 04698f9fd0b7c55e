"""MobileNetV2 (Sandler et al., arXiv 1801.04381)."""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded

# Expansion, channels, blocks, stride of the first block (table 2 of the paper).
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    pad = kernel // 2
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    ]


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter by depthwise 3x3, project by a linear 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        layers = _conv(inputs, hidden, 1) if expansion != 1 else []
        layers += _conv(hidden, hidden, 3, stride, groups=hidden)
        layers += _conv(hidden, outputs, 1)[:-1]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNetV2(nn.Module):
    """The stem, inverted residuals, a wide 1x1 convolution, average pooling, one linear layer."""

    def __init__(self, stages: tuple[tuple[int, int, int, int], ...], classes: int, stem: int = 32, last: int = 1280):
        super().__init__()
        layers, channels = _conv(3, stem, 3, 2), stem
        for expansion, width, count, stride in stages:
            for block in range(count):
                layers.append(InvertedResidual(channels, width, stride if not block else 1, expansion))
                channels = width
        layers += _conv(channels, last, 1)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def build(
    stages: tuple[tuple[int, int, int, int], ...] = STAGES, classes: int = 1000, size: int = 224, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """MobileNetV2 1.0 by default, input (batch, 3, size, size) f32."""
    last = 1280 if stages is STAGES else 64
    return seeded(MobileNetV2(stages, classes, last=last)), (image(batch, 3, size, size),)
