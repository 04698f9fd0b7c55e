"""Every schedule on kernels of dynamic shapes, in memory that ends where the arguments end (see `kernels.run`)."""

import random

import numpy as np
import pytest
from drawn import MULTIPLY, TARGETS, centred, normal
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets


@pytest.fixture(params=range(30))
def r(request):
    return random.Random(request.param * 104729 + sum(map(ord, request.node.originalname)))


def target(r):
    return targets.get(r.choice(TARGETS))


def sizes(r, rank, most=70):
    """Random extents, some of them around the widths of vectors."""
    return [r.choice((r.randint(1, most), r.randint(1, most), 15, 16, 33)) for _ in range(rank)]


def some(r, rank):
    """The dimensions that are dynamic: at least one."""
    return r.sample(range(rank), r.randint(1, rank))


def dims(source, kind, rank, name="n"):
    """`%n0`, `%n1` …: the extents of a tensor."""
    return "".join(
        f"%{name}c{i} = arith.constant {i} : index\n%{name}{i} = tensor.dim {source}, %{name}c{i} : {kind}\n"
        for i in range(rank)
    )


def identity(rank):
    return ", ".join(f"d{i}" for i in range(rank))


@pytest.mark.parametrize("large", [False, True])
def test_permuted_operands(r, large):
    """An operand the other way round; the large ones are more than one work item."""
    rank = r.randint(2, 3)
    shape = sizes(r, rank)
    if large:
        shape[r.randrange(rank)] = r.choice((1031, 2048, 3000))
    order = r.sample(range(rank), rank)
    x, dynamic = normal(*(shape[d] for d in order)), some(r, rank)
    types = [tensor(x.shape, dynamic=[i for i, d in enumerate(order) if d in dynamic]), tensor(shape, dynamic=dynamic)]
    out = types[1]
    maps = [", ".join(f"d{d}" for d in order), identity(rank), identity(rank)]
    body = "%s = arith.addf %x0, %x1 : f32\n%y = math.absf %s : f32"
    text = generic("r0", maps, "p" * rank, [("%a0", types[0]), ("%a1", types[1])], ("%out0", out), body)
    check(kernel(types, [out], text), [x, normal(*shape)], [np.zeros(shape, "f4")], target(r), "elementwise")


def test_transposed_blocks(r):
    """Batches of `[?, 15]` and the like, turned to `[15, ?]` and back."""
    batch, m, n = r.choice((1, 8)), r.choice((15, 120)), r.randint(1, 150)
    back = r.random() < 0.5
    shape, dynamic = ((batch, n, m), (1,)) if back else ((batch, m, n), (2,))
    x = normal(*(shape[d] for d in (0, 2, 1)))
    types = [tensor(x.shape, dynamic=(2,) if back else (1,))]
    out = tensor(shape, dynamic=dynamic)
    maps = ["d0, d2, d1", "d0, d1, d2"]
    text = generic("r0", maps, "ppp", [("%a0", types[0])], ("%out0", out), "%y = arith.negf %x0 : f32")
    check(kernel(types, [out], text), [x], [np.zeros(shape, "f4")], target(r), "elementwise")


def test_merged_and_broadcast(r):
    shape, rank = sizes(r, 3, 40), 3
    dynamic, along = some(r, 3), r.randrange(3)
    kind, row = tensor(shape, dynamic=dynamic), tensor(shape[along : along + 1], dynamic=along in dynamic)
    text = generic(
        "r0",
        [identity(rank), f"d{along}", identity(rank)],
        "ppp",
        [("%a0", kind), ("%a1", row)],
        ("%out0", kind),
        "%y = arith.mulf %x0, %x1 : f32",
    )
    inputs = [normal(*shape), normal(shape[along])]
    check(kernel([kind, row], [kind], text), inputs, [np.zeros(shape, "f4")], target(r), "elementwise")


def test_fill(r):
    shape = sizes(r, 2, 300)
    kind = tensor(shape, dynamic=some(r, 2))
    text = filled("r0", "2.5", kind, "%out0")
    check(kernel([], [kind], text), [], [np.zeros(shape, "f4")], target(r), "elementwise")


