"""What scalar code computes from loop indices and constants alone, at every point."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np

from neomlir.mlir import arith, ir
from neomlir.passes import structured as s
from neomlir.passes.dataflow import indexing_maps, loop_extents, number_of_inputs

_MOST = 1 << 16
"""Points of a table, at most."""
_I, _F = arith.CmpIPredicate, arith.CmpFPredicate
_COMPARE: dict[str, dict[int, Callable]] = {
    "arith.cmpi": {
        _I.eq: operator.eq,
        _I.ne: operator.ne,
        _I.slt: operator.lt,
        _I.sle: operator.le,
        _I.sgt: operator.gt,
        _I.sge: operator.ge,
    },
    "arith.cmpf": {
        _F.OEQ: operator.eq,
        _F.OLT: operator.lt,
        _F.ULT: operator.lt,
        _F.OLE: operator.le,
        _F.ULE: operator.le,
        _F.OGT: operator.gt,
        _F.UGT: operator.gt,
        _F.OGE: operator.ge,
        _F.UGE: operator.ge,
    },
}


def _signed(x: np.ndarray) -> np.ndarray:
    """Integers as they are with a sign: of one bit, 1 is -1."""
    return -x.astype(np.int64) if x.dtype == np.bool_ else x


_COMPUTE: dict[str, Callable] = {
    "arith.addf": np.add,
    "arith.addi": np.add,
    "arith.divf": np.divide,
    "arith.divui": np.floor_divide,
    "arith.extsi": _signed,
    "arith.maximumf": np.maximum,
    "arith.maxsi": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.minsi": np.minimum,
    "arith.mulf": np.multiply,
    "arith.muli": np.multiply,
    "arith.select": np.where,
    "arith.sitofp": _signed,
    "arith.subf": np.subtract,
    "arith.subi": np.subtract,
    "math.ceil": np.ceil,
    "math.floor": np.floor,
    "math.roundeven": np.rint,
    "math.trunc": np.trunc,
}
_CONVERT = frozenset(f"arith.{name}" for name in ("extf", "fptosi", "index_cast", "truncf", "trunci"))
_TYPES = {"f32": np.float32, "f64": np.float64, "index": np.int64, "i64": np.int64, "i32": np.int32, "i1": np.bool_}


class Unknown(Exception):
    """A value does not follow from loops and constants, or its table is too large."""


class Tables:
    """Values as arrays with one axis a loop, of extent 1 where nothing depends on it: f32 is computed in f32."""

    def __init__(self) -> None:
        self._tensors: dict[ir.Value, np.ndarray | None] = {}

    def extents(self, op: ir.Operation) -> list[int] | None:
        """The extents of the loops of a generic, None where one is dynamic."""
        found = loop_extents(op)
        return None if None in found else found

    def along(self, op: ir.Operation, value: ir.Value) -> tuple[int | None, np.ndarray] | None:
        """A value of a generic's body as (the loop it follows from, its value at each point); None where it follows
        from several, or from data."""
        try:
            found = self._value(op, value)
        except Unknown:
            return None
        moving = [d for d, extent in enumerate(found.shape) if extent > 1]
        if len(moving) > 1 or not np.isfinite(found).all():
            return None
        return (moving[0] if moving else None), found.reshape(-1)

    def _value(self, op: ir.Operation, value: ir.Value) -> np.ndarray:
        extents = self.extents(op)
        block = op.regions[0].blocks[0]
        if extents is None:
            raise Unknown
        known: dict[ir.Value, np.ndarray] = {}

        def get(value: ir.Value) -> np.ndarray:
            if value not in known:
                found = compute(value)
                if found.size > _MOST:
                    raise Unknown
                known[value] = found
            return known[value]

        def compute(value: ir.Value) -> np.ndarray:
            if isinstance(value.owner, ir.Block):
                arguments = list(block.arguments)
                if value.owner != block or arguments.index(value) >= number_of_inputs(op):
                    raise Unknown
                number = arguments.index(value)
                return self._read(op.operands[number], indexing_maps(op)[number], len(extents))
            inner = value.owner.operation
            if inner.name == "linalg.index":
                d = ir.IntegerAttr(inner.attributes["dim"]).value
                return np.arange(extents[d]).reshape([-1 if i == d else 1 for i in range(len(extents))])
            type_ = _TYPES.get(str(value.type))
            if type_ is None:
                raise Unknown
            if inner.name == "arith.constant":
                return np.full([1] * len(extents), inner.attributes["value"].value, type_)
            if inner.name in _COMPARE:
                predicate = ir.IntegerAttr(inner.attributes["predicate"]).value
                apply = _COMPARE[inner.name].get(predicate)
            else:
                apply = (lambda x: x) if inner.name in _CONVERT else _COMPUTE.get(inner.name)
            if apply is None:
                raise Unknown
            with np.errstate(all="ignore"):
                return apply(*map(get, inner.operands)).astype(type_)

        return get(value)

    def _read(self, source: ir.Value, map_: ir.AffineMap, loops: int) -> np.ndarray:
        """A tensor as a generic reads it."""
        found = self._tensor(source)
        axes: list[int] = []
        for d, e in enumerate(map_.results):
            if isinstance(e, ir.AffineDimExpr) and e.position not in axes:
                axes.append(e.position)
            elif s.is_constant(e):
                found = np.take(found, [0], axis=d)
                axes.append(-1)
            else:
                raise Unknown
        found = found.reshape([n for n, axis in zip(found.shape, axes, strict=True) if axis >= 0])
        axes = [axis for axis in axes if axis >= 0]
        found = found.transpose(np.argsort(axes)) if axes else found
        sizes = dict(zip(sorted(axes), found.shape, strict=True))
        return found.reshape([sizes.get(d, 1) for d in range(loops)])

    def _tensor(self, value: ir.Value) -> np.ndarray:
        if value not in self._tensors:
            try:
                self._tensors[value] = self._made(value)
            except Unknown:
                self._tensors[value] = None
        found = self._tensors[value]
        if found is None:
            raise Unknown
        return found

    def _made(self, value: ir.Value) -> np.ndarray:
        op = s.maker(value)
        if op is None or not s.has_static_shape(value) or np.prod(s.shape(value), dtype=np.int64) > _MOST:
            raise Unknown
        if op.name in ("tensor.expand_shape", "tensor.collapse_shape"):
            return self._tensor(op.operands[0]).reshape(s.shape(value))
        if op.name == "arith.constant" and isinstance(op.attributes["value"], ir.DenseElementsAttr):
            type_ = _TYPES.get(str(s.element_type(value)))
            if type_ is None or type_ is np.bool_:
                raise Unknown
            return np.array(op.attributes["value"]).astype(type_).reshape(s.shape(value))
        if op.name == "linalg.generic" and s.is_parallel(op) and len(op.results) == 1:
            written = s.positions(indexing_maps(op)[-1])
            extents = self.extents(op)
            if None not in written and extents is not None and sorted(written) == list(range(len(extents))):
                whole = np.broadcast_to(self._value(op, s.yielded(op)[0]), extents)
                return whole.transpose(written)
        raise Unknown
