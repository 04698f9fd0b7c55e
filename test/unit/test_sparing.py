"""The schedules `scatter`, `scan` and `rank`, which leave out most of a reduction, against plain loops."""

import neomlir
import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets

TARGETS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]
COMBINE = {"add": "arith.addf", "max": "arith.maximumf", "mul": "arith.mulf"}
DRAW = np.random.default_rng(0)


def scatter_body(places: list[int], new: str, old: str = "%o") -> str:
    """`select(loop == place, new, old)`; the place along loop `places[n]` is %x{n}."""
    lines, hits = [], []
    for n, d in enumerate(places):
        lines += [f"%i{n} = linalg.index {d} : index", f"%c{n} = arith.index_cast %i{n} : index to i64"]
        lines.append(f"%h{n} = arith.cmpi eq, %c{n}, %x{n} : i64")
        hits.append(f"%h{n}")
    hit = hits[0]
    for n, other in enumerate(hits[1:]):
        lines.append(f"%b{n} = arith.andi {hit}, {other} : i1")
        hit = f"%b{n}"
    return "\n".join([*lines, new, f"%y = arith.select {hit}, %n, {old} : f32"])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("rows", "width", "updates"), [(5, 3, 9), (40, 37, 200), (64, 64, 1), (7, 1, 300), (600, 64, 900)]
)
@pytest.mark.parametrize("how", [*COMBINE, "last"])
def test_rows(rows, width, updates, how, target):
    """Updates that lie outside of the result are left out, those of one row are combined in order."""
    u, i, out = (updates, width), (updates,), (rows, width)
    new = (
        f"%n = {COMBINE[how]} %o, %x1 : f32"
        if how in COMBINE
        else "%z = arith.constant 0.0 : f32\n%n = arith.addf %x1, %z : f32"
    )
    body = generic(
        "r0",
        ["d2", "d2, d1", "d0, d1"],
        "ppr",
        [("%a1", tensor(i, "i64")), ("%a0", tensor(u))],
        ("%s", tensor(out)),
        scatter_body([0], new),
    )
    text = kernel([tensor(u), tensor(i, "i64")], [tensor(out)], filled("s", 1.0, tensor(out), "%out0") + body)
    inputs = [DRAW.standard_normal(u).astype("f4"), DRAW.integers(-2, rows + 2, i)]
    inputs[1][:1] = np.iinfo("i8").min
    check(text, inputs, [np.zeros(out, "f4")], targets.get(target), "scatter")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("batch", [1, 3])
def test_elements_of_a_batch(batch, target):
    """Places along two dimensions that depend on the batch, with an initial value that is an operand."""
    out, u = (batch, 9, 11), (batch, 40)
    maps = ["d0, d3", "d0, d3", "d0, d3", "d0, d1, d2"]
    ins = [("%a1", tensor(u, "i64")), ("%a2", tensor(u, "i64")), ("%a0", tensor(u))]
    body = generic("r0", maps, "pppr", ins, ("%a3", tensor(out)), scatter_body([1, 2], "%n = arith.addf %x2, %o : f32"))
    kinds = [tensor(u), tensor(u, "i64"), tensor(u, "i64"), tensor(out)]
    inputs = [DRAW.standard_normal(u).astype("f4"), DRAW.integers(0, 9, u), DRAW.integers(0, 12, u)]
    inputs.append(DRAW.standard_normal(out).astype("f4"))
    check(kernel(kinds, [tensor(out)], body), inputs, [np.zeros(out, "f4")], targets.get(target), "scatter")


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_column_of_its_own_for_each(dynamic):
    """A place that depends on where along the result an update is, and on the update's number; a condition besides."""
    out, u = (20, 13), (30, 13)
    kind = tensor(u, dynamic=(0,) if dynamic else ())
    index = tensor(u, "i64", (0,) if dynamic else ())
    body = scatter_body([0], "%n = arith.addf %o, %x1 : f32").replace("%y = arith.select %h0", "%y = arith.select %b")
    body = body.replace(
        "%n = ",
        "%zero = arith.constant 0.0 : f32\n%p = arith.cmpf ogt, %x1, %zero : f32\n%b = arith.andi %h0, %p : i1\n%n = ",
    )
    text = generic(
        "r0", ["d2, d1", "d2, d1", "d0, d1"], "ppr", [("%a1", index), ("%a0", kind)], ("%s", tensor(out)), body
    )
    text = kernel([kind, index], [tensor(out)], filled("s", 0.0, tensor(out), "%out0") + text)
    inputs = [DRAW.standard_normal(u).astype("f4"), DRAW.integers(0, 20, u)]
    check(text, inputs, [np.zeros(out, "f4")], targets.get("x86-64-v3"), "scatter")


