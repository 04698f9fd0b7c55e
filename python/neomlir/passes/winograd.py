"""Rewrite 3x3 convolutions by Winograd's minimal filtering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomlir import targets
from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir, linalg, tensor
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.choices import parse_choices
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import Contraction
from neomlir.passes.layouts import index_constant, pad_zeros, pads_zeros
from neomlir.passes.split_planes import split_planes
from neomlir.schedules.winograd_math import POINTS, TAPS, matrices
from neomlir.schedules.winograd_plan import Shape, choose

USES = ("auto", "never", *(str(m) for m in POINTS))


@register
@dataclass(frozen=True)
class Winograd(ModulePass):
    """Rewrite 3x3 convolutions of stride 1 in single precision as F(2x2, 3x3) or F(4x4, 3x3).

    A convolution with a weight, channels innermost and planes of static extents becomes three generics: the inputs of
    overlapping tiles transformed, `v[n, ty, tx, i, j, c] = sum(B[i, u] * B[j, v] * x[n, m*ty + u, m*tx + v, c])`; their
    product with the transformed filters, a contraction over c; and the results transformed back, `y[n, h, w, k] =
    sum(A[h mod m, i] * A[w mod m, j] * p[n, h floordiv m, w floordiv m, i, j, k])`. The filters are transformed in
    double precision, for `neo-hoist-constants` to move. An input that ends inside a tile is padded.
    `neo-form-kernels` makes one kernel of the three.

    With `auto`, convolutions over three dimensions are sums over the taps of the first of them, each a convolution of
    planes, where these are faster so.
    """

    name = "neo-winograd"

    target: str = "host"
    """The target whose vectors and caches say where it is faster."""

    use: str = "auto"
    """`auto`: where it is faster and the error to expect stays below 1e-5 of the largest result; `never`; `2` or `4`:
    F(2x2, 3x3) or F(4x4, 3x3) wherever it can be."""

    choices: str = ""
    """`SIGNATURE:USE` with `;` between them, for single convolutions instead of `auto`: `never`, `2` or `4`. `neo-tune`
    finds them, `neo-compile` writes them here."""

    def run(self, module: ir.Module) -> None:
        told = parse_choices(self.name, self.choices, USES[1:])
        if self.use not in USES:
            raise PassFailure(f"{self.name}: use is {', '.join(USES[:-1])} or {USES[-1]}, not {self.use!r}")
        if self.use == "never":
            return
        target = targets.get(self.target)
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                if self.use == "auto":
                    split_planes(function, target)
                constants = Constants.of(function)
                for op in s.operations(function):
                    found = Convolution.match(op, constants)
                    m = None
                    if found is not None:
                        use = told.get(found.signature, "auto") if self.use == "auto" else self.use
                        m = choose(target, found.shape) if use == "auto" else None if use == "never" else int(use)
                    if m is not None:
                        _Rewrite(found, m).run()


@dataclass
class Convolution:
    """`y[planes…, h, w, k] = init + sum(x[planes…, h + a, w + b, c] * filters[k, c, a, b])`, filters in any order."""

    op: ir.Operation
    planes: list[int]
    """Loops."""
    h: int
    w: int
    k: int
    a: int
    b: int
    c: int
    source: ir.Value
    map: ir.AffineMap
    filters: ir.Value
    filter_loops: list[int]
    extents: list[int | None]
    signature: str

    @property
    def shape(self) -> Shape:
        """Its extents; a dynamic number of planes counts as one."""
        planes = 1
        for d in self.planes:
            planes *= self.extents[d] or 1
        return Shape(*(self.extents[d] for d in (self.h, self.w, self.c, self.k)), planes)

    @classmethod
    def match(cls, op: ir.Operation, constants: Constants) -> Convolution | None:
        """`op` as such a convolution, or None."""
        found = Contraction.match(op)
        if found is None or found.depthwise or not constants.weights(op.operands[found.b]):
            return None
        if any(not isinstance(s.element_type(v), ir.F32Type) for v in op.operands):
            return None
        out, loops = s.positions(found.maps[2]), s.positions(found.maps[found.b])
        reads = [s.uses_of(e) for e in found.maps[found.a].results]
        windows = [e for e, used in zip(found.maps[found.a].results, reads, strict=True) if len(used) > 1]
        if None in out or len(out) < 3 or len(windows) != 2 or None in loops or len(found.reductions) != 3:
            return None
        *planes, h, w, k = out
        pairs = {}
        for e in windows:
            taps = s.uses_of(e) - {h, w}
            if len(taps) != 1 or not isinstance(e, ir.AffineAddExpr):
                return None
            tap = next(iter(taps))
            if str(e) not in (f"d{h} + d{tap}", f"d{w} + d{tap}", f"d{tap} + d{h}", f"d{tap} + d{w}"):
                return None
            pairs[next(iter(s.uses_of(e) - taps))] = tap
        left = [loop for loop in found.reductions if loop not in pairs.values()]
        if set(pairs) != {h, w} or len(left) != 1:
            return None
        a, b, c = pairs[h], pairs[w], left[0]
        plain = [next(iter(used)) for used in reads if len(used) == 1]
        extents = found.extents
        if (
            sorted(plain) != sorted([*planes, c])
            or reads[-1] != {c}
            or s.positions(found.maps[found.a])[-1] != c
            or sorted(loops) != sorted([k, c, a, b])
            or (extents[a], extents[b]) != (TAPS, TAPS)
            or None in (extents[h], extents[w], extents[k], extents[c])
            or not s.has_static_shape(op.operands[found.b])
        ):
            return None
        return cls(
            op,
            planes,
            h,
            w,
            k,
            a,
            b,
            c,
            op.operands[found.a],
            found.maps[found.a],
            op.operands[found.b],
            loops,
            extents,
            found.signature,
        )


class _Rewrite:
    """The three generics in place of a convolution."""

    def __init__(self, conv: Convolution, m: int):
        self.conv, self.m, self.n = conv, m, m + TAPS - 1
        self.tiles = [-(-conv.extents[d] // m) for d in (conv.h, conv.w)]
        self.f32 = ir.F32Type.get()

    def run(self) -> None:
        conv = self.conv
        with ir.InsertionPoint(conv.op), conv.op.location:
            a, g, b = matrices(self.m)
            filters = self._filters(g)
            source = self._padded()
            planes = self._planes()
            outer = len(conv.planes) + 2
            rows, columns = outer - 2, outer - 1
            d = s.dims(range(outer + 5))
            i, j, c, u, v = range(outer, outer + 5)
            place = {conv.h: d[rows] * self.m + d[u], conv.w: d[columns] * self.m + d[v], conv.c: d[c]}
            place |= {loop: d[number] for number, loop in enumerate(conv.planes)}
            read = []
            for e in conv.map.results:
                mine = next(loop for loop in (*place,) if loop in s.uses_of(e))
                read.append(place[mine])
            gathered = self._generic(
                [source, *[self._matrix(b)] * 2],
                [*planes, *self.tiles, self.n, self.n, conv.extents[conv.c]],
                [read, [d[i], d[u]], [d[j], d[v]], d[:u]],
                outer + 5,
                2,
            )
            k, c = outer + 2, outer + 3
            product = self._generic(
                [gathered, filters],
                [*planes, *self.tiles, self.n, self.n, conv.extents[conv.k]],
                [[*d[:k], d[c]], [d[i], d[j], d[c], d[k]], d[:c]],
                outer + 4,
                1,
            )
            y, x, k, i, j = range(outer - 2, outer + 3)
            split, rest = ir.AffineExpr.get_floor_div, ir.AffineExpr.get_mod
            m = self.m
            maps = [
                [*d[: outer - 2], split(d[y], m), split(d[x], m), d[i], d[j], d[k]],
                [rest(d[y], m), d[i]],
                [rest(d[x], m), d[j]],
                d[: outer + 1],
            ]
            result = self._sum([product, *[self._matrix(a)] * 2], conv.op.operands[2], maps, outer + 3, 2)
        s.replace(conv.op, [result])

    def _planes(self) -> list[int | ir.Value]:
        """The extents of the outer dimensions, values where they are dynamic."""
        conv, found = self.conv, []
        out = conv.op.operands[2]
        for number, loop in enumerate(conv.planes):
            extent = conv.extents[loop]
            found.append(tensor.DimOp(out, index_constant(number)).result if extent is None else extent)
        return found

    def _padded(self) -> ir.Value:
        """The input, large enough for whole tiles: a pad before it becomes larger, or there is a new one."""
        conv = self.conv
        high = [0] * len(s.shape(conv.source))
        for position, e in enumerate(conv.map.results):
            for loop, tiles in zip((conv.h, conv.w), self.tiles, strict=True):
                if loop in s.uses_of(e):
                    high[position] = tiles * self.m + TAPS - 1 - s.shape(conv.source)[position]
        if not any(n > 0 for n in high):
            return conv.source
        high = [max(0, n) for n in high]
        pad = s.maker(conv.source)
        if pads_zeros(pad):
            low = list(ir.DenseI64ArrayAttr(pad.attributes["static_low"]))
            before = list(ir.DenseI64ArrayAttr(pad.attributes["static_high"]))
            return pad_zeros(pad.operands[0], low, [x + y for x, y in zip(before, high, strict=True)])
        return pad_zeros(conv.source, [0] * len(high), high)

    def _filters(self, g: np.ndarray) -> ir.Value:
        """The transformed filters `[i, j, c, k]`, computed in double precision."""
        conv, n = self.conv, self.n
        extents = {"k": conv.extents[conv.k], "c": conv.extents[conv.c]}
        name = {conv.k: "k", conv.c: "c", conv.a: "a", conv.b: "b"}
        f64 = ir.F64Type.get()
        matrix = self._matrix(g, f64)
        d = s.dims(range(5))
        # First along rows: t[i, b, c, k] = sum(G[i, a] * w[k, c, a, b] over a).
        place = {"i": d[0], "b": d[1], "c": d[2], "k": d[3], "a": d[4]}
        read = [place[name[loop]] for loop in conv.filter_loops]
        shape = [n, TAPS, extents["c"], extents["k"]]
        half = self._generic([conv.filters, matrix], shape, [read, [d[0], d[4]], d[:4]], 5, 1, f64)
        shape = [n, n, extents["c"], extents["k"]]
        whole = self._generic([half, matrix], shape, [[d[0], d[4], d[2], d[3]], [d[1], d[4]], d[:4]], 5, 1, f64)
        empty = tensor.EmptyOp(shape, self.f32).result
        identity = ir.AffineMap.get_identity(4)
        op, block = s.build_generic([whole], [empty], [identity] * 2, [s.PARALLEL] * 4, ir.Location.current)
        with ir.InsertionPoint(block):
            narrow = arith.TruncFOp(self.f32, block.arguments[0]).result
        s.yield_(block, [narrow])
        return op.results[0]

    def _matrix(self, values: np.ndarray, element: ir.Type | None = None) -> ir.Value:
        """A matrix as a constant, of f32 unless told otherwise."""
        array = values.astype(np.float32 if element is None else np.float64)
        attribute = ir.DenseElementsAttr.get(np.ascontiguousarray(array))
        return arith.ConstantOp(attribute.type, attribute).result

    def _generic(self, inputs, extents, maps, loops: int, reduced: int, element: ir.Type | None = None) -> ir.Value:
        """A sum of products that starts at zero."""
        element = element or self.f32
        dynamic = ir.ShapedType.get_dynamic_size()
        type_ = ir.RankedTensorType.get([n if isinstance(n, int) else dynamic for n in extents], element)
        sizes = [n for n in extents if not isinstance(n, int)]
        empty = ir.Operation.create("tensor.empty", results=[type_], operands=sizes).results[0]
        zero = arith.ConstantOp(element, ir.FloatAttr.get(element, 0.0)).result
        return self._sum(inputs, linalg.fill(zero, outs=[empty]), maps, loops, reduced)

    def _sum(self, inputs, init: ir.Value, maps, loops: int, reduced: int) -> ir.Value:
        maps = [ir.AffineMap.get(loops, 0, list(results)) for results in maps]
        kinds = [s.PARALLEL] * (loops - reduced) + [s.REDUCTION] * reduced
        op, block = s.build_generic(inputs, [init], maps, kinds, ir.Location.current)
        *factors, total = block.arguments
        with ir.InsertionPoint(block):
            product = None
            for factor in factors:
                if factor.type != total.type:
                    factor = arith.ExtFOp(total.type, factor).result
                product = factor if product is None else arith.MulFOp(product, factor).result
            total = arith.AddFOp(total, product).result
        s.yield_(block, [total])
        return op.results[0]
