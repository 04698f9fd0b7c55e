"""Products with narrow weights and many rows, whose panels are widened once: against plain loops."""

import ml_dtypes
import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets

KINDS = {
    "bf16": (ml_dtypes.bfloat16, "arith.extf %x1 : bf16 to f32"),
    "f16": (np.float16, "arith.extf %x1 : f16 to f32"),
    "i8": (np.int8, "arith.sitofp %x1 : i8 to f32"),
}
WIDTHS = {"x86-64-v2": 8, "x86-64-v3": 16, "x86-64-v4": 32}


def product(target, kind, a, maps, loops, weight, out):
    """`out = a * weight` as `maps` of the three say it, a letter of `loops` a loop."""
    dtype, wide = KINDS[kind]
    draw = np.random.default_rng(7)
    b = draw.integers(-100, 100, weight).astype(dtype)
    a = draw.standard_normal(a).astype("f4")
    types = [tensor(a.shape), tensor(b.shape, kind)]
    body = f"%w = {wide}\n%p = arith.mulf %x0, %w : f32\n%y = arith.addf %o, %p : f32"
    code = filled("z", "0.0", tensor(out))
    code += generic("r0", maps, loops, [("%a0", types[0]), ("%a1", types[1])], ("%z", tensor(out)), body)
    check(kernel(types, [tensor(out)], code), [a, b], [np.zeros(out, "f4")], targets.get(target), "contraction", 1e-5)


@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "depth", "columns"), [(50, 40, 72), (131, 700, 200)])
def test_products(target, kind, rows, depth, columns):
    if not targets.get(target).runs_here() or (kind == "f16" and not targets.get(target).half):
        pytest.skip("this machine cannot run it")
    r = WIDTHS[target]
    maps = ["d0, d2", f"d1 floordiv {r}, d2, d1 mod {r}", "d0, d1"]
    product(target, kind, (rows, depth), maps, "ppr", (-(-columns // r), depth, r), (rows, columns))


@pytest.mark.parametrize(("plane", "channels", "columns"), [(9, 24, 48), (60, 16, 64)])
def test_convolutions(plane, channels, columns):
    """The larger one reads and writes more than the cache: all panels pass by a few rows."""
    maps = ["d0 + d3, d1 + d4, d5", "d2 floordiv 16, d3, d4, d5, d2 mod 16", "d0, d1, d2"]
    size = (plane, plane, columns)
    if not targets.get("x86-64-v3").runs_here():
        pytest.skip("this machine cannot run it")
    product(
        "x86-64-v3", "bf16", (plane + 2, plane + 2, channels), maps, "ppprrr", (columns // 16, 3, 3, channels, 16), size
    )
