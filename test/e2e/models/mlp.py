"""A multi-layer perceptron: the smallest model that has contractions, biases and activations."""

from __future__ import annotations

from torch import nn

from .seeded import image, seeded


def build(features: int = 20, hidden: int = 50, classes: int = 10, batch: int = 1) -> tuple[nn.Module, tuple]:
    """Two hidden layers with ReLU and GELU, a softmax at the end."""
    layers = nn.Sequential(
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.GELU(),
        nn.Linear(hidden, classes),
        nn.Softmax(-1),
    )
    return seeded(layers), (image(batch, features),)
