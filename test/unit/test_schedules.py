"""Every schedule against plain loops, on small kernels of awkward sizes and on the vectors of several targets."""

import dataclasses
import random

import numpy as np
import pytest
from kernels import check, filled, generic, kernel, scheduled, tensor
from neomlir import targets

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "neoverse-n1")
MULTIPLY = "%m = arith.mulf %x0, %x1 : f32\n%y = arith.addf %o, %m : f32"


@pytest.fixture(params=range(6))
def r(request):
    return random.Random(request.param * 7919 + sum(map(ord, request.node.originalname)))


def target(r):
    """A target, at times with caches so small that what is read ahead for large tensors is read for small ones."""
    found = targets.get(r.choice(TARGETS))
    if r.random() < 0.5:
        found = dataclasses.replace(found, cache=dataclasses.replace(found.cache, l2=r.choice((2048, 16384))))
    return found


def normal(*shape, dtype="f4"):
    return np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape).astype(dtype)


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


def at_times_padded(r, text, shape):
    """A kernel's text with its result %r0 in a border of ones, or as it is; the shape and type of the new result."""
    if r.random() < 0.5:
        return text, shape
    low, high = ([r.randint(0, 2) for _ in shape] for _ in range(2))
    wide = [a + n + c for a, n, c in zip(low, shape, high, strict=True)]
    text = text.replace("%r0 =", "%inner =").replace("outs(%out0 :", "outs(%within :")
    indices = ", ".join(f"%i{d} : index" for d in range(len(shape)))
    before = f"%within = tensor.empty() : {tensor(shape)}\n%one = arith.constant 1.0 : f32\n"
    pad = (
        f"%r0 = tensor.pad %inner low{low} high{high} {{\n^bb0({indices.replace(' :', ':')}):\n"
        f"tensor.yield %one : f32\n}} : {tensor(shape)} to {tensor(wide)}\n"
    )
    return before + text + pad, wide


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


def test_depthwise_convolution(r):
    """With and without a border of zeros that belongs to the kernel, on both sides or one, dilated or not."""
    h, w, c, k, s = r.randint(1, 9), r.randint(1, 19), r.randint(2, 50), r.choice((3, 5)), r.choice((1, 2))
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
    check(kernel(types + more, [tensor(shape)], text), [x, b, *arrays], result, target(r), "depthwise")


def test_pooling(r):
    h, w, c, k, s = r.randint(1, 9), r.randint(1, 19), r.randint(2, 50), r.choice((2, 3)), r.choice((1, 2))
    x = normal(1, (h - 1) * s + k, (w - 1) * s + k, c)
    out = tensor((1, h, w, c))
    types = [tensor(x.shape)]
    text = filled("f", "0xFF800000", out, "%out0") + f"%w = tensor.empty() : {tensor((k, k))}\n"
    maps = [f"d0, d1 * {s} + d4, d2 * {s} + d5, d3", "d4, d5", "d0, d1, d2, d3"]
    body = "%y = arith.maximumf %o, %x0 : f32"
    text += generic("r0", maps, "pppprr", [("%a0", types[0]), ("%w", tensor((k, k)))], ("%f", out), body)
    check(kernel(types, [out], text), [x], [np.zeros((1, h, w, c), "f4")], target(r), "window")


def test_sum_over_rows(r):
    n, h, c = r.randint(1, 3), r.randint(1, 20), r.randint(2, 200)
    x = normal(n, h, h, c)
    out = tensor((n, c))
    text = filled("f", "0.0", out, "%out0")
    maps = ["d0, d1, d2, d3", "d0, d3"]
    text += generic("r0", maps, "prrp", [("%a0", tensor(x.shape))], ("%f", out), "%y = arith.addf %o, %x0 : f32")
    check(kernel([tensor(x.shape)], [out], text), [x], [np.zeros((n, c), "f4")], target(r), "window")


