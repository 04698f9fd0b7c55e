"""Contractions of narrow numbers by dot-product units against plain loops."""

import ctypes
import platform
import random
import sys

import ml_dtypes
import numpy as np
import pytest
from kernels import check, filled, generic, kernel, tensor
from neomlir import targets
from neomlir.codegen.link import link_shared
from neomlir.codegen.objects import emit_assembly, emit_object
from neomlir.schedules.units import units_of

TYPES = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "s8": np.int8, "u8": np.uint8}
RANGE = {"s8": (-128, 127), "u8": (0, 255)}
HERE = [
    name
    for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4")
    if platform.machine() == "x86_64" and targets.get(name).runs_here()
]
"""The x86 targets without dot products of bytes whose code this machine runs."""
EXTENSION = {"bf16": "extf", "f16": "extf", "s8": "extsi", "u8": "extui"}


@pytest.fixture(scope="module", autouse=True)
def tiles():
    """Ask Linux for the tile registers, which the runtime does for a model."""
    if platform.machine() == "x86_64":
        ctypes.CDLL(None).syscall(158, 0x1023, 18)


def units():
    """(target, types of the operands) of every unit of this machine."""
    for name, needed in (("sapphirerapids", "amx-bf16"), ("znver5", "avx512bf16"), ("icelake-server", "avx512vnni")):
        if needed not in targets.host_cpu()[1]:
            continue
        kinds = [("bf16", "bf16")] if name != "icelake-server" else []
        kinds += [("u8", "s8"), ("s8", "s8")] + ([("s8", "u8"), ("u8", "u8")] if name == "sapphirerapids" else [])
        yield from ((name, kind) for kind in kinds)
    for name in HERE:
        yield from ((name, (rows, columns)) for rows in ("u8", "s8") for columns in ("s8", "u8"))


def schedule_of(target, kinds):
    """The schedule for the best unit of a target of this machine."""
    unit = units_of(targets.get(target), *kinds)[0]
    return "matrix_tiles" if unit.tiles else "words" if unit.words else "dot_product"


def draw(kind, shape, seed):
    random = np.random.default_rng(seed)
    if "f" in kind:
        return random.standard_normal(shape).astype(TYPES[kind])
    info = np.iinfo(TYPES[kind])
    return random.integers(info.min, info.max + 1, shape).astype(TYPES[kind])


