"""A graph convolutional network (Kipf and Welling, 2017) over a fixed graph, with its best nodes pooled.

Its layers gather, weigh and add rows; the pooling (Gao and Ji, 2019) takes the nodes of the greatest scores.
"""

from __future__ import annotations

import torch
from torch import nn

from .seeded import image, seeded


class Convolution(nn.Module):
    """Each node's new features: the sum over its edges of what their other ends send, by the root of both degrees."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x, source, target, weight):
        sent = self.linear(x)[source] * weight[:, None]
        return torch.zeros(x.shape[0], sent.shape[1]).scatter_add(0, target[:, None].expand_as(sent), sent)


class Network(nn.Module):
    """Two convolutions, a pooling, and a classifier."""

    def __init__(self, nodes: int, edges: int, features: int, hidden: int, kept: int, classes: int):
        super().__init__()
        ends = torch.randint(0, nodes, (2, edges), generator=torch.Generator().manual_seed(2))
        degree = 1.0 + torch.bincount(ends[1], minlength=nodes)
        self.register_buffer("source", ends[0])
        self.register_buffer("target", ends[1])
        self.register_buffer("weight", (degree[ends[0]] * degree[ends[1]]).rsqrt())
        self.first, self.second = Convolution(features, hidden), Convolution(hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        self.classes = nn.Linear(hidden, classes)
        self.kept = kept

    def forward(self, x):
        x = torch.relu(self.first(x, self.source, self.target, self.weight))
        x = torch.relu(self.second(x, self.source, self.target, self.weight))
        best, index = self.score(x)[:, 0].topk(self.kept)
        return self.classes((x[index] * torch.tanh(best)[:, None]).mean(0, keepdim=True))


def build(
    nodes: int = 2708, edges: int = 10556, features: int = 1433, hidden: int = 64, kept: int = 500, classes: int = 7
) -> tuple[nn.Module, tuple]:
    """As large as the citations of Cora."""
    return seeded(Network(nodes, edges, features, hidden, kept, classes)), (image(nodes, features),)
