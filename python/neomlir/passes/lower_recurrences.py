"""Write the recurrent layers of PyTorch and ONNX as structured operations in a loop over the steps."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.recurrent_onnx import ONNX
from neomlir.passes.recurrent_torch import TORCH


@register
@dataclass(frozen=True)
class LowerRecurrences(ModulePass):
    """Write `onnx.LSTM`, `onnx.GRU`, `onnx.RNN` and PyTorch's `lstm`, `gru`, `rnn_tanh` and `rnn_relu` as `linalg`.

    Each direction of a layer becomes one product of the inputs of all steps, and an `scf.for` over the steps, whose
    body adds the product of the state, and gives the new state and the output of the step. Expects the level `input`;
    the conversions of types between (`torch_c`) go away with the rest of the dialect.
    Raises PassFailure for a layer whose attributes are none of its operator's.
    """

    name = "neo-lower-recurrences"

    def run(self, module: ir.Module) -> None:
        found: list[ir.Operation] = []

        def collect(op: ir.Operation) -> ir.WalkResult:
            if op.name == "torch.operator" and _name(op) in _LOWERINGS:
                found.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(collect)
        for op in found:
            with module.context, ir.InsertionPoint(op), op.location:
                _LOWERINGS[_name(op)](op)
            op.erase()
        count("layers", len(found))


_LOWERINGS = {**ONNX, **TORCH}


def _name(op: ir.Operation) -> str:
    return ir.StringAttr(op.attributes["name"]).value
