"""Recurrent layers as structured operations: one product for the inputs of all steps, and a loop over the steps.

The operations are emitted at the current insertion point and location. Weights come as frameworks keep them, a block of
`hidden` rows a gate: `w` (gates * hidden, inputs), `r` (gates * hidden, hidden), and biases (gates * hidden).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg, scf, tensor
from neomlir.passes import structured as s
from neomlir.passes.activations import Function
from neomlir.passes.layouts import index_constant, transpose
from neomlir.passes.slices import extent, put, take


@dataclass(frozen=True)
class Cell:
    """What a step computes: `kind` is `lstm`, `gru` or `rnn`, and `gates` the order of the blocks of a weight.

    Gates are `i`, `f`, `o` and the candidate `c` of an LSTM, `r`, `z` and the candidate `n` of a GRU, `n` of a plain
    layer. `functions` are those of the gates, of the candidate, and of an LSTM's cell on its way out, in ONNX's order.
    """

    kind: str
    gates: str
    functions: tuple[Function, ...]
    reset_first: bool = False
    """Of a GRU: whether the state is reset before its product rather than behind (ONNX: not linear_before_reset)."""
    clip: float = 0.0
    """What goes into functions lies between this and its negative, unless this is 0."""
    coupled: bool = False
    """Of an LSTM: whether it forgets what it does not take in, so that its own gate for that is not used."""


@dataclass
class Direction:
    """A layer in one direction: weights, the states that it starts from, and what few layers have."""

    w: ir.Value
    r: ir.Value
    w_bias: ir.Value | None
    r_bias: ir.Value | None
    states: list[ir.Value]
    """(batch, hidden) each: the hidden state, then the cell's of an LSTM."""
    peepholes: ir.Value | None = None
    """(3 * hidden) of an LSTM: weights of the cell's state in the gates `i`, `o` and `f`."""
    lengths: ir.Value | None = None
    """(batch), integers: steps of each sequence; behind its end states stay as they are, and outputs are zero."""
    reverse: bool = False


def emit_layer(cell: Cell, x: ir.Value, one: Direction, time: int) -> list[ir.Value]:
    """The outputs of all steps, laid out as `x`, and the last states.

    `x` is (steps, batch, inputs), or (batch, steps, inputs) where `time` is 1. A batch that is known to be one is no
    dimension inside the loop.
    """
    return _Layer(cell, x, one, time).emit()


