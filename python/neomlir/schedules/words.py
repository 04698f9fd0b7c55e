"""The schedule of contractions of bytes on multiply-adds of words, for targets without dot products of bytes.

`pmaddwd` (SSE2, AVX2, AVX512BW; Intel 64 and IA-32 manual) multiplies pairs of 16-bit integers and adds the two
products in 32 bits, which is exact for bytes of any sign. It takes what `panels.py` describes, in groups of two. Bytes
are widened once: of a work item all that its rows read is copied to scratch memory, which stays in the second-level
cache, and then panel after panel of weights, each widened when all rows of the item are about to pass by. Memory holds
bytes only. Panels that the first-level cache does not hold are widened and used piece by piece, while the sums of all
rows wait. Most contractions take half the multiplications (`words_inner.py`); 3x3 convolutions of stride 1 may take
fewer products (`words_winograd.py`).
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.frame import Frame, Machine
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.panels import Panels
from neomlir.schedules.root import Root
from neomlir.schedules.tiles import tile_of
from neomlir.schedules.word_nest import WordNest
from neomlir.schedules.words_inner import InnerNest, height_of
from neomlir.schedules.words_planes import Planes
from neomlir.schedules.words_winograd import TransformedNest


class Words(Schedule):
    name = "words"
    order = 93

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) == 1 and len(kernel.roots[0].inputs) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        root = Root(kernel)
        panels = Panels.of(root, kernel, target)
        if not panels.unit.words:
            raise NotApplicable("the target's dot-product unit takes operands as they are")
        rows, _ = tile_of(panels.unit.bits, target.vector.registers, 32)
        plan = panels.plan(root, rows)
        planes = Planes.of(root, panels, plan, Machine.of(target))
        height = height_of(root, panels, plan, target.vector.registers) if planes is None else 0

        def nest(frame: Frame) -> WordNest:
            if planes is not None:
                return TransformedNest(frame, root, plan, panels, planes)
            if height:
                return InnerNest(frame, root, panels.plan(root, height), panels)
            return WordNest(frame, root, plan, panels)

        return Frame(kernel, target).made_by(lambda frame: nest(frame).emit())


SCHEDULE = Words()
