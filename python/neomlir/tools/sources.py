"""The MODEL argument of the tools: a model file, or a function in a Python file that makes a PyTorch model."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from neomlir.errors import ImportFailure
from neomlir.frontends import frontends
from neomlir.pipeline import PRECISIONS
from neomlir.tools import console

_SUFFIXES = ", ".join(suffix for frontend in frontends().values() for suffix in frontend.suffixes)
MODEL_HELP = (
    f"a model file ({_SUFFIXES}), or FILE.py:FUNCTION, a function that takes nothing and returns "
    "(torch.nn.Module, example inputs); FILE.py is executed"
)


ShapeArgument = tuple[str, tuple[int | None, ...], str | None]


class Source(NamedTuple):
    """What `neomlir.compile` takes, and the example inputs that came with it (None for a model file)."""

    model: Any
    inputs: Any

    def with_shapes(self, shapes: Sequence[ShapeArgument]) -> Any:
        """The `inputs` of `neomlir.compile`: the examples, with (name, shape, dtype) arguments in place of some.

        Raises ImportFailure where the function of FILE.py:FUNCTION has no parameter of such a name.
        """
        if self.inputs is None:
            return {name: shape for name, shape, _ in shapes} or None
        if not shapes:
            return self.inputs
        examples = self.inputs
        if not isinstance(examples, Mapping):
            examples = dict(zip(inspect.signature(self.model.forward).parameters, examples, strict=False))
        for name, shape, dtype in shapes:
            if name not in examples:
                raise ImportFailure(f"the model has no input {name!r}; its inputs are {', '.join(examples)}")
            examples = {**examples, name: (shape, dtype or str(examples[name].dtype).removeprefix("torch."))}
        return examples


def add_input_argument(parser: argparse.ArgumentParser) -> None:
    """`--input`, any number of them."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        type=console.shape_argument,
        metavar="NAME=1x3x640x640xf32",
        help="the shape of an input; repeat for more inputs",
    )


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """`--precision`."""
    parser.add_argument(
        "--precision",
        choices=tuple(PRECISIONS),
        default="fp32",
        help="what the factors of matrix products and convolutions are rounded to; sums, inputs and outputs keep "
        "their precision (default: fp32)",
    )


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """`--weights`."""
    parser.add_argument(
        "--weights",
        default="fp32",
        metavar="W",
        help="what the weights of matrix products are kept as: fp32 (the default), int8, int4, or int4:64 with 64 "
        "weights to a scale (32 otherwise); arithmetic stays in fp32",
    )


def add_winograd_argument(parser: argparse.ArgumentParser) -> None:
    """`--no-winograd`."""
    parser.add_argument(
        "--no-winograd",
        dest="winograd",
        action="store_false",
        help="do every convolution directly, none by Winograd's algorithm, which is faster for many of 3x3",
    )


def add_tuned_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags --tuned and --no-tuned of whatever compiles a MODEL."""
    parser.add_argument(
        "--tuned",
        metavar="FILE",
        help="take the parameters of schedules that neo-tune wrote to FILE (default: tuned.json in the cache folder, "
        "$NEO_CACHE_DIR or else ~/.cache/neomlir, where that exists)",
    )
    parser.add_argument(
        "--no-tuned", action="store_true", help="take the schedules' own parameters, from their model of the target"
    )


def tuned(arguments: argparse.Namespace) -> str | bool:
    """What those flags say, as `neomlir.compile` takes it."""
    return False if arguments.no_tuned else arguments.tuned or True


def open_source(text: str) -> Source:
    """The model that a MODEL argument names; runs the user's code for FILE.py:FUNCTION.

    Raises ImportFailure where the file or function is missing, fails, or returns something else.
    """
    file, colon, function = text.rpartition(":")
    if colon and file.endswith(".py"):
        return _call(Path(file), function)
    if not Path(text).exists():
        raise ImportFailure(f"no such file: {text}")
    return Source(text, None)


def _call(path: Path, function: str) -> Source:
    if not path.is_file():
        raise ImportFailure(f"no such file: {path}")
    name = f"neo_source_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Its neighbours are importable, as they are when Python runs it; torch.export looks its classes up by module name.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        made = getattr(module, function)() if hasattr(module, function) else None
    except Exception as error:
        raise ImportFailure(f"{path}:{function} raised {type(error).__name__}: {error}") from error
    if made is None and not hasattr(module, function):
        raise ImportFailure(f"{path} has no function {function!r}")
    if not (isinstance(made, tuple) and len(made) == 2):
        raise ImportFailure(
            f"{path}:{function} must return (torch.nn.Module, example inputs), not {type(made).__name__}"
        )
    model, inputs = made
    # Boosters have an `eval` too, which is another thing.
    torch = sys.modules.get("torch")
    return Source(model.eval() if torch and isinstance(model, torch.nn.Module) else model, inputs)
