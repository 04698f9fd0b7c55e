"""A Vision Transformer (Dosovitskiy et al., arXiv 2010.11929), pre-norm, with a class token."""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded


class Block(nn.Module):
    """Self-attention and a GELU perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches to tokens by a strided convolution, blocks, and a linear layer on the class token."""

    def __init__(self, width: int, heads: int, layers: int, patch: int, size: int, classes: int):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


def build(
    width: int = 192,
    heads: int = 3,
    layers: int = 12,
    patch: int = 16,
    size: int = 224,
    classes: int = 1000,
    batch: int = 1,
) -> tuple[nn.Module, tuple]:
    """ViT-Tiny/16 by default, input (batch, 3, size, size) f32."""
    return seeded(ViT(width, heads, layers, patch, size, classes)), (image(batch, 3, size, size),)
