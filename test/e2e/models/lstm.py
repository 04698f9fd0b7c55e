"""Recurrent layers over a fixed number of steps with a linear layer on every step."""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded


class Tagger(nn.Module):
    """LSTM or GRU, then a linear layer."""

    def __init__(self, kind: str, features: int, hidden: int, layers: int, classes: int, both: bool):
        super().__init__()
        self.recurrent = getattr(nn, kind)(features, hidden, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(hidden * (2 if both else 1), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(x)[0])


def build(
    kind: str = "LSTM",
    features: int = 32,
    hidden: int = 64,
    layers: int = 2,
    steps: int = 16,
    classes: int = 10,
    batch: int = 1,
    both: bool = False,
) -> tuple[nn.Module, tuple]:
    """Input (batch, steps, features) f32."""
    return seeded(Tagger(kind, features, hidden, layers, classes, both)), (image(batch, steps, features),)