def scan(shape, along, combine, element, inclusive, start, dynamic=()) -> str:
    """A kernel that combines the elements of %a0 up to each along a dimension."""
    rank = len(shape)
    loops = [f"d{d}" for d in range(rank)]
    read = ", ".join(f"d{rank}" if d == along else loops[d] for d in range(rank))
    kind = tensor(shape, element, dynamic)
    body = (
        f"%i = linalg.index {rank} : index\n%j = linalg.index {along} : index\n"
        f"%c = arith.cmpi {'sle' if inclusive else 'slt'}, %i, %j : index\n"
        f"{combine}\n%y = arith.select %c, %n, %o : {element}"
    )
    text = generic("r0", [read, ", ".join(loops)], "p" * rank + "r", [("%a0", kind)], ("%s", kind), body)
    return kernel([kind], [kind], filled("s", start, kind, "%out0") + text)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize(
    ("shape", "along"),
    [((1,), 0), ((77,), 0), ((4, 200), 1), ((200, 4), 0), ((3, 50, 70), 1), ((3, 5, 33), 2), ((65, 3, 9), 0)],
)
def test_sums(shape, along, inclusive, target):
    text = scan(shape, along, "%n = arith.addf %o, %x0 : f32", "f32", inclusive, 0.5)
    check(text, [DRAW.standard_normal(shape).astype("f4")], [np.zeros(shape, "f4")], targets.get(target), "scan")


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("shape", [(3, 45), (45, 3)])
@pytest.mark.parametrize(
    ("combine", "element", "start"),
    [
        ("%n = arith.addi %x0, %o : i64", "i64", 3),
        ("%n = arith.maxsi %o, %x0 : i32", "i32", -5),
        ("%n = arith.minimumf %o, %x0 : f32", "f32", 1.0),
        ("%h = arith.constant 0.5 : f32\n%m = arith.mulf %o, %h : f32\n%n = arith.addf %m, %x0 : f32", "f32", 0.0),
    ],
    ids=["i64", "largest", "smallest", "decaying"],
)
def test_other_combinations(combine, element, start, shape, inclusive):
    """With a neutral element, and without: a decaying sum goes on one by one."""
    x = DRAW.integers(-9, 9, shape).astype({"f32": "f4", "i32": "i4", "i64": "i8"}[element])
    text = scan(shape, 1, combine, element, inclusive, start)
    check(text, [x], [np.zeros_like(x)], targets.get("x86-64-v3"), "scan")


@pytest.mark.parametrize("shape", [(3, 45), (45, 3)])
@pytest.mark.parametrize("along", [0, 1])
def test_sums_of_unknown_extent(shape, along):
    text = scan(shape, along, "%n = arith.addf %o, %x0 : f32", "f32", True, 0.0, dynamic=True)
    check(text, [DRAW.standard_normal(shape).astype("f4")], [np.zeros(shape, "f4")], targets.get("x86-64-v3"), "scan")


