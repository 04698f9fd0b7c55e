"""The schedule of contractions of f16 on Arm's widening multiply-adds.

`fmlal` and `fmlal2` (FEAT_FHM; Arm Architecture Reference Manual, C7.2) multiply four numbers of the lower and of the
upper half of a vector by one lane of another, and add to f32 in one rounding: what widening both factors gives, without
the conversions. It takes what `panels.py` describes, with the loop nest of `contraction`. A step of the reduction is a
vector of each row, whose lanes meet one vector of columns after the other.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules import intrinsics
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.dot_product import DotNest, DotSums
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Root

_ROWS = 8
"""Rows of a register tile: each is a vector of lanes, which are in the lower half of the registers."""
_FEW = 4
"""Rows that give too few sums to hide how long a multiply-add takes."""


class Fmlal(Schedule):
    name = "fmlal"
    order = 92

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        plan, panels = planned(root, kernel, target)
        return Frame(kernel, target).made_by(lambda frame: WideningNest(frame, root, plan, panels).emit())


def planned(root: Root, kernel: Kernel, target) -> tuple[Plan, Panels]:
    """The register tile of a contraction and its operands. Raises NotApplicable where the target has no such unit."""
    panels = Panels.of(root, kernel, target)
    if panels.unit.group > 1 or panels.width % (2 * panels.unit.lanes):
        raise NotApplicable("the target's unit for these operands does not widen alone")
    # Beside the sums a vector of each row is held, and of columns one in use and two on their way.
    vectors = panels.width // panels.unit.lanes
    plan = panels.plan(root, max(1, min(_ROWS, (target.vector.registers - 3) // (vectors + 1))))
    if not plan.rows or (plan.rows[-1].size or _ROWS) < _FEW:
        raise NotApplicable("there are too few rows")
    return plan, panels


class WideningNest(DotNest):
    """The loops of `contraction` around register tiles of widening multiply-adds."""

    def __init__(self, frame: Frame, root: Root, plan: Plan, panels: Panels):
        super().__init__(frame, root, plan, panels)
        self.sums = WideningSums(frame, root, panels)


class WideningSums(DotSums):
    """Register tiles whose step of the reduction is a vector of each row."""

    def _sums(self, dims: list[dict], width: int) -> list[ir.Value]:
        b, unit = self.frame.b, self.unit
        columns = -(-width // unit.lanes)
        zero = b.splat(b.zero(self.wide.element_type), unit.lanes)
        lanes = unit.bits // 16

        def step(outer: list[Index], along: Index, *sums: ir.Value) -> list[ir.Value]:
            rows = [self._load(0, where, outer, along, self.narrow[0]) for where in dims]
            for lane in range(lanes):
                mask = ir.DenseI64ArrayAttr.get([lane] * lanes, b.context)
                factors = [b.value("vector.shuffle", self.narrow[0], row, row, mask=mask) for row in rows]
                sums = self._add(dims, columns, outer, along + lane, factors, sums)
            return list(sums)

        def rest(outer: list[Index], along: Index, *sums: ir.Value) -> list[ir.Value]:
            element = self.narrow[0].element_type
            factors = [b.splat(self._load(0, where, outer, along, element), lanes) for where in dims]
            return self._add(dims, columns, outer, along, factors, sums)

        return self.panels.loop(b, self.root, step, [zero] * (columns * len(dims)), lanes, rest)

    def _add(
        self, dims: list[dict], columns: int, outer: list[Index], along: Index, factors: list, sums
    ) -> list[ir.Value]:
        """The products of one step of the reduction; `factors` are a number of each row in all lanes."""
        b, unit = self.frame.b, self.unit
        sums = list(sums)
        for j in range(0, columns, 2):
            right = self._load(1, dims[0], outer, along, self.narrow[1], j * unit.lanes)
            for r, factor in enumerate(factors):
                for half in range(min(2, columns - j)):
                    name = f"{unit.intrinsic}{'2' if half else ''}.v4f32.v8f16"
                    at = r * columns + j + half
                    sums[at] = intrinsics.call(b, name, [self.wide], [sums[at], right, factor]).results[0]
        return sums

    def _load(self, operand: int, where: dict, outer: list[Index], along: Index, kind: ir.Type, offset: int = 0):
        """What the row (0) or the column operand (1) has at a point, read as `kind`."""
        b, panels, size = self.frame.b, self.panels, self.unit.element_bytes
        buffer = self.frame.memory.of(self.root.accesses[abs(operand - panels.rows)][0][0])
        place = panels.at(self.root, operand, where, outer, along)
        return intrinsics.load(b, buffer, b.compute((place + offset) * size), kind, size)


SCHEDULE = Fmlal()
