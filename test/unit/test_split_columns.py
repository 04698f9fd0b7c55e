"""Sums, and the largest and least, of the columns of large matrices, whatever number of parts their rows have."""

import neomlir
import numpy as np
import pytest
import torch
from neomlir.targets import Target


class Columns(torch.nn.Module):
    def forward(self, x):
        return x.sum(0), (x * x).mean(0), x.amax(0), x.amin(0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows, columns, parts", [(2560, 1024, 8), (4099, 1000, 1), (60006, 64, 6), (8006, 333, 2)])
def test_columns(rows, columns, parts, threads):
    target = Target.host()
    if 4 * target.cache.l2 > 4 * rows * columns:
        pytest.skip("the cache of this machine holds half of that")
    draw = np.random.default_rng(rows)
    x = draw.standard_normal((rows, columns), "f4")
    x[rows // 2, 3], x[rows - 1, 5], x[0, 7] = np.nan, np.inf, -np.inf
    model = neomlir.compile(Columns(), inputs=(torch.from_numpy(x),), threads=threads)
    assert len(model.report["kernels"]) > (4 if parts > 1 else 3)
    for found, wanted in zip(model(x), Columns()(torch.from_numpy(x).double()), strict=True):
        assert found.shape == (columns,)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-3, equal_nan=True)
