"""Planes put together to points of a few channels, against plain loops."""

import numpy as np
import pytest
from kernels import check, generic, kernel, tensor
from neomlir import targets


def quantised(planes, wide, low, high, target, taken="pixels", narrowed=False):
    """Planes of f32 times two, as bytes (`narrowed` from 32 bits), with a border of 7."""
    a = np.random.default_rng(0).uniform(-60, 60, (planes, 3, wide)).astype(np.float32)
    inside = (3, wide, planes)
    shape = tuple(n + x + y for n, x, y in zip(inside, low, high, strict=True))
    made, out = tensor(inside, "i8"), tensor(shape, "i8")
    body = "%0 = arith.addf %x0, %x0 : f32\n%y = arith.fptosi %0 : f32 to i8"
    if narrowed:
        body = body.replace("%y", "%1").replace("i8", "i32") + "\n%y = arith.trunci %1 : i32 to i8"
    code = f"%e = tensor.empty() : {made}\n"
    code += generic("c", ["d2, d0, d1", "d0, d1, d2"], "ppp", [("%a0", tensor(a.shape))], ("%e", made), body)
    code += f"%seven = arith.constant 7 : i8\n%r0 = tensor.pad %c low{list(low)} high{list(high)} {{\n"
    code += f"^bb0(%i: index, %j: index, %k: index):\ntensor.yield %seven : i8\n}} : {made} to {out}\n"
    check(kernel([tensor(a.shape)], [out], code), [a], [np.zeros(shape, np.int8)], targets.get(target), taken)


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("planes", [1, 3, 4])
@pytest.mark.parametrize("narrowed", [False, True])
def test_bytes_with_a_border(planes, narrowed, target):
    """Rows of no whole number of vectors, channels that fill up, and points all around."""
    quantised(planes, 37, (1, 3, 0), (2, 18, 4 - planes), target, narrowed=narrowed)


def test_a_border_before_the_channels_goes_another_way():
    quantised(3, 37, (1, 1, 1), (1, 1, 0), "x86-64-v4", "elementwise")


@pytest.mark.parametrize("channels", [2, 4])
def test_halves(channels):
    a = np.random.default_rng(0).standard_normal((channels, 2, 33)).astype(np.float16)
    out = tensor((2, 33, channels), "f16")
    ins = [("%a0", tensor(a.shape, "f16"))]
    code = generic("r0", ["d2, d0, d1", "d0, d1, d2"], "ppp", ins, ("%out0", out), "%y = arith.addf %x0, %x0 : f16")
    result = np.zeros((2, 33, channels), np.float16)
    check(kernel([ins[0][1]], [out], code), [a], [result], targets.get("x86-64-v4"), "pixels")
