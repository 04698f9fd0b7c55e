"""3x3 convolutions of bytes by Winograd's minimal filtering in whole numbers: exactly what direct sums give."""

import dataclasses

import numpy as np
import pytest
from kernels import filled, generic, kernel, run, scheduled, tensor
from neomlir import targets
from neomlir.schedules.units import units_of
from neomlir.schedules.winograd_math import WHOLE_POINTS, multiply, whole_matrices
from test_dot_products import HERE, RANGE, TYPES, access, body, panels
from test_winograd import Numbers


def convolve(target, m, a, b, kinds):
    """`y[n, h, w, k]` of `a[n, h + 2, w + 2, c]` and `b[3, 3, c, k]` in tiles of m x m, 0 for direct sums."""
    target = targets.get(target) if isinstance(target, str) else target
    width = 2 * units_of(target, *kinds)[0].lanes
    packed = panels(b, width, 2)
    shape = (a.shape[0], a.shape[1] - 2, a.shape[2] - 2, b.shape[-1])
    types, out = [tensor(a.shape, "i8"), tensor(packed.shape, "i8")], tensor(shape, "i32")
    maps = ["d0, d1 + d4, d2 + d5, d6", access("d3", ["d4", "d5"], "d6", width, 2), "d0, d1, d2, d3"]
    code = filled("z", "0", out, into="%out0")
    code += generic("r0", maps, "pppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%z", out), body(kinds)[2])
    told = f") attributes {{neo.parameters = {{winograd = {m} : i64}}}} {{\n"
    name, vector = scheduled(kernel(types, [out], code).replace(") {\n", told, 1), target)
    assert name == "words"
    assert f"winograd = {m} :" in vector
    found = np.full(shape, 77, np.int32)
    run(vector, [a, packed], [found])
    return found


def direct(a, b):
    windows = np.lib.stride_tricks.sliding_window_view(a.astype("i8"), (3, 3), axis=(1, 2))
    return np.einsum("nhwcab,abck->nhwk", windows.astype("i4"), b.astype("i4"))


@pytest.mark.parametrize("m", WHOLE_POINTS)
def test_whole_numbers_filter_as_taps_do(m):
    a, g, b, factor = whole_matrices(m)
    for matrix in (a, g, b):
        np.testing.assert_array_equal(matrix, np.round(matrix))
    d, taps = np.arange(m + 2) ** 3 - 20.0, np.array([7.0, -3.0, 11.0])
    products = (g @ taps) * np.array(multiply(Numbers, b, list(d)))
    np.testing.assert_array_equal(multiply(Numbers, a, list(products)), factor * np.correlate(d, taps))


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("m", [0, *WHOLE_POINTS])
@pytest.mark.parametrize("kinds", [("u8", "s8"), ("s8", "s8"), ("u8", "u8"), ("s8", "u8")])
def test_planes_of_any_size(target, m, kinds):
    """Rows and columns that fill no tile, several planes and panels; then what is largest."""
    random = np.random.default_rng(m)
    for planes, high, wide in ((1, 11, 23), (2, 8, 9)):
        a, b = (
            random.integers(*RANGE[kind], shape, dtype=TYPES[kind], endpoint=True)
            for kind, shape in zip(kinds, ((planes, high, wide, 64), (3, 3, 64, 64)), strict=True)
        )
        np.testing.assert_array_equal(convolve(target, m, a, b, kinds), direct(a, b))
    for ends in ((0, 0), (0, 1), (1, 0), (1, 1)):
        a = np.full((1, 8, 8, 64), RANGE[kinds[0]][ends[0]], TYPES[kinds[0]])
        b = np.full((3, 3, 64, 32), RANGE[kinds[1]][ends[1]], TYPES[kinds[1]])
        np.testing.assert_array_equal(convolve(target, m, a, b, kinds), direct(a, b))


@pytest.mark.parametrize("target", HERE)
def test_as_many_channels_as_there_may_be(target):
    target = targets.get(target)
    target = dataclasses.replace(target, cache=dataclasses.replace(target.cache, l2=1 << 20))
    a, b = np.full((1, 8, 8, 224), 255, np.uint8), np.full((3, 3, 224, 32), -128, np.int8)
    np.testing.assert_array_equal(convolve(target, 4, a, b, ("u8", "s8")), direct(a, b))