def test_bits_and_widths(r):
    """Vectors of one-byte flags and of integers beside floats."""
    shape = sizes(r, 2)
    dynamic = some(r, 2)
    flags = np.random.default_rng(1).random(shape) > 0.5
    types = [tensor(shape, e, dynamic) for e in ("f32", "i64", "i1")]
    body = (
        "%s = arith.sitofp %x1 : i64 to f32\n%t = arith.select %x2, %s, %x0 : f32\n%y = arith.cmpf ogt, %t, %x0 : f32"
    )
    ins = [(f"%a{i}", t) for i, t in enumerate(types)]
    out = tensor(shape, "i1", dynamic)
    text = generic("r0", ["d0, d1"] * 4, "pp", ins, ("%out0", out), body)
    inputs = [normal(*shape), np.random.default_rng(2).integers(-3, 3, shape), flags]
    check(kernel(types, [out], text), inputs, [np.zeros(shape, bool)], target(r), "elementwise")


def test_looked_up_rows(r):
    rows, width, count = sizes(r, 3)
    table, which = tensor((rows, width), dynamic=True), tensor((count,), "i64", True)
    out = tensor((count, width), dynamic=True)
    body = f"""
    %i = arith.index_cast %x0 : i64 to index
    %j = linalg.index 1 : index
    %y = tensor.extract %a0[%i, %j] : {table}"""
    text = generic("r0", ["d0", "d0, d1"], "pp", [("%a1", which)], ("%out0", out), body)
    inputs = [normal(rows, width), np.random.default_rng(3).integers(0, rows, count)]
    check(kernel([table, which], [out], text), inputs, [np.zeros((count, width), "f4")], target(r), "elementwise")


def test_pad(r):
    shape = sizes(r, 3, 40)
    low, high = [r.choice((0, 0, 1, 3)) for _ in shape], [r.choice((0, 0, 2)) for _ in shape]
    whole, dynamic = [a + n + c for a, n, c in zip(low, shape, high, strict=True)], some(r, 3)
    kind, out = tensor(shape, dynamic=dynamic), tensor(whole, dynamic=dynamic)
    text = (
        f"%v = arith.constant 1.5 : f32\n%r0 = tensor.pad %a0 low{low} high{high} {{\n"
        f"^bb0(%i: index, %j: index, %k: index):\ntensor.yield %v : f32\n}} : {kind} to {out}\n"
    )
    check(kernel([kind], [out], text), [normal(*shape)], [np.zeros(whole, "f4")], target(r), "elementwise")


def test_concatenation(r):
    axis, first = r.randrange(3), sizes(r, 3, 40)
    shapes = [[r.randint(1, 40) if d == axis else n for d, n in enumerate(first)] for _ in range(r.randint(1, 3))]
    whole = [sum(s[d] for s in shapes) if d == axis else n for d, n in enumerate(first)]
    dynamic = some(r, 3)
    types, out = [tensor(s, dynamic=dynamic) for s in shapes], tensor(whole, dynamic=dynamic)
    values = ", ".join(f"%a{i}" for i in range(len(shapes)))
    text = f"%r0 = tensor.concat dim({axis}) {values} : ({', '.join(types)}) -> {out}"
    check(kernel(types, [out], text), [normal(*s) for s in shapes], [np.zeros(whole, "f4")], target(r), "elementwise")


