"""Single layers to time: matrix products, and the distinct convolutions of two networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "e2e"))

SQUARE = (64, 128, 256, 512, 1000, 1023, 1024, 2048, 4096)
OTHERS = (
    *((1, 1024, 1024), (1, 4096, 4096), (4, 4096, 4096), (16, 1024, 4096), (127, 3000, 517), (128, 768, 768)),
    *((128, 3072, 768), (128, 768, 3072), (4096, 64, 4096), (4096, 4096, 16), (33, 1000, 77)),
)  # fmt: skip
NETWORKS = {"resnet50": "resnet50", "mobilenet_v2": "mobilenet_v2"}


class Layer(NamedTuple):
    """One layer, in the form its peers take, and what it costs."""

    group: str
    name: str
    module: nn.Module
    """On plain (batch, channels, height, width) inputs, or a matrix."""
    example: torch.Tensor
    flops: int
    """Of the direct algorithm, two a multiply-add."""
    bytes: int
    """Of input, weights and result."""
    count: int = 1
    """How often its network has it."""


class Last(nn.Module):
    """A convolution between tensors whose channels are innermost, as they lie inside a compiled network."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def products() -> list[Layer]:
    """m x k times k x n, the second factor a weight."""
    shapes = [*((n, n, n) for n in SQUARE), *OTHERS]
    return [_product(m, k, n) for m, k, n in shapes]


def _product(m: int, k: int, n: int) -> Layer:
    torch.manual_seed(m + k + n)
    module = nn.Linear(k, n, bias=False).eval()
    return Layer("gemm", f"{m}x{k}x{n}", module, torch.randn(m, k), 2 * m * k * n, 4 * (m * k + k * n + m * n))


def convolutions(network: str) -> list[Layer]:
    """The distinct convolutions of a network, with bias, in the order of its first run."""
    from models import MODELS

    model, example = MODELS[network].build()
    seen: dict[tuple, Layer] = {}

    def note(conv: nn.Conv2d, inputs: tuple, result: torch.Tensor) -> None:
        x = inputs[0]
        key = (tuple(x.shape), conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.groups)
        if key in seen:
            seen[key] = seen[key]._replace(count=seen[key].count + 1)
            return
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        groups = f" g{conv.groups}" if conv.groups > 1 else ""
        name = f"{x.shape[1]}x{x.shape[2]} -> {conv.out_channels} {kernel}x{kernel}/{stride}{groups}"
        alone = nn.Conv2d(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, groups=conv.groups
        ).eval()
        flops = 2 * result.numel() * conv.in_channels // conv.groups * kernel * kernel
        size = 4 * (x.numel() + result.numel() + alone.weight.numel() + conv.out_channels)
        group = f"{network} depthwise" if conv.groups > 1 else network
        seen[key] = Layer(group, name, alone, torch.randn_like(x), flops, size)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.no_grad():
        model(*example)
    return list(seen.values())
