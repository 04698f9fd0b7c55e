"""The tile registers of x86 (AMX): their shapes, and LLVM's intrinsics on them.

Tile registers are named by the schedule, and LLVM's intrinsics are called with their numbers: `x86.amx` leaves them to
LLVM, which configures them anew wherever shapes differ and spills what is live across that.
"""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.builder import Builder
from neomlir.schedules.memory import memref
from neomlir.schedules.units import ROW_BYTES, Unit

ROWS = 16
"""Rows of a tile, at most."""
SUMS, LEFT, RIGHT = (0, 2), (4, 5), (6, 7)
"""Tile registers: of the sums the first of each row of tiles, of the row operand, of the column operand."""


@dataclass(frozen=True)
class Part:
    """A tile of rows: where it starts in the register tile, and how many."""

    start: int
    count: int


class Registers:
    """The tile registers of a kernel whose products take `step` elements of the reduction at a time."""

    def __init__(self, b: Builder, unit: Unit, step: int):
        self.b, self.unit, self.step = b, unit, step
        self.configurations: dict[tuple[int, ...], ir.Value] = {}

    def configure(self, parts: tuple[Part, ...]) -> None:
        """Set the shape of every tile register, which clears them."""
        rows = tuple(part.count for part in parts)
        found = self.configurations.get(rows)
        if found is None:
            width, depth = self.unit.element_bytes, self.step
            shapes = {}
            for part, sums, left in zip(parts, SUMS, LEFT, strict=False):
                shapes |= {sums: (part.count, ROW_BYTES), sums + 1: (part.count, ROW_BYTES)}
                shapes[left] = (part.count, depth * width)
            shapes |= {right: (depth // self.unit.group, ROW_BYTES) for right in RIGHT}
            found = self.configurations[rows] = self._constant(_palette(shapes))
        self.call("llvm.x86.ldtilecfg", intrinsics.pointer(self.b, found, 0))

    def _constant(self, numbers: list[int]) -> ir.Value:
        """A read-only buffer of bytes."""
        b = self.b
        byte = ir.IntegerType.get_signless(8, b.context)
        kind = ir.RankedTensorType.get([len(numbers)], byte, loc=b.location)
        value = ir.DenseElementsAttr.get([ir.IntegerAttr.get(byte, n) for n in numbers], kind)
        constant = b.constant(value)
        return ir.Operation.create(
            "bufferization.to_buffer",
            results=[memref(kind)],
            operands=[constant],
            attributes={"read_only": ir.UnitAttr.get(b.context)},
            loc=b.location,
            ip=ir.InsertionPoint.after(constant.owner),
        ).results[0]

    def call(self, intrinsic: str, *operands: ir.Value | int) -> None:
        """Call one of LLVM's intrinsics on values and on numbers of tile registers."""
        b = self.b
        i8 = ir.IntegerType.get_signless(8, b.context)
        values = [
            b.op("llvm.mlir.constant", [i8], [], {"value": ir.IntegerAttr.get(i8, o)}).results[0]
            if isinstance(o, int)
            else o
            for o in operands
        ]
        intrinsics.call(b, intrinsic, [], values)

    def number(self, number: int) -> ir.Value:
        i64 = ir.IntegerType.get_signless(64, self.b.context)
        return self.b.constant(ir.IntegerAttr.get(i64, number))


def _palette(shapes: dict[int, tuple[int, int]]) -> list[int]:
    """What `ldtilecfg` reads: palette 1, and bytes a row and rows of each tile register."""
    numbers = [0] * 64
    numbers[0] = 1
    for register, (rows, width) in shapes.items():
        numbers[16 + 2 * register], numbers[48 + register] = width, rows
    return numbers