def test_slices(r):
    """A slice taken, or put into a copy of the destination, with dynamic offsets and extents."""
    whole = sizes(r, 2)
    offsets = [r.choice((0, r.randrange(n))) for n in whole]
    places = ["0" if o == 0 and r.random() < 0.7 else None for o in offsets]
    shape = [r.randint(1, n - o) for n, o in zip(whole, offsets, strict=True)]
    small, large = tensor(shape, dynamic=True), tensor(whole, dynamic=True)
    if r.random() < 0.5:
        text = dims("%a0", small, 2)
        at = f"[{places[0] or '%a2'}, {places[1] or '%a3'}] [%n0, %n1] [1, 1]"
        text += f"%r0 = tensor.insert_slice %a0 into %a1{at} : {small} into {large}"
        types, inputs = [small, large, "index", "index"], [normal(*shape), normal(*whole)]
        out, result = large, np.zeros(whole, "f4")
    else:
        text = dims("%out0", small, 2)
        at = f"[{places[0] or '%a1'}, {places[1] or '%a2'}] [%n0, %n1] [1, 1]"
        text += f"%s = tensor.extract_slice %a0{at} : {large} to {small}\n"
        text += generic("r0", ["d0, d1"] * 2, "pp", [("%s", small)], ("%out0", small), "%y = arith.negf %x0 : f32")
        types, inputs = [large, "index", "index"], [normal(*whole)]
        out, result = small, np.zeros(shape, "f4")
    text = kernel(types, [out], text)
    for i in range(2):  # scalars become extents of arguments that are not read
        number = len(inputs) + i
        text = text.replace(f"%a{number}: index", f"%b{i}: tensor<?xi8>")
        extent = f"%z{i} = arith.constant 0 : index\n%a{number} = tensor.dim %b{i}, %z{i} : tensor<?xi8>\n"
        text = text.replace("{\n", "{\n" + extent, 1)
    inputs += [np.zeros(o, "i1") for o in offsets]
    check(text, inputs, [result], target(r), "elementwise")


def test_matmul(r):
    batch, (m, n, k) = r.randint(1, 3), sizes(r, 3)
    kind = tensor((batch, m, n), dynamic=True)
    turned = r.random() < 0.3
    types = [tensor((batch, m, k), dynamic=True), tensor((batch, n, k) if turned else (batch, k, n), dynamic=True)]
    text = filled("f", "0.0", kind, "%out0")
    maps = ["d0, d1, d3", "d0, d2, d3" if turned else "d0, d3, d2", "d0, d1, d2"]
    text += generic("r0", maps, "pppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", kind), MULTIPLY)
    inputs = [normal(batch, m, k), normal(*((batch, n, k) if turned else (batch, k, n)))]
    check(kernel(types, [kind], text), inputs, [np.zeros((batch, m, n), "f4")], target(r))


