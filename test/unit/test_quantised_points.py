"""Kernels that quantise point by point, four vectors at a time, against plain loops."""

import numpy as np
import pytest
from kernels import check, generic, kernel, tensor
from neomlir import targets

TARGETS = [name for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4") if targets.get(name).runs_here()]


def quantised(shape, wide, zero, signed, low=None):
    """`text` of a sum of a tensor of f32 and a row, with a scale, as bytes; `low` is another bound than the least."""
    least = -128 if signed else 0
    bounds = (least - zero if low is None else low, least + 255 - zero)
    code = f"%low = arith.constant {bounds[0]}.0 : f32\n%high = arith.constant {bounds[1]}.0 : f32\n"
    code += f"%round = arith.constant 12582912.0 : f32\n%zero = arith.constant {zero} : i32\n"
    end = (
        "%0 = arith.addf %x0, %x1 : f32\n"
        "%1 = arith.cmpf ogt, %0, %low : f32\n%2 = arith.select %1, %0, %low : f32\n"
        "%3 = arith.cmpf olt, %2, %high : f32\n%4 = arith.select %3, %2, %high : f32\n"
        "%5 = arith.addf %4, %round : f32\n%6 = arith.bitcast %5 : f32 to i32\n"
        "%7 = arith.addi %6, %zero : i32\n%y = arith.trunci %7 : i32 to i8"
    )
    maps = ["d0, d1", wide, "d0, d1"]
    row = tensor(shape[-1:] if wide == "d1" else shape[:1])
    ins = [("%a0", tensor(shape)), ("%a1", row)]
    code += generic("r0", maps, "pp", ins, ("%out0", tensor(shape, "i8")), end)
    return kernel([tensor(shape), row], [tensor(shape, "i8")], code)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("shape", "zero", "signed"), [((3, 24), 0, False), ((2, 103), 128, False), ((5, 71), -3, True)]
)
@pytest.mark.parametrize("wide", ["d0", "d1"])
def test_rows_of_any_length(shape, zero, signed, wide, target):
    """Whole groups of four vectors and what is left; values next to halves, beyond both bounds, and no number."""
    random = np.random.default_rng(0)
    a = (random.integers(-600, 600, shape) / 2).astype(np.float32)
    a[:, 1], a[:, 5], a[:, 6], a[0, 7] = np.nan, np.inf, -np.inf, 3e9
    b = random.integers(-3, 3, shape[1:] if wide == "d1" else shape[:1]).astype(np.float32)
    out = np.zeros(shape, np.int8)
    check(quantised(shape, wide, zero, signed), [a, b], [out], targets.get(target), "elementwise")


@pytest.mark.parametrize("target", TARGETS)
def test_a_bound_above_the_least_byte(target):
    a = np.linspace(-300, 300, 2 * 64, dtype=np.float32).reshape(2, 64)
    text = quantised(a.shape, "d1", 7, False, low=0)
    check(text, [a, np.zeros(64, np.float32)], [np.zeros(a.shape, np.int8)], targets.get(target), "elementwise")
