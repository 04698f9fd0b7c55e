"""Depthwise convolutions of bytes, quantised again by channel, against plain loops."""

import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets


def here(*names):
    """Those of the targets whose code this machine runs."""
    return [name for name in names if targets.get(name).runs_here()]


BYTES = here("sapphirerapids", "icelake-server")
WORDS = here("x86-64-v2", "x86-64-v3", "x86-64-v4")
EITHER = [*((target, "depthwise_bytes") for target in BYTES), *((target, "depthwise_words") for target in WORDS)]


def convolution(target, taken, channels, size, stride, window=(3, 3), zero=0, signs="us", signed=False):
    """Windows over planes of which the result has `size`; `signs`: s or u of the input and of the weights."""
    random = np.random.default_rng(0)
    (high, wide), (rows, points) = size, window
    shape = ((high - 1) * stride + rows, (wide - 1) * stride + points, channels)
    a, b = (random.integers(0, 256, s).astype(np.uint8).view(np.int8) for s in (shape, (rows, points, channels)))
    # Extremes of both, so that sums of products reach theirs.
    a[:, :, 0], b[:, :, 0] = (-128 if sign == "s" else -1 for sign in signs)
    scale = random.uniform(1e-3, 1e-1, channels).astype(np.float32)
    shift = random.uniform(-50, 300, channels).astype(np.float32)
    types = [tensor(a.shape, "i8"), tensor(b.shape, "i8"), tensor((channels,)), tensor((channels,))]
    sums, out = tensor((high, wide, channels), "i32"), tensor((high, wide, channels), "i8")
    text = (
        f"%0 = arith.ext{signs[0]}i %x0 : i8 to i32\n%1 = arith.ext{signs[1]}i %x1 : i8 to i32\n"
        "%2 = arith.muli %0, %1 : i32\n%y = arith.addi %o, %2 : i32"
    )
    end = (
        "%0 = arith.sitofp %x0 : i32 to f32\n%1 = arith.mulf %0, %x1 : f32\n%2 = arith.addf %1, %x2 : f32\n"
        "%3 = arith.cmpf ogt, %2, %low : f32\n%4 = arith.select %3, %2, %low : f32\n"
        "%5 = arith.cmpf olt, %4, %high : f32\n%6 = arith.select %5, %4, %high : f32\n"
        "%7 = arith.addf %6, %round : f32\n%8 = arith.bitcast %7 : f32 to i32\n"
        "%9 = arith.addi %8, %zero : i32\n%y = arith.trunci %9 : i32 to i8"
    )
    maps = [f"d0 * {stride} + d3, d1 * {stride} + d4, d2", "d3, d4, d2", "d0, d1, d2"]
    least = -128 if signed else 0
    code = f"%low = arith.constant {least - zero}.0 : f32\n%high = arith.constant {least + 255 - zero}.0 : f32\n"
    code += f"%round = arith.constant 12582912.0 : f32\n%zero = arith.constant {zero} : i32\n"
    code += filled("z", "0", sums)
    code += generic("c", maps, "ppprr", [("%a0", types[0]), ("%a1", types[1])], ("%z", sums), text)
    each = ["d0, d1, d2", "d2", "d2", "d0, d1, d2"]
    ins = [("%c", sums), ("%a2", types[2]), ("%a3", types[3])]
    code += generic("r0", each, "ppp", ins, ("%out0", out), end)
    result = np.zeros((high, wide, channels), np.int8)
    check(kernel(types, [out], code), [a, b, scale, shift], [result], targets.get(target), taken)


@pytest.mark.parametrize(("target", "taken"), EITHER)
@pytest.mark.parametrize(("channels", "size", "stride"), [(144, (3, 7), 1), (40, (2, 9), 2), (16, (5, 1), 1)])
def test_channels_in_blocks(target, taken, channels, size, stride):
    """Whole vectors and a last one that begins before the one before it ends; strips of results and less."""
    convolution(target, taken, channels, size, stride)


@pytest.mark.parametrize(("target", "taken"), EITHER)
@pytest.mark.parametrize(("rows", "zero"), [(1, 7), (5, 128)])
def test_rows_of_a_window_and_a_zero_point(target, taken, rows, zero):
    convolution(target, taken, 64, (2, 6), 2, (rows, 3), zero)


@pytest.mark.parametrize("target", WORDS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("points", [2, 5])
def test_pairs_of_points_of_a_row(target, points, stride):
    """Windows of an even and of an odd number of points, which start at any place of a pair."""
    convolution(target, "depthwise_words", 32, (2, 5), stride, (2, points))


@pytest.mark.parametrize("target", WORDS)
@pytest.mark.parametrize("signs", ["ss", "su", "uu"])
@pytest.mark.parametrize("signed", [True, False])
def test_words_of_any_sign(target, signs, signed):
    convolution(target, "depthwise_words", 48, (2, 5), 1, (7, 7), 3, signs, signed)


@pytest.mark.parametrize("target", [*BYTES, *WORDS])
def test_few_channels_go_another_way(target):
    convolution(target, "depthwise", 12, (2, 6), 1)
