"""Dimensions that every access of a kernel walks together are one loop."""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules.index import MERGED, Index, Var, of
from neomlir.schedules.kernel import Kernel


def merge(kernel: Kernel, shape: list[int | None], outputs, frozen: frozenset[int] = frozenset()) -> list[list[int]]:
    """Group the dimensions larger than one so that every access walks those of a group together.

    `outputs` gives, from one variable a dimension, (value or None, its indices, destination, its indices) of
    everything that is stored; dimensions in `frozen` stay alone.
    """
    probes = [Var(None) for _ in shape]
    accesses = []
    unit = [Index() if n == 1 else of(p) for n, p in zip(shape, probes, strict=True)]
    for value, indices, destination, place in outputs(unit):
        accesses.append((destination, place))
        if value is not None:
            accesses.extend(kernel.leaves(value, indices))
    stuck = set(frozen)
    partial = ("tensor.extract_slice", "tensor.insert_slice", "tensor.pad", "tensor.concat")
    sliced = any(op.name in partial for op in kernel.others)
    places = []
    for value, indices in accesses:
        mine = {}
        for position, index in enumerate(indices):
            for d, probe in enumerate(probes):
                if (index + -index.const).is_(probe) and value is not None and d not in mine:
                    mine[d] = (position, index.const)
                elif index.uses(probe):
                    stuck.add(d)
        places.append((value, mine))

    def together(a: int, b: int) -> bool:
        if a in stuck or b in stuck:
            return False
        for value, mine in places:
            if a not in mine and b not in mine:
                continue
            if a not in mine or b not in mine:
                return False
            (outer, before), (inner, offset) = mine[a], mine[b]
            kind = ir.RankedTensorType(value.type)
            sizes = [None if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank)]
            if inner <= outer or offset or any(size != 1 for size in sizes[outer + 1 : inner]):
                return False
            if None in (sizes[inner], shape[b]):
                if sliced:
                    return False  # what is walked may be a part of the dimension
            elif sizes[inner] != shape[b]:
                return False
            if before and sizes[inner] is None:
                return False
        return True

    groups: list[list[int]] = []
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if groups and together(groups[-1][-1], d):
            groups[-1].append(d)
        else:
            groups.append([d])
    return groups


def point(rank: int, groups: list[list[int]], loops: list[Index]) -> tuple[Index, ...]:
    """The index of every dimension, from one index a group of merged ones."""
    found: list[Index] = [Index()] * rank
    for group, index in zip(groups, loops, strict=True):
        for d in group[:-1]:
            found[d] = of(MERGED)
        found[group[-1]] = index
    return tuple(found)
