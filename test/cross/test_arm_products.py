"""Contractions on the matrix multiply-accumulate instructions of Arm give what plain loops give on this machine."""

import re

import bare
import emulate
import neomlir
import numpy as np
import pytest
import test_dot_products as products
from execute import call
from kernels import scheduled
from neomlir import Pipeline, peers
from neomlir.codegen.objects import emit_assembly
from neomlir.codegen.translate import to_llvm_ir
from neomlir.mlir import context, ir
from neomlir.targets import Target
from test_scalable import LOWERING, Case, agree, program

TARGET = "neoverse-v1"
KINDS = [("bf16", "bf16"), ("s8", "s8"), ("u8", "u8"), ("u8", "s8")]
HALVES = ("f16", "f16")


def collector(found):
    """A `check` that leaves kernels, and what plain loops give for their inputs, in `found`."""

    def collect(text, inputs, outputs, target, expect):
        schedule, vector = scheduled(text, target)
        assert schedule == expect
        with context():
            wanted = call(ir.Module.parse(text), "k", [*inputs, *(np.zeros_like(o) for o in outputs)], {})
        found.append(Case(vector, False, list(inputs), wanted, 1e-5))

    return collect


def test_products_and_convolutions(monkeypatch, tmp_path):
    """Odd numbers of rows, columns that fill no panel, one row, few columns, strides, rows that nobody knows."""
    emulate.emulator(Target.named(TARGET))
    found = []
    monkeypatch.setattr(products, "check", collector(found))
    for kinds in KINDS:
        group = products.group_of(TARGET, kinds)
        for m, n, groups, width in ((1, 40, 3, 12), (49, 33, 4, 12), (17, 24, 2, 8), (5, 3, 1, 4), (64, 36, 7, 12)):
            products.product(TARGET, kinds, m, n, groups * group, width, taken="mmla")
        products.convolution(TARGET, kinds, 9, 1, group, 24, 8, "mmla")
        products.convolution(TARGET, kinds, 20, 2, 2 * group, 39, 12, "mmla")
        products.dynamic_rows(TARGET, kinds, 19, 12, "mmla")
        products.batched(TARGET, kinds, 12, "mmla")
    for m, n, k, width in ((5, 40, 24, 8), (49, 33, 29, 16), (64, 3, 7, 8)):
        products.product(TARGET, HALVES, m, n, k, width, taken="fmlal")
    products.convolution(TARGET, HALVES, 9, 1, 5, 24, 8, "fmlal")
    products.convolution(TARGET, HALVES, 20, 2, 16, 39, 8, "fmlal")
    products.dynamic_rows(TARGET, HALVES, 19, 8, "fmlal")
    products.batched(TARGET, HALVES, 8, "fmlal")
    program(tmp_path, found, Target.named(TARGET))
    agree(found, tmp_path, 128)


def assembly(text, target):
    """The assembly of a kernel of the level `vector`."""
    with context():
        module = ir.Module.parse(text)
        Pipeline(LOWERING).run(module, isolate=False)
        return emit_assembly(to_llvm_ir(module), target)


def inner_loop(text):
    """The instructions of the longest loop that has no other in it."""
    lines = [re.split("//|;", line)[0].strip() for line in text.splitlines()]
    place = {line[:-1]: number for number, line in enumerate(lines) if line.endswith(":")}
    loops = []
    for number, line in enumerate(lines):
        start = place.get(line.split()[-1]) if line.startswith("b.") else None
        if start is not None and start < number:
            loops.append([one for one in lines[start + 1 : number + 1] if one and one[0] != "."])
    return max((loop for loop in loops if sum(one[:2] == "b." for one in loop) == 1), key=len)


