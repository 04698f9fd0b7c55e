"""A stacked LSTM over a fixed number of steps with a linear layer on every step."""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded


class Tagger(nn.Module):
    """LSTM, then a linear layer."""

    def __init__(self, features: int, hidden: int, layers: int, classes: int):
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0])


def build(
    features: int = 32, hidden: int = 64, layers: int = 2, steps: int = 16, classes: int = 10, batch: int = 1
) -> tuple[nn.Module, tuple]:
    """Input (batch, steps, features) f32."""
    return seeded(Tagger(features, hidden, layers, classes)), (image(batch, steps, features),)