def panels(array, width, group):
    """[…, channels, columns] as [columns / width, …, channels / group, width, group]; without groups of one."""
    *outer, channels, columns = array.shape
    wide = np.zeros((*outer, channels, -(-columns // width) * width), array.dtype)
    wide[..., :columns] = array
    split = wide.reshape(*outer, channels // group, group, -1, width)
    n = len(outer)
    packed = np.ascontiguousarray(split.transpose(n + 2, *range(n), n, n + 3, n + 1))
    return packed[..., 0] if group == 1 else packed


def access(columns, outer, channels, width, group):
    """Where panels are read, by the names of the loops."""
    places = [f"{columns} floordiv {width}", *outer]
    if group == 1:
        return ", ".join([*places, channels, f"{columns} mod {width}"])
    places += [f"{channels} floordiv {group}", f"{columns} mod {width}", f"{channels} mod {group}"]
    return ", ".join(places)


def body(kinds):
    narrow, wide = (kinds[0], "f32") if "f" in kinds[0] else ("i8", "i32")
    kind = "f" if wide == "f32" else "i"
    text = "".join(f"%e{i} = arith.{EXTENSION[k]} %x{i} : {narrow} to {wide}\n" for i, k in enumerate(kinds))
    return narrow, wide, f"{text}%p = arith.mul{kind} %e0, %e1 : {wide}\n%y = arith.add{kind} %o, %p : {wide}"


def group_of(target, kinds):
    """Neighbours of the reduction that a panel for the target's best unit has side by side."""
    return units_of(targets.get(target), *kinds)[0].group


def product(target, kinds, m, n, k, width, seed=0, taken=""):
    """[m, k] times [k, n] with a bias, checked."""
    group = group_of(target, kinds)
    narrow, wide, text = body(kinds)
    a, b = draw(kinds[0], (m, k), seed), panels(draw(kinds[1], (k, n), seed + 1), width, group)
    types = [tensor(a.shape, narrow), tensor(b.shape, narrow), tensor((n,), wide)]
    packed = access("d1", [], "d2", width, group)
    out, add = tensor((m, n), wide), "addf" if wide == "f32" else "addi"
    code = filled("z", "0.0" if wide == "f32" else "0", out)
    code += generic("c", ["d0, d2", packed, "d0, d1"], "ppr", [("%a0", types[0]), ("%a1", types[1])], ("%z", out), text)
    end = f"%y = arith.{add} %x0, %x1 : {wide}"
    code += generic("r0", ["d0, d1", "d1", "d0, d1"], "pp", [("%c", out), ("%a2", types[2])], ("%out0", out), end)
    bias = np.arange(n).astype("f4" if wide == "f32" else "i4")
    result = np.zeros((m, n), bias.dtype)
    taken = taken or schedule_of(target, kinds)
    check(kernel(types, [out], code), [a, b, bias], [result], targets.get(target), taken)


def convolution(target, kinds, wide, stride, channels, columns, width, taken=""):
    """A 3x3 window over 7 rows, checked."""
    group = group_of(target, kinds)
    narrow, result, text = body(kinds)
    a = draw(kinds[0], (1, 7, wide, channels), 0)
    b = panels(draw(kinds[1], (3, 3, channels, columns), 1), width, group)
    shape = (1, (7 - 3) // stride + 1, (wide - 3) // stride + 1, columns)
    types, out = [tensor(a.shape, narrow), tensor(b.shape, narrow)], tensor(shape, result)
    packed = access("d3", ["d4", "d5"], "d6", width, group)
    maps = [f"d0, d1 * {stride} + d4, d2 * {stride} + d5, d6", packed, "d0, d1, d2, d3"]
    code = filled("z", "0.0" if result == "f32" else "0", out, into="%out0")
    code += generic("r0", maps, "pppprrr", [("%a0", types[0]), ("%a1", types[1])], ("%z", out), text)
    found = np.zeros(shape, "f4" if result == "f32" else "i4")
    taken = taken or schedule_of(target, kinds)
    check(kernel(types, [out], code), [a, b], [found], targets.get(target), taken)


def batched(target, kinds, width, taken=""):
    """Three products of [5, 24] and [24, 20], checked."""
    group = group_of(target, kinds)
    narrow, wide, text = body(kinds)
    a, b = draw(kinds[0], (3, 5, 24), 0), panels(draw(kinds[1], (3, 24, 20), 1), width, group)
    types, out = [tensor(a.shape, narrow), tensor(b.shape, narrow)], tensor((3, 5, 20), wide)
    maps = ["d0, d1, d3", access("d2", ["d0"], "d3", width, group), "d0, d1, d2"]
    code = filled("z", "0.0" if wide == "f32" else "0", out, into="%out0")
    code += generic("r0", maps, "pppr", [("%a0", types[0]), ("%a1", types[1])], ("%z", out), text)
    found = np.zeros((3, 5, 20), "f4" if wide == "f32" else "i4")
    taken = taken or schedule_of(target, kinds)
    check(kernel(types, [out], code), [a, b], [found], targets.get(target), taken)


def dynamic_rows(target, kinds, rows, width, taken=""):
    """[rows, 24] times [24, 40], of which the code does not know how many rows there are, checked."""
    group = group_of(target, kinds)
    narrow, wide, text = body(kinds)
    a, b = draw(kinds[0], (rows, 24), 0), panels(draw(kinds[1], (24, 40), 1), width, group)
    types, out = [tensor(a.shape, narrow, (0,)), tensor(b.shape, narrow)], tensor((rows, 40), wide, (0,))
    packed = access("d1", [], "d2", width, group)
    code = filled("z", "0.0" if wide == "f32" else "0", out, into="%out0")
    code += generic(
        "r0", ["d0, d2", packed, "d0, d1"], "ppr", [("%a0", types[0]), ("%a1", types[1])], ("%z", out), text
    )
    found = np.zeros((rows, 40), "f4" if wide == "f32" else "i4")
    taken = taken or schedule_of(target, kinds)
    check(kernel(types, [out], code), [a, b], [found], targets.get(target), taken)


@pytest.mark.parametrize(("target", "kinds"), list(units()))
@pytest.mark.parametrize("size", [(1, 40, 64), (49, 33, 24), (64, 96, 160), (5, 16, 4)])
def test_products(target, kinds, size):
    product(target, kinds, *size, 16 if size[1] <= 16 else 32)


@pytest.mark.parametrize(("target", "kinds"), list(units()))
def test_random_products(target, kinds):
    r = random.Random(str((target, kinds)))
    for seed in range(2):
        product(target, kinds, r.randint(1, 130), r.randint(1, 130), 4 * r.randint(1, 32), r.choice([16, 32]), seed)


@pytest.mark.parametrize(("target", "kinds"), [u for u in units() if "f" not in u[1][0]])
@pytest.mark.parametrize("ends", [("min", "min"), ("max", "max"), ("max", "min")])
def test_the_largest_products(target, kinds, ends, monkeypatch):
    """Nothing saturates: all factors are the least or the greatest of their type."""

    def extreme(kind, shape, seed):
        return np.full(shape, getattr(np.iinfo(TYPES[kind]), ends[seed % 2]), TYPES[kind])

    monkeypatch.setattr(sys.modules[__name__], "draw", extreme)
    product(target, kinds, 7, 33, 24, 32)
    width = 2 * units_of(targets.get(target), *kinds)[0].lanes
    product(target, kinds, 30, 4 * width, 64, width)
    convolution(target, kinds, 12, 1, 32, width, width)


@pytest.mark.parametrize(("target", "kinds"), [u for u in units() if "f" not in u[1][0]])
def test_half_the_multiplications(target, kinds):
    """Whole panels, enough of them, and channels that fill vectors: what `words_inner.py` takes."""
    width = 2 * units_of(targets.get(target), *kinds)[0].lanes
    product(target, kinds, 150, 5 * width, 96, width)
    product(target, kinds, 9, 4 * width, 64, width)
    convolution(target, kinds, 13, 2, 32, 4 * width, width)
    convolution(target, kinds, 40, 2, 16, 4 * width, width)


@pytest.mark.parametrize(("target", "kinds"), [u for u in units() if u[1] == ("u8", "s8")])
@pytest.mark.parametrize(("low", "high", "zero"), [(0, 255, 0), (-131, 124, 3), (-7, 248, 7), (-5, 100, 7)])
@pytest.mark.parametrize("size", [(49, 33, 24), (64, 80, 8)])
def test_quantised_results(target, kinds, low, high, zero, size):
    """Sums scaled, clamped, rounded and narrowed to bytes: by the whole range of a byte or less, signed or not."""
    (m, n, k), group = size, group_of(target, kinds)
    narrow, wide, text = body(kinds)
    a, b = draw(kinds[0], (m, k), 1), panels(draw(kinds[1], (k, n), 2), 32, group)
    types = [tensor(a.shape, narrow), tensor(b.shape, narrow), tensor((n,), "f32")]
    sums, out = tensor((m, n), wide), tensor((m, n), "i8")
    code = filled("z", "0", sums)
    packed = access("d1", [], "d2", 32, group)
    code += generic(
        "c", ["d0, d2", packed, "d0, d1"], "ppr", [("%a0", types[0]), ("%a1", types[1])], ("%z", sums), text
    )
    constants = {
        "low": f"{low}.0 : f32",
        "high": f"{high}.0 : f32",
        "round": "12582912.0 : f32",
        "zero": f"{zero} : i32",
    }
    code += "".join(f"%{name} = arith.constant {value}\n" for name, value in constants.items())
    end = (
        "%0 = arith.sitofp %x0 : i32 to f32\n%1 = arith.mulf %0, %x1 : f32\n"
        "%2 = arith.cmpf ogt, %1, %low : f32\n%3 = arith.select %2, %1, %low : f32\n"
        "%4 = arith.cmpf olt, %3, %high : f32\n%5 = arith.select %4, %3, %high : f32\n"
        "%6 = arith.addf %5, %round : f32\n%7 = arith.bitcast %6 : f32 to i32\n"
        + ("%8 = arith.addi %7, %zero : i32\n%y = arith.trunci %8" if zero else "%y = arith.trunci %7")
        + " : i32 to i8"
    )
    code += generic("r0", ["d0, d1", "d1", "d0, d1"], "pp", [("%c", sums), ("%a2", types[2])], ("%out0", out), end)
    scale = np.geomspace(1e-3, 10, n).astype("f4")
    scale[0] = np.nan
    taken = schedule_of(target, kinds)
    check(kernel(types, [out], code), [a, b, scale], [np.zeros((m, n), "i1")], targets.get(target), taken)


@pytest.mark.parametrize(("target", "kinds"), list(units()))
@pytest.mark.parametrize(("wide", "stride", "channels", "columns"), [(9, 1, 8, 24), (24, 2, 4, 40)])
def test_convolutions(target, kinds, wide, stride, channels, columns):
    """3x3 windows; the first has rows that fit a tile."""
    convolution(target, kinds, wide, stride, channels, columns, 32)


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v4", "cortex-a53", "riscv64-v", "wasm32-simd128"])
def test_rounding_without_an_instruction(target, tmp_path):
    """bf16 is written everywhere, and where this machine runs the code, as numpy has it."""
    target = targets.get(target)
    kinds = ("float", "bfloat"), ("<8 x float>", "<8 x bfloat>")
    text = "\n".join(
        f"define void @f{i}(ptr %a, ptr %b) {{\n  %x = load {wide}, ptr %a, align 4\n"
        f"  %y = fptrunc {wide} %x to {narrow}\n  store {narrow} %y, ptr %b, align 2\n  ret void\n}}"
        for i, (wide, narrow) in enumerate(kinds)
    )
    assembly = emit_assembly(text, target)
    assert "__truncsfbf2" not in assembly
    if not target.runs_here() or "linux" not in target.triple:
        return
    library = tmp_path / "rounding.so"
    library.write_bytes(link_shared([emit_object(text, target)], target, ["f0", "f1"]))
    functions = ctypes.CDLL(str(library))
    numbers = np.array([0, -0.0, 1, 1 + 2**-8, 1 + 3 * 2**-8, np.inf, -np.nan, 3.39e38, 1e-40, -2.5], "f4")
    wide = np.concatenate([numbers, np.random.default_rng(0).standard_normal(62).astype("f4")])
    for i, step in enumerate((1, 8)):
        found = np.zeros(len(wide), ml_dtypes.bfloat16)
        for at in range(0, len(wide), step):
            functions[f"f{i}"](ctypes.c_void_p(wide[at:].ctypes.data), ctypes.c_void_p(found[at:].ctypes.data))
        np.testing.assert_array_equal(found.astype("f4"), wide.astype(ml_dtypes.bfloat16).astype("f4"))


@pytest.mark.parametrize("element", ["bf16", "i8"])
@pytest.mark.parametrize("maps", ["d1, d0, d3, d2, d4", "d1, d2, d4, d0, d3"])
def test_interleaving(element, maps):
    """[columns / r, heads, groups, r, g] from [heads, columns, groups, g] and from [heads, groups, g, columns]."""
    group = 2 if element == "bf16" else 4
    sizes = [2, 3, 12, 16, group]
    source = draw("bf16" if element == "bf16" else "s8", [sizes[int(d[1])] for d in maps.split(", ")], 0)
    kind, result = tensor(source.shape, element), tensor(sizes, element)
    identity = ", ".join(f"d{i}" for i in range(5))
    code = generic("r0", [maps, identity], "ppppp", [("%a0", kind)], ("%out0", result), "").replace("%y", "%x0")
    found = np.zeros(sizes, source.dtype)
    check(kernel([kind], [result], code), [source], [found], targets.get("x86-64-v4"), "interleave")


@pytest.mark.parametrize(("target", "kinds"), list(units()))
def test_batched_products(target, kinds):
    batched(target, kinds, 32)


@pytest.mark.parametrize(("target", "kinds"), list(units()))
@pytest.mark.parametrize("rows", [3, 70])
def test_dynamic_rows(target, kinds, rows):
    dynamic_rows(target, kinds, rows, 32)


@pytest.mark.parametrize("target", ["neoverse-n2", "apple-m2", "apple-m1", "cortex-a76"])
def test_conversions_of_bf16_on_arm(target):
    """One instruction rounds four numbers where there is one; widening is a shift."""
    text = (
        "define void @f(ptr %a, ptr %b) {\n  %x = load <8 x bfloat>, ptr %a, align 2\n"
        "  %w = fpext <8 x bfloat> %x to <8 x float>\n  %s = fadd <8 x float> %w, %w\n"
        "  %y = fptrunc <8 x float> %s to <8 x bfloat>\n  store <8 x bfloat> %y, ptr %b, align 2\n  ret void\n}"
    )
    target = targets.get(target)
    words = [line.split()[0].split(".")[0] for line in emit_assembly(text, target).splitlines() if line.strip()]
    assert words.count("shll") == words.count("shll2") == 1
    assert sum(word.startswith("bfcvt") for word in words) == (2 if target.has("bf16") else 0)
