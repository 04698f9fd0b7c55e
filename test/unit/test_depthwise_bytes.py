"""Depthwise convolutions of bytes, quantised again by channel, against plain loops."""

import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets

TARGETS = [n for n in ("sapphirerapids", "icelake-server") if "avx512vnni" in targets.host_cpu()[1]]


def convolution(target, channels, size, stride, taps=3, zero=0, taken="depthwise_bytes"):
    """Windows of `taps` x 3 points over planes of which the result has `size`."""
    random = np.random.default_rng(0)
    high, wide = size
    shape = ((high - 1) * stride + taps, (wide - 1) * stride + 3, channels)
    a = random.integers(0, 256, shape).astype(np.uint8).view(np.int8)
    b = random.integers(-128, 128, (taps, 3, channels)).astype(np.int8)
    scale = random.uniform(1e-3, 1e-1, channels).astype(np.float32)
    shift = random.uniform(-50, 300, channels).astype(np.float32)
    types = [tensor(a.shape, "i8"), tensor(b.shape, "i8"), tensor((channels,)), tensor((channels,))]
    sums, out = tensor((high, wide, channels), "i32"), tensor((high, wide, channels), "i8")
    text = (
        "%0 = arith.extui %x0 : i8 to i32\n%1 = arith.extsi %x1 : i8 to i32\n"
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
    code = f"%low = arith.constant {-zero}.0 : f32\n%high = arith.constant {255 - zero}.0 : f32\n"
    code += f"%round = arith.constant 12582912.0 : f32\n%zero = arith.constant {zero} : i32\n"
    code += filled("z", "0", sums)
    code += generic("c", maps, "ppprr", [("%a0", types[0]), ("%a1", types[1])], ("%z", sums), text)
    each = ["d0, d1, d2", "d2", "d2", "d0, d1, d2"]
    ins = [("%c", sums), ("%a2", types[2]), ("%a3", types[3])]
    code += generic("r0", each, "ppp", ins, ("%out0", out), end)
    result = np.zeros((high, wide, channels), np.int8)
    check(kernel(types, [out], code), [a, b, scale, shift], [result], targets.get(target), taken)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("channels", "size", "stride"), [(144, (3, 7), 1), (40, (2, 9), 2), (16, (5, 1), 1)])
def test_channels_in_blocks(target, channels, size, stride):
    """Whole vectors and a last one that begins before the one before it ends; strips of four results and less."""
    convolution(target, channels, size, stride)


@pytest.mark.skipif(not TARGETS, reason="no vpdpbusd")
@pytest.mark.parametrize(("taps", "zero"), [(1, 7), (5, 128)])
def test_rows_of_a_window_and_a_zero_point(taps, zero):
    convolution(TARGETS[0], 64, (2, 6), 2, taps, zero)


@pytest.mark.skipif(not TARGETS, reason="no vpdpbusd")
def test_few_channels_go_another_way():
    convolution(TARGETS[0], 12, (2, 6), 1, taken="depthwise")
