"""Contractions of random shapes, whole pipelines apart: what `cpu` gives is what `cpu-scalar`'s plain loops give.

Many layers are one module, for one compile each; `-m full` takes many modules.
"""

import math
import random

import neomlir
import numpy as np
import pytest
import torch
from torch import nn

TOLERANCE = 1e-5
"""Of the largest number of a result."""
MOST = 20_000_000
"""Multiply-adds of a layer, at most: the reference takes about a nanosecond for one."""
LARGEST = 130


class Product(nn.Module):
    """A product of two inputs, either of them transposed, with the same batch dimensions."""

    def __init__(self, transposed: tuple[bool, bool]):
        super().__init__()
        self.transposed = transposed

    def forward(self, a, b):
        a, b = (x.transpose(-1, -2) if t else x for x, t in zip((a, b), self.transposed, strict=True))
        return a @ b


class Layers(nn.Module):
    """Layers side by side, each on inputs of its own."""

    def __init__(self, layers: list[nn.Module], counts: list[int]):
        super().__init__()
        self.layers, self.counts = nn.ModuleList(layers), counts

    def forward(self, *inputs):
        rest, results = list(inputs), []
        for layer, count in zip(self.layers, self.counts, strict=True):
            mine, rest = rest[:count], rest[count:]
            results.append(layer(*mine))
        return tuple(results)


def extent(r: random.Random, most: int = LARGEST) -> int:
    """1 to `most`, small ones as likely as large ones."""
    return min(most, int(math.exp(r.uniform(0, math.log(most + 1)))))


def linear(r):
    m, k, n = (extent(r) for _ in range(3))
    return nn.Linear(k, n, bias=r.random() < 0.5), [(m, k)], m * k * n


def product(r):
    batch = [extent(r, 12) for _ in range(r.choice((0, 0, 1, 2)))]
    m, k, n = (extent(r) for _ in range(3))
    transposed = r.random() < 0.5, r.random() < 0.5
    a, b = ((y, x) if t else (x, y) for t, (x, y) in zip(transposed, ((m, k), (k, n)), strict=True))
    return Product(transposed), [(*batch, *a), (*batch, *b)], math.prod(batch) * m * k * n


def convolution(r, transposed=False):
    """One to three dimensions; one group, several, or a group a channel."""
    rank, kind = r.randint(1, 3), r.choice(("plain", "plain", "grouped", "depthwise"))
    channels = extent(r, LARGEST if rank < 3 else 40)
    groups = {"plain": 1, "grouped": r.choice((2, 3, 4)), "depthwise": channels}[kind]
    inside = channels if kind == "depthwise" else -(-channels // groups) * groups
    outside = groups * (r.choice((1, 1, 2)) if kind == "depthwise" else extent(r, max(1, LARGEST // groups)))
    size = [r.choice((1, 2, 3, 3, 5)) for _ in range(rank)]
    stride, dilation = ([r.choice((1, 1, 2, 3)) for _ in range(rank)] for _ in range(2))
    padding = [r.randint(0, (k - 1) * d // 2) for k, d in zip(size, dilation, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    # A transposed one adds its reach to the extent, and takes its padding off.
    least = [2 * p + 1 if transposed else n - 2 * p for n, p in zip(reach, padding, strict=True)]
    extents = [max(low, extent(r)) for low in least]
    name = f"Conv{'Transpose' if transposed else ''}{rank}d"
    layer = getattr(nn, name)(
        inside, outside, size, stride, padding, dilation=dilation, groups=groups, bias=r.random() < 0.5
    )
    places = math.prod(extents if transposed else [-(-n // s) for n, s in zip(extents, stride, strict=True)])
    return layer, [(r.choice((1, 1, 2)), inside, *extents)], 2 * places * math.prod(size) * inside * outside // groups


def transposed_convolution(r):
    return convolution(r, transposed=True)


KINDS = (linear, product, product, convolution, convolution, convolution, transposed_convolution)


def draw(r: random.Random) -> tuple[nn.Module, list[tuple[int, ...]]]:
    """A layer that costs not too much, and the shapes of its inputs."""
    make = r.choice(KINDS)
    while True:
        layer, shapes, cost = make(r)
        if cost <= MOST:
            return layer, shapes


def agrees(seed: int, count: int) -> None:
    """Compile `count` layers together, by both pipelines, and compare their results on random inputs."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    drawn = [draw(r) for _ in range(count)]
    module = Layers([layer for layer, _ in drawn], [len(shapes) for _, shapes in drawn]).eval()
    inputs = [torch.randn(shape) for _, shapes in drawn for shape in shapes]
    found, wanted = (
        neomlir.compile(module, inputs=inputs, pipeline=pipeline, cache=False)(*(x.numpy() for x in inputs))
        for pipeline in ("cpu", "cpu-scalar")
    )
    for (layer, shapes), mine, right in zip(drawn, found, wanted, strict=True):
        assert mine.shape == right.shape
        error, largest = np.abs(mine - right).max(), np.abs(right).max()
        assert error <= TOLERANCE * largest, f"{layer} on {shapes}: {error:.1e}, the largest is {largest:.1e} ({seed=})"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1))
def test_contractions_agree_with_plain_loops(seed):
    agrees(seed, 10)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_contractions_agree_with_plain_loops(seed):
    agrees(seed, 24)
