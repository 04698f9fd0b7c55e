"""Weights kept as integers: what they make of a model, and the schedule that multiplies them."""

import random

import neomlir
import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets
from neomlir.errors import CompileError, PassFailure, PipelineError

_BODY = """%w = arith.extui %x1 : i8 to i32
%c15 = arith.constant 15 : i32
%c8 = arith.constant 8 : i32
%c4 = arith.constant 4 : i32
%a = arith.andi %w, %c15 : i32
%b = arith.shrui %w, %c4 : i32
%c = arith.subi %a, %c8 : i32
%d = arith.subi %b, %c8 : i32
%e = arith.sitofp %c : i32 to f32
%f = arith.sitofp %d : i32 to f32
%g = arith.mulf %x0, %e : f32
%h = arith.mulf %x2, %f : f32
%i = arith.addf %g, %h : f32
%j = arith.mulf %i, %x3 : f32
%y = arith.addf %o, %j : f32"""


def product(target, rows, depth, columns, group, dynamic=False):
    """A product with 4-bit weights and a bias against plain loops."""
    width = {"x86-64-v4": 64, "x86-64-v3": 32, "x86-64-v2": 16}[target]
    draw = np.random.default_rng(rows * 1000 + depth + columns)
    panels = -(-columns // width)
    a = draw.standard_normal((rows, depth)).astype("f4")
    q = draw.integers(0, 256, (panels, depth // 2, width)).astype("u1").view("i1")
    s = draw.random((panels, depth // group, width)).astype("f4")
    bias = draw.standard_normal(columns).astype("f4")
    types = [tensor(a.shape, "f32", {0} if dynamic else ()), tensor(q.shape, "i8"), tensor(s.shape), tensor(bias.shape)]
    out = tensor((rows, columns), "f32", {0} if dynamic else ())
    maps = ["d0, d2 * 2", f"d1 floordiv {width}, d2, d1 mod {width}", "d0, d2 * 2 + 1"]
    maps += [f"d1 floordiv {width}, d2 floordiv {group // 2}, d1 mod {width}", "d0, d1"]
    operands = [("%a0", types[0]), ("%a1", types[1]), ("%a0", types[0]), ("%a2", types[2])]
    code, extents = "", ""
    if dynamic:
        code, extents = f"%zero = arith.constant 0 : index\n%rows = tensor.dim %a0, %zero : {types[0]}\n", "%rows"
    code += filled("z", "0.0", out, extents=extents) + generic("p", maps, "ppr", operands, ("%z", out), _BODY)
    code += generic(
        "r0",
        ["d0, d1", "d1", "d0, d1"],
        "pp",
        [("%p", out), ("%a3", types[3])],
        ("%out0", out),
        "%y = arith.addf %x0, %x1 : f32",
    )
    result = np.zeros((rows, columns), "f4")
    check(kernel(types, [out], code), [a, q, s, bias], [result], targets.get(target), "nibbles", 1e-5)


@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3"])
@pytest.mark.parametrize("size", [(1, 64, 128), (1, 96, 37), (7, 64, 70), (50, 64, 70), (133, 96, 129)])
def test_products_with_nibbles(target, size):
    if targets.get(target).runs_here():
        product(target, *size, 32)


def test_random_products_with_nibbles():
    r = random.Random(1)
    for _ in range(4):
        group = r.choice([16, 32])
        product(
            "x86-64-v2", r.choice([1, 2, 9, 20, 60]), group * r.randint(1, 4), r.randint(1, 90), group, r.random() < 0.5
        )


@pytest.fixture(scope="module")
def model():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(96, 130), torch.nn.ReLU(), torch.nn.Linear(130, 64))
    return layers.eval(), (torch.randn(3, 96),)


@pytest.mark.parametrize(("weights", "share", "error"), [("int8", 0.3, 1e-2), ("int4:16", 0.3, 0.12)])
def test_a_model_of_integers_is_smaller_and_near(model, weights, share, error):
    source, example = model
    plain = neomlir.compile(source, inputs=example, isolate=False, jobs=1)
    compiled = neomlir.compile(source, inputs=example, weights=weights, isolate=False, jobs=1)
    assert compiled.report["weight_bytes"] < share * plain.report["weight_bytes"]
    (agreement,) = neomlir.check(source, compiled)
    assert 1e-5 < agreement.error < error


def test_a_scale_of_zeros_and_an_exact_weight():
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(64, 48, bias=False).eval()
    weight = torch.randint(-7, 8, (48, 64)).float() * 0.25
    weight[:, ::32] = -8 * 0.25  # so that every group's step is a quarter
    weight[5] = 0
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    compiled = neomlir.compile(layer, inputs=(torch.randn(2, 64),), weights="int4", isolate=False, jobs=1)
    (agreement,) = neomlir.check(layer, compiled)
    assert agreement.error < 1e-6


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_weights_that_are_not_finite(weights):
    torch = pytest.importorskip("torch")
    layers = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.Linear(48, 64)).eval()
    layers[1].weight.data[3, 5] = float("inf")
    with pytest.raises(CompileError, match=r"weight 1\.weight holds numbers that are not finite"):
        neomlir.compile(layers, inputs=(torch.randn(2, 64),), weights=weights, isolate=False, jobs=1)


@pytest.mark.parametrize(
    ("weights", "pipeline", "error", "message"),
    [
        ("int3", None, PipelineError, "weights are fp32, int8, int4, or int4:GROUP"),
        ("int8:32", None, PipelineError, "not 'int8:32'"),
        ("int4:0", None, PipelineError, "not 'int4:0'"),
        (None, None, PipelineError, "not None"),
        ("int4", "cpu-scalar", PipelineError, "takes the pipeline cpu"),
        ("int4:24", None, PassFailure, "group=24 is no power of two"),
    ],
)
def test_weights_that_are_none(model, weights, pipeline, error, message):
    source, example = model
    with pytest.raises(error, match=message):
        neomlir.compile(source, inputs=example, weights=weights, pipeline=pipeline, stop_at="global", isolate=False)
