"""Constants of a PyTorch graph as attributes that keep their numbers inside the IR."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neomlir.mlir import fx_importer, ir


class Literals(fx_importer.FxImporterHooks):
    """Writes integer literals as `dense<…>`.

    The importer makes resources of them. Those belong to the whole module: a kernel that is compiled by itself would
    have the name of its constant and not the numbers, and so would the key of the kernel cache.
    """

    def resolve_literal(self, gni: Any, literal: Any, info: Any) -> ir.Value | None:
        """The `torch.vtensor.literal` of an integer tensor of several elements; None leaves anything else as it is."""
        if not isinstance(literal, torch.Tensor) or literal.numel() < 2 or literal.is_floating_point():
            return None
        kind = gni._cc.tensor_to_vtensor_type(literal)
        # In the midst of fake tensors a tensor gives lists only.
        name = str(literal.dtype).removeprefix("torch.")
        array = np.array(literal.tolist(), dtype=name).reshape(tuple(literal.shape))
        element = fx_importer.TORCH_DTYPE_TO_MLIR_TYPE[literal.dtype]()
        value = ir.DenseElementsAttr.get(array, type=element, shape=array.shape)
        return ir.Operation.create("torch.vtensor.literal", results=[kind], attributes={"value": value}).result
