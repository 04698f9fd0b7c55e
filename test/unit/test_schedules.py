"""Schedules of contractions against plain loops, on small kernels of awkward sizes and on several targets."""

import dataclasses

import numpy as np
import pytest
from drawn import MULTIPLY, TARGETS, at_times_padded, normal, padded, target
from kernels import check, filled, generic, kernel, scheduled, tensor
from neomlir import targets


def packed(b, r):
    """`b[k…, n]` in panels `[n/r, k…, r]`, padded with zeros."""
    n = b.shape[-1]
    wide = np.zeros((*b.shape[:-1], -(-n // r) * r), b.dtype)
    wide[..., :n] = b
    panels = wide.reshape(*b.shape[:-1], -1, r)
    return np.ascontiguousarray(np.moveaxis(panels, -2, 0))


def epilogue(kind, source, type_, shape, dims, extra):
    """What follows a contraction: text that leaves %r0, and the types and arrays it reads."""
    identity = ", ".join(f"d{i}" for i in range(len(shape)))
    loops = "p" * len(shape)
    if kind == "bias":
        body = "%s = arith.addf %x0, %x1 : f32\n%y = arith.maximumf %s, %zero : f32"
        text = "%zero = arith.constant 0.0 : f32\n"
        maps = [identity, f"d{len(shape) - 1}", identity]
        ins = [(source, type_), (extra, tensor(shape[-1:]))]
        return text + generic("r0", maps, loops, ins, ("%out0", type_), body), [tensor(shape[-1:])], [normal(shape[-1])]
    body = "%s = arith.addf %x0, %x1 : f32\n%y = math.tanh %s : f32"
    ins = [(source, type_), (extra, tensor(shape))]
    return generic("r0", [identity] * 3, loops, ins, ("%out0", type_), body), [tensor(shape)], [normal(*shape)]


def test_matmul(r):
    m, n, k = r.choice((1, 3, 17, 40)), r.randint(1, 70), r.randint(1, 40)
    panel = r.choice((0, 4, 8, 16, 32, 48))
    b = normal(k, n)
    b_map = f"d1 floordiv {panel}, d2, d1 mod {panel}" if panel else "d2, d1"
    b = packed(b, panel) if panel else b
    c = tensor((m, n))
    types = [tensor((m, k)), tensor(b.shape)]
    maps = ["d0, d2", b_map, "d0, d1"]
    out = "%out0" if (bare := r.random() < 0.3) else None
    text = filled("f", "0.0", c, out)
    text += generic("r0" if bare else "c", maps, "ppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY)
    inputs = [normal(m, k), b]
    if not bare:
        after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", c, (m, n), "", "%a2")
        text, types, inputs = text + after, types + more, inputs + arrays
    check(kernel(types, [c], text), inputs, [np.zeros((m, n), "f4")], target(r), "contraction" if n > 1 else None)


def test_all_panels_by_a_few_rows(r):
    """What comes next is asked for from end to end: results, and rows where these are long."""
    m, panel = r.randint(50, 90), 16
    k, n = r.choice(((9, 60), (16, 96), (20, 150), (130, 31), (150, 64)))
    b = packed(normal(k, n), panel)
    c, ins = tensor((m, n)), [("%a0", tensor((m, k))), ("%a1", tensor(b.shape))]
    maps = ["d0, d2", f"d1 floordiv {panel}, d2, d1 mod {panel}", "d0, d1"]
    text = filled("f", r.choice(("0.0", "0.5")), c) + generic("c", maps, "ppr", ins, ("%f", c), MULTIPLY)
    after, more, arrays = epilogue("bias", "%c", c, (m, n), "", "%a2")
    text, shape = at_times_padded(r, text + after, (m, n))
    machine = targets.get("znver2")
    machine = dataclasses.replace(machine, cache=dataclasses.replace(machine.cache, l2=4 * b.nbytes))
    text = kernel([kind for _, kind in ins] + more, [tensor(shape)], text)
    if k > n:
        assert "read, locality<2>" in scheduled(text, machine)[1], "no rows are fetched"
    elif shape == (m, n) and m * n * 3 > b.nbytes * 4:
        assert "write, locality<3>" in scheduled(text, machine)[1], "no results are fetched"
    check(text, [normal(m, k), b, *arrays], [np.zeros(shape, "f4")], machine, "contraction")


def test_five_loops(r):
    """Blocks of rows are copied, and sums wait between parts of the reduction; with an epilogue behind the last."""
    m, k, panel = r.randint(15, 60), r.choice((63, 64, 150, 201)), r.choice((0, 16, 32, 48))
    if not panel:
        m, k = m + 25, k + 150
    n = (panel or 32) * r.randint(3, 6) - r.choice((0, 1, 7))
    b = packed(normal(k, n), panel) if panel else normal(k, n)
    c = tensor((m, n))
    maps = ["d0, d2", f"d1 floordiv {panel}, d2, d1 mod {panel}" if panel else "d2, d1", "d0, d1"]
    ins = [("%a0", tensor((m, k))), ("%a1", tensor(b.shape))]
    text = filled("f", r.choice(("0.0", "0.5")), c) + generic("c", maps, "ppr", ins, ("%f", c), MULTIPLY)
    after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", c, (m, n), "", "%a2")
    machine = targets.get("x86-64-v4")
    machine = dataclasses.replace(
        machine, cache=dataclasses.replace(machine.cache, l2=r.choice((6144, 12288, 24576)[0 if panel else 2 :]))
    )
    text = kernel([tensor((m, k)), tensor(b.shape), *more], [c], text + after)
    assert "memref.alloca" in scheduled(text, machine)[1], "nothing is copied"
    check(text, [normal(m, k), b, *arrays], [np.zeros((m, n), "f4")], machine, "contraction")


def test_register_tiles_across_rows_of_seven(r):
    """Points of a map seven wide are one dimension on 16 registers: in the plain nest, in blocks that are copied."""
    h, s, taps = r.choice((2, 5, 7)), r.choice((1, 2)), r.choice((1, 1, 3))
    n, k, panel = r.choice((31, 64, 90)), r.choice((63, 64, 90)) if taps == 1 else 9, 16
    x, b = normal(s * (h - 1) + taps, s * 6 + taps, k), packed(normal(taps, taps, k, n), panel)
    maps = [f"d0 * {s} + d3, d1 * {s} + d4, d5", f"d2 floordiv {panel}, d3, d4, d5, d2 mod {panel}", "d0, d1, d2"]
    if taps == 1:
        b = b[:, 0, 0]
        maps = [f"d0 * {s}, d1 * {s}, d3", f"d2 floordiv {panel}, d3, d2 mod {panel}", "d0, d1, d2"]
    c = tensor((h, 7, n))
    ins = [("%a0", tensor(x.shape)), ("%a1", tensor(b.shape))]
    text = filled("f", r.choice(("0.0", "0.5")), c) + generic(
        "c", maps, "pppr" if taps == 1 else "ppprrr", ins, ("%f", c), MULTIPLY
    )
    after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", c, (h, 7, n), "", "%a2")
    text, shape = at_times_padded(r, text + after, (h, 7, n))
    machine = targets.get("x86-64-v3")
    machine = dataclasses.replace(machine, cache=dataclasses.replace(machine.cache, l2=r.choice((6144, 1 << 18))))
    text = kernel([kind for _, kind in ins] + more, [tensor(shape)], text)
    assert "arith.divui" in scheduled(text, machine)[1], "rows are not one dimension"
    check(text, [x, b, *arrays], [np.zeros(shape, "f4")], machine, "contraction")


def test_rows_that_lie_apart(r):
    """The many points of a map that a window leaves others out between are one dimension, and copied."""
    h, w, by, n, k, panel = r.randint(3, 5), r.randint(15, 20), r.choice((2, 3)), r.choice((31, 64, 90)), 130, 16
    x, b = normal(by * h, by * (w - 1) + 1, k), packed(normal(k, n), panel)
    maps = [f"d0 * {by}, d1 * {by}, d3", f"d2 floordiv {panel}, d3, d2 mod {panel}", "d0, d1, d2"]
    c, ins = tensor((h, w, n)), [("%a0", tensor(x.shape)), ("%a1", tensor(b.shape))]
    text = filled("f", r.choice(("0.0", "0.5")), c) + generic("c", maps, "pppr", ins, ("%f", c), MULTIPLY)
    after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", c, (h, w, n), "", "%a2")
    text, shape = at_times_padded(r, text + after, (h, w, n))
    machine = targets.get(r.choice(("x86-64-v3", "x86-64-v4", "neoverse-n1")))
    machine = dataclasses.replace(machine, cache=dataclasses.replace(machine.cache, l2=24576))
    text = kernel([kind for _, kind in ins] + more, [tensor(shape)], text)
    code = scheduled(text, machine)[1]
    assert "arith.divui" in code, "rows are not one dimension"
    assert "memref.alloca" in code, "nothing is copied"
    check(text, [x, b, *arrays], [np.zeros(shape, "f4")], machine, "contraction")


def test_dynamic_matmul(r):
    batch, m, n, k = r.randint(1, 3), r.randint(1, 40), r.randint(1, 70), r.randint(1, 20)
    kind = tensor((batch, m, n), dynamic=True)
    types = [tensor((batch, m, k), dynamic=True), tensor((batch, k, n), dynamic=True)]
    text = filled("f", "0.0", kind, "%out0")
    maps = ["d0, d1, d3", "d0, d3, d2", "d0, d1, d2"]
    text += generic("r0", maps, "pppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", kind), MULTIPLY)
    inputs = [normal(batch, m, k), normal(batch, k, n)]
    check(kernel(types, [kind], text), inputs, [np.zeros((batch, m, n), "f4")], target(r), "contraction")


def test_heads_of_attention(r):
    """Batched products whose operands and result are strided by heads."""
    s, h, d, t = r.randint(1, 30), r.randint(1, 4), r.choice((8, 20, 32)), r.randint(1, 40)
    types = [tensor((s, h, d)), tensor((h, d, t))]
    c = tensor((h, s, t))
    text = filled("f", "0.0", c, "%out0")
    maps = ["d1, d0, d3", "d0, d3, d2", "d0, d1, d2"]
    text += generic("r0", maps, "pppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY)
    check(kernel(types, [c], text), [normal(s, h, d), normal(h, d, t)], [np.zeros((h, s, t), "f4")], target(r))


def test_transposed_result(r):
    """The product goes to `[n, m]`, by an epilogue that swaps the dimensions."""
    m, n, k = r.randint(2, 40), r.randint(2, 40), r.randint(1, 20)
    c = tensor((m, n))
    types = [tensor((m, k)), tensor((k, n))]
    text = filled("f", "0.0", c)
    text += generic(
        "c", ["d0, d2", "d2, d1", "d0, d1"], "ppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY
    )
    out = tensor((n, m))
    text += generic("r0", ["d1, d0", "d0, d1"], "pp", [("%c", c)], ("%out0", out), "%y = arith.negf %x0 : f32")
    check(kernel(types, [out], text), [normal(m, k), normal(k, n)], [np.zeros((n, m), "f4")], target(r))


def test_convolution(r):
    h, w, ic, oc = r.randint(1, 9), r.randint(1, 19), r.choice((1, 3, 8)), r.randint(1, 40)
    kh, kw, s, d, panel = r.choice((1, 3)), r.choice((1, 3)), r.choice((1, 2)), r.choice((1, 2)), r.choice((8, 32))
    x = normal(1, (h - 1) * s + (kh - 1) * d + 1, (w - 1) * s + (kw - 1) * d + 1, ic)
    b = packed(normal(kh, kw, ic, oc), panel)
    c = tensor((1, h, w, oc))
    types = [tensor(x.shape), tensor(b.shape)]
    maps = [
        f"d0, d1 * {s} + d4 * {d}, d2 * {s} + d5 * {d}, d6",
        f"d3 floordiv {panel}, d4, d5, d6, d3 mod {panel}",
        "d0, d1, d2, d3",
    ]
    text = filled("f", "0.0", c)
    text += generic("c", maps, "pppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY)
    after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", c, (1, h, w, oc), "", "%a2")
    text, shape = at_times_padded(r, text + after, (1, h, w, oc))
    out, expect = [np.zeros(shape, "f4")], "contraction" if oc > 1 else None
    check(kernel(types + more, [tensor(shape)], text), [x, b, *arrays], out, target(r), expect)


def test_grouped_convolution(r):
    h, g, ic, oc, k = r.randint(1, 9), r.randint(2, 4), r.choice((2, 5)), r.choice((4, 9, 20)), 3
    x, b = normal(h + k - 1, h + k - 1, g, ic), normal(g, k, k, ic, oc)
    c = tensor((h, h, g, oc))
    types = [tensor(x.shape), tensor(b.shape)]
    text = filled("f", "0.0", c, "%out0")
    maps = ["d0 + d4, d1 + d5, d2, d6", "d2, d4, d5, d6, d3", "d0, d1, d2, d3"]
    text += generic("r0", maps, "pppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY)
    check(kernel(types, [c], text), [x, b], [np.zeros((h, h, g, oc), "f4")], target(r), "contraction")


def test_convolution_of_channels_first(r):
    """NCHW and unpacked weights: the columns are the pixels of a row."""
    h, ic, oc, k = r.randint(4, 20), r.choice((1, 3, 8)), r.randint(1, 20), r.choice((1, 3))
    x, b = normal(1, ic, h + k - 1, h + k - 1), normal(oc, ic, k, k)
    c = tensor((1, oc, h, h))
    types = [tensor(x.shape), tensor(b.shape)]
    text = filled("f", "0.0", c, "%out0")
    maps = ["d0, d4, d2 + d5, d3 + d6", "d1, d4, d5, d6", "d0, d1, d2, d3"]
    text += generic("r0", maps, "pppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY)
    check(kernel(types, [c], text), [x, b], [np.zeros((1, oc, h, h), "f4")], target(r), "contraction")


def depthwise(r, machine, c, taps, tall=1):
    """With and without a border of zeros that belongs to the kernel, on both sides or one, dilated or not."""
    h, w, k, s = r.randint(tall, 9), r.randint(1, 19), r.choice(taps), r.choice((1, 2))
    n, d = r.choice((1, 1, 2)), r.choice((1, 1, 2))
    whole = (n, (h - 1) * s + (k - 1) * d + 1, (w - 1) * s + (k - 1) * d + 1, c)
    low, high = ([0, r.randint(0, 2), r.randint(0, 2), 0] for _ in range(2))
    if r.random() < 0.4 or any(size <= x + y for size, x, y in zip(whole, low, high, strict=True)):
        low = high = [0] * 4
    x = normal(*(size - x - y for size, x, y in zip(whole, low, high, strict=True)))
    b = normal(k, k, c)
    out = tensor((n, h, w, c))
    types = [tensor(x.shape), tensor(b.shape)]
    maps = [f"d0, d1 * {s} + d4 * {d}, d2 * {s} + d5 * {d}, d3", "d4, d5, d3", "d0, d1, d2, d3"]
    text, source = filled("f", "0.0", out), "%a0"
    if any(low + high):
        source = "%p"
        text += (
            f"%z = arith.constant 0.0 : f32\n%p = tensor.pad %a0 low{low} high{high} {{\n"
            "^bb0(%i0: index, %i1: index, %i2: index, %i3: index):\ntensor.yield %z : f32\n"
            f"}} : {types[0]} to {tensor(whole)}\n"
        )
    text += generic("c", maps, "pppprr", [(source, tensor(whole)), ("%a1", types[1])], ("%f", out), MULTIPLY)
    after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", out, (n, h, w, c), "", "%a2")
    text, shape = at_times_padded(r, text + after, (n, h, w, c))
    result = [np.zeros(shape, "f4")]
    check(kernel(types + more, [tensor(shape)], text), [x, b, *arrays], result, machine, "depthwise")


def test_depthwise_convolution(r):
    depthwise(r, target(r), r.randint(2, 50), (3, 5))


def test_depthwise_convolution_by_pairs_of_rows(r):
    """Register tiles of two rows, the last of them alone where their number is odd."""
    machine = targets.get("x86-64-v4")
    cache = dataclasses.replace(machine.cache, ahead=2048, l2=r.choice((2048, machine.cache.l2)))
    depthwise(r, dataclasses.replace(machine, cache=cache), r.randint(64, 100), (2, 3), tall=5)


def test_depthwise_convolution_of_groups(r):
    """Each result reads all channels of its group."""
    size = r.choice((2, 4, 8))
    h, w, k, s = r.randint(1, 9), r.randint(2, 19), r.choice((2, 3, 5)), r.choice((1, 2))
    c = size * r.randint(1, 7)
    x, b = normal((h - 1) * s + k, (w - 1) * s + k, c), normal(k, k, size, c)
    out = tensor((h, w, c))
    types = [tensor(x.shape), tensor(b.shape)]
    maps = [
        f"d0 * {s} + d3, d1 * {s} + d4, (d2 floordiv {size}) * {size} + d5",
        "d3, d4, d5, d2",
        "d0, d1, d2",
    ]
    text = filled("f", "0.0", out)
    text += generic("c", maps, "ppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%f", out), MULTIPLY)
    after, more, arrays = epilogue(r.choice(("bias", "residual")), "%c", out, (h, w, c), "", "%a2")
    wide = [t for t in TARGETS if targets.get(t).vector.bits >= 32 * size and not targets.get(t).vector.scalable]
    result = [np.zeros((h, w, c), "f4")]
    check(kernel(types + more, [out], text + after), [x, b, *arrays], result, targets.get(r.choice(wide)), "depthwise")


def test_products_around_softmax(r):
    """Attention in one kernel, heads inside rows, with a mask that shuts places out; whole heads, or blocks of rows.

    Heads have keys and values of their own, or all the same.
    """
    h, m, n, k, d = r.randint(2, 4), r.randint(2, 40), r.randint(4, 70), r.randint(1, 20), r.randint(4, 40)
    q, mask = normal(m, h, k), np.zeros((m, n), "f4")
    mask[:, n // 2 + 1 :] = -3e38
    in_panels, behind = r.random() < 0.4, r.random() < 0.6
    one_key, one_value = (r.random() < 0.25 for _ in range(2))
    of_key, of_value = "" if one_key else "d0, ", "" if one_value else "d0, "
    keys, values = normal(*[h][one_key:], k, n), normal(n, *[h][one_value:], d)
    if in_panels:
        keys = np.pad(keys, [(0, 0)] * (keys.ndim - 1) + [(0, -n % 16)])
        keys = np.ascontiguousarray(np.moveaxis(keys.reshape(*keys.shape[:-1], -1, 16), -2, 0))
    scores, out, row = tensor((h, m, n)), tensor((m, h, d)), tensor((h, m))
    types = [tensor(a.shape) for a in (q, keys, mask, values)]
    dims, kept = "d0, d1, d2", "d0, d1"
    text = filled("f", "0.0", scores) + filled("low", "0xFF800000", row) + filled("zero", "0.0", row)
    text += f"%e = tensor.empty() : {scores}\n" + filled("g", "0.0", out, "%out0")
    maps = ["d1, d0, d3", f"d2 floordiv 16, {of_key}d3, d2 mod 16" if in_panels else f"{of_key}d3, d2", dims]
    text += generic("c", maps, "pppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", scores), MULTIPLY)
    body = "%half = arith.constant 0.5 : f32\n%s = arith.mulf %x0, %half : f32\n%y = arith.addf %s, %x1 : f32"
    text += generic("scores", [dims, "d1, d2", dims], "ppp", [("%c", scores), ("%a2", types[2])], ("%e", scores), body)
    text += generic(
        "max", [dims, kept], "ppr", [("%scores", scores)], ("%low", row), "%y = arith.maximumf %x0, %o : f32"
    )
    body = "%s = arith.subf %x0, %x1 : f32\n%y = math.exp %s : f32"
    text += generic("exp", [dims, kept, dims], "ppp", [("%scores", scores), ("%max", row)], ("%e", scores), body)
    text += generic("sum", [dims, kept], "ppr", [("%exp", scores)], ("%zero", row), "%y = arith.addf %o, %x0 : f32")
    ins = [("%exp", scores), ("%sum", row)]
    divide, weights, sums = "%y = arith.divf %x0, %x1 : f32", "%exp", "w"
    if not behind:
        text += generic("p", [dims, kept, dims], "ppp", ins, ("%e", scores), divide)
        weights, sums = "%p", "r0"
    maps = ["d0, d1, d3", f"d3, {of_value}d2", "d1, d0, d2"]
    text += generic(sums, maps, "pppr", [(weights, scores), ("%a3", types[3])], ("%g", out), MULTIPLY)
    if behind:
        maps = [dims, "d1, d0", dims]
        text += generic("r0", maps, "ppp", [("%w", out), ("%sum", row)], ("%out0", out), divide)
    machine = targets.get(r.choice(TARGETS))
    if r.random() < 0.5:
        machine = dataclasses.replace(machine, cache=dataclasses.replace(machine.cache, l2=2 * 4 * n * 30))
    check(kernel(types, [out], text), [q, keys, mask, values], [np.zeros((m, h, d), "f4")], machine, "attention")


def test_convolution_of_a_padded_input(r):
    """A pad inside the kernel is read point by point."""
    h, ic, oc = r.randint(2, 9), r.choice((3, 8)), r.randint(2, 40)
    x, b = normal(h, h, ic), normal(3, 3, ic, oc)
    wide, c = tensor((h + 2, h + 2, ic)), tensor((h, h, oc))
    types = [tensor(x.shape), tensor(b.shape)]
    text = padded("p", [1, 1, 0], [1, 1, 0], 0.0, types[0], wide) + filled("f", "0.0", c, "%out0")
    maps = ["d0 + d3, d1 + d4, d5", "d3, d4, d5, d2", "d0, d1, d2"]
    text += generic("r0", maps, "ppprrr", [("%p", wide), ("%a1", types[1])], ("%f", c), MULTIPLY)
    check(kernel(types, [c], text), [x, b], [np.zeros((h, h, oc), "f4")], target(r), "contraction")


@pytest.mark.parametrize("shape", [(53, 19), (19, 53), (8, 8), (300, 150), (16, 1003)])
def test_transposed_tiles(shape):
    kind, turned = tensor(shape), tensor(shape[::-1])
    maps = ["d1, d0", "d0, d1"]
    text = generic("r0", maps, "pp", [("%a0", kind)], ("%out0", turned), "%y = arith.negf %x0 : f32")
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    check(kernel([kind], [turned], text), [x], [np.zeros(shape[::-1], "f4")], targets.get("x86-64-v3"), "elementwise")
