"""PyTorch's recurrent layers as cells and directions."""

from __future__ import annotations

from functools import partial

from neomlir.mlir import ir, tensor
from neomlir.passes import structured as s
from neomlir.passes.activations import Function
from neomlir.passes.recurrence import Cell, Direction, emit_layer
from neomlir.passes.slices import extent, take
from neomlir.passes.torch_values import builtin, give, listed, literals

_SIGMOID, _TANH, _RELU = (Function.of(name) for name in ("Sigmoid", "Tanh", "Relu"))
CELLS = {
    "torch.aten.lstm.input": Cell("lstm", "ifco", (_SIGMOID, _TANH, _TANH)),
    "torch.aten.gru.input": Cell("gru", "rzn", (_SIGMOID, _TANH)),
    "torch.aten.rnn_tanh.input": Cell("rnn", "n", (_TANH,)),
    "torch.aten.rnn_relu.input": Cell("rnn", "n", (_RELU,)),
}
"""By operator. All have the operands (input, hidden, parameters, has_biases, layers, dropout, train, bidirectional,
batch_first)."""


def _lower(cell: Cell, op: ir.Operation) -> None:
    x, hidden, parameters, *rest = op.operands
    biases, layers, _train, both, batch_first = literals([rest[i] for i in (0, 1, 3, 4, 5)])
    states = [builtin(v) for v in (listed(hidden) if cell.kind == "lstm" else [hidden])]
    weights = iter([builtin(v) for v in listed(parameters)])
    value, time = builtin(x), int(batch_first)
    last: list[list[ir.Value]] = []
    for layer in range(layers):
        outputs = []
        for back in range(1 + both):
            number = layer * (1 + both) + back
            w, r = next(weights), next(weights)
            w_bias, r_bias = (next(weights), next(weights)) if biases else (None, None)
            mine = [_row(state, number) for state in states]
            output, *final = emit_layer(cell, value, Direction(w, r, w_bias, r_bias, mine, reverse=bool(back)), time)
            outputs.append(output)
            last.append(final)
        value = outputs[0] if len(outputs) == 1 else concatenated(outputs, 2)
    give(op.results[0], value)
    for result, finals in zip(op.results[1:], zip(*last, strict=True), strict=True):
        give(result, stacked(finals, 0))


def _row(states: ir.Value, number: int) -> ir.Value:
    """(batch, hidden) of one layer and direction."""
    if s.shape(states)[0] == 1:
        shape = s.shape(states)[1:]
        return tensor.collapse_shape(ir.RankedTensorType.get(shape, s.element_type(states)), states, [[0, 1], [2]])
    return take(states, [number, 0, 0], [1, *(extent(states, d) for d in (1, 2))], dropped=1)


def concatenated(values: list[ir.Value], d: int) -> ir.Value:
    """Values end to end along a dimension."""
    shape = s.shape(values[0])
    shape[d] = sum(s.shape(value)[d] for value in values)
    return tensor.concat(ir.RankedTensorType.get(shape, s.element_type(values[0])), d, values)


def stacked(values: list[ir.Value], d: int) -> ir.Value:
    """Values side by side along a new dimension."""
    wide = []
    for value in values:
        shape = s.shape(value)
        dynamic = [extent(value, i) for i, n in enumerate(shape) if n < 0]
        groups = [[i] for i in range(d)] + [[d, d + 1]] + [[i + 1] for i in range(d + 1, len(shape))]
        shape.insert(d, 1)
        kind = ir.RankedTensorType.get(shape, s.element_type(value))
        wide.append(tensor.expand_shape(kind, value, groups, dynamic, shape))
    return wide[0] if len(wide) == 1 else concatenated(wide, d)


TORCH = {name: partial(_lower, cell) for name, cell in CELLS.items()}
"""What lowers each operator, which it leaves to be erased."""
