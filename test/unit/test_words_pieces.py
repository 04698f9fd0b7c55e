"""Contractions of widened bytes with any parameters: panels in pieces or whole, direct or with half the products."""

import numpy as np
import pytest
from kernels import filled, generic, kernel, run, scheduled, tensor
from neomlir import targets
from neomlir.schedules.units import units_of
from test_dot_products import HERE, RANGE, TYPES, access, body, panels


def convolve(target, kinds, a, b, stride, told):
    """`y[h, w, k]` of `a[h, w, c]` and `b[i, j, c, k]`, and the parameters that were taken."""
    target = targets.get(target)
    width = 2 * units_of(target, *kinds)[0].lanes
    packed = panels(b, width, 2)
    high, wide = ((n - taps) // stride + 1 for n, taps in zip(a.shape[:2], b.shape[:2], strict=True))
    out = tensor((high, wide, b.shape[-1]), "i32")
    types = [tensor(a.shape, "i8"), tensor(packed.shape, "i8")]
    rows = f"d0 * {stride} + d3, d1 * {stride} + d4, d5"
    maps = [rows, access("d2", ["d3", "d4"], "d5", width, 2), "d0, d1, d2"]
    code = filled("z", "0", out, into="%out0")
    code += generic("r0", maps, "ppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%z", out), body(kinds)[2])
    given = ", ".join(f"{name} = {value} : i64" for name, value in told.items())
    text = kernel(types, [out], code).replace(") {\n", f") attributes {{neo.parameters = {{{given}}}}} {{\n", 1)
    name, vector = scheduled(text, target)
    assert name == "words"
    found = np.full((high, wide, b.shape[-1]), 77, np.int32)
    run(vector, [a, packed], [found])
    return found, vector


def direct(a, b, stride):
    windows = np.lib.stride_tricks.sliding_window_view(a.astype("i4"), b.shape[:2], axis=(0, 1))
    return np.einsum("hwcij,ijck->hwk", windows[::stride, ::stride], b.astype("i4"), optimize=True)


def check(target, kinds, size, taps, stride, columns, told, seed=0):
    random = np.random.default_rng(seed)
    a = random.integers(*RANGE[kinds[0]], size, dtype=TYPES[kinds[0]], endpoint=True)
    b = random.integers(*RANGE[kinds[1]], (*taps, size[-1], columns), dtype=TYPES[kinds[1]], endpoint=True)
    found, vector = convolve(target, kinds, a, b, stride, told)
    np.testing.assert_array_equal(found, direct(a, b, stride))
    return vector


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("inner", [0, 4])
@pytest.mark.parametrize("pieces", [0, 1, 2, 4])
def test_pieces_of_a_window(target, inner, pieces):
    told = {"inner": inner, "pieces": pieces, "groups": 2}
    vector = check(target, ("u8", "s8"), (15, 17, 32), (3, 3), 2, 128, told)
    assert f"pieces = {pieces} : i64" in vector


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("stride", [1, 2])
def test_pieces_of_one_point(target, stride):
    check(target, ("s8", "s8"), (9, 7, 64), (1, 1), stride, 128, {"pieces": 4, "blocks": 2})


@pytest.mark.parametrize("target", HERE)
def test_long_reductions_are_cut(target):
    """Panels that the first-level cache does not hold."""
    vector = check(target, ("u8", "s8"), (5, 9, 2048), (1, 1), 1, 128, {})
    assert "pieces = 0 : i64" not in vector