def test_matmul_of_packed_weights(r):
    """Dynamic rows, panels of weights, a bias behind."""
    (m, k), panel = sizes(r, 2), r.choice((8, 16, 32))
    n = r.randint(1, 4) * panel - r.choice((0, 0, 5))
    b = normal(-(-n // panel), k, panel)
    types, out = [tensor((m, k), dynamic=(0,)), tensor(b.shape), tensor((n,))], tensor((m, n), dynamic=(0,))
    text = dims("%a0", types[0], 1) + filled("f", "0.0", out, extents="%n0")
    maps = ["d0, d2", f"d1 floordiv {panel}, d2, d1 mod {panel}", "d0, d1"]
    text += generic("c", maps, "ppr", [("%a0", types[0]), ("%a1", types[1])], ("%f", out), MULTIPLY)
    body = "%y = arith.addf %x0, %x1 : f32"
    text += generic("r0", ["d0, d1", "d1", "d0, d1"], "pp", [("%c", out), ("%a2", types[2])], ("%out0", out), body)
    check(kernel(types, [out], text), [normal(m, k), b, normal(n)], [np.zeros((m, n), "f4")], target(r), "contraction")


def test_convolution(r):
    h, w = sizes(r, 2, 30)
    ic, oc, k, s = r.choice((3, 8)), r.choice((8, 15, 32)), r.choice((1, 3)), r.choice((1, 2))
    x, b = normal((h - 1) * s + k, (w - 1) * s + k, ic), normal(k, k, ic, oc)
    c = tensor((h, w, oc), dynamic=(0, 1))
    types = [tensor(x.shape, dynamic=(0, 1)), tensor(b.shape)]
    text = filled("f", "0.0", c, "%out0")
    maps = [f"d0 * {s} + d3, d1 * {s} + d4, d5", "d3, d4, d5, d2", "d0, d1, d2"]
    text += generic("r0", maps, "ppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%f", c), MULTIPLY)
    check(kernel(types, [c], text), [x, b], [np.zeros((h, w, oc), "f4")], target(r), "contraction")


def test_depthwise_convolution(r):
    h, w, c = sizes(r, 3, 40)
    k, s, first = r.choice((3, 5)), r.choice((1, 2)), r.random() < 0.3
    high, wide = (h - 1) * s + k, (w - 1) * s + k
    b = normal(k, k, c)
    if first:
        shape, x, dynamic = (c, h, w), normal(c, high, wide), (1, 2)
        maps = [f"d0, d1 * {s} + d3, d2 * {s} + d4", "d3, d4, d0", "d0, d1, d2"]
    else:
        shape, x, dynamic = (h, w, c), normal(high, wide, c), (0, 1)
        maps = [f"d0 * {s} + d3, d1 * {s} + d4, d2", "d3, d4, d2", "d0, d1, d2"]
    out = tensor(shape, dynamic=dynamic)
    types = [tensor(x.shape, dynamic=dynamic), tensor(b.shape)]
    text = filled("f", "0.0", out, "%out0")
    text += generic("r0", maps, "ppprr", [("%a0", types[0]), ("%a1", types[1])], ("%f", out), MULTIPLY)
    check(kernel(types, [out], text), [x, b], [np.zeros(shape, "f4")], target(r))


def test_pooling(r):
    h, w, c = sizes(r, 3, 40)
    k, s = r.choice((2, 3)), r.choice((1, 2))
    x = normal((h - 1) * s + k, (w - 1) * s + k, c)
    out, kind = tensor((h, w, c), dynamic=True), tensor(x.shape, dynamic=True)
    text = filled("f", "0xFF800000", out, "%out0") + f"%w = tensor.empty() : {tensor((k, k))}\n"
    maps = [f"d0 * {s} + d3, d1 * {s} + d4, d2", "d3, d4", "d0, d1, d2"]
    body = "%y = arith.maximumf %o, %x0 : f32"
    text += generic("r0", maps, "ppprr", [("%a0", kind), ("%w", tensor((k, k)))], ("%f", out), body)
    check(kernel([kind], [out], text), [x], [np.zeros((h, w, c), "f4")], target(r), "window")


@pytest.mark.parametrize("body", ["arith.addf", "arith.maximumf"])
def test_reduction(r, body):
    """Over any dimension or two of three."""
    shape = sizes(r, 3, 40)
    gone = r.sample(range(3), r.randint(1, 2))
    left = [d for d in range(3) if d not in gone]
    kind, out = tensor(shape, dynamic=True), tensor([shape[d] for d in left], dynamic=True)
    text = filled("f", "0.0", out, "%out0")
    maps = ["d0, d1, d2", ", ".join(f"d{d}" for d in left)]
    loops = "".join("r" if d in gone else "p" for d in range(3))
    text += generic("r0", maps, loops, [("%a0", kind)], ("%f", out), f"%y = {body} %o, %x0 : f32")
    result = np.zeros([shape[d] for d in left], "f4")
    assert check(kernel([kind], [out], text), [normal(*shape)], [result], target(r)) != "affine"


def test_normalisation(r):
    """Means of rows, what is left, and its squares: several reductions of a dynamic row."""
    rows, n = sizes(r, 2, 200)
    kind, small = tensor((rows, n), dynamic=some(r, 2)), tensor((rows,), dynamic=True)
    text = dims("%a0", kind, 2) + filled("zero", "0.0", small, extents="%n0")
    text += "%i = arith.index_cast %n1 : index to i64\n%n = arith.sitofp %i : i64 to f32\n"
    kind = tensor((rows, n), dynamic=True)
    text = text.replace("tensor<" + str(rows) + "x?xf32>", kind).replace("tensor<?x" + str(n) + "xf32>", kind)
    text += f"%e = tensor.empty(%n0, %n1) : {kind}\n%e1 = tensor.empty(%n0) : {small}\n"
    text += centred(kind, small)
    body = "%y = arith.mulf %x0, %x1 : f32"
    text += generic("r0", ["d0, d1", "d0", "d0, d1"], "pp", [("%diff", kind), ("%var", small)], ("%out0", kind), body)
    outputs = [np.zeros((rows, n), "f4")]
    assert check(kernel([kind], [kind], text), [normal(rows, n)], outputs, target(r), tolerance=1e-4) != "affine"
