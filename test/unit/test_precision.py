"""`precision=` of a compile: small models in bf16 and fp16 beside themselves in fp32."""

import neomlir
import numpy as np
import pytest
from neomlir.errors import PipelineError, TargetError
from neomlir.pipeline import named_stages, precision_of, with_precision
from neomlir.targets import Target
from neomlir.tools import neo_compile

torch = pytest.importorskip("torch")


class Net(torch.nn.Module):
    """Every kind of contraction: a stem of three channels, depthwise, pointwise, a residual block, a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 3, 2, 1)
        self.deep = torch.nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.wide = torch.nn.Conv2d(16, 40, 1)
        self.full = torch.nn.Conv2d(40, 40, 3, 1, 1)
        self.last = torch.nn.Linear(40, 10)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(torch.relu(self.stem(x)), 3, 2, 1)
        x = torch.relu(self.wide(torch.relu(self.deep(x))))
        return self.last(torch.relu(self.full(x) + x).mean((2, 3)))


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.into, self.out = torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)

    def forward(self, x):
        q, k, v = (t.reshape(1, -1, 2, 16).transpose(1, 2) for t in self.into(x).chunk(3, -1))
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(x.shape)) + x


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("kind", "precision", "target"),
    [(Net, "bf16", "host"), (Attention, "bf16", "host"), (Net, "bf16", "x86-64-v3"), (Attention, "fp16", "x86-64-v3")],
)
def test_models(kind, precision, target):
    if not Target.named(target).runs_here():
        pytest.skip("this machine cannot run it")
    torch.manual_seed(0)
    module = kind().eval()
    x = torch.randn((1, 3, 22, 22) if kind is Net else (1, 24, 32))
    compiled = neomlir.compile(module, target, [x], precision=precision)
    with torch.no_grad():
        error = relative(compiled(x.numpy()), module(x).numpy())
    unit = 2.0 ** (-8 if precision == "bf16" else -11)
    assert unit / 100 < error < 4 * unit, error
    assert compiled.report["precision"] == precision
    assert str(compiled.outputs[0].dtype) == "float32"


@pytest.mark.parametrize(
    ("tokens", "keys", "masked", "own"),
    [(64, 64, False, 3), (77, 77, True, 3), (700, 1001, False, 3), (45, 77, False, 1)],
)
def test_attention_is_one_kernel(tokens, keys, masked, own):
    """Of odd extents, of more scores than are held at a time, of keys that all heads share, and on two threads."""

    class Heads(torch.nn.Module):
        def forward(self, q, k, v):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=masked, enable_gqa=True)

    torch.manual_seed(0)
    shapes = ((1, number, extent, 32) for number, extent in ((3, tokens), (own, keys), (own, keys)))
    q, k, v = (torch.randn(*shape).bfloat16().float() for shape in shapes)
    compiled = neomlir.compile(Heads(), inputs=(q, k, v), precision="bf16")
    arrays = [array.numpy() for array in (q, k, v)]
    found = compiled(*arrays)
    assert relative(found, Heads()(q, k, v).numpy()) < 2**-8
    kernels = {kernel["name"].split("_")[0]: kernel["schedule"] for kernel in compiled.report["kernels"]}
    assert kernels["attention"] == "attention"
    assert "contraction" not in kernels
    compiled.threads = 2
    assert np.array_equal(compiled(*arrays), found)


class Product(torch.nn.Module):
    def forward(self, a, b):
        return a @ b.transpose(-1, -2)


@pytest.mark.parametrize(("m", "k", "n"), [(16, 7, 33), (49, 64, 49), (70, 19, 9), (3, 21, 40)])
def test_factors_that_are_no_weights(m, k, n):
    """Odd numbers of everything, as where tokens are pixels and one more."""
    torch.manual_seed(0)
    a, b = (torch.randn(2, extent, k).bfloat16().float() for extent in (m, n))
    found = neomlir.compile(Product(), inputs=(a, b), precision="bf16")(a.numpy(), b.numpy())
    assert relative(found, Product()(a, b).numpy()) < 1e-6


def test_the_file_tells_it(tmp_path):
    module = torch.nn.Linear(8, 8).eval()
    neomlir.compile(module, "x86-64-v2", [torch.zeros(2, 8)], precision="bf16", output=tmp_path / "m.neo")
    assert neomlir.load(tmp_path / "m.neo").report["precision"] == "bf16"
    neomlir.compile(module, "x86-64-v2", [torch.zeros(2, 8)], output=tmp_path / "f.neo")
    assert neomlir.load(tmp_path / "f.neo").report["precision"] == "fp32"


@pytest.mark.parametrize("pipeline", ["cpu", "cpu-affine", "cpu-scalar", "cpu{neo-pack-forest.strategy=loops}"])
def test_every_pipeline_takes_it(pipeline):
    target = Target.named("x86-64-v3")
    assert precision_of(named_stages(with_precision(pipeline, "bf16", target), target)) == "bf16"
    assert precision_of(named_stages(pipeline, target)) == "fp32"


def test_wrong_precisions(capsys):
    with pytest.raises(PipelineError, match="no precision 'bf17'; there are fp32, bf16, fp16"):
        neomlir.compile(torch.nn.Linear(2, 2), inputs=[torch.zeros(1, 2)], precision="bf17")
    with pytest.raises(TargetError, match="x86-64-v2 has no instructions that read fp16"):
        neomlir.compile(torch.nn.Linear(2, 2), "x86-64-v2", [torch.zeros(1, 2)], precision="fp16")
    with pytest.raises(SystemExit):
        neo_compile.main(["m.onnx", "--precision", "bf17"])
    assert "invalid choice: 'bf17'" in capsys.readouterr().err