@pytest.mark.parametrize(
    ("target", "kinds", "instruction", "count"),
    [
        (TARGET, ("u8", "s8"), "usmmla", 24),
        ("apple-m2", ("s8", "s8"), "smmla", 24),
        ("cortex-a710", ("u8", "u8"), "ummla", 24),
        ("neoverse-v2", ("bf16", "bf16"), "bfmmla", 24),
        ("apple-m1", HALVES, "fmlal", 128),
    ],
)
def test_more_than_half_of_the_loop_multiplies(monkeypatch, target, kinds, instruction, count):
    """The sums stay in registers, and nothing goes through the stack."""
    found = []
    monkeypatch.setattr(products, "check", collector(found))
    group = products.group_of(target, kinds)
    width, taken = (8, "fmlal") if group == 1 else (12, "mmla")
    products.product(target, kinds, 64, 48, 128, width, taken=taken)
    if group == 1:
        # Panels that are shared with a target of wider registers.
        products.product(target, kinds, 64, 48, 128, 16, taken=taken)
    for case in found:
        loop = inner_loop(assembly(case.text, Target.named(target)))
        assert sum(line.startswith(instruction) for line in loop) >= count
        assert len(loop) < 2 * count and not any("[sp" in line or line.startswith("st") for line in loop)


def _agrees(source, arrays, outputs, folder, tolerance, taken, target=TARGET, **options):
    """A compiled object gives `outputs` for `inputs`, and its kernels with the schedules `taken` are so many."""
    there = neomlir.compile(source, target, emit="obj", output=folder / "net.o", **options)
    schedules = [kernel["schedule"] for kernel in there.report["kernels"]]
    assert {name: schedules.count(name) for name in taken} == taken
    given = dict(zip((spec.name for spec in there.inputs), arrays, strict=True))
    wanted = dict(zip((spec.name for spec in there.outputs), outputs, strict=True))
    assert set(bare.run_checked(there, Target.named(target), given, wanted, tolerance)) == {0}
    wrong = {name: array * np.float32(1 + 3 * tolerance) for name, array in wanted.items()}
    assert set(bare.run_checked(there, Target.named(target), given, wrong, tolerance)) == {1}