def rank(shape, along, element, limit=None) -> str:
    """A kernel that counts how many elements of %a0 come before each along a dimension."""
    dims = len(shape)
    mine = ", ".join(f"d{d}" for d in range(dims))
    other = ", ".join(f"d{dims}" if d == along else f"d{d}" for d in range(dims))
    kind, result = tensor(shape, element), tensor(shape, "i32")
    clip = f"%t = arith.addi %o, %w : i32\n%m = arith.constant {limit} : i32\n%y = arith.minsi %t, %m : i32"
    body = (
        f"%l = arith.cmpi slt, %x1, %x0 : {element}\n%e = arith.cmpi eq, %x1, %x0 : {element}\n"
        f"%j = linalg.index {dims} : index\n%i = linalg.index {along} : index\n%b = arith.cmpi slt, %j, %i : index\n"
        "%eb = arith.andi %e, %b : i1\n%c = arith.ori %l, %eb : i1\n%w = arith.extui %c : i1 to i32\n"
        + (clip if limit else "%y = arith.addi %o, %w : i32")
    )
    ins = [("%a0", kind), ("%a0", kind)]
    text = generic("r0", [mine, other, mine], "p" * dims + "r", ins, ("%s", result), body)
    return kernel([kind], [result], filled("s", 0, result, "%out0") + text)


@pytest.mark.parametrize("limit", [None, 1, 20, 128])
@pytest.mark.parametrize("element", ["i32", "i64"])
@pytest.mark.parametrize(
    ("shape", "along"), [((128,), 0), ((2500,), 0), ((3, 301), 1), ((130, 4), 0), ((2, 200, 3), 1)]
)
@pytest.mark.parametrize("most", [2, 2**31 - 1])
def test_ranks(shape, along, element, limit, most):
    """Keys of both signs, many equal, and bytes that are the same in all."""
    x = DRAW.integers(-most, most, shape).astype({"i32": "i4", "i64": "i8"}[element])
    found = check(rank(shape, along, element, limit), [x], [np.zeros(shape, "i4")], targets.get("x86-64-v3"), "rank")
    assert found == "rank"


def test_short_rows_are_compared():
    x = DRAW.integers(0, 9, (4, 20)).astype("i4")
    assert check(rank(x.shape, 1, "i32"), [x], [np.zeros(x.shape, "i4")], targets.get("x86-64-v3")) != "rank"


@pytest.mark.parametrize("threads", [1, 2])
def test_they_are_taken(threads):
    """What PyTorch makes of scatters, running sums and sorts becomes these schedules, in whole programs too."""
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def forward(self, x, source, target):
            sent = torch.relu(x)[source]
            sums = torch.zeros(300, 40).index_add(0, target, sent)
            return (
                sums,
                x.cumsum(1),
                x.cumsum(0),
                *x.sort(dim=0, stable=True),
                x.topk(9, 0)[0],
                x.scatter_add(0, target[:, None], sent),
            )

    inputs = (torch.randn(300, 40), torch.randint(0, 300, (900,)), torch.randint(0, 300, (900,)))
    model = neomlir.compile(Model(), inputs=inputs, threads=threads)
    taken = [kernel["schedule"] for kernel in model.report["kernels"]]
    assert {"scatter", "scan", "rank"} <= {*taken} and not {"affine", "window"} & {*taken}
    for found, wanted in zip(model(*(x.numpy() for x in inputs)), Model()(*inputs), strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("single", [True, False])
def test_elements_along_a_dimension(dim, single):
    """One kernel, whether there is an index for each element or one for each row, and no copy of that an element."""
    torch = pytest.importorskip("torch")
    shape = [90 if d == dim else n for d, n in enumerate((15, 16, 17))]

    class Model(torch.nn.Module):
        def forward(self, x, index, updates):
            return x.scatter_add(dim, index.expand(shape), updates)

    places = torch.randint(0, 15, [n if d == dim or not single else 1 for d, n in enumerate(shape)])
    inputs = (torch.randn(15, 16, 17), places, torch.randn(shape))
    model = neomlir.compile(Model(), inputs=inputs)
    assert [kernel["schedule"] for kernel in model.report["kernels"]] == ["scatter"]
    np.testing.assert_allclose(model(*(x.numpy() for x in inputs)), Model()(*inputs).numpy(), rtol=1e-5, atol=1e-5)
