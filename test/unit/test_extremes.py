"""The largest and the smallest of rows hand NaN on, wherever it is, and infinities are numbers like others."""

import neomlir
import numpy as np
import pytest
from neomlir.targets import Target

torch = pytest.importorskip("torch")


class Extremes(torch.nn.Module):
    def forward(self, x):
        return x.amax(-1), x.amin(-1), x.softmax(-1), x.amax(), x.log_softmax(-1), x.softmax(0)


@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3", "x86-64-v2"])
@pytest.mark.parametrize("length", [1, 3, 16, 33, 64, 130, 257])
def test_nan_and_infinities(length, target):
    """In each row one of them somewhere, in the last row nothing but the least of all."""
    if not Target.named(target).runs_here():
        pytest.skip(f"this machine does not run {target}")
    draw = np.random.default_rng(length)
    x = draw.standard_normal((length + 4, length)).astype(np.float32)
    x[np.arange(length), np.arange(length)] = draw.choice([np.nan, np.inf, -np.inf], length)
    x[length], x[length + 1], x[length + 2] = np.nan, -np.inf, np.inf
    with np.errstate(all="ignore"):
        model = neomlir.compile(Extremes(), target, inputs=[x.shape])
        for part in (x, np.nan_to_num(x)):
            for found, wanted in zip(model.run({"x": part}).values(), Extremes()(torch.tensor(part)), strict=True):
                np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-30, equal_nan=True)
