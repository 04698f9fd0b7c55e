"""Mixtures of experts: grouped products of any counts, those of PyTorch and of transformers, and histograms."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from test_frontends_torch import agree  # noqa: E402

nn = torch.nn
WIDTH, COLUMNS = 8, 5


def grouped(rows, weight, offs):
    """The rows from an offset to the next times a weight each, written out."""
    ends = [0, *offs.tolist()]
    products = [rows[a:b] @ w for a, b, w in zip(ends, ends[1:], weight, strict=False)]
    return torch.cat([*products, torch.zeros(len(rows) - ends[-1], weight.shape[2])])


@pytest.mark.parametrize("offs", [(3, 3, 7, 10), (0, 0, 9, 9), (10, 10, 10, 10)], ids=str)
@pytest.mark.parametrize("groups", [4, 32])
def test_grouped_products(offs, groups):
    """Of many rows, and of few for many groups, which read their weights; rows behind the last group are zero."""
    from neomlir.frontends.torch_experts import grouped_mm

    rows, weight = torch.randn(10, WIDTH), torch.randn(groups, WIDTH, COLUMNS)
    ends = torch.tensor([*offs, *[offs[-1]] * (groups - 4)], dtype=torch.int32)
    torch.testing.assert_close(grouped_mm(rows, weight, ends), grouped(rows, weight, ends))


@pytest.mark.parametrize("low,high,bins", [(0, 6, 7), (-1.0, 2.5, 4)])
def test_histograms(low, high, bins):
    class Counts(nn.Module):
        def forward(self, x):
            return torch.histc(x, bins=bins, min=low, max=high)

    edges = torch.linspace(low, high, bins + 1)
    agree(Counts(), torch.cat([torch.randint(-2, 9, (3, 40)).float().flatten(), edges, torch.tensor([torch.nan])]))


@pytest.mark.parametrize("tokens", [6, 1])
@pytest.mark.parametrize("experts", [4, 16])
def test_mixtral(experts, tokens):
    transformers = pytest.importorskip("transformers")
    config = transformers.MixtralConfig(
        hidden_size=WIDTH, intermediate_size=12, num_local_experts=experts, num_experts_per_tok=2
    )
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    torch.manual_seed(0)
    config._experts_implementation = "grouped_mm"
    block = MixtralSparseMoeBlock(config).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    agree(block, torch.randn(2, tokens, WIDTH))
