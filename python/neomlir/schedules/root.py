"""A kernel with one reduction: where its results go, and what its operands depend on."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.frame import static_shape
from neomlir.schedules.index import MERGED, Index, Part, Var, apply, joined, of, split
from neomlir.schedules.kernel import DYNAMIC, SAME, Generic, Kernel
from neomlir.schedules.merged import merge, point


def linear(access: Sequence[Index], shape: Sequence[int]) -> Index:
    """A place in a tensor, as if that were one row; only its first dimension may be dynamic."""
    place = Index()
    for index, size in zip(access, shape, strict=True):
        # Of dimensions that are walked together the last one counts them all.
        place = place * size + Index({v: c for v, c in index.terms.items() if v is not MERGED}, index.const)
    return place


def stored_at(kernel: Kernel, generic: Generic, loops: list[Index]) -> list[tuple[Index, ...]]:
    """The place in each result of the kernel that depends on the point `loops` of a reduction's parallel loops.

    Raises NotApplicable where one point of the reduction does not go to one place of every result.
    """
    where: dict[ir.Value, tuple[Index, ...]] = {
        r: tuple(apply(e, loops) for e in generic.output_map(i).results) for i, r in enumerate(generic.results)
    }
    for view in kernel.func.regions[0].blocks[0].operations:
        op = view.operation
        if not len(op.results) or op.results[0] in where:
            continue
        sources = [o for o in op.operands if o in where]
        if not sources:
            continue
        found = kernel.generic_of(op.results[0])
        if found is not None:
            consumer = found[0]
            mine: list[Index | None] = [Index() if n == 1 else None for n in consumer.extents]
            operand = list(consumer.operands).index(sources[0])
            for expr, index in zip(consumer.maps[operand].results, where[sources[0]], strict=True):
                if isinstance(expr, ir.AffineDimExpr):
                    mine[expr.position] = index
            if None in mine:
                raise NotApplicable("a reduction's result is spread over more points")
            for i, r in enumerate(consumer.results):
                where[r] = tuple(apply(e, mine) for e in consumer.output_map(i).results)
        elif op.name in SAME:
            where[op.results[0]] = where[sources[0]]
        elif op.name in ("tensor.collapse_shape", "tensor.expand_shape"):
            where[op.results[0]] = _reshaped(op, where[sources[0]])
        elif op.name == "tensor.pad":
            where[op.results[0]] = _moved(op, where[sources[0]], 1)
        else:
            raise NotApplicable(f"{op.name} comes behind a reduction")
    if any(r not in where for r in kernel.results):
        raise NotApplicable("a result does not depend on the reduction")
    return [where[r] for r in kernel.results]


def _moved(pad: ir.Operation, indices: tuple[Index, ...], sign: int) -> tuple[Index, ...]:
    """The place in a pad of a place in its source (sign 1), or the other way round (sign -1)."""
    low = list(pad.attributes["static_low"])
    if DYNAMIC in low:
        raise NotApplicable("a pad behind a reduction is not static")
    return tuple(index + sign * offset for index, offset in zip(indices, low, strict=True))


def computed(kernel: Kernel, i: int, place: tuple[Index, ...]) -> tuple[ir.Value, tuple[Index, ...]]:
    """What is computed for an element of a result that is no part of a pad's border, and at which place."""
    result = kernel.results[i]
    if isinstance(result.owner, ir.Block) or result.owner.name != "tensor.pad":
        return result, place
    return result.owner.operands[0], _moved(result.owner, place, -1)


def _reshaped(op: ir.Operation, indices: tuple[Index, ...]) -> tuple[Index, ...]:
    groups = [[i.value for i in group] for group in op.attributes["reassociation"]]
    collapse = op.name == "tensor.collapse_shape"
    long = static_shape(op.operands[0] if collapse else op.results[0])
    found: list[Index] = []
    for position, group in enumerate(groups):
        sizes = [long[d] for d in group]
        if None in sizes[1:]:
            raise NotApplicable("a reshape has an inner dimension that is not static")
        if collapse:
            total = Index()
            for d, size in zip(group, sizes, strict=True):
                total = total * (size or 1) + indices[d]
            found.append(total)
            continue
        rest, pieces = indices[position], []
        for size in sizes[:0:-1]:
            rest, piece = split(rest, size)
            pieces.append(piece)
        found.extend([*([rest] if group else []), *pieces[::-1]])
    return tuple(found)


@dataclass
class Dim:
    """One or several merged parallel loops of the reduction."""

    loops: list[int]
    size: int | None
    probe: Var
    parts: tuple[Dim, ...] = ()
    """Those that it stands for, if they do not lie side by side: its index is split for them."""

    def split(self, index: Index) -> list[Index]:
        """The indices of its parts, outermost first."""
        found: list[Index] = []
        for part in self.parts[:0:-1]:
            index, piece = split(index, part.size)
            found.append(piece)
        return [index, *found[::-1]]

    def index(self, loops: list[Index]) -> Index:
        """Its index where all loops of the reduction have these."""
        leaves = self.parts or (self,)
        found = loops[leaves[0].loops[-1]]
        for leaf in leaves[1:]:
            found = joined(found, loops[leaf.loops[-1]], leaf.size)
        return found


