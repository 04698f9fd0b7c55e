"""The models that whole-model tests and benchmarks run, built from code or found in installed packages.

    from models import MODELS
    module, example_inputs = MODELS["resnet50"].build()

A builder of kind "torch" gives (`nn.Module` in evaluation mode with random weights of a fixed seed, tuple of example
tensors); a builder of kind "onnx" gives (path, dict of example arrays by input name). Builders import their framework
when called, not before. The names that end in `_small` are cut down for quick tests.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple


class Model(NamedTuple):
    """How to build one model."""

    builder: Callable[..., tuple[Any, Any]]
    kind: str
    """"torch" or "onnx"."""

    def build(self, **options: Any) -> tuple[Any, Any]:
        """(model, example inputs); `options` of the builder take the place of those of this configuration."""
        return self.builder(**options)


def _torch(file: str, function: str, **options: Any) -> Model:
    return Model(partial(_call, file, function, options), "torch")


def _onnx(function: str, **options: Any) -> Model:
    return Model(partial(_call, "packaged", function, options), "onnx")


def _call(file: str, function: str, options: dict[str, Any], **other: Any) -> tuple[Any, Any]:
    return getattr(importlib.import_module(f"{__name__}.{file}"), function)(**{**options, **other})


MODELS: dict[str, Model] = {
    "mlp": _torch("mlp", "build"),
    "resnet50": _torch("resnet", "build"),
    "resnet_small": _torch("resnet", "build", blocks=(1, 1), width=8, classes=10, size=32),
    "mobilenet_v2": _torch("mobilenet", "build"),
    "mobilenet_small": _torch("mobilenet", "build", stages=((1, 8, 1, 1), (6, 16, 2, 2)), classes=10, size=32),
    "unet": _torch("unet", "build"),
    "unet_small": _torch("unet", "build", width=8, depth=2, size=32),
    "vit": _torch("vit", "build"),
    "vit_small": _torch("vit", "build", width=32, heads=4, layers=1, patch=8, size=32, classes=10),
    "convnext": _torch("convnext", "build"),
    "convnext_small": _torch("convnext", "build", depths=(1, 1), width=16, classes=10, size=32),
    "dcgan": _torch("generators", "dcgan"),
    "dcgan_small": _torch("generators", "dcgan", width=8, noise=10, doublings=2),
    "srresnet": _torch("generators", "srresnet"),
    "srresnet_small": _torch("generators", "srresnet", blocks=1, width=16, size=16),
    "lstm": _torch("lstm", "build"),
    "bilstm": _torch("lstm", "build", features=512, hidden=256, layers=2, steps=40, classes=100, both=True),
    "bilstm_small": _torch("lstm", "build", features=8, hidden=20, layers=1, steps=5, both=True),
    "gru": _torch("lstm", "build", kind="GRU", features=80, hidden=256, layers=2, steps=100),
    "gru_small": _torch("lstm", "build", kind="GRU", features=8, hidden=20, layers=2, steps=5, batch=3),
    "graph": _torch("graph", "build"),
    "graph_small": _torch("graph", "build", nodes=150, edges=600, features=12, hidden=20, kept=30),
    "lstm_small": _torch("lstm", "build", features=8, hidden=16, layers=1, steps=4),
    "bert": _torch("transformer", "bert"),
    "bert_small": _torch("transformer", "bert", layers=1, width=32, heads=2, tokens=16, vocabulary=100),
    "gpt2": _torch("transformer", "gpt2"),
    "gpt2_small": _torch("transformer", "gpt2", layers=1, width=32, heads=2, tokens=16, vocabulary=100),
    "llama": _torch("transformer", "llama"),
    "llama_small": _torch("transformer", "llama", layers=1, width=32, heads=4, tokens=16, vocabulary=100),
    "whisper": _torch("transformer", "whisper"),
    "whisper_small": _torch("transformer", "whisper", layers=1, width=32, heads=2, frames=40),
    "minilm": _torch("transformer", "minilm"),
    "ppocr_det": _onnx("ppocr_det"),
    "ppocr_cls": _onnx("ppocr_cls"),
    "ppocr_rec": _onnx("ppocr_rec"),
}
