"""Pictures that are resized, against PyTorch."""

import neomlir
import numpy as np
import pytest

torch = pytest.importorskip("torch")

MODES = [
    ("nearest", {"scale_factor": 2.0}),
    ("nearest", {"size": (15, 21)}),
    ("nearest", {"size": (4, 3)}),
    ("bilinear", {"scale_factor": 2.0, "align_corners": False}),
    ("bilinear", {"size": (13, 9), "align_corners": True}),
    # Six rows stay six: what they are multiplied by is not asked.
    ("bilinear", {"scale_factor": (1.1, 0.6), "align_corners": False}),
]


class Resized(torch.nn.Module):
    def __init__(self, mode: str, last: bool, more: dict):
        super().__init__()
        self.mode, self.last, self.more = mode, last, more

    def forward(self, x):
        x = x.permute(0, 3, 1, 2) if self.last else x
        y = torch.nn.functional.interpolate(x, mode=self.mode, **self.more)
        return y.permute(0, 2, 3, 1) if self.last else y


@pytest.mark.parametrize(("mode", "more", "last"), [*((*m, True) for m in MODES), *((*m, False) for m in MODES[1::2])])
def test_resized_pictures(tmp_path, mode, more, last):
    x = torch.randn((1, 6, 7, 11) if last else (1, 11, 6, 7), generator=torch.Generator().manual_seed(0))
    module = Resized(mode, last, more).eval()
    neomlir.compile(module, inputs=(x,), output=tmp_path / "resized.neo", tuned=False)
    found = neomlir.load(tmp_path / "resized.neo")(x.numpy())
    np.testing.assert_allclose(found, module(x).numpy(), rtol=1e-5, atol=1e-6)


def test_nearest_point_that_a_quotient_falls_short_of():
    """4 * 1.75 is 7, but 4 / 0.5714286 is not."""
    x = torch.arange(14.0 * 3).reshape(1, 1, 14, 3)
    module = Resized("nearest", False, {"size": (8, 2)}).eval()
    np.testing.assert_array_equal(neomlir.compile(module, inputs=(x,), tuned=False)(x.numpy()), module(x).numpy())