class _Layer:
    def __init__(self, cell: Cell, x: ir.Value, one: Direction, time: int):
        self.cell, self.one, self.element = cell, one, s.element_type(x)
        # As the frameworks do: sums, and what is computed of them, in no fewer bits than those of f32.
        self.wide = self.element if self.element.width > 32 else ir.F32Type.get()
        self.hidden = s.shape(one.r)[1]
        self.single = s.shape(x)[1 - time] == 1
        self.shape = s.shape(x)[:2]
        self.time = 0 if self.single else time
        self.x = _collapsed(x) if self.single else x
        self.steps = extent(self.x, self.time)
        self.batch = [] if self.single else [extent(self.x, 1 - time)]

    def emit(self) -> list[ir.Value]:
        inputs = self._inputs()
        one = self.one
        states = [_collapsed(state) for state in one.states] if self.single else one.states
        if one.lengths is not None and self.single:
            one.lengths = tensor.extract(one.lengths, [index_constant(0)])
        self._cut_weights()
        first = [self._empty([self.steps, *self.batch]), *states]
        high = self.steps if isinstance(self.steps, ir.Value) else index_constant(self.steps)
        loop = scf.ForOp(index_constant(0), high, index_constant(1), first)
        with ir.InsertionPoint(loop.body):
            step = loop.induction_variable
            if one.reverse:
                step = arith.subi(arith.subi(high, index_constant(1)), step)
            outputs, *states = loop.inner_iter_args
            self.at = step
            output, *states = self._step([self._gate(inputs, g, step) for g in self.cell.gates], states)
            place, sizes = [step, *[0] * len(self.batch), 0], [1, *self.batch, self.hidden]
            scf.YieldOp([put(output, outputs, place, sizes), *states])
        outputs, *states = loop.results
        if self.time == 1:
            outputs = transpose(outputs, [1, 0, 2])
        if self.single:
            outputs = _expanded(outputs, self.shape)
            states = [_expanded(state, [1]) for state in states]
        return [outputs, *states]

    def _empty(self, lead: Sequence[int | ir.Value]) -> ir.Value:
        return tensor.empty([*lead, self.hidden], self.element)

    # Products.

    def _inputs(self) -> ir.Value:
        """(steps, batch, gates * hidden): what all steps add to the gates by their inputs, and biases."""
        rank = len(self.batch) + 1
        width = len(self.cell.gates) * self.hidden
        lead = [self.time, *([1 - self.time] if self.batch else [])]
        total = self._product(self.x, [*lead, rank + 1], self.one.w, [self.steps, *self.batch], width)
        bias = self._bias()
        if bias is None:
            return total
        whole = list(range(rank + 1))
        return self._pointwise([(total, whole), (bias, [rank])], rank + 1, lambda x, b: [arith.addf(x, b)], [total])[0]

    def _bias(self) -> ir.Value | None:
        """The sum of both biases, but for that of a candidate's product that is reset behind it."""
        one = self.one
        if one.w_bias is None or one.r_bias is None:
            return one.w_bias if one.r_bias is None else one.r_bias
        apart = self._apart()

        def total(x: ir.Value, y: ir.Value) -> list[ir.Value]:
            if apart is None:
                return [arith.addf(x, y)]
            place = linalg.IndexOp(0).result
            low = arith.cmpi(arith.CmpIPredicate.sge, place, index_constant(apart))
            high = arith.cmpi(arith.CmpIPredicate.slt, place, index_constant(apart + self.hidden))
            return [arith.select(arith.andi(low, high), x, arith.addf(x, y))]

        width = [len(self.cell.gates) * self.hidden]
        return self._pointwise([(one.w_bias, [0]), (one.r_bias, [0])], 1, total, [tensor.empty(width, self.wide)])[0]

    def _apart(self) -> int | None:
        """Where the biases of the candidate's own product begin, where it is reset behind the product."""
        if self.cell.kind != "gru" or self.cell.reset_first:
            return None
        return self.cell.gates.index("n") * self.hidden

    def _product(
        self, rows: ir.Value, order: list[int], weight: ir.Value, lead: Sequence[int | ir.Value], width: int
    ) -> ir.Value:
        """(lead…, width): rows times the transpose of a weight; `order` are the loops that the rows are read by."""
        zero = arith.constant(self.wide, 0.0)
        start = linalg.fill(zero, outs=[tensor.empty([*lead, width], self.wide)])
        n, k = len(lead), len(lead) + 1
        maps = [ir.AffineMap.get(k + 1, 0, s.dims(loops)) for loops in (order, [n, k], range(k))]
        op, block = s.build_generic(
            [rows, weight], [start], maps, [s.PARALLEL] * k + [s.REDUCTION], ir.Location.current
        )
        with ir.InsertionPoint(block):
            a, b, total = (self._widened(v) for v in block.arguments)
            s.yield_(block, [arith.addf(total, arith.mulf(a, b))])
        return op.results[0]

    def _pointwise(
        self,
        reads: Sequence[tuple[ir.Value, list[int]]],
        rank: int,
        body: Callable[..., Sequence[ir.Value]],
        into: Sequence[ir.Value],
        updates: bool = False,
    ) -> list[ir.Value]:
        """Results as large as `into`, from values read by these loops; those of `into` are read where it `updates`."""
        whole = ir.AffineMap.get_identity(rank)
        places = list(into)
        if not updates:
            places = [tensor.empty([extent(v, d) for d in range(rank)], s.element_type(v)) for v in into]
        maps = [ir.AffineMap.get(rank, 0, s.dims(loops)) for _, loops in reads] + [whole] * len(places)
        kinds = [s.PARALLEL] * rank
        op, block = s.build_generic([v for v, _ in reads], places, maps, kinds, ir.Location.current)
        with ir.InsertionPoint(block):
            given = [self._widened(v) for v in list(block.arguments)[: None if updates else len(reads)]]
            s.yield_(block, [_narrowed(v, place) for v, place in zip(body(*given), places, strict=True)])
        return list(op.results)

    def _widened(self, value: ir.Value) -> ir.Value:
        """A number as it is computed with."""
        narrow = isinstance(value.type, ir.FloatType) and value.type != self.wide
        return arith.extf(self.wide, value) if narrow else value

    def _cut_weights(self) -> None:
        """What steps read of weights, taken before the loop: `products` by the gates that are multiplied at once."""
        one, width = self.one, self.hidden
        gates = self.cell.gates
        parts = [gates]
        if self.cell.reset_first:
            parts = [gates.replace("n", ""), "n"]
        self.products = {
            part: one.r if part == gates else take(one.r, [gates.index(part[0]) * width, 0], [len(part) * width, width])
            for part in parts
        }
        apart = self._apart()
        self.candidate_bias = None
        if apart is not None and one.r_bias is not None:
            self.candidate_bias = take(one.r_bias, [apart], [width])
        self.peepholes = []
        if one.peepholes is not None:
            self.peepholes = [take(one.peepholes, [i * width], [width]) for i in range(3)]

    # A step.

    def _gate(self, inputs: ir.Value, gate: str, step: ir.Value) -> ir.Value:
        """What a step's input adds to a gate."""
        place = self.cell.gates.index(gate) * self.hidden
        where = [step, *[0] * len(self.batch), place]
        return take(inputs, where, [1, *self.batch, self.hidden], dropped=1)

    def _recurrent(self, state: ir.Value, gates: str) -> dict[str, ir.Value]:
        """What a state adds to neighbouring gates."""
        weight = self.products[gates]
        width = len(gates) * self.hidden
        loops = [*range(len(self.batch)), len(self.batch) + 1]
        total = self._product(state, loops, weight, self.batch, width)
        zeros = [0] * len(self.batch)
        if len(gates) == 1:
            return {gates: total}
        return {g: take(total, [*zeros, i * self.hidden], [*self.batch, self.hidden]) for i, g in enumerate(gates)}

    def _step(self, inputs: list[ir.Value], states: list[ir.Value]) -> list[ir.Value]:
        """The output of a step, and the states behind it."""
        return getattr(self, f"_{self.cell.kind}")(dict(zip(self.cell.gates, inputs, strict=True)), states)

    def _update(
        self,
        states: list[ir.Value],
        reads: Sequence[tuple[ir.Value, bool]],
        body: Callable[[list[ir.Value], list[ir.Value]], list[ir.Value]],
    ) -> list[ir.Value]:
        """The output and the new states, written over the old ones; a read is a value, and whether rows share it.

        `body` gives the new states from what is read and the old ones. A sequence that has ended keeps its states.
        """
        rank = len(self.batch) + 1
        whole = list(range(rank))
        lengths = [] if self.one.lengths is None else [self.one.lengths]
        step = arith.index_cast(_scalar(lengths[0].type), self.at) if lengths else None
        all_reads = [(v, whole[-1:] if shared else whole) for v, shared in reads]
        all_reads += [(v, whole[:-1]) for v in lengths if isinstance(v.type, ir.RankedTensorType)]
        if not lengths:
            made = self._pointwise(
                all_reads, rank, lambda *a: body(list(a[: len(reads)]), list(a[len(all_reads) :])), states, updates=True
            )
            return [made[0], *made]

        def masked(*given: ir.Value) -> list[ir.Value]:
            _, *old = given[len(all_reads) :]
            length = given[len(reads)] if len(all_reads) > len(reads) else lengths[0]
            on = arith.cmpi(arith.CmpIPredicate.slt, step, length)
            new = body(list(given[: len(reads)]), old)
            zero = arith.constant(self.wide, 0.0)
            return [
                arith.select(on, new[0], zero),
                *(arith.select(on, x, y) for x, y in zip(new, old, strict=True)),
            ]

        return self._pointwise(all_reads, rank, masked, [self._empty(self.batch), *states], updates=True)

    def _clipped(self, x: ir.Value) -> ir.Value:
        if not self.cell.clip:
            return x
        bound = arith.constant(self.wide, float(self.cell.clip))
        return arith.minimumf(arith.maximumf(x, arith.negf(bound)), bound)

    def _rnn(self, inputs: dict[str, ir.Value], states: list[ir.Value]) -> list[ir.Value]:
        (f,) = self.cell.functions
        sums = self._recurrent(states[0], "n")

        def body(read: list[ir.Value], _old: list[ir.Value]) -> list[ir.Value]:
            return [f.apply(self._clipped(arith.addf(*read)))]

        return self._update(states, [(inputs["n"], False), (sums["n"], False)], body)

    def _lstm(self, inputs: dict[str, ir.Value], states: list[ir.Value]) -> list[ir.Value]:
        f, g, h = self.cell.functions
        sums = self._recurrent(states[0], self.cell.gates)
        order = "ifco"
        reads = [(side[gate], False) for gate in order for side in (inputs, sums)]
        reads += [(weight, True) for weight in self.peepholes]

        def body(read: list[ir.Value], old: list[ir.Value]) -> list[ir.Value]:
            i, forget, c, o = (arith.addf(*read[2 * n : 2 * n + 2]) for n in range(4))
            before = old[1]
            peep = read[8:]
            if peep:
                i, forget = (arith.addf(x, arith.mulf(p, before)) for x, p in ((i, peep[0]), (forget, peep[2])))
            i = f.apply(self._clipped(i))
            forget = f.apply(self._clipped(forget))
            if self.cell.coupled:
                forget = arith.subf(arith.constant(self.wide, 1.0), i)
            cell = arith.addf(arith.mulf(forget, before), arith.mulf(i, g.apply(self._clipped(c))))
            if peep:
                o = arith.addf(o, arith.mulf(peep[1], cell))
            return [arith.mulf(f.apply(self._clipped(o)), h.apply(cell)), cell]

        return self._update(states, reads, body)

    def _gru(self, inputs: dict[str, ir.Value], states: list[ir.Value]) -> list[ir.Value]:
        f, g = self.cell.functions

        def gate(x: ir.Value, y: ir.Value) -> ir.Value:
            return f.apply(self._clipped(arith.addf(x, y)))

        def mixed(z: ir.Value, new: ir.Value, old: ir.Value) -> ir.Value:
            # As z * old + (1 - z) * new, with one product less.
            return arith.addf(new, arith.mulf(z, arith.subf(old, new)))

        if self.cell.reset_first:
            sums = self._recurrent(states[0], self.cell.gates.replace("n", ""))
            rank = len(self.batch) + 1
            whole = list(range(rank))
            reads = [(v, whole) for v in (inputs["r"], sums["r"], states[0])]
            reset = self._pointwise(reads, rank, lambda x, y, h: [arith.mulf(gate(x, y), h)], states)[0]
            sums |= self._recurrent(reset, "n")
        else:
            sums = self._recurrent(states[0], self.cell.gates)
        order = "zn" if self.cell.reset_first else "znr"
        reads = [(side[name], False) for name in order for side in (inputs, sums)]
        if self.candidate_bias is not None:
            reads.append((self.candidate_bias, True))

        def body(read: list[ir.Value], old: list[ir.Value]) -> list[ir.Value]:
            z = gate(*read[:2])
            x, product = read[2:4]
            if not self.cell.reset_first:
                product = arith.addf(product, read[6]) if len(read) > 6 else product
                product = arith.mulf(gate(*read[4:6]), product)
            return [mixed(z, g.apply(self._clipped(arith.addf(x, product))), old[0])]

        return self._update(states, reads, body)


