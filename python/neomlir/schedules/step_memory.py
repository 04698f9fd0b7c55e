"""The buffers of a part of a step: rows of tensors, blocks of a batch, and scratch memory."""

from __future__ import annotations

from collections.abc import Set

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.evaluate import Evaluator
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import MERGED, Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.memory import Memory


class _Rows(Memory):
    """`rows`: of which row of a buffer something stands for all; `shifted`: buffers of the whole batch."""

    def __init__(
        self, builder, arguments: dict[ir.Value, ir.Value], rows: dict[ir.Value, Index], shifted: Set, base: Index
    ):
        super().__init__(builder, arguments)
        self.rows, self.shifted, self.base = rows, shifted, base

    def _merged(self, buffer: ir.Value, indices: tuple[Index, ...]) -> tuple[ir.Value, tuple[Index, ...]]:
        row, rank = self.rows.get(buffer), ir.MemRefType(buffer.type).rank
        apart = row is not None and len(indices) == rank - 1
        if buffer in self.shifted and (apart or row is None):
            if any(MERGED in index.terms for index in indices):
                raise NotApplicable("rows of a block are walked together")
            indices = (indices[0] + self.base, *indices[1:])
        return super()._merged(buffer, (row, *indices) if apart else indices)


class StepFrame(Frame):
    """A part of a step in the function of the whole kernel: `buffers` are those of its last arguments."""

    def __init__(
        self,
        whole: Frame,
        part: Kernel,
        buffers: list[ir.Value],
        rows: list[Index | None],
        shifted: Set[ir.Value],
        base: Index,
    ):
        """`rows`: for each of `buffers` the number of the row that stands for it, None for all of the buffer;
        `shifted`: those of a whole batch, of which the part sees the rows from `base` on."""
        self.kernel, self.machine, self.func, self.block, self.b = part, whole.machine, whole.func, whole.block, whole.b
        known = [whole.memory.of(a) for a in whole.kernel.args]
        arguments = dict(zip(part.args, [*known, *buffers], strict=True))
        moving: dict[ir.Value, Index] = {}
        for buffer, row in zip(buffers, rows, strict=True):
            if row is not None and moving.setdefault(buffer, row) != row:
                raise NotApplicable("a step reads two rows of a tensor")
        self.memory = _Rows(self.b, arguments, moving, shifted, base)
        self.evaluator = Evaluator(self.b, part, self.memory)

    def is_whole(self, argument: ir.Value) -> bool:
        """Whether the buffer of an argument begins with its first element, and not with that of another row."""
        buffer = self.memory.of(argument)
        return buffer not in self.memory.rows and buffer not in self.memory.shifted