def softmax(shape, axis, dynamic=False):
    """Softmax over one dimension, that is kept with extent 1 in between."""
    kind = tensor(shape, dynamic=dynamic)
    one = [1 if d == axis else n for d, n in enumerate(shape)]
    small = tensor(one, dynamic=[d for d in range(len(shape)) if d != axis] if dynamic else ())
    dims = ", ".join(f"d{i}" for i in range(len(shape)))
    kept = ", ".join("0" if i == axis else f"d{i}" for i in range(len(shape)))
    loops, all_loops = "".join("r" if i == axis else "p" for i in range(len(shape))), "p" * len(shape)
    text, extents = "", ["", ""]
    if dynamic:
        for i in range(len(shape)):
            text += f"%c{i} = arith.constant {i} : index\n%n{i} = tensor.dim %a0, %c{i} : {kind}\n"
        extents = [
            ", ".join(f"%n{i}" for i in range(len(shape)) if i != axis),
            ", ".join(f"%n{i}" for i in range(len(shape))),
        ]
    text += filled("low", "0xFF800000", small, extents=extents[0]) + filled("zero", "0.0", small, extents=extents[0])
    text += f"%e = tensor.empty({extents[1]}) : {kind}\n"
    text += generic("max", [dims, kept], loops, [("%a0", kind)], ("%low", small), "%y = arith.maximumf %x0, %o : f32")
    body = "%s = arith.subf %x0, %x1 : f32\n%y = math.exp %s : f32"
    text += generic("exp", [dims, kept, dims], all_loops, [("%a0", kind), ("%max", small)], ("%e", kind), body)
    text += generic("sum", [dims, kept], loops, [("%exp", kind)], ("%zero", small), "%y = arith.addf %o, %x0 : f32")
    body = "%y = arith.divf %x0, %x1 : f32"
    text += generic("r0", [dims, kept, dims], all_loops, [("%exp", kind), ("%sum", small)], ("%out0", kind), body)
    return kernel([kind], [kind], text)