def _narrowed(value: ir.Value, place: ir.Value) -> ir.Value:
    """A number as the elements of a tensor are."""
    kind = s.element_type(place)
    return value if value.type == kind else arith.truncf(kind, value)


def _scalar(kind: ir.Type) -> ir.Type:
    return kind.element_type if isinstance(kind, ir.RankedTensorType) else kind


def _collapsed(value: ir.Value) -> ir.Value:
    """Without the first two of three dimensions' one of extent 1, or the first of two."""
    *lead, columns = s.shape(value)
    rows = [n for n in lead if n != 1][:1] if len(lead) == 2 else []
    if len(lead) == 2 and not rows:
        rows = [1]
    groups = [[0, 1], [2]] if len(lead) == 2 else [[0, 1]]
    return tensor.collapse_shape(ir.RankedTensorType.get([*rows, columns], s.element_type(value)), value, groups)


def _expanded(value: ir.Value, lead: Sequence[int]) -> ir.Value:
    """With these first dimensions, of which all but one are of extent 1, in place of its first, or before its only."""
    columns = s.shape(value)[-1]
    kind = ir.RankedTensorType.get([*lead, columns], s.element_type(value))
    groups = [[0, 1], [2]] if len(lead) == 2 else [[0, 1]]
    dynamic = [extent(value, 0)] if min(lead) < 0 else []
    return tensor.expand_shape(kind, value, groups, dynamic, [*lead, columns])
