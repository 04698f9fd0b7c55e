"""Whole models compiled by Neo agree with the frameworks that they come from.

Small configurations of every architecture, and the packaged models in full, run by default; `pytest -m full` runs the
large ones, which take minutes.
"""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import neomlir
from models import MODELS

LARGE = {"resnet50", "mobilenet_v2", "unet", "vit", "convnext", "dcgan", "srresnet", "lstm", "bilstm", "gru"}
LARGE |= {"bert", "gpt2", "graph", "llama", "whisper"}
TOLERANCE = 1e-5


def names():
    return [pytest.param(name, marks=pytest.mark.full if name in LARGE else ()) for name in MODELS]


def agrees(source, compiled, **options):
    agreements = neomlir.check(source, compiled, **options)
    assert agreements
    for agreement in agreements:
        assert agreement.error <= TOLERANCE, agreement
        assert agreement.argmax == 1.0, agreement


def shapes(example):
    return {name: array.shape for name, array in example.items()} if isinstance(example, dict) else example


def picture(*shape):
    """Text on paper, from -1 to 1: on noise a detector of text finds 1e-6 everywhere, the error of a fast sigmoid."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (shape[3], shape[2]), (250, 248, 240))
    draw = ImageDraw.Draw(image)
    for row in range(0, shape[2], 80):
        draw.text((40, row), f"line {row} of some text", font=ImageFont.load_default(36), fill=(20, 30, 40))
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(pixels / 127.5 - 1)


@pytest.mark.parametrize("name", names())
def test_model_agrees_with_its_framework(name):
    source, example = MODELS[name].build()
    options = {"inputs": {"x": picture(*example["x"].shape)}} if name == "ppocr_det" else {}
    agrees(source, neomlir.compile(source, inputs=shapes(example)), **options)


@pytest.mark.parametrize("pipeline", ["cpu-scalar", "cpu-affine"])
@pytest.mark.parametrize("name", ["mlp", "resnet_small", "bert_small"])
def test_the_other_pipelines_agree_too(name, pipeline):
    source, example = MODELS[name].build()
    agrees(source, neomlir.compile(source, inputs=example, pipeline=pipeline))


def test_recogniser_of_any_width_and_number_of_lines():
    source, _ = MODELS["ppocr_rec"].build()
    compiled = neomlir.compile(source, inputs={"x": (None, 3, 48, None)})
    for batch, width in ((1, 320), (3, 96), (2, 488)):
        agrees(source, compiled, sizes={"x": (batch, 3, 48, width)})


@pytest.mark.parametrize("name", ["bert_small", "minilm"])
def test_encoder_of_any_batch_and_length(name):
    import torch

    module, example = MODELS[name].build()
    auto = torch.export.Dim.AUTO
    pair = tuple(torch.cat([x, x]) for x in example)
    program = torch.export.export(module, pair, dynamic_shapes=({0: auto, 1: auto},) * 2)
    compiled = neomlir.compile(program)
    for batch, tokens in ((1, 16), (4, 33)):
        agrees(program, compiled, sizes={name: (batch, tokens) for name in ("input_ids", "attention_mask")})


def test_decoders_of_any_length():
    import torch

    for name in ("gpt2_small", "llama_small"):
        module, (tokens,) = MODELS[name].build()
        program = torch.export.export(module, (tokens,), dynamic_shapes=({1: torch.export.Dim.AUTO},))
        compiled = neomlir.compile(program)
        for length in (5, 16, 31):
            agrees(program, compiled, sizes={"input_ids": (1, length)})


@pytest.mark.parametrize("name", ["bert_small", "gpt2_small"])
def test_a_batch_is_fused_as_one_sequence_is(name):
    """Attention stays one kernel, and what follows a product stays in it."""

    def kernels(batch):
        source, example = MODELS[name].build(batch=batch)
        compiled = neomlir.compile(source, inputs=example)
        agrees(source, compiled)
        report = compiled.report
        return Counter(report["kernels"][step]["name"].rpartition("_")[0] for step in report["steps"])

    one, three = kernels(1), kernels(3)
    assert three["attention"] == one["attention"] == 1
    assert three["contraction"] == one["contraction"]
    assert three.total() <= one.total() + 1


def test_threads_give_the_same_result():
    import numpy as np

    source, example = MODELS["resnet_small"].build()
    one = neomlir.compile(source, inputs=example)
    two = neomlir.compile(source, inputs=example, threads=2)
    assert np.array_equal(one(*example), two(*example))


def test_an_executable_of_a_model_that_allocates(tmp_path):
    import torch

    module, (x,) = MODELS["mlp"].build()
    shapes = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(torch.nn.Sequential(*module), (x.repeat(3, 1),), dynamic_shapes=shapes)
    made = neomlir.compile(program, emit="exe", output=tmp_path / "mlp")
    rows = torch.randn(5, 20)
    (found,) = made.run({made.inputs[0].name: rows.numpy()}).values()
    with torch.no_grad():
        assert abs(torch.from_numpy(found) - module(rows)).max() < 1e-6
