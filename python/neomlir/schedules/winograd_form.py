"""The kernel of a Winograd convolution, as `neo-winograd` writes it and `neo-form-kernels` outlines it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.kernel import DYNAMIC, Generic, Kernel


@dataclass
class Form:
    """The three reductions of a kernel as `neo-winograd` writes them, `outer` loops counting tiles.

    `gather[outer…, i, j, c | u, v]` are the transformed inputs, `product[outer…, i, j, k | c]` their products with the
    filters, `spread[planes…, y, x, k | i, j]` the results; `outer` are the planes, then rows and columns of tiles.
    """

    gather: Generic
    product: Generic
    spread: Generic
    b: np.ndarray
    a: np.ndarray
    outer: int

    @staticmethod
    def of(kernel: Kernel) -> Form:
        """Raises NotApplicable where the reductions are others."""
        gather, product, spread = kernel.roots
        if product.inputs[0] != gather.results[0] or spread.inputs[0] != product.results[0]:
            raise NotApplicable("the reductions do not follow each other")
        form = Form(gather, product, spread, _matrix(gather), _matrix(spread), gather.rank - 5)
        if form.b.shape != (form.n, form.n) or form.n - form.m != 2:
            raise NotApplicable("the transforms are not those of filters of three taps")
        if form.outer < 2 or product.rank != form.outer + 4 or spread.rank != form.outer + 3:
            raise NotApplicable("the reductions have not the loops of tiles")
        form._check_maps()
        for generic, factors, reduced in ((gather, 3, 2), (product, 2, 1), (spread, 3, 2)):
            if generic.reduction != [False] * (generic.rank - reduced) + [True] * reduced:
                raise NotApplicable("a reduction runs over other loops")
            if not _sums_products(generic, factors):
                raise NotApplicable("a reduction is no sum of products")
        for init in (*gather.inits, *product.inits):
            if not is_zero(kernel, init):
                raise NotApplicable("a sum that is held in scratch memory does not start at zero")
        if None in (form.channels, *spread.extents[-5:]):
            raise NotApplicable("a plane or the channels are dynamic")
        return form

    @property
    def m(self) -> int:
        return self.a.shape[0]

    @property
    def n(self) -> int:
        return self.a.shape[1]

    @property
    def channels(self) -> int | None:
        """Input channels."""
        return self.gather.extents[self.outer + 2]

    @property
    def panel(self) -> int:
        """Output channels that lie together in the filters."""
        return ir.RankedTensorType(self.product.inputs[1].type).shape[-1]

    def _check_maps(self) -> None:
        outer, m = self.outer, self.m
        dim = [ir.AffineDimExpr.get(d) for d in range(outer + 5)]
        i, j, c, u, v = dim[outer:]
        rows, columns = dim[outer - 2 : outer]
        places = {*map(str, dim[: outer - 2]), str(rows * m + u), str(columns * m + v)}
        source = list(self.gather.maps[0].results)
        if {str(e) for e in source[:-1]} != places or len(source) != outer + 1 or source[-1] != c:
            raise NotApplicable("the inputs of tiles are read in another way")
        tiles = [*dim[:outer], i, j]
        _expect(self.gather, [None, [i, u], [j, v], [*tiles, c]])
        k, reduced = dim[outer + 2], dim[outer + 3]
        r = self.panel
        filters = [ir.AffineExpr.get_floor_div(k, r), i, j, reduced, ir.AffineExpr.get_mod(k, r)]
        _expect(self.product, [[*tiles, reduced], filters, [*tiles, k]])
        y, x, k, i, j = dim[outer - 2 : outer + 3]
        split, rest = ir.AffineExpr.get_floor_div, ir.AffineExpr.get_mod
        read = [*dim[: outer - 2], split(y, m), split(x, m), i, j, k]
        _expect(self.spread, [read, [rest(y, m), i], [rest(x, m), j], dim[: outer + 1]])


def _expect(generic: Generic, results: list[list[ir.AffineExpr] | None]) -> None:
    for map_, expected in zip(generic.maps, results, strict=True):
        if expected is not None and map_ != ir.AffineMap.get(generic.rank, 0, expected):
            raise NotApplicable("a reduction reads or writes in another order")


def _matrix(generic: Generic) -> np.ndarray:
    """The constant that a transform reads twice."""
    makers = [matrix.owner for matrix in generic.inputs[1:]]
    if any(isinstance(maker, ir.Block) or maker.name != "arith.constant" for maker in makers):
        raise NotApplicable("a transform's matrix is no constant")
    value, other = (maker.attributes["value"] for maker in makers)
    if (
        value != other
        or not isinstance(value, ir.DenseFPElementsAttr)
        or not isinstance(value.type.element_type, ir.F32Type)
    ):
        raise NotApplicable("a transform's matrix is not of single precision")
    return np.array(value, np.float32).reshape(value.type.shape)


def _sums_products(generic: Generic, factors: int) -> bool:
    """Whether the body is `acc + x0 * x1 (* x2)`, in f32."""
    arguments = list(generic.body.arguments)
    if len(arguments) != factors + 1 or not all(isinstance(a.type, ir.F32Type) for a in arguments):
        return False
    total = generic.yields[0].owner
    if isinstance(total, ir.Block) or total.name != "arith.addf" or total.operands[0] != arguments[-1]:
        return False
    value = total.operands[1]
    for argument in reversed(arguments[1:-1]):
        product = value.owner
        if isinstance(product, ir.Block) or product.name != "arith.mulf" or product.operands[1] != argument:
            return False
        value = product.operands[0]
    return value == arguments[0]


def is_zero(kernel: Kernel, init: ir.Value) -> bool:
    """Whether a tensor is filled with zero."""
    found = kernel.generic_of(init)
    if found is None or found[0].op.name != "linalg.fill":
        return False
    value = found[0].inputs[0].owner
    return not isinstance(value, ir.Block) and value.name == "arith.constant" and value.attributes["value"].value == 0


def border_of(source: ir.Value) -> ir.Operation | None:
    """The pad that makes the input, of static extents but for planes; None where it is made elsewhere."""
    if isinstance(source.owner, ir.Block) or source.owner.name != "tensor.pad":
        return None
    pad = source.owner.operation
    if DYNAMIC in (*pad.attributes["static_low"], *pad.attributes["static_high"]):
        raise NotApplicable("a border is not static")
    return pad
