"""The schedule of kernels that only read, compute and write point by point: bound by memory."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import Schedule
from neomlir.schedules.boxes import all_boxes
from neomlir.schedules.builder import Chunk
from neomlir.schedules.bypass import items
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.points import Points


class Elementwise(Schedule):
    name = "elementwise"
    order = 400
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return not kernel.roots

    def build(self, kernel: Kernel, target) -> ir.Operation:
        return Frame(kernel, target).made_by(_emit)


def _emit(frame: Frame) -> None:
    nests = [Points(frame, box) for box in all_boxes(frame)]
    if any(nest.box.overlaps for nest in nests):
        for nest in nests:
            nest.inside([], 0, nest.sizes[0]) if nest.sizes else nest.store([], [(Index(), Chunk(1))])
    else:
        items(frame, [nest.items() for nest in nests])


SCHEDULE = Elementwise()
