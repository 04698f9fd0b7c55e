"""The schedule of copies that lay a tensor out in panels for a dot-product unit while a model runs.

Weights are packed while compiling; the keys and values of attention are not known then. The result ends in `[…, r, g]`:
g neighbours of the reduction for each of r columns, 32 bits together. Where the groups lie side by side in the source,
blocks of them are transposed in registers; where the columns do, g rows are shuffled into one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.builder import Builder
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Generic, Kernel
from neomlir.schedules.memory import transpose


class Interleave(Schedule):
    name = "interleave"
    order = 280

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.generics) == 1 and not kernel.others and len(kernel.results) == 1

    def build(self, kernel: Kernel, target) -> ir.Operation:
        copy = _Copy.of(kernel)
        frame = Frame(kernel, target)
        _emit(frame, copy)
        return frame.close()


@dataclass
class _Copy:
    """A permutation of a tensor; `source[i]` is the dimension of the result that dimension i of the operand is."""

    operand: ir.Value
    source: list[int]
    sizes: list[int]
    element: ir.Type

    @staticmethod
    def of(kernel: Kernel) -> _Copy:
        g: Generic = kernel.generics[0]
        sizes = static_shape(kernel.results[0])
        plain = len(g.inputs) == 1 and not any(g.reduction) and g.yields == [g.body.arguments[0]]
        if not plain or kernel.results != g.results or None in sizes or len(sizes) < 4:
            raise NotApplicable("the kernel is not one copy")
        maps = [[e.position if isinstance(e, ir.AffineDimExpr) else None for e in m.results] for m in g.maps]
        if maps[1] != [*range(len(sizes))] or sorted(map(str, maps[0])) != sorted(map(str, maps[1])):
            raise NotApplicable("the copy does not permute dimensions")
        element = kernel.results[0].type.element_type
        width = getattr(element, "width", 0)
        if width not in (8, 16) or sizes[-1] * width != 32 or sizes[-2] % 8 or kernel.args[0] != g.inputs[0]:
            raise NotApplicable("the result does not end in columns of groups of 32 bits")
        copy = _Copy(g.inputs[0], maps[0], sizes, element)
        copy.block()
        return copy

    def block(self) -> int:
        """Groups and columns of a block that is transposed; 0 where columns lie side by side in the source."""
        columns, group = len(self.sizes) - 2, len(self.sizes) - 1
        last, along = self.source[-1], self.source[-2]
        if last == columns:
            return 0
        if last != group or along == columns:
            raise NotApplicable("neither groups nor columns lie side by side in the source")
        for size in (16, 8, 4, 2):
            if not self.sizes[columns] % size and not self.sizes[along] % size:
                return size
        raise NotApplicable("no block of groups and columns divides the result")

    def strides(self) -> list[int]:
        """Elements of the operand from one index of each dimension of the result to the next."""
        found, stride = [0] * len(self.sizes), 1
        for d in reversed(self.source):
            found[d] = stride
            stride *= self.sizes[d]
        return found


def _emit(frame: Frame, copy: _Copy) -> None:
    b, sizes, block = frame.b, copy.sizes, copy.block()
    columns, group = len(sizes) - 2, len(sizes) - 1
    source, target = frame.memory.flat(frame.memory.of(copy.operand)), frame.memory.flat(frame.destination(0))
    read = copy.strides()
    write = [math.prod(sizes[d + 1 :]) for d in range(len(sizes))]
    along = copy.source[-2] if copy.source[-1] == group else None
    outer = [d for d in range(columns) if d != along]

    def item(indices: list[Index]) -> None:
        place = [sum((i * s[d] for d, i in zip(outer, indices, strict=True)), Index()) for s in (read, write)]
        if along is None:
            _shuffle(b, copy, source, target, place, read[group])
            return

        def blocks(c: Index) -> None:
            def one(k: Index) -> None:
                rows = [
                    _load(b, copy, source, place[0] + (c + i) * read[columns] + k * read[along], block)
                    for i in range(block)
                ]
                for j, row in enumerate(transpose(b, rows)):
                    _store(b, copy, target, place[1] + c * write[columns] + (k + j) * write[along], row)

            b.loop(0, sizes[along], block, one)

        b.loop(0, sizes[columns], block, blocks)

    b.items([([sizes[d] for d in outer], item)])


def _load(b: Builder, copy: _Copy, buffer: ir.Value, place: Index, groups: int) -> ir.Value:
    """Groups side by side, each as a word."""
    narrow = b.vector(groups * copy.sizes[-1], copy.element)
    words = b.vector(groups, ir.IntegerType.get_signless(32, b.context))
    return b.value("vector.bitcast", words, b.value("vector.load", narrow, buffer, b.compute(place)))


def _store(b: Builder, copy: _Copy, buffer: ir.Value, place: Index, words: ir.Value) -> None:
    narrow = b.vector(ir.VectorType(words.type).shape[0] * copy.sizes[-1], copy.element)
    b.op("vector.store", [], [b.value("vector.bitcast", narrow, words), buffer, b.compute(place)])


def _shuffle(b: Builder, copy: _Copy, source: ir.Value, target: ir.Value, place: list[Index], stride: int) -> None:
    """One row of groups from as many rows as a group has members."""
    count, group = copy.sizes[-2:]
    kind = b.vector(count, copy.element)
    rows = [b.value("vector.load", kind, source, b.compute(place[0] + i * stride)) for i in range(group)]
    while len(rows) > 1:
        half, width = len(rows) // 2, ir.VectorType(rows[0].type).shape[0]
        mask = ir.DenseI64ArrayAttr.get([i + side * width for i in range(width) for side in (0, 1)], b.context)
        wide = b.vector(2 * width, copy.element)
        rows = [b.value("vector.shuffle", wide, rows[i], rows[i + half], mask=mask) for i in range(half)]
    b.op("vector.store", [], [rows[0], target, b.compute(place[1])])


SCHEDULE = Interleave()
