"""PyTorch: an `nn.Module` with example inputs, an `ExportedProgram`, or a `.pt2` file.

The program is exported (`torch.export`), decomposed to core ATen operators, tidied (`torch_graph`), and written in
the torch dialect over fake tensors: weights are arguments, and their arrays stay where PyTorch has them.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from neomlir.errors import ImportFailure, NeoError
from neomlir.frontends.base import Frontend, Imported, Inputs, Spec
from neomlir.frontends.module import annotate
from neomlir.mlir import ir

PIPELINE = (
    "builtin.module(neo-lower-recurrences,func.func(torch-match-quantized-custom-ops),"
    "torchdynamo-export-to-torch-backend-pipeline{"
    "backend-legal-ops=aten.flatten.using_ints,aten.unflatten.int,aten.adaptive_avg_pool1d extra-library=},"
    "torch-backend-to-linalg-on-tensors-backend-pipeline,"
    "neo-drop-asserts,neo-lower-tm-tensor,neo-weights-to-globals,canonicalize,cse)"
)


class Torch(Frontend):
    """Reads PyTorch modules and exported programs."""

    suffixes = (".pt2",)
    objects = "a PyTorch nn.Module or ExportedProgram"
    peer = "torch"

    def reads(self, source: Any) -> bool:
        if isinstance(source, str | os.PathLike):
            return Path(source).suffix in self.suffixes and Path(source).exists()
        # Whoever holds such an object has imported torch; without it nothing is one.
        torch = sys.modules.get("torch")
        if torch is None:
            return False
        export = sys.modules.get("torch.export")
        exported = (export.ExportedProgram,) if export else ()
        return isinstance(source, (torch.nn.Module, *exported))

    def import_(self, source: Any, inputs: Inputs, context: ir.Context) -> Imported:
        """The exported program in the torch dialect.

        `inputs` is for an `nn.Module`: by position or by name of `forward`'s parameters, example tensors or arrays,
        shapes (float32; None for a dynamic extent), or pairs of a shape and a dtype, `((1, None), "int64")`.
        """
        try:
            import torch
        except ImportError as error:
            raise ImportFailure("PyTorch models need PyTorch: pip install 'neomlir[torch]'") from error
        from neomlir.frontends.torch_inputs import export

        if isinstance(source, str | os.PathLike):
            from neomlir.frontends.torch_archive import load

            name, program = Path(source).name, load(Path(source))
        elif isinstance(source, torch.nn.Module):
            name, program = type(source).__name__, export(source, inputs)
            inputs = None
        else:
            name, program = "the exported program", source
        if inputs:
            raise ImportFailure(f"{name} has been exported with its shapes; inputs can't change them")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _import(program, name, context)
        except NeoError:
            raise
        except Exception as error:
            raise ImportFailure(f"{name} could not be imported: {type(error).__name__}: {error}") from error


def _import(program: Any, name: str, context: ir.Context) -> Imported:
    from neomlir.frontends.torch_decompositions import table
    from neomlir.frontends.torch_graph import prepare
    from neomlir.frontends.torch_literals import Literals
    from neomlir.mlir import fx_importer

    prepared = prepare(program.run_decompositions(table()))
    importer = fx_importer.FxImporter(context=context, hooks=Literals())
    importer.import_graph_module(prepared.graph_module, func_name="main")
    module = importer.module
    inputs = [Spec(name, dtype_name(value.dtype), shape_of(value)) for name, value in prepared.inputs]
    outputs = [Spec(name, dtype_name(value.dtype), shape_of(value)) for name, value in prepared.outputs]
    annotate(module, prepared.arguments, [spec.name for spec in outputs])
    weights = {name: to_numpy(tensor) for name, tensor in prepared.weights.items()}
    state = {name: to_numpy(tensor) for name, tensor in prepared.state.items()}
    return Imported(module, weights, PIPELINE, inputs, outputs, name, state)


def dtype_name(dtype: Any) -> str:
    """The numpy name of a torch dtype, `bfloat16` for what numpy lacks. Raises ImportFailure for quantised ones."""
    name = str(dtype).removeprefix("torch.")
    if name.startswith(("q", "bits", "complex", "float8", "uint1", "uint2", "uint4")) and name not in ("uint16",):
        raise ImportFailure(f"inputs, outputs and weights of type {name} are not supported")
    return name


def shape_of(value: Any) -> tuple[int | None, ...]:
    """The extents of a (fake) tensor, None for symbolic ones."""
    return tuple(extent if isinstance(extent, int) else None for extent in value.shape)


def to_numpy(tensor: Any) -> np.ndarray:
    """The tensor as an array over the same memory where it is contiguous and on the CPU; bfloat16 by `ml_dtypes`, or as
    uint16 bits without it."""
    import torch

    dtype_name(tensor.dtype)
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    bits = tensor.view(torch.uint16).numpy()
    try:
        import ml_dtypes
    except ImportError:
        return bits
    return bits.view(ml_dtypes.bfloat16)


FRONTEND = Torch()
