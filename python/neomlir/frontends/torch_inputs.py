"""Example inputs for `torch.export` from what a user gives, and the export itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neomlir.errors import ImportFailure
from neomlir.frontends.base import Inputs

# What a dynamic extent is while the model is traced; batch extents are the first ones. `torch.export` generalises from
# any number but 0 and 1.
_BATCH, _EXTENT = 2, 64


def export(module: torch.nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    """The program of `module` in evaluation mode. Raises ImportFailure."""
    if not inputs and not (isinstance(inputs, Mapping | Sequence) and _takes_nothing(module)):
        raise ImportFailure(
            f"{type(module).__name__} needs example inputs: inputs=(tensor, …), or shapes as inputs=((1, 3, 224, 224),)"
        )
    if isinstance(inputs, torch.Tensor | np.ndarray) or _is_shape(inputs):
        inputs = (inputs,)
    if isinstance(inputs, Mapping):
        made = {name: example(value, name) for name, value in inputs.items()}
        arguments, keywords = (), {name: value for name, (value, _) in made.items()}
        dynamic: Any = {name: shape for name, (_, shape) in made.items()}
    else:
        pairs = [example(value, f"{number}") for number, value in enumerate(inputs)]
        arguments, keywords = tuple(value for value, _ in pairs), {}
        dynamic = tuple(shape for _, shape in pairs)
    if not _any_dynamic(dynamic):
        dynamic = None
    try:
        with evaluating(module):
            return torch.export.export(module, arguments, keywords, dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        raise ImportFailure(
            f"torch.export can't trace {type(module).__name__}: {type(error).__name__}: {error}"
        ) from error


def example(value: Any, name: str) -> tuple[Any, Any]:
    """An example for one input, and its dynamic extents as `torch.export` wants them (None: all static)."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.asarray(value, order="C")), None
    if _is_shape(value):
        return _empty(value, torch.float32, name)
    if isinstance(value, tuple) and len(value) == 2 and _is_shape(value[0]) and not _is_shape(value):
        dtype = value[1] if isinstance(value[1], torch.dtype) else getattr(torch, str(np.dtype(value[1])), None)
        if not isinstance(dtype, torch.dtype):
            raise ImportFailure(f"input {name!r}: PyTorch has no dtype {value[1]!r}")
        return _empty(value[0], dtype, name)
    return value, None


def _empty(shape: Sequence[Any], dtype: torch.dtype, name: str) -> tuple[torch.Tensor, Any]:
    extents, dynamic = [], {}
    for axis, extent in enumerate(shape):
        if isinstance(extent, int) and extent >= 0:
            extents.append(extent)
        else:
            extents.append(_EXTENT if axis else _BATCH)
            dynamic[axis] = torch.export.Dim.AUTO
    if np.prod([float(e) for e in extents]) > 2**40:
        raise ImportFailure(f"input {name!r} of shape {tuple(shape)} is too large")
    # One element, expanded: export looks at shapes only, and an absurd shape must not cost memory.
    return torch.zeros((), dtype=dtype).expand(extents) if 0 not in extents else torch.zeros(
        extents, dtype=dtype
    ), dynamic or None


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(
        e is None or (isinstance(e, int) and not isinstance(e, bool)) for e in value
    )


def _any_dynamic(tree: Any) -> bool:
    values = tree.values() if isinstance(tree, Mapping) else tree
    return any(shape for shape in values)


def _takes_nothing(module: torch.nn.Module) -> bool:
    import inspect

    return not inspect.signature(module.forward).parameters


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """`module` in evaluation mode, and each of its parts as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
