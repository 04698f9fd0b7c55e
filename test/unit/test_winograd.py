"""Winograd's convolutions: the matrices, the pass and the schedule, against direct convolution in double precision."""

import dataclasses
import random

import neomlir
import numpy as np
import pytest
from execute import run as run_module
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets
from neomlir.errors import PassFailure
from neomlir.mlir import context, ir
from neomlir.pipeline import Pipeline, with_option
from neomlir.schedules.winograd_math import POINTS, matrices, multiply, operations
from neomlir.schedules.winograd_plan import Shape, blocking, choose, error
from neomlir.targets import Target

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "neoverse-n1")


def normal(*shape, dtype="f4"):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def direct(x, w):
    """`y[n, h, w, k]` of `x[n, h, w, c]` and `w[k, a, b, c]`, in double precision."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("f8"), (3, 3), axis=(1, 2))
    return np.einsum("nhwcab,kabc->nhwk", windows, w.astype("f8"))


class Numbers:
    add = staticmethod(lambda x, y, sign: x + sign * y)
    scale = staticmethod(lambda factor, x: factor * x)
    accumulate = staticmethod(lambda factor, x, total: total + factor * x)


@pytest.mark.parametrize("m", POINTS)
def test_matrices_filter_as_taps_do(m):
    a, g, b = matrices(m)
    d, taps = normal(m + 2, dtype="f8"), normal(3, dtype="f8")
    products = (g @ taps) * np.array(multiply(Numbers, b, list(d)))
    np.testing.assert_allclose(multiply(Numbers, a, list(products)), np.correlate(d, taps), rtol=1e-12)
    # Less than a multiply-add a coefficient that is not zero: rows and columns have parts in common.
    assert operations(b) + operations(a) < (a != 0).sum() + (b != 0).sum()


def text_of(m, planes, height, width, c, k, panel, dynamic, epilogue, border=0):
    """The kernel that `neo-winograd` and `neo-form-kernels` make, and the shapes of its arguments.

    `border` rows and columns of zeros before and behind the input are none of it.
    """
    n, tiles = m + 2, [-(-height // m), -(-width // m)]
    o = len(planes) + 2
    d = [f"d{i}" for i in range(o + 5)]
    p, (r, q), (i, j, e, u, v) = d[: o - 2], d[o - 2 : o], d[o:]
    flexible = {0} if dynamic else ()
    source = tensor((*planes, tiles[0] * m + 2, tiles[1] * m + 2, c), dynamic=flexible)
    filters = (-(-k // panel), n, n, c, panel)
    inner = [t * m + 2 - 2 * border for t in tiles]
    given = tensor((*planes, *inner, c), dynamic=flexible)
    gathered = tensor((*planes, *tiles, n, n, c), dynamic=flexible)
    products = tensor((*planes, *tiles, n, n, k), dynamic=flexible)
    out = tensor((*planes, height, width, k), dynamic=flexible)
    extents = "%n" if dynamic else ""
    a, _, b = (x.astype("f4") for x in matrices(m))
    text = "%c0 = arith.constant 0 : index\n" + (f"%n = tensor.dim %a0, %c0 : {given}\n" if dynamic else "")
    read = "%a0"
    if border:
        low, read = [*[0] * len(planes), border, border, 0], "%q"
        block = ", ".join(f"%q{x}: index" for x in range(len(low)))
        text += (
            f"%qz = arith.constant 0.0 : f32\n%q = tensor.pad %a0 low{low} high{low} {{\n^bb0({block}):\n"
            f"tensor.yield %qz : f32\n}} : {given} to {source}\n"
        )
    for name, matrix in (("b", b), ("a", a)):
        rows = ", ".join("[" + ", ".join(f"{float(x):.9e}" for x in row) + "]" for row in matrix)
        text += f"%{name} = arith.constant dense<[{rows}]> : {tensor(matrix.shape)}\n"
    text += filled("f0", "0.0", gathered, extents=extents)
    maps = [[*p, f"{r} * {m} + {u}", f"{q} * {m} + {v}", e], [i, u], [j, v], [*p, r, q, i, j, e]]
    body = "%m = arith.mulf %x0, %x1 : f32\n%l = arith.mulf %m, %x2 : f32\n%y = arith.addf %o, %l : f32"
    ins = [(read, source), *[("%b", tensor(b.shape))] * 2]
    text += generic("v", [", ".join(x) for x in maps], "p" * (o + 3) + "rr", ins, ("%f0", gathered), body)
    text += filled("f1", "0.0", products, extents=extents)
    kk, cc = d[o + 2], d[o + 3]
    maps = [
        [*p, r, q, i, j, cc],
        [f"{kk} floordiv {panel}", i, j, cc, f"{kk} mod {panel}"],
        [*p, r, q, i, j, kk],
    ]
    ins = [("%v", gathered), ("%a1", tensor(filters))]
    product = "%m = arith.mulf %x0, %x1 : f32\n%y = arith.addf %o, %m : f32"
    text += generic("p", [", ".join(x) for x in maps], "p" * (o + 3) + "r", ins, ("%f1", products), product)
    text += filled("f2", "0.0", out, extents=extents)
    y, x, kk, i, j = d[o - 2 : o + 3]
    maps = [
        [*p, f"{y} floordiv {m}", f"{x} floordiv {m}", i, j, kk],
        [f"{y} mod {m}", i],
        [f"{x} mod {m}", j],
        d[: o + 1],
    ]
    ins = [("%p", products), *[("%a", tensor(a.shape))] * 2]
    text += generic("s", [", ".join(z) for z in maps], "p" * (o + 1) + "rr", ins, ("%f2", out), body)
    identity = ", ".join(d[: o + 1])
    extra = {"bias": (tensor((k,)), (k,), f"d{o}"), "residual": (out, (*planes, height, width, k), identity)}[epilogue]
    body = "%t = arith.addf %x0, %x1 : f32\n%y = arith.maximumf %t, %zero : f32"
    text += "%zero = arith.constant 0.0 : f32\n"
    ins, maps = [("%s", out), ("%a2", extra[0])], [identity, extra[2], identity]
    text += generic("r0", maps, "p" * (o + 1), ins, ("%out0", out), body)
    shapes = [(*planes, *inner, c), filters, extra[1]]
    return kernel([given, tensor(filters), extra[0]], [out], text), shapes, (*planes, height, width, k)


@pytest.mark.parametrize("seed", range(10))
def test_schedule_against_plain_loops(seed):
    r = random.Random(seed)
    m, target = r.choice((2, 4)), targets.get(r.choice(TARGETS))
    planes = r.choice(((), (1,), (3,)))
    height, width, c = r.randint(1, 11), r.randint(1, 11), r.choice((1, 3, 8, 17))
    panel = r.choice({128: (8,), 256: (8, 16, 24, 32), 512: (8, 16, 32)}[target.vector.bits])
    k = r.choice((panel, panel - 3, 2 * panel + 5))
    dynamic = bool(planes) and r.random() < 0.5
    after, border = r.choice(("bias", "residual")), r.choice((0, 1))
    text, shapes, out = text_of(m, planes, height, width, c, k, panel, dynamic, after, border)
    inputs = [normal(*s) for s in shapes]
    # Products and sums in another order: the errors of single precision, and no more.
    check(text, inputs, [np.zeros(out, "f4")], target, "winograd", tolerance=2e-5)


def test_three_vectors_of_filters_and_four_tiles():
    text, shapes, out = text_of(4, (), 7, 13, 5, 24, 24, False, "bias")
    check(
        text, [normal(*s) for s in shapes], [np.zeros(out, "f4")], targets.get("x86-64-v3"), "winograd", tolerance=2e-5
    )


def test_all_panels_pass_by_one_place_of_the_transform():
    """In a cache of 36 kB: one block of sixteen tiles, strips of six, five and five, by panels two and one."""
    target = targets.get("x86-64-v3")
    target = dataclasses.replace(target, cache=dataclasses.replace(target.cache, l2=36 << 10))
    cut = blocking(target, 2, 16, 40, 37, 16)
    assert (cut.tiles, cut.heights(), cut.blocks, cut.wide) == (16, [6, 5, 5], 1, 2)
    text, shapes, out = text_of(2, (), 7, 7, 40, 37, 16, False, "residual")
    check(text, [normal(*s) for s in shapes], [np.zeros(out, "f4")], target, "winograd", tolerance=2e-5)


CONVOLUTION = """
ml_program.global private @w(#ml_program.extern) : tensor<{k}x3x3x{c}xf32>
func.func @main(%x: tensor<{n}x{h}x{v}x{c}xf32>) -> tensor<{n}x{oh}x{ov}x{k}xf32> {{
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %w = ml_program.global_load_const @w : tensor<{k}x3x3x{c}xf32>
  %pad = tensor.pad %x low[0, {p}, {p}, 0] high[0, {p}, {p}, 0] {{
  ^bb0(%i0: index, %i1: index, %i2: index, %i3: index):
    tensor.yield %zero : f32
  }} : tensor<{n}x{h}x{v}x{c}xf32> to tensor<{n}x{ph}x{pv}x{c}xf32>
  {extent}
  %e = tensor.empty({size}) : tensor<{n}x{oh}x{ov}x{k}xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<{n}x{oh}x{ov}x{k}xf32>) -> tensor<{n}x{oh}x{ov}x{k}xf32>
  %r = linalg.conv_2d_nhwc_fhwc {{dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}}
    ins(%pad, %w : tensor<{n}x{ph}x{pv}x{c}xf32>, tensor<{k}x3x3x{c}xf32>)
    outs(%f : tensor<{n}x{oh}x{ov}x{k}xf32>) -> tensor<{n}x{oh}x{ov}x{k}xf32>
  return %r : tensor<{n}x{oh}x{ov}x{k}xf32>
}}
"""


def convolution(n, h, v, c, k, p, dynamic=False):
    extent = f"%n = tensor.dim %x, %c0 : tensor<?x{h}x{v}x{c}xf32>" if dynamic else ""
    return CONVOLUTION.format(
        n="?" if dynamic else n, h=h, v=v, c=c, k=k, p=p, ph=h + 2 * p, pv=v + 2 * p, oh=h + 2 * p - 2,
        ov=v + 2 * p - 2, extent=extent, size="%n" if dynamic else "",
    )  # fmt: skip


@pytest.mark.parametrize("m", POINTS)
@pytest.mark.parametrize("seed", range(4))
def test_pass_stays_within_a_hundred_thousandth(m, seed):
    r = random.Random(seed)
    n, h, v, p = r.randint(1, 3), r.randint(3, 11), r.randint(3, 11), r.randint(0, 2)
    c, k, dynamic = r.choice((1, 5, 40)), r.choice((1, 6, 17)), seed % 2 == 1
    with context():
        module = ir.Module.parse(convolution(n, h, v, c, k, p, dynamic))
        x = np.maximum(normal(n, h, v, c), 0)
        weights = {"w": normal(k, 3, 3, c)}
        text = f"builtin.module(neo-generalize,neo-winograd{{use={m} target=x86-64-v4}},neo-hoist-constants)"
        Pipeline(text).run(module, isolate=False)
        assert "floordiv" in str(module)
        found = run_module(module, [x], weights)[0]
    wanted = direct(np.pad(x, ((0, 0), (p, p), (p, p), (0, 0))), weights["w"])
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_error_model_bounds_what_random_data_shows():
    """The sum of 512 channels, transformed by the arithmetic of the schedule, beside double precision."""
    c, tiles, k = 512, 24, 8
    for m in POINTS:
        a, g, b = matrices(m)
        x = np.maximum(normal(tiles, m + 2, m + 2, c), 0)
        w = normal(k, 3, 3, c)
        u = np.einsum("ia,kabc,jb->ijck", g, w.astype("f8"), g).astype("f4")
        b, a = b.astype("f4"), a.astype("f4")
        half = np.einsum("iu,tuvc->tivc", b, x)
        v = np.einsum("jv,tivc->ijtc", b, half)
        y = np.einsum("bj,ai,ijtk->tabk", a, a, np.matmul(v, u).astype("f4"))
        wanted = direct(x, w)
        assert np.abs(y - wanted).max() <= error(m, c) * np.abs(wanted).max()


def test_where_it_pays():
    host = Target.named("sapphirerapids")
    assert choose(host, Shape(56, 56, 64, 64)) == 4
    # Many filters for few pixels: reading the transformed ones takes longer than the direct convolution.
    assert choose(host, Shape(7, 7, 512, 512)) is None
    # So many channels that F(4, 3) would lose too much.
    assert error(4, 2048) > 1e-5 > error(2, 2048)
    assert choose(host, Shape(56, 56, 2048, 64)) in (2, None)
    # Too little work for longer code.
    assert choose(host, Shape(4, 4, 8, 8)) is None


def test_filters_that_come_once_for_all_tiles():
    """Where the cache holds few transformed inputs, places come one after the other; where it holds all, panels do."""
    small, shape = Target.named("znver2"), Shape(7, 7, 512, 512)
    assert choose(small, shape) == 2
    cut = blocking(small, 2, 16, 512, 512, 16)
    assert (cut.tiles, cut.blocks, cut.groups, cut.wide) == (16, 1, 2, 16)
    assert blocking(Target.named("sapphirerapids"), 2, 49, 256, 256, 32).wide == 1


def test_filters_that_come_fast_are_worth_larger_tiles():
    target = Target.named("znver2")

    def chosen(stream, *shape):
        cache = dataclasses.replace(target.cache, stream=stream)
        return choose(dataclasses.replace(target, cache=cache), Shape(*shape))

    assert [chosen(n, 14, 14, 256, 256) for n in (7, 16)] == [2, 4]
    assert [chosen(n, 7, 7, 512, 512) for n in (3, 7)] == [None, 2]


def test_it_can_be_forbidden():
    host = Target.named("x86-64-v4")
    assert with_option("cpu", host, "neo-winograd.use=never") == "cpu{neo-winograd.use=never}"
    longer = with_option("cpu{neo-pack-forest.strategy=loops}", host, "neo-winograd.use=never")
    assert longer == "cpu{neo-pack-forest.strategy=loops neo-winograd.use=never}"
    assert with_option("cpu-scalar", host, "neo-winograd.use=never") == "cpu-scalar"
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(32, 32, 3, padding=1).eval()
    options = {"target": "x86-64-v4", "inputs": (torch.zeros(1, 32, 28, 28),), "stop_at": "kernels"}
    assert "@winograd_" in neomlir.compile(conv, **options)
    assert "@winograd_" not in neomlir.compile(conv, winograd=False, **options)
    options |= {"target": "znver4", "precision": "bf16"}
    assert "bf16" not in neomlir.compile(conv, **options)
    assert "xbf16>" in neomlir.compile(conv, winograd=False, **options)


def test_use_is_checked():
    with context(), pytest.raises(PassFailure, match="use is auto, never, 2 or 4, not '3'"):
        module = ir.Module.parse("module {}")
        Pipeline("builtin.module(neo-winograd{use=3})").run(module, isolate=False)


def test_whole_program_with_a_dynamic_batch():
    pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    w, bias = normal(40, 24, 3, 3), normal(40)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    ends = [helper.make_tensor_value_info("x", 1, ["n", 24, 13, 9]), helper.make_tensor_value_info("y", 1, None)]
    constants = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], constants)
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = neomlir.compile(source, pipeline="cpu{neo-winograd.use=4}")
    assert "winograd" in {k["schedule"] for k in model.report["kernels"]}
    for batch in (1, 3):
        x = normal(batch, 24, 13, 9)
        wanted = direct(np.pad(x.transpose(0, 2, 3, 1), ((0, 0), (1, 1), (1, 1), (0, 0))), w.transpose(0, 2, 3, 1))
        wanted = (wanted + bias).transpose(0, 3, 1, 2)
        assert np.abs(model(x) - wanted).max() <= 1e-5 * np.abs(wanted).max()
