"""Schedules of reductions and of what goes point by point against plain loops, on several targets."""

import dataclasses

import numpy as np
from drawn import centred, normal, padded, target
from kernels import check, filled, generic, kernel, scheduled, tensor
from neomlir import targets

SUM = "%y = arith.addf %o, %x0 : f32"


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


def test_largest_of_windows_with_a_border(r):
    """What loses against every number is around the input in no memory, on both sides or one."""
    c, k, s = r.randint(2, 50), r.choice((2, 3, 5)), r.choice((1, 2, 3))
    h, w = r.randint(1, 9), r.randint(1, 29)
    whole = (1, (h - 1) * s + k, (w - 1) * s + k, c)
    low, high = ([0, r.randint(0, k - 1), r.randint(0, k - 1), 0] for _ in range(2))
    low = [min(x, size - 1) for x, size in zip(low, whole, strict=True)]
    high = [min(y, size - 1 - x) for x, y, size in zip(low, high, whole, strict=True)]
    x = normal(*(size - a - b for size, a, b in zip(whole, low, high, strict=True)))
    x.reshape(-1)[:: r.randint(7, 40)] = np.nan
    kind, out = tensor(x.shape), tensor((1, h, w, c))
    text = filled("f", "0xFF800000", out, "%out0") + f"%w = tensor.empty() : {tensor((k, k))}\n"
    text += (
        f"%z = arith.constant 0xFF800000 : f32\n%p = tensor.pad %a0 low{low} high{high} {{\n"
        "^bb0(%i0: index, %i1: index, %i2: index, %i3: index):\ntensor.yield %z : f32\n"
        f"}} : {kind} to {tensor(whole)}\n"
    )
    maps = [f"d0, d1 * {s} + d4, d2 * {s} + d5, d3", "d4, d5", "d0, d1, d2, d3"]
    body = "%y = arith.maximumf %o, %x0 : f32"
    text += generic("r0", maps, "pppprr", [("%p", tensor(whole)), ("%w", tensor((k, k)))], ("%f", out), body)
    check(kernel([kind], [out], text), [x], [np.zeros((1, h, w, c), "f4")], target(r), "window")


def test_sums_of_columns(r):
    """A few rows pass by at a time, the sums wait: of one matrix or several, scaled at the end."""
    n, h, c = r.choice((1, 1, 3)), r.randint(8, 70), r.randint(270, 1200)
    x, out = normal(n, h, c), tensor((n, c))
    machine = target(r)
    machine = dataclasses.replace(machine, cache=dataclasses.replace(machine.cache, l1d=4096))
    text = filled("f", r.choice(("0.0", "0.5")), out)
    text += generic("s", ["d0, d1, d2", "d0, d2"], "prp", [("%a0", tensor(x.shape))], ("%f", out), SUM)
    text += "%n = arith.constant 3.0 : f32\n"
    text += generic("r0", ["d0, d1"] * 2, "pp", [("%s", out)], ("%out0", out), "%y = arith.divf %x0, %n : f32")
    text = kernel([tensor(x.shape)], [out], text)
    waits = "memref.alloca" in scheduled(text, machine)[1]
    assert waits != machine.vector.scalable, "sums wait in scratch memory, but for vectors of unknown length"
    check(text, [x], [np.zeros((n, c), "f4")], machine, "window")


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


def test_softmax_of_what_is_fetched_ahead(r):
    shape = (r.randint(9, 40), r.choice((64, 100, 333)))
    machine = targets.get("znver2")
    machine = dataclasses.replace(machine, cache=dataclasses.replace(machine.cache, l2=2048))
    assert "memref.prefetch" in scheduled(softmax(shape, 1), machine)[1]
    check(softmax(shape, 1), [normal(*shape)], [np.zeros(shape, "f4")], machine, "reduction")


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
    text += centred(kind, small)
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


def test_pad(r):
    shape = [r.randint(1, 9) for _ in range(3)]
    low, high = [r.choice((0, 0, 1, 3)) for _ in shape], [r.choice((0, 0, 2)) for _ in shape]
    whole = [a + n + c for a, n, c in zip(low, shape, high, strict=True)]
    kind, out = tensor(shape), tensor(whole)
    text = padded("r0", low, high, 1.5, kind, out)
    check(kernel([kind], [out], text), [normal(*shape)], [np.zeros(whole, "f4")], target(r), "elementwise")


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


def test_constants_of_several_numbers(r):
    """They stand in the kernel, and are read at places as arguments are."""
    rows, n = r.randint(2, 30), r.randint(2, 16)
    kind = tensor((rows, n))
    z = normal(n)
    text = f"%c = arith.constant dense<[{', '.join(f'{v:.9e}' for v in z)}]> : {tensor((n,))}\n"
    body = "%y = arith.addf %x0, %x1 : f32"
    maps = ["d0, d1", "d1", "d0, d1"]
    text += generic("r0", maps, "pp", [("%a0", kind), ("%c", tensor((n,)))], ("%out0", kind), body)
    x, out = normal(rows, n), np.zeros((rows, n), "f4")
    check(kernel([kind], [kind], text), [x], [out], target(r), "elementwise")


def test_few_planes_put_together(r):
    """Two to eight planes become points, scaled by place, in rows or one."""
    few, shape = r.randint(2, 8), r.choice(((r.randint(4, 90),), (r.randint(1, 6), r.randint(4, 90))))
    kind, scales, out = tensor((few, *shape)), tensor((few,)), tensor((*shape, few))
    dims = [f"d{i}" for i in range(len(shape) + 1)]
    maps = [", ".join([dims[-1], *dims[:-1]]), dims[-1], ", ".join(dims)]
    ins, body = [("%a0", kind), ("%a1", scales)], "%y = arith.mulf %x0, %x1 : f32"
    text = kernel([kind, scales], [out], generic("r0", maps, "p" * len(dims), ins, ("%out0", out), body))
    check(text, [normal(few, *shape), normal(few)], [np.zeros((*shape, few), "f4")], target(r), "elementwise")
