"""The two products of attention: by which loops and register tiles each is computed, on which rows."""

from __future__ import annotations

from collections.abc import Collection

from neomlir.schedules import contraction, dot_product, fmlal, matrix_tiles, mmla
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Builder
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Kernel
from neomlir.schedules.nest import Strips
from neomlir.schedules.panels import Panels
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Dim, Root

_UNITS = (
    (matrix_tiles.planned, matrix_tiles.TileNest),
    (mmla.planned, mmla.BlockNest),
    (dot_product.planned, dot_product.DotNest),
    (fmlal.planned, fmlal.WideningNest),
)


class Product:
    """A part of a kernel that is one sum of products, on the dot-product unit of the target where it lies so."""

    def __init__(self, part: Kernel, target, apart: Collection[int] = ()):
        """Loops in `apart` stay dimensions of their own. Raises NotApplicable where no schedule of vectors takes it."""
        self.part, self.root = part, Root(part, apart)
        self.panels: Panels | None = None
        self.kind: type[contraction.Nest] = contraction.Nest
        for planned, kind in _UNITS:
            try:
                self.plan, self.panels = planned(self.root, part, target)
            except NotApplicable:
                continue
            self.kind = kind
            break
        if self.panels is None:
            self.plan = Plan.make(self.root, part, target)
        elif target.vector.scalable:
            raise NotApplicable("the target's dot-product unit is of vectors of known length")

    def nest(self, frame: Frame) -> contraction.Nest:
        """The loops, in a function."""
        if self.panels is None:
            return contraction.Nest(frame, self.root, self.plan)
        return self.kind(frame, self.root, self.plan, self.panels)

    def hold_from(self, outer: list[tuple[Dim, Index]], low: Index) -> None:
        """Say that the buffer of the rows begins with row `low` at one place of the outer dimensions."""
        if self.panels is None:
            return
        self.panels.origin = Index()
        where = {id(d): index for d, index in outer} | {id(self.plan.rows[-1]): low, id(self.plan.columns): Index()}
        loops = len(self.panels.outer)
        self.panels.origin = self.panels.at(self.root, 0, where, [Index()] * loops, Index())


def strips(b: Builder, rows: int, products: list[Product], most: int) -> Strips:
    """The strips of rows by which all products go, of `most` rows or fewer if tiles of the target are taller."""
    height = min(product.plan.height for product in products)
    if all(product.kind is matrix_tiles.TileNest for product in products):
        height = max(1, min(matrix_tiles.even_height(rows), most))
    kind = mmla.Pairs if any(product.kind is mmla.BlockNest for product in products) else Strips
    return kind(b, rows, height)
