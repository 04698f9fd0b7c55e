"""Contractions on the matrix multiply-accumulate instructions of Arm give what plain loops give on this machine."""

import re

import emulate
import narrow
import neomlir
import pytest
import test_dot_products as products
from narrow import agrees, collector
from neomlir import Pipeline
from neomlir.codegen.objects import emit_assembly
from neomlir.codegen.translate import to_llvm_ir
from neomlir.mlir import context, ir
from neomlir.targets import Target
from test_scalable import LOWERING, agree, program

TARGET = "neoverse-v1"
KINDS = [("bf16", "bf16"), ("s8", "s8"), ("u8", "u8"), ("u8", "s8")]
HALVES = ("f16", "f16")


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
    agree(found, tmp_path, Target.named(TARGET), 128)


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


@pytest.mark.parametrize(("target", "taken"), [(TARGET, "mmla"), ("neoverse-n1", "dot_product")])
def test_a_quantised_model(target, taken, tmp_path):
    """Odd numbers of channels, rows and columns against ONNX Runtime."""
    pytest.importorskip("onnxruntime")
    emulate.emulator(Target.named(target))
    source, x, written = narrow.quantised()
    agrees(source, [x], written, tmp_path, 1e-2, {taken: 3}, target)


@pytest.mark.parametrize(
    ("target", "precision", "taken"),
    [
        (TARGET, "bf16", {"mmla": 4}),
        ("neoverse-n1", "bf16", {"contraction": 4}),
        (TARGET, "fp16", {"fmlal": 2, "contraction": 2}),
    ],
)
def test_a_model_in_16_bits(target, precision, taken, tmp_path):
    pytest.importorskip("torch")
    emulate.emulator(Target.named(target))
    module, x, wanted = narrow.layers()
    tolerance = narrow.TOLERANCE[precision]
    options = {"inputs": [x], "precision": precision}
    agrees(module, [x.numpy()], [wanted], tmp_path, tolerance, taken, target, **options)


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
    agrees(Product(), arrays, [wanted], tmp_path, 1e-5, {"mmla": 1}, TARGET, inputs=[a, b], precision="bf16")


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
    pytest.importorskip("torch")
    emulate.emulator(Target.named(target))
    module, inputs, wanted = narrow.heads(tokens)
    tolerance = narrow.TOLERANCE[precision]
    options = {"inputs": inputs, "precision": precision}
    arrays = [x.numpy() for x in inputs]
    agrees(module, arrays, [wanted], tmp_path, tolerance, {"attention": 1}, target, **options)


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
    agrees(module, [x.numpy()], wanted, tmp_path, 1e-5, {taken: 2}, target, inputs=[x], weights=weights)
