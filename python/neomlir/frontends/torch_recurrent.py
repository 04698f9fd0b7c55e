"""Recurrent layers of PyTorch: those that `neo-lower-recurrences` takes stay whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch._decomp import decomposition_table

from neomlir.errors import ImportFailure

aten = torch.ops.aten


def _steps(
    steps: Callable, x: torch.Tensor, hidden, parameters, has_biases: bool, num_layers: int, dropout, train, both, first
):
    """PyTorch's own decomposition, operators for each step, where outputs are projected or a length is dynamic.

    Raises ImportFailure where the layer would draw a dropout between its layers: what takes it whole knows none.
    """
    if train and dropout and num_layers > 1:
        raise ImportFailure(
            f"a recurrent layer draws random numbers: it was exported in training mode with a dropout of {dropout:g} "
            "between its layers; export it in evaluation mode"
        )
    plain = len(parameters) == num_layers * (2 if both else 1) * (4 if has_biases else 2)
    if plain and isinstance(x.shape[1 if first else 0], int):
        return NotImplemented
    return steps(x, hidden, parameters, has_biases, num_layers, dropout, train, both, first)


DECOMPOSITIONS = {
    operator: partial(_steps, decomposition_table[operator])
    for operator in (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
}