class Root:
    """The reduction of a kernel that has one, its loops in the order of the first result, neighbours merged but for
    the loops in `apart`."""

    def __init__(self, kernel: Kernel, apart: Collection[int] = ()):
        if len(kernel.roots) != 1:
            raise NotApplicable("there is not one reduction")
        self.kernel = kernel
        self.generic = g = kernel.roots[0]
        self.extents = g.extents
        self.reduced = [d for d in range(g.rank) if g.reduction[d] and self.extents[d] != 1]
        probes = [of(Var(None)) for _ in range(g.rank)]
        parallel = [d for d in range(g.rank) if not g.reduction[d] and self.extents[d] != 1]
        place = stored_at(kernel, g, [probes[d] if d in parallel else Index() for d in range(g.rank)])[0]
        order = {}
        for d in parallel:
            at = [i for i, index in enumerate(place) if index.uses(next(iter(probes[d].terms)))]
            if not at:
                raise NotApplicable("a result does not show a parallel loop")
            order[d] = at[-1]
        parallel.sort(key=lambda d: order[d])
        self.parallel = parallel

        def outputs(indices: list[Index]):
            loops = [Index()] * g.rank
            for d, index in zip(parallel, indices, strict=True):
                loops[d] = index
            places = stored_at(kernel, g, loops)
            reads = [computed(kernel, i, place) for i, place in enumerate(places)]
            return [(*read, d, place) for read, d, place in zip(reads, kernel.destinations, places, strict=True)]

        frozen = frozenset(i for i, d in enumerate(parallel) if d in apart)
        groups = merge(kernel, [self.extents[d] for d in parallel], outputs, frozen)
        self.dims = []
        for group in groups:
            loops = [parallel[i] for i in group]
            size: int | None = 1
            for d in loops:
                size = None if size is None or self.extents[d] is None else size * self.extents[d]
            self.dims.append(Dim(loops, size, Var(None)))
        self.accesses = self._accesses()

    def loops(self, indices: list[Index]) -> list[Index]:
        """All loops of the reduction from one index a dimension; reduced loops are zero."""
        position = {d: i for i, d in enumerate(self.parallel)}
        leaves = [leaf for dim in self.dims for leaf in dim.parts or (dim,)]
        groups = [[position[d] for d in leaf.loops] for leaf in leaves]
        indices = [piece for dim, index in zip(self.dims, indices, strict=True) for piece in dim.split(index)]
        found = [Index()] * self.generic.rank
        for d, index in zip(self.parallel, point(len(self.parallel), groups, indices), strict=True):
            found[d] = index
        return found

    def fold(self, dims: list[Dim]) -> None:
        """Let neighbouring dimensions of known size be one, although they are not walked together."""
        first = self.dims.index(dims[0])
        loops = [d for dim in dims for d in dim.loops]
        folded = Dim(loops, math.prod(dim.size for dim in dims), Var(None), tuple(dims))
        self.dims[first : first + len(dims)] = [folded]
        self.accesses = self._accesses()

    def _accesses(self) -> list[list[tuple[ir.Value, tuple[Index, ...]]]]:
        """For each input of the reduction, the arguments that it reads and where, in terms of the probes."""
        g = self.generic
        loops = self.loops([of(dim.probe) for dim in self.dims])
        self.reduced_probes = {d: Var(None) for d in self.reduced}
        for d, probe in self.reduced_probes.items():
            loops[d] = of(probe)
        found = []
        for operand, m in zip(g.inputs, g.maps, strict=False):
            if isinstance(operand.type, ir.RankedTensorType):
                found.append(list(self.kernel.leaves(operand, tuple(apply(e, loops) for e in m.results))))
            else:
                found.append([])
        return found

    def depends(self, operand: int, dim: Dim) -> bool:
        """Whether an input of the reduction depends on a dimension."""
        return any(index.uses(dim.probe) for _, access in self.accesses[operand] for index in access)

    def contiguous(self, operand: int, dim: Dim) -> bool:
        """Whether all that an input reads lies side by side along a dimension (in panels, where it is packed)."""
        for value, access in self.accesses[operand]:
            if not any(index.uses(dim.probe) for index in access):
                continue
            if value is None or any(_strides(index, dim.probe) for index in access[:-1]):
                return False
            last = access[-1]
            packed = [v for v in last.terms if isinstance(v, Part) and v.kind == "mod" and v.index.is_(dim.probe)]
            if last.terms.get(dim.probe) != 1 and not (packed and last.terms[packed[0]] == 1):
                return False
        return True

    def panel(self, dim: Dim) -> int | None:
        """The width of the panels in which an input is packed along a dimension."""
        widths = {
            v.divisor
            for accesses in self.accesses
            for _, access in accesses
            for index in access
            for v in index.terms
            if isinstance(v, Part) and v.index.uses(dim.probe)
        }
        if len(widths) > 1:
            raise NotApplicable("operands are packed in panels of different widths")
        return widths.pop() if widths else None

    def linear(self, operand: int) -> Index | None:
        """Where an input reads its only argument, as if that were one row; None unless it is one of static shape."""
        if len(self.accesses[operand]) != 1:
            return None
        value, access = self.accesses[operand][0]
        if value is None or not ir.RankedTensorType(value.type).has_static_shape:
            return None
        return linear(access, ir.RankedTensorType(value.type).shape)

    def product(self) -> tuple[ir.Value, ir.Value, int] | None:
        """The factors, and the accumulator's number, where the body is `acc + a * b`."""
        g = self.generic
        if len(g.results) != 1:
            return None
        acc = len(g.inputs)
        total = g.yields[0].owner
        if isinstance(total, ir.Block) or total.name not in ("arith.addf", "arith.addi"):
            return None
        a, c = total.operands
        argument = g.body.arguments[acc]
        product = c if a == argument else a if c == argument else None
        if product is None or isinstance(product.owner, ir.Block):
            return None
        if product.owner.name != ("arith.mulf" if total.name == "arith.addf" else "arith.muli"):
            return None
        x, y = product.owner.operands
        return x, y, acc


def _strides(index: Index, probe: Var) -> bool:
    """Whether an index that is not the last moves with a dimension by more than whole panels."""
    return any(v is probe or (isinstance(v, Part) and v.kind == "mod" and v.index.uses(probe)) for v in index.terms)