def test_products_around_softmax(r):
    """Attention in one kernel, heads inside rows, with a mask that shuts places out."""
    h, m, n, k, d = r.randint(2, 4), r.randint(2, 40), r.randint(4, 70), r.randint(1, 20), r.randint(4, 40)
    q, keys, values, mask = normal(m, h, k), normal(h, k, n), normal(n, h, d), np.zeros((m, n), "f4")
    mask[:, n // 2 + 1 :] = -3e38
    scores, out, row = tensor((h, m, n)), tensor((m, h, d)), tensor((h, m))
    types = [tensor(a.shape) for a in (q, keys, mask, values)]
    dims, kept = "d0, d1, d2", "d0, d1"
    text = filled("f", "0.0", scores) + filled("low", "0xFF800000", row) + filled("zero", "0.0", row)
    text += f"%e = tensor.empty() : {scores}\n" + filled("g", "0.0", out, "%out0")
    maps = ["d1, d0, d3", "d0, d3, d2", dims]
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
    text += generic("p", [dims, kept, dims], "ppp", ins, ("%e", scores), "%y = arith.divf %x0, %x1 : f32")
    maps = ["d0, d1, d3", "d3, d0, d2", "d1, d0, d2"]
    text += generic("r0", maps, "pppr", [("%p", scores), ("%a3", types[3])], ("%g", out), MULTIPLY)
    machine = targets.get(r.choice(TARGETS))
    check(kernel(types, [out], text), [q, keys, mask, values], [np.zeros((m, h, d), "f4")], machine, "attention")


def test_softmax(r):
    shape = [r.randint(1, 5), r.randint(1, 20), r.choice((3, 20, 70, 300))]
    axis = r.choice((2, 2, 1))
    dynamic = r.random() < 0.4
    check(softmax(shape, axis, dynamic), [normal(*shape)], [np.zeros(shape, "f4")], target(r), "reduction")


def test_layer_norm(r):
    rows, n = r.randint(1, 20), r.choice((1, 5, 50, 200))
    kind, small, weight = tensor((rows, n)), tensor((rows,)), tensor((n,))
    text = f"%n = arith.constant {n}.0 : f32\n%eps = arith.constant 1.0e-5 : f32\n" + filled("zero", "0.0", small)
    text += f"%e = tensor.empty() : {kind}\n%e1 = tensor.empty() : {small}\n"
    text += generic("sum", ["d0, d1", "d0"], "pr", [("%a0", kind)], ("%zero", small), "%y = arith.addf %o, %x0 : f32")
    text += generic("mean", ["d0", "d0"], "p", [("%sum", small)], ("%e1", small), "%y = arith.divf %x0, %n : f32")
    body = "%y = arith.subf %x0, %x1 : f32"
    text += generic("diff", ["d0, d1", "d0", "d0, d1"], "pp", [("%a0", kind), ("%mean", small)], ("%e", kind), body)
    body = "%s = arith.mulf %x0, %x0 : f32\n%y = arith.addf %o, %s : f32"
    text += generic("var", ["d0, d1", "d0"], "pr", [("%diff", kind)], ("%zero", small), body)
    body = (
        "%s = arith.divf %x1, %n : f32\n%t = arith.addf %s, %eps : f32\n%u = math.rsqrt %t : f32\n"
        "%v = arith.mulf %x0, %u : f32\n%y = arith.mulf %v, %x2 : f32"
    )
    ins = [("%diff", kind), ("%var", small), ("%a1", weight)]
    text += generic("r0", ["d0, d1", "d0", "d1", "d0, d1"], "pp", ins, ("%out0", kind), body)
    text = kernel([kind, weight], [kind, small], text.replace("%mean", "%r1"))
    outputs = [np.zeros((rows, n), "f4"), np.zeros(rows, "f4")]
    check(text, [normal(rows, n), normal(n)], outputs, target(r), "reduction" if n > 1 else None)


def test_sum_and_its_mean(r):
    """A result that a reduction of its own rows reads: it is computed once."""
    rows, n = r.randint(1, 20), r.choice((2, 5, 50, 200))
    kind, small = tensor((rows, n)), tensor((rows,))
    body = "%y = arith.addf %x0, %x1 : f32"
    text = generic("r0", ["d0, d1"] * 3, "pp", [("%a0", kind), ("%a1", kind)], ("%out0", kind), body)
    text += filled("zero", "0.0", small)
    text += generic("sum", ["d0, d1", "d0"], "pr", [("%r0", kind)], ("%zero", small), "%y = arith.addf %o, %x0 : f32")
    ins = [("%r0", kind), ("%sum", small)]
    text += generic("r1", ["d0, d1", "d0", "d0, d1"], "pp", ins, ("%out1", kind), "%y = arith.subf %x0, %x1 : f32")
    text = kernel([kind, kind], [kind, kind], text)
    check(text, [normal(rows, n), normal(rows, n)], [np.zeros((rows, n), "f4")] * 2, target(r), "reduction")


def test_position_of_the_largest(r):
    """Two results of one reduction, whose body is no plain combination: scalar loops, or lanes across rows."""
    rows, n = r.randint(1, 40), r.randint(2, 30)
    axis = r.choice((0, 1))
    kind, small, where = tensor((rows, n)), tensor((n if axis == 0 else rows,)), "d1" if axis == 0 else "d0"
    index = small.replace("f32", "i64")
    body = f"""
    %i = linalg.index {axis} : index
    %j = arith.index_cast %i : index to i64
    %c = arith.cmpf ogt, %x0, %o : f32
    %y = arith.select %c, %x0, %o : f32
    %z = arith.select %c, %j, %p : i64
    linalg.yield %y, %z : f32, i64"""
    text = filled("f", "0xFF800000", small, "%out0") + filled("g", "0", index, "%out1")
    kinds = '"reduction", "parallel"' if axis == 0 else '"parallel", "reduction"'
    dims = "affine_map<(d0, d1) -> "
    text += (
        f"%r0, %r1 = linalg.generic {{indexing_maps = [{dims}(d0, d1)>, {dims}({where})>, {dims}({where})>], "
        f"iterator_types = [{kinds}]}} ins(%a0 : {kind}) outs(%f, %g : {small}, {index}) {{\n"
        f"^bb0(%x0: f32, %o: f32, %p: i64):{body}\n}} -> ({small}, {index})"
    )
    outputs = [np.zeros(n if axis == 0 else rows, "f4"), np.zeros(n if axis == 0 else rows, "i8")]
    assert check(kernel([kind], [small, index], text), [normal(rows, n)], outputs, target(r)) != "affine"


def test_permuted_and_broadcast_operands(r):
    shape = [r.randint(1, 20) for _ in range(3)]
    order = r.sample(range(3), 3)
    some = sorted(r.sample(range(3), r.randint(0, 2)))
    x, z = normal(*(shape[d] for d in order)), normal(*(shape[d] for d in some))
    maps = [", ".join(f"d{d}" for d in order), ", ".join(f"d{d}" for d in some), "d0, d1, d2"]
    types = [tensor(x.shape, dynamic=r.random() < 0.3), tensor(z.shape)]
    kind = tensor(shape)
    body = "%s = arith.mulf %x0, %x1 : f32\n%y = math.absf %s : f32"
    text = generic("r0", maps, "ppp", [("%a0", types[0]), ("%a1", types[1])], ("%out0", kind), body)
    check(kernel(types, [kind], text), [x, z], [np.zeros(shape, "f4")], target(r), "elementwise")


def test_element_types(r):
    """Comparisons, selections and conversions between floats, integers and bits."""
    shape = (r.randint(1, 5), r.randint(1, 100))
    flags = np.random.default_rng(1).random(shape) > 0.5
    types = [tensor(shape), tensor(shape, "i64"), tensor(shape, "i1")]
    body = """
    %s = arith.sitofp %x1 : i64 to f32
    %t = arith.select %x2, %s, %x0 : f32
    %y = arith.cmpf ogt, %t, %x0 : f32"""
    ins = [(f"%a{i}", t) for i, t in enumerate(types)]
    text = generic("r0", ["d0, d1"] * 4, "pp", ins, ("%out0", tensor(shape, "i1")), body)
    body = "%t = arith.extf %x0 : f32 to f64\n%y = arith.addf %t, %t : f64"
    text += generic("r1", ["d0, d1"] * 2, "pp", ins[:1], ("%out1", tensor(shape, "f64")), body)
    text = kernel(types, [tensor(shape, "i1"), tensor(shape, "f64")], text)
    inputs = [normal(*shape), np.random.default_rng(2).integers(-3, 3, shape), flags]
    check(text, inputs, [np.zeros(shape, bool), np.zeros(shape)], target(r), "elementwise")


def test_looked_up_rows(r):
    """Rows of a table by number, and an index that is computed lane by lane."""
    rows, width, count = r.randint(1, 20), r.randint(1, 50), r.randint(1, 10)
    table, which, out = tensor((rows, width)), tensor((count,), "i64"), tensor((count, width))
    body = f"""
    %i = arith.index_cast %x0 : i64 to index
    %j = linalg.index 1 : index
    %s = tensor.extract %a0[%i, %j] : {table}
    %last = arith.constant {width - 1} : index
    %k = arith.subi %last, %j : index
    %l = arith.maxsi %k, %j : index
    %t = tensor.extract %a0[%i, %l] : {table}
    %y = arith.addf %s, %t : f32"""
    text = generic("r0", ["d0", "d0, d1"], "pp", [("%a1", which)], ("%out0", out), body)
    inputs = [normal(rows, width), np.random.default_rng(3).integers(0, rows, count)]
    check(kernel([table, which], [out], text), inputs, [np.zeros((count, width), "f4")], target(r), "elementwise")


def padded(name, low, high, value, kind, out) -> str:
    """`%name` is %a0 with `value` around it, of rank three."""
    return (
        f"%v = arith.constant {value} : f32\n%{name} = tensor.pad %a0 low{low} high{high} {{\n"
        f"^bb0(%i: index, %j: index, %k: index):\ntensor.yield %v : f32\n}} : {kind} to {out}\n"
    )


def test_pad(r):
    shape = [r.randint(1, 9) for _ in range(3)]
    low, high = [r.choice((0, 0, 1, 3)) for _ in shape], [r.choice((0, 0, 2)) for _ in shape]
    whole = [a + n + c for a, n, c in zip(low, shape, high, strict=True)]
    kind, out = tensor(shape), tensor(whole)
    text = padded("r0", low, high, 1.5, kind, out)
    check(kernel([kind], [out], text), [normal(*shape)], [np.zeros(whole, "f4")], target(r), "elementwise")


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


def test_concatenation(r):
    axis, rank = r.randint(0, 2), 3
    shapes = [[r.randint(1, 9) for _ in range(rank)] for _ in range(r.randint(1, 3))]
    equal = r.random() < 0.5
    for shape in shapes[1:]:
        shape[:] = [n if d == axis and not equal else m for d, (n, m) in enumerate(zip(shape, shapes[0], strict=True))]
    whole = [sum(s[d] for s in shapes) if d == axis else n for d, n in enumerate(shapes[0])]
    types, out = [tensor(s) for s in shapes], tensor(whole)
    if r.random() < 0.5:
        values = ", ".join(f"%a{i}" for i in range(len(shapes)))
        text = f"%r0 = tensor.concat dim({axis}) {values} : ({', '.join(types)}) -> {out}"
    else:
        text, at, last = f"%e = tensor.empty() : {out}\n", 0, "%e"
        for i, (shape, kind) in enumerate(zip(shapes, types, strict=True)):
            name = "%r0" if i == len(shapes) - 1 else f"%s{i}"
            offset = [at if d == axis else 0 for d in range(rank)]
            text += f"{name} = tensor.insert_slice %a{i} into {last}{offset} {shape} [1, 1, 1] : {kind} into {out}\n"
            at, last = at + shape[axis], name
    check(kernel(types, [out], text), [normal(*s) for s in shapes], [np.zeros(whole, "f4")], target(r), "elementwise")


def test_inserted_slice(r):
    whole = [r.randint(4, 12) for _ in range(2)]
    strides = [r.choice((1, 1, 2)) for _ in whole]
    offsets = [r.randint(0, 1) for _ in whole]
    shape = [(n - o - 1) // s + 1 for n, o, s in zip(whole, offsets, strides, strict=True)]
    shape = [r.randint(1, n) for n in shape]
    types = [tensor(shape), tensor(whole)]
    text = f"%r0 = tensor.insert_slice %a0 into %a1{offsets} {shape} {strides} : {types[0]} into {types[1]}"
    inputs = [normal(*shape), normal(*whole)]
    check(kernel(types, [types[1]], text), inputs, [np.zeros(whole, "f4")], target(r), "elementwise")


def test_extracted_slice_and_reshape(r):
    n, m, k = r.randint(2, 9), r.randint(2, 9), r.choice((4, 16, 24))
    big, part, split = tensor((n + 1, m + 2, k)), tensor((n, m, k)), tensor((n, m, k // 4, 4))
    text = f"%s = tensor.extract_slice %a0[1, 1, 0] [{n}, {m}, {k}] [1, 1, 1] : {big} to {part}\n"
    text += (
        f"%t = tensor.expand_shape %s [[0], [1], [2, 3]] output_shape [{n}, {m}, {k // 4}, 4] : {part} into {split}\n"
    )
    out = tensor((n, k // 4, m, 4))
    text += generic(
        "r0", ["d0, d2, d1, d3", "d0, d1, d2, d3"], "pppp", [("%t", split)], ("%out0", out), "%y = arith.negf %x0 : f32"
    )
    check(
        kernel([big], [out], text),
        [normal(n + 1, m + 2, k)],
        [np.zeros((n, k // 4, m, 4), "f4")],
        target(r),
        "elementwise",
    )
