"""Channels in small groups, of which each result reads all: vectors of them are shuffled in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neomlir.mlir import ir
from neomlir.schedules.builder import Chunk
from neomlir.schedules.depthwise_form import Form
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index, apply

Read = Callable[[list[Index], Chunk], ir.Value]


def mixed_factors(frame: Frame, form: Form, factors: Sequence[ir.Value]) -> dict[ir.Value, Read]:
    """How those of the `factors` are read that the input makes: at one channel of each lane's group.

    The vector of all channels that these groups have is loaded, and widened, once for all of them.
    """
    g, mix, b = form.generic, form.mix, frame.b
    argument = g.body.arguments[0]

    def of(factor: ir.Value) -> Read:
        def read(loops: list[Index], chunk: Chunk) -> ir.Value:
            place = [apply(e, loops) for e in g.maps[0].results[:-1]]
            source = frame.evaluator.at(g.inputs[0], (*place, loops[form.channels]), chunk)
            key = ("mixed", factor, source)
            whole = b.known(key) or b.remember(key, frame.evaluator.body(g, loops, chunk, {0: source}, [factor])[0])
            number = loops[mix.tap].const
            return b.shuffle(whole, whole, [lane // mix.size * mix.size + number for lane in range(chunk.width)])

        return read

    return {factor: of(factor) for factor in factors if _reads(factor, argument)}


def _reads(value: ir.Value, argument: ir.Value) -> bool:
    if isinstance(value.owner, ir.Block):
        return value == argument
    return any(_reads(operand, argument) for operand in value.owner.operands)