@pytest.mark.parametrize(("target", "taken"), [(TARGET, "mmla"), ("neoverse-n1", "dot_product")])
def test_a_quantised_model(target, taken, tmp_path):
    """Odd numbers of channels, rows and columns against ONNX Runtime."""
    pytest.importorskip("onnxruntime")
    import test_quantized as q

    emulate.emulator(Target.named(target))
    zero = np.uint8(128)
    source = q.model(
        [
            *q.qdq("x", "a"),
            q.node("DequantizeLinear", "w w_s w_z", "wf", axis=0),
            q.node("Conv", "a wf", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
            q.node("Relu", "c", "r"),
            *q.qdq("r", "d"),
            q.node("DequantizeLinear", "v v_s v_z", "vf", axis=0),
            q.node("Conv", "d vf", "e"),
            *q.qdq("e", "f"),
            q.node("Reshape", "f shape", "g"),
            q.node("DequantizeLinear", "m m_s m_z", "mf"),
            q.node("MatMul", "g mf", "h"),
            *q.qdq("h", "y"),
        ],
        [q.value("x", q.F32, 1, 5, 9, 11)],
        [q.value("y", q.F32, 15, 41)],
        {
            **q.point("a", 0.03, zero + 5, np.uint8),
            **q.point("d", 0.2, zero, np.uint8),
            **q.point("f", 0.4, zero - 20, np.uint8),
            **q.point("y", 2.0, zero, np.uint8),
            "w": q.weights(37, 5, 3, 3),
            "w_s": np.linspace(0.01, 0.02, 37).astype(np.float32),
            "w_z": np.zeros(37, np.int8),
            "v": q.weights(26, 37, 1, 1),
            "v_s": np.linspace(0.01, 0.02, 26).astype(np.float32),
            "v_z": np.zeros(26, np.int8),
            "shape": np.array([15, 52], np.int64),
            "m": q.weights(52, 41),
            **q.point("m", 0.01, 0, np.int8),
        },
    )
    x = np.random.default_rng(0).standard_normal((1, 5, 9, 11)).astype(np.float32)
    written = peers.reference(source, {"x": x})({"x": x})
    _agrees(source, [x], written, tmp_path, 1e-2, {taken: 3}, target)


@pytest.mark.parametrize(
    ("target", "precision", "taken"),
    [
        (TARGET, "bf16", {"mmla": 4}),
        ("neoverse-n1", "bf16", {"contraction": 4}),
        (TARGET, "fp16", {"fmlal": 2, "contraction": 2}),
    ],
)
def test_a_model_in_16_bits(target, precision, taken, tmp_path):
    torch = pytest.importorskip("torch")
    emulate.emulator(Target.named(target))
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(5, 37, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(37, 26, 1), torch.nn.Flatten()
    module = torch.nn.Sequential(*layers, torch.nn.Linear(780, 51), torch.nn.Tanh(), torch.nn.Linear(51, 39)).eval()
    x = torch.randn(2, 5, 9, 11)
    wanted = module(x).detach().numpy()
    tolerance = {"bf16": 1e-2, "fp16": 2e-3}[precision]
    options = {"inputs": [x], "precision": precision}
    _agrees(module, [x.numpy()], [wanted], tmp_path, tolerance, taken, target, **options)


def test_factors_that_are_no_weights(tmp_path):
    """Of odd extents, packed while the program runs."""
    torch = pytest.importorskip("torch")
    emulate.emulator(Target.named(TARGET))

    class Product(torch.nn.Module):
        def forward(self, a, b):
            return a @ b.transpose(-1, -2)

    torch.manual_seed(0)
    a, b = (torch.randn(2, extent, 21).bfloat16().float() for extent in (19, 33))
    arrays, wanted = [a.numpy(), b.numpy()], Product()(a, b).numpy()
    _agrees(Product(), arrays, [wanted], tmp_path, 1e-5, {"mmla": 1}, inputs=[a, b], precision="bf16")


@pytest.mark.parametrize(
    ("target", "precision", "tokens"),
    [
        (TARGET, "bf16", 19),
        (TARGET, "bf16", 64),
        (TARGET, "fp16", 19),
        (TARGET, "fp16", 64),
        ("neoverse-n1", "bf16", 19),
    ],
)
def test_attention_in_16_bits(target, precision, tokens, tmp_path):
    """One kernel; of an odd number of tokens, whose rows of weights are made longer."""
    torch = pytest.importorskip("torch")
    emulate.emulator(Target.named(target))

    class Heads(torch.nn.Module):
        def forward(self, q, k, v):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 3, tokens, 24) for _ in range(3))
    wanted = Heads()(q, k, v).numpy()
    tolerance = {"bf16": 1e-2, "fp16": 2e-3}[precision]
    options = {"inputs": [q, k, v], "precision": precision}
    _agrees(
        Heads(), [q.numpy(), k.numpy(), v.numpy()], [wanted], tmp_path, tolerance, {"attention": 1}, target, **options
    )


@pytest.mark.parametrize(
    ("target", "weights", "rows", "taken"),
    [
        (TARGET, "int8", 13, "contraction"),
        (TARGET, "int4", 1, "nibbles"),
        ("cortex-a72", "int8", 1, "contraction"),
        ("cortex-a72", "int4", 13, "nibbles"),
    ],
)
def test_weights_as_integers(target, weights, rows, taken, tmp_path):
    """As on this machine."""
    torch = pytest.importorskip("torch")
    emulate.emulator(Target.named(target))
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.GELU(), torch.nn.Linear(96, 64)).eval()
    x = torch.randn(rows, 64)
    here = neomlir.compile(module, inputs=[x], weights=weights)
    wanted = list(here.run({here.inputs[0].name: x.numpy()}).values())
    _agrees(module, [x.numpy()], wanted, tmp_path, 1e-5, {taken: 2}, target, inputs=[x], weights=weights)
