"""Models whose own numbers are bf16: arithmetic that no machine of x86-64 has, and rounding after each operation."""

from __future__ import annotations

import neomlir
import numpy as np
import pytest

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")
nn = torch.nn


class Sums(nn.Module):
    """Arithmetic on weights, at compile time, and on inputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.randn(37)) for _ in range(2))

    def forward(self, x):
        return torch.sigmoid(x * (self.a + self.b) - x.amax(1, keepdim=True))


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.first, self.steps = nn.LayerNorm(37), nn.Linear(37, 19), nn.GRU(19, 11, batch_first=True)

    def forward(self, x):
        return self.steps(torch.relu(self.first(self.norm(x)))[None])[0]


@pytest.mark.parametrize("target", ["host", "x86-64-v3", "x86-64-v2"])
@pytest.mark.parametrize("kind", [Sums, Layers])
def test_a_model_in_bf16(kind, target, tmp_path):
    torch.manual_seed(0)
    model, x = kind().eval().bfloat16(), torch.randn(6, 37).bfloat16()
    neomlir.compile(model, target, (x,), output=tmp_path / "m.neo")
    program = neomlir.load(tmp_path / "m.neo")
    got = next(iter(program.run({program.inputs[0].name: x.float().numpy().astype(ml_dtypes.bfloat16)}).values()))
    with torch.no_grad():
        wanted = model(x).float().numpy()
    np.testing.assert_allclose(np.asarray(got, "f4"), wanted, rtol=0.02, atol=0.01)
