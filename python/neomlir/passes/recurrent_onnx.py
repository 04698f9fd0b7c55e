"""ONNX's recurrent layers as cells and directions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.activations import Function
from neomlir.passes.recurrence import Cell, Direction, emit_layer
from neomlir.passes.recurrent_torch import stacked
from neomlir.passes.slices import extent, take
from neomlir.passes.torch_values import builtin, give, is_none

_GATES = {"lstm": "iofc", "gru": "zrn", "rnn": "n"}
_FUNCTIONS = {"lstm": ("Sigmoid", "Tanh", "Tanh"), "gru": ("Sigmoid", "Tanh"), "rnn": ("Tanh",)}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_WITH_ALPHA = ("affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu")
_WITH_BETA = ("affine", "hardsigmoid", "scaledtanh")


def directions_of(name: str) -> tuple[bool, ...]:
    """Whether each direction of a layer goes back. Raises ValueError for what ONNX does not have."""
    if name not in _DIRECTIONS:
        raise ValueError(f"has no direction {name!r}; there are {', '.join(_DIRECTIONS)}")
    return _DIRECTIONS[name]


def functions_of(
    kind: str, directions: int, names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[tuple[Function, ...]]:
    """The functions of each direction of a layer of `kind` (`lstm`, `gru`, `rnn`), its own where none are named.

    Constants are in the order of the functions that have them. Raises ValueError for what ONNX does not have.
    """
    own = _FUNCTIONS[kind]
    names, alpha, beta = names or own * directions, iter(alphas), iter(betas)
    if len(names) != len(own) * directions:
        raise ValueError(f"has {len(names)} activations and needs {len(own) * directions}, {len(own)} a direction")
    found = []
    for name in names:
        try:
            a = next(alpha, None) if name.lower() in _WITH_ALPHA else None
            found.append(Function.of(name, a, next(beta, None) if name.lower() in _WITH_BETA else None))
        except KeyError:
            raise ValueError(f"has the activation {name!r}, which is none of ONNX's") from None
    return [tuple(found[i * len(own) : (i + 1) * len(own)]) for i in range(directions)]


def _lower(kind: str, op: ir.Operation) -> None:
    """Operands are X, W, R, then what may be missing: B, sequence_lens, initial_h, and an LSTM's initial_c and P."""
    given = [None if is_none(v) else builtin(v) for v in op.operands]
    x, w, r, bias, lengths, *states = given + [None] * (8 - len(given))
    peepholes = states[2] if kind == "lstm" else None
    layout = _attribute(op, "layout", 0)
    try:
        directions = directions_of(_attribute(op, "direction", "forward"))
        constants = (_attribute(op, f"activation_{name}", []) for name in ("alpha", "beta"))
        functions = functions_of(kind, len(directions), _attribute(op, "activations", []), *constants)
    except ValueError as error:
        raise PassFailure(f"{ir.StringAttr(op.attributes['name']).value} {error} (at {op.location})") from None
    batch = extent(x, 1 - layout)
    outputs, last = [], []
    for number, reverse in enumerate(directions):
        cell = _cell(kind, op, functions[number])
        one = Direction(_row(w, number), _row(r, number), None, None, [], reverse=reverse, lengths=lengths)
        if bias is not None:
            width = s.shape(bias)[1] // 2
            one.w_bias, one.r_bias = (take(bias, [number, part * width], [1, width], dropped=1) for part in (0, 1))
        if peepholes is not None:
            one.peepholes = _row(peepholes, number)
        hidden = s.shape(r)[2]
        for state in states[: 2 if kind == "lstm" else 1]:
            one.states.append(_zeros(x, batch, hidden) if state is None else _state(state, number, layout))
        output, *final = emit_layer(cell, x, one, layout)
        outputs.append(output)
        last.append(final)
    values = [stacked(outputs, 1 + layout), *(stacked(list(v), layout) for v in zip(*last, strict=True))]
    for result, value in zip(op.results, values, strict=False):
        if not is_none(result):
            give(result, value)


def _cell(kind: str, op: ir.Operation, functions: tuple[Function, ...]) -> Cell:
    return Cell(
        kind,
        _GATES[kind],
        functions,
        reset_first=kind == "gru" and not _attribute(op, "linear_before_reset", 0),
        clip=_attribute(op, "clip", 0.0),
        coupled=bool(_attribute(op, "input_forget", 0)),
    )


def _row(value: ir.Value, number: int) -> ir.Value:
    """The part of a weight that belongs to one direction."""
    return take(value, [number, *[0] * (len(s.shape(value)) - 1)], [1, *s.shape(value)[1:]], dropped=1)


def _state(states: ir.Value, number: int, layout: int) -> ir.Value:
    """(batch, hidden) of one direction; `states` has the directions first, or second where `layout` is 1."""
    offsets, sizes = [0, 0, 0], [extent(states, d) for d in range(3)]
    offsets[layout], sizes[layout] = number, 1
    if layout == 0:
        return take(states, offsets, sizes, dropped=1)
    part = take(states, offsets, sizes)
    shape = [s.shape(states)[0], s.shape(states)[2]]
    return tensor.collapse_shape(ir.RankedTensorType.get(shape, s.element_type(states)), part, [[0, 1], [2]])


def _zeros(x: ir.Value, batch: Any, hidden: int) -> ir.Value:
    zero = arith.constant(s.element_type(x), 0.0)
    return linalg.fill(zero, outs=[tensor.empty([batch, hidden], s.element_type(x))])


def _attribute(op: ir.Operation, name: str, default: Any) -> Any:
    """An attribute of the ONNX node."""
    if f"torch.onnx.{name}" not in op.attributes:
        return default
    found = op.attributes[f"torch.onnx.{name}"]
    return [each.value for each in found] if isinstance(found, ir.ArrayAttr) else found.value


ONNX = {f"onnx.{kind.upper()}": partial(_lower, kind) for kind in _GATES}
"""What lowers each operator, which it leaves to be erased."""
