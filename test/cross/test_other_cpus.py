"""Models compiled for other CPUs give what they give on x86-64, under an emulator.

By default each kind of CPU gets one model, as an object without a C library. `pytest test/cross -m full` takes all
models to all targets, as executables.
"""

import warnings

import bare
import emulate
import neomlir
import numpy as np
import pytest
from models import MODELS
from neomlir.samples import Sampler
from neomlir.targets import Target

TOLERANCE = 1e-5
TARGETS = ("cortex-a72", "neoverse-v1", "neoverse-v2", "armv7-neon", "riscv64-v", "riscv64", "wasm32-simd128")
SMALL = [name for name in MODELS if name.endswith("_small")] + ["mlp"]
FAST = [
    ("resnet_small", "cortex-a72"),
    ("bert_small", "neoverse-v1"),
    ("graph_small", "cortex-a72"),
    ("mobilenet_small", "armv7-neon"),
    ("lstm_small", "riscv64-v"),
]
PACKAGED = {"ppocr_cls": None, "ppocr_rec": {"x": (1, 3, 48, 64)}, "ppocr_det": {"x": (1, 3, 64, 64)}}


def build(name):
    source, example = MODELS[name].build()
    return source, {n: a.shape for n, a in example.items()} if isinstance(example, dict) else example


def compiled(source, shapes, target, form, output):
    """What is emitted for the target, inputs, and what the model gives for them on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = neomlir.compile(source, inputs=shapes)
        there = neomlir.compile(source, target, inputs=shapes, emit=form, output=output)
    inputs = Sampler(here.inputs).draw()
    return there, inputs, here.run(inputs)


def agrees(source, shapes, target, folder):
    there, inputs, wanted = compiled(source, shapes, target, "exe", folder / "program")
    chosen = Target.named(target)
    for bits in emulate.widths(chosen):
        for spec, got in zip(there.outputs, emulate.run(there, chosen, inputs, folder, bits), strict=True):
            reference = wanted[spec.name]
            assert got.shape == reference.shape and got.dtype == reference.dtype
            error = np.linalg.norm(got.astype(np.float64) - reference) / np.linalg.norm(reference.astype(np.float64))
            assert error <= TOLERANCE, (spec.name, error, bits)


@pytest.mark.parametrize(("name", "target"), FAST)
def test_object_agrees_with_x86_64(name, target, tmp_path):
    emulate.emulator(Target.named(target))
    there, inputs, wanted = compiled(*build(name), target, "obj", tmp_path / "net.o")
    assert set(bare.run_checked(there, Target.named(target), inputs, wanted, TOLERANCE)) == {0}
    wrong = {name: array + np.float32(0.01) for name, array in wanted.items()}
    assert set(bare.run_checked(there, Target.named(target), inputs, wrong, TOLERANCE)) == {1}


def test_web_assembly_agrees_with_x86_64(tmp_path):
    emulate.emulator(Target.named("wasm32-simd128"))
    agrees(*build("mlp"), "wasm32-simd128", tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SMALL)
def test_small_model_agrees_with_x86_64(name, target, tmp_path):
    emulate.emulator(Target.named(target))
    agrees(*build(name), target, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_model_agrees_with_x86_64(name, target, tmp_path):
    emulate.emulator(Target.named(target))
    source, shapes = build(name)
    agrees(source, PACKAGED[name] or shapes, target, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", ["mobilenet_v2", "minilm"])
@pytest.mark.parametrize("target", ["cortex-a72", "armv7-neon", "riscv64-v", "wasm32-simd128"])
def test_real_size_agrees_with_x86_64(name, target, tmp_path):
    emulate.emulator(Target.named(target))
    agrees(*build(name), target, tmp_path)
