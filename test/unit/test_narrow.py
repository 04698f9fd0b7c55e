"""The schedule `narrow` against plain loops."""

import random

import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets

MULTIPLY = "%m = arith.mulf %x0, %x1 : f32\n%y = arith.addf %o, %m : f32"


@pytest.mark.parametrize("seed", range(8))
def test_few_columns(seed):
    r = random.Random(seed)
    target = targets.get(r.choice(("x86-64-v3", "x86-64-v4")))
    lanes = target.vector.bits // 32
    h, w, k = r.randint(1, 3), r.choice((lanes, 2 * lanes, 2 * lanes + 3)), r.choice((lanes, lanes + 8, 40))
    a, n = r.choice(((1, 1), (2, 2), (1, 3), (2, 1)))
    x = np.random.default_rng(seed).standard_normal((h, w, k)).astype("f4")
    b = np.random.default_rng(seed + 1).standard_normal((a, k, n)).astype("f4")
    bias = np.random.default_rng(seed + 2).standard_normal(n).astype("f4")
    out = tensor((h, a, w, n))
    text = filled("f", "0.0", out)
    types = [tensor(v.shape) for v in (x, b, bias)]
    maps = ["d0, d2, d4", "d1, d4, d3", "d0, d1, d2, d3"]
    text += generic("c", maps, "ppppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", out), MULTIPLY)
    body = "%s = arith.addf %x0, %x1 : f32\n%y = math.absf %s : f32"
    identity = "d0, d1, d2, d3"
    text += generic("r0", [identity, "d3", identity], "pppp", [("%c", out), ("%a2", types[2])], ("%out0", out), body)
    check(kernel(types, [out], text), [x, b, bias], [np.zeros((h, a, w, n), "f4")], target, "narrow")
