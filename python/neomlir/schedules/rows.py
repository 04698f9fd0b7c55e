"""What a kernel with several reductions computes once a row, and what it computes along the row.

The outer dimensions of the results are those at which reductions are asked for; each reduction must be asked for at
one place an outer point, and then it is a scalar (or one vector of neighbouring outer points) of that point.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.frame import static_shape
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import SAME, Generic, Kernel, through_reshape

HEAVY = ("math.", "arith.divf")
"""What is not computed twice where it can be kept."""


@dataclass
class Rows:
    """The row structure of a kernel, in terms of one probe a dimension of one result, its anchor."""

    kernel: Kernel
    anchor: int = 0
    """The result whose dimensions tell rows apart."""
    outer: list[tuple[int, Var]] = field(default_factory=list)
    """The dimensions of the anchor that tell rows apart, and their probes."""
    places: list[list[Index | None]] = field(default_factory=list)
    """For each result the index of each dimension in terms of the outer probes; None where it runs along the row."""
    demanded: dict[Generic, tuple[Index, ...]] = field(default_factory=dict)
    """At which place each reduction is asked for (all its results at one)."""
    visited: dict[ir.Value, tuple[Index, ...]] = field(default_factory=dict)
    """Where each value was read first."""

    @staticmethod
    def of(kernel: Kernel) -> Rows:
        """Raises NotApplicable where a reduction is asked for at several places of a row."""
        reducing = []
        for i, result in enumerate(kernel.results):
            trial = Rows(kernel)
            trial.walk(result, tuple(of(Var(None)) for _ in static_shape(result)))
            if trial.demanded:
                reducing.append(i)
        if not reducing:
            raise NotApplicable("no result depends on a reduction")
        self = Rows(kernel, reducing[0])
        shape = static_shape(kernel.results[self.anchor])
        probes = [Var(None) for _ in shape]
        mine = [Index() if n == 1 else of(p) for n, p in zip(shape, probes, strict=True)]
        self.walk(kernel.results[self.anchor], tuple(mine))
        for d, probe in enumerate(probes):
            if any(index.uses(probe) for place in self.demanded.values() for index in place):
                self.outer.append((d, probe))
        kept = {d for d, _ in self.outer}
        for i, result in enumerate(kernel.results):
            if i == self.anchor:
                self.places.append([index if d in kept or shape[d] == 1 else None for d, index in enumerate(mine)])
            else:
                self.places.append(self._other(result) if i in reducing else self._read(result))
        return self

    def _read(self, result: ir.Value) -> list[Index | None]:
        """The dimensions of a result without reductions behind it, from where the first one reads it."""
        place = self.visited.get(result)
        if place is None:
            raise NotApplicable("a result has nothing to do with the rows of the others")
        outer = {probe for _, probe in self.outer}
        found: list[Index | None] = []
        for index, size in zip(place, static_shape(result), strict=True):
            if size == 1:
                found.append(Index())
            elif any(index.is_(probe) for probe in outer):
                found.append(index)
            elif any(index.uses(probe) for probe in outer):
                raise NotApplicable("a result mixes rows")
            else:
                found.append(None)
        if sum(f is not None and f.constant is None for f in found) != len(self.outer):
            raise NotApplicable("a result has fewer rows than the others")
        return found

    def _other(self, result: ir.Value) -> list[Index | None]:
        """A further result's dimensions in terms of the first one's outer probes."""
        shape = static_shape(result)
        probes = [Var(None) for _ in shape]
        mine = [Index() if n == 1 else of(p) for n, p in zip(shape, probes, strict=True)]
        trial = Rows(self.kernel)
        trial.walk(result, tuple(mine))
        put: dict[Var, Index] = {}
        for root, place in trial.demanded.items():
            for there, here in zip(place, self.demanded.get(root, ()), strict=False):
                for probe in probes:
                    if there.is_(probe):
                        put.setdefault(probe, here)
        final = [index if n == 1 else put.get(p) for index, n, p in zip(mine, shape, probes, strict=True)]
        self.walk(result, tuple(m if f is None else f for f, m in zip(final, mine, strict=True)))
        if any(index.uses(p) for place in self.demanded.values() for index in place for p in probes):
            raise NotApplicable("the results do not have their rows in common")
        return final

    def walk(self, value: ir.Value, indices: tuple[Index, ...]) -> None:
        """Note at which place every reduction behind an element is asked for."""
        owner = value.owner
        if isinstance(owner, ir.Block):
            return
        self.visited.setdefault(value, indices)
        found = self.kernel.generic_of(value)
        if found is None:
            if owner.name in SAME:
                self.walk(owner.operands[0], indices)
            elif owner.name in ("tensor.expand_shape", "tensor.collapse_shape"):
                self.walk(owner.operands[0], through_reshape(owner, indices))
            elif owner.name not in ("tensor.empty", "arith.constant"):
                for operand in owner.operands:
                    if isinstance(operand.type, ir.RankedTensorType) and not isinstance(operand.owner, ir.Block):
                        raise NotApplicable(f"{owner.name} stands between reductions")
            return
        generic, result = found
        loops = generic.loops(result, indices)
        if any(generic.reduction):
            before = self.demanded.get(generic)
            if before is not None and before != indices:
                raise NotApplicable("a reduction is asked for at two places")
            if before is not None:
                return
            self.demanded[generic] = indices
            for d, loop in enumerate(loops):
                if loop is None:
                    loops[d] = Index() if generic.extents[d] == 1 else of(Var(None))
        inner = {v for d, loop in enumerate(loops) if generic.reduction[d] for v in loop.terms}
        for operand, used, m in zip(generic.operands, generic.used, generic.maps, strict=True):
            if not isinstance(operand.type, ir.RankedTensorType):
                continue
            if used or (any(generic.reduction) and operand in generic.inits):
                before = set(self.demanded)
                self.walk(operand, tuple(apply(e, loops) for e in m.results))
                for root in set(self.demanded) - before:
                    if any(index.uses(v) for index in self.demanded[root] for v in inner):
                        raise NotApplicable("a reduction runs inside another")

    def demanded_in_order(self) -> list[Generic]:
        """The reductions that are asked for, in the order in which they run."""
        return [g for g in self.kernel.roots if g in self.demanded]

    def kept(self) -> list[Generic]:
        """Elementwise operations along the row that are dear and read more than once."""
        found = []
        for g in self.kernel.generics:
            if any(g.reduction) or len(g.results) != 1 or not any(n.startswith(HEAVY) for n in g.names):
                continue
            readers = sum(
                operand == g.results[0] and other.used[i]
                for other in self.kernel.generics
                for i, operand in enumerate(other.operands)
            )
            if readers > 1:
                found.append(g)
        return found
