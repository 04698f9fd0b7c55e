"""Kernels and models whose contractions are of narrow numbers, and what they give on this machine."""

from __future__ import annotations

import bare
import neomlir
import numpy as np
from execute import call
from kernels import scheduled
from neomlir import peers
from neomlir.mlir import context, ir
from neomlir.targets import Target
from test_scalable import Case

TOLERANCE = {"bf16": 1e-2, "fp16": 2e-3}
"""How far a model of a precision may be from PyTorch's in fp32, in the 2-norm."""


def collector(found):
    """A `check` that leaves kernels, and what plain loops give for their inputs, in `found`."""

    def collect(text, inputs, outputs, target, expect):
        schedule, vector = scheduled(text, target)
        assert schedule == expect
        with context():
            wanted = call(ir.Module.parse(text), "k", [*inputs, *(np.zeros_like(o) for o in outputs)], {})
        found.append(Case(vector, False, list(inputs), wanted, 1e-5))

    return collect


def agrees(source, arrays, outputs, folder, tolerance, taken, target, **options):
    """A compiled object gives `outputs` for `inputs`, and its kernels with the schedules `taken` are so many."""
    there = neomlir.compile(source, target, emit="obj", output=folder / "net.o", **options)
    schedules = [kernel["schedule"] for kernel in there.report["kernels"]]
    assert {name: schedules.count(name) for name in taken} == taken
    given = dict(zip((spec.name for spec in there.inputs), arrays, strict=True))
    wanted = dict(zip((spec.name for spec in there.outputs), outputs, strict=True))
    assert set(bare.run_checked(there, Target.named(target), given, wanted, tolerance)) == {0}
    wrong = {name: array * np.float32(1 + 3 * tolerance) for name, array in wanted.items()}
    assert set(bare.run_checked(there, Target.named(target), given, wrong, tolerance)) == {1}


def quantised():
    """Two convolutions and a product of odd extents in QDQ form, an input, and what ONNX Runtime gives for it."""
    import test_quantized as q

    zero = np.uint8(128)
    source = q.model(
        [
            *q.qdq("x", "a"),
            q.node("DequantizeLinear", "w w_s w_z", "wf", axis=0),
            q.node("Conv", "a wf", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
            q.node("Relu", "c", "r"),
            *q.qdq("r", "d"),
            q.node("DequantizeLinear", "v v_s v_z", "vf", axis=0),
            q.node("Conv", "d vf", "e"),
            *q.qdq("e", "f"),
            q.node("Reshape", "f shape", "g"),
            q.node("DequantizeLinear", "m m_s m_z", "mf"),
            q.node("MatMul", "g mf", "h"),
            *q.qdq("h", "y"),
        ],
        [q.value("x", q.F32, 1, 5, 9, 11)],
        [q.value("y", q.F32, 15, 41)],
        {
            **q.point("a", 0.03, zero + 5, np.uint8),
            **q.point("d", 0.2, zero, np.uint8),
            **q.point("f", 0.4, zero - 20, np.uint8),
            **q.point("y", 2.0, zero, np.uint8),
            "w": q.weights(37, 5, 3, 3),
            "w_s": np.linspace(0.01, 0.02, 37).astype(np.float32),
            "w_z": np.zeros(37, np.int8),
            "v": q.weights(26, 37, 1, 1),
            "v_s": np.linspace(0.01, 0.02, 26).astype(np.float32),
            "v_z": np.zeros(26, np.int8),
            "shape": np.array([15, 52], np.int64),
            "m": q.weights(52, 41),
            **q.point("m", 0.01, 0, np.int8),
        },
    )
    x = np.random.default_rng(0).standard_normal((1, 5, 9, 11)).astype(np.float32)
    written = peers.reference(source, {"x": x})({"x": x})
    return source, x, written


def layers():
    """Convolutions and linear layers of odd extents, an input, and what PyTorch gives for it."""
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Conv2d(5, 37, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(37, 26, 1), torch.nn.Flatten()
    module = torch.nn.Sequential(*layers, torch.nn.Linear(780, 51), torch.nn.Tanh(), torch.nn.Linear(51, 39)).eval()
    x = torch.randn(2, 5, 9, 11)
    wanted = module(x).detach().numpy()
    return module, x, wanted


def recurrent(batch: int, hidden: int = 64):
    """A recurrent layer both ways, an input, and what PyTorch gives for it."""
    import torch

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.GRU(10, hidden, batch_first=True, bidirectional=True)

        def forward(self, x):
            return self.layer(x)[0]

    torch.manual_seed(0)
    module, x = Layer().eval(), torch.randn(batch, 6, 10)
    return module, x, module(x).detach().numpy()


def heads(tokens: int, keys: int = 0, masked: bool = False, own: int = 3):
    """Three heads of attention, of keys of their own or the same (1), its inputs, and what PyTorch gives for them."""
    import torch

    class Heads(torch.nn.Module):
        def forward(self, q, k, v):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=masked, enable_gqa=True)

    torch.manual_seed(0)
    q, k, v = (torch.randn(1, number, extent, 24) for number, extent in ((3, tokens), *[(own, keys or tokens)] * 2))
    inputs = [q, k, v]
    return Heads(), inputs, Heads()(*inputs).numpy()
