"""Evaluates tensors point by point: the body of every operation, lifted to one vector of neighbouring points.

`Evaluator.at(value, indices, chunk)` is the element of a tensor at `indices`, where a lane in an index makes it
a vector of elements. Elementwise operations are computed on the spot, arguments are loaded, and what a schedule holds
in registers or scratch memory is asked for through `bound`.
"""

from __future__ import annotations

from collections.abc import Callable

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Builder, Chunk, Size
from neomlir.schedules.index import Index, Var, apply, of
from neomlir.schedules.kernel import DYNAMIC, SAME, Generic, Kernel, dropped, elementary, through_reshape
from neomlir.schedules.memory import Memory

SCALAR = Chunk(1)
Bound = Callable[[tuple[Index, ...], Chunk], ir.Value]
_SYMBOLIC = {"arith.addi": 1, "arith.subi": -1}


class Evaluator:
    """Computes elements of a kernel's tensors into a builder."""

    def __init__(self, builder: Builder, kernel: Kernel, memory: Memory):
        self.b = builder
        self.kernel = kernel
        self.memory = memory
        self.bound: dict[ir.Value, Bound] = {}

    # Elements of tensors.

    def at(self, value: ir.Value, indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
        """An element (or a vector of them) of a tensor; a scalar where no index holds a lane."""
        key = ("at", value, indices, chunk.key)
        found = self.b.known(key)
        return found if found is not None else self.b.remember(key, self._at(value, indices, chunk))

    def _at(self, value: ir.Value, indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
        if value in self.bound:
            return self.bound[value](indices, chunk)
        owner = value.owner
        if isinstance(owner, ir.Block):
            if isinstance(value.type, ir.RankedTensorType):
                return self.memory.load(self.memory.of(value), indices, chunk)
            return self.memory.of(value)
        found = self.kernel.generic_of(value)
        if found is not None:
            generic, result = found
            loops = generic.loops(result, indices)
            if None in loops:
                raise NotApplicable("a reduction is read where it is not held")
            return self.body(generic, loops, chunk)[result]
        name = owner.name
        if name == "tensor.empty":
            return self.b.zero(value.type.element_type)
        if name in SAME:
            return self.at(owner.operands[0], indices, chunk)
        if name in ("tensor.expand_shape", "tensor.collapse_shape"):
            return self.at(owner.operands[0], through_reshape(owner, indices), chunk)
        if name == "tensor.extract_slice":
            return self.at(owner.operands[0], self.slice(owner, indices), chunk)
        if name == "tensor.pad":
            return self._padded(owner, indices, chunk)
        if name == "arith.constant" and isinstance(value.type, ir.RankedTensorType):
            constant = owner.attributes["value"]
            if isinstance(constant, ir.DenseElementsAttr) and constant.is_splat:
                return self.b.constant(constant.get_splat_value())
            return self.memory.load(self.memory.of(value), indices, chunk)
        raise NotApplicable(f"no schedule reads the result of {name} point by point")

    def slice(self, op: ir.Operation, indices: tuple[Index, ...]) -> tuple[Index, ...]:
        """The place in the large tensor of an element of a slice that is taken from it or put into it."""
        offsets, _, strides = self.slice_parts(op)
        rest, gone = iter(indices), dropped(op)
        return tuple(
            offset if d in gone else next(rest) * stride + offset
            for d, (offset, stride) in enumerate(zip(offsets, strides, strict=True))
        )

    def slice_parts(self, op: ir.Operation) -> tuple[list[Index], list[Size], list[int]]:
        """Offsets, sizes and strides of a slice, one a dimension of the large tensor."""
        segments = list(op.attributes["operandSegmentSizes"])
        base = 1 if op.name == "tensor.extract_slice" else 2
        operands = list(op.operands)
        dynamic = iter(operands[base : base + segments[base]])
        offsets = [
            of(Var(self.scalar(next(dynamic)))) if n == DYNAMIC else Index({}, n)
            for n in op.attributes["static_offsets"]
        ]
        dynamic = iter(operands[base + segments[base] : base + segments[base] + segments[base + 1]])
        sizes = [self.scalar(next(dynamic)) if n == DYNAMIC else n for n in op.attributes["static_sizes"]]
        strides = list(op.attributes["static_strides"])
        if DYNAMIC in strides:
            raise NotApplicable("a slice has a stride that is not static")
        return offsets, sizes, strides

    def pad_parts(self, op: ir.Operation) -> tuple[list, list, ir.Value]:
        """Low and high padding a dimension (sizes), and the padding value."""
        segments = list(op.attributes["operandSegmentSizes"])
        operands = list(op.operands)[1:]
        low, high = iter(operands[: segments[1]]), iter(operands[segments[1] :])
        lows = [self.scalar(next(low)) if n == DYNAMIC else n for n in op.attributes["static_low"]]
        highs = [self.scalar(next(high)) if n == DYNAMIC else n for n in op.attributes["static_high"]]
        body = list(op.regions[0].blocks[0].operations)
        inner = {}
        for each in body[:-1]:
            if each.operation.name != "arith.constant":
                raise NotApplicable("a pad's value is computed")
            inner[each.results[0]] = self.b.constant(each.attributes["value"])
        value = body[-1].operands[0]
        return lows, highs, inner.get(value) or self.scalar(value)

    def _padded(self, op: ir.Operation, indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
        """An element of a pad read at any place: the source where it has one, else the padding."""
        lows, highs, value = self.pad_parts(op)
        b, source = self.b, op.operands[0]
        shape = ir.RankedTensorType(source.type)
        if any(index.lane for index, low, high in zip(indices, lows, highs, strict=True) if (low, high) != (0, 0)):
            return self._by_lane(lambda lane: self._padded(op, tuple(i.put_lane(lane) for i in indices), SCALAR), chunk)
        inside, places = None, []
        for d, (index, low, high) in enumerate(zip(indices, lows, highs, strict=True)):
            if isinstance(low, int) and isinstance(high, int) and low == high == 0:
                places.append(index)
                continue
            size = shape.get_dim_size(d) if not shape.is_dynamic_dim(d) else self.memory.dim(source, d, self)
            place = b.sub(b.compute(index), low)
            clamped = b.max(b.min(place, b.sub(size, 1)), 0)
            here = b.value("arith.andi", b.i1, b.less(-1, place), b.less(place, size))
            inside = here if inside is None else b.value("arith.andi", b.i1, inside, here)
            places.append(of(Var(b.size(clamped))))
        found = self.at(source, tuple(places), chunk)
        if inside is None:
            return found
        width = chunk.width if isinstance(found.type, ir.VectorType) else 1
        return b.value("arith.select", found.type, inside, found, b.splat(value, width))

    def _by_lane(self, element: Callable[[Index], ir.Value], chunk: Chunk) -> ir.Value:
        """A vector put together from one scalar a lane."""
        return self.memory.by_lane(element, chunk)

    # Scalars of the function around the operations.

    def scalar(self, value: ir.Value) -> ir.Value:
        """A scalar computed outside the operations: a constant, an extent, arithmetic on these."""
        if isinstance(value.owner, ir.Block):
            return self.memory.of(value)
        key = ("scalar", value)
        found = self.b.known(key)
        if found is not None:
            return found
        op = value.owner
        if op.name == "arith.constant":
            return self.b.constant(op.attributes["value"])
        if op.name == "tensor.dim":
            d = self.scalar(op.operands[1])
            return self.b.remember(key, self.b.size(self.memory.dim(op.operands[0], _literal(d), self)))
        if op.name == "tensor.extract":
            indices = tuple(of(Var(self.scalar(i))) for i in list(op.operands)[1:])
            return self.b.remember(key, self.at(op.operands[0], indices, SCALAR))
        if len(op.regions) or any(isinstance(o.type, ir.ShapedType) for o in op.operands):
            raise NotApplicable(f"{op.name} gives a scalar that no schedule computes")
        made = self.b.op(op.name, [r.type for r in op.results], [self.scalar(o) for o in op.operands], _attributes(op))
        return self.b.remember(key, made.results[list(op.results).index(value)])

    # Bodies.

    def body(
        self,
        generic: Generic,
        loops: list[Index],
        chunk: Chunk,
        held: dict[int, ir.Value] | None = None,
        wanted: list[ir.Value] | None = None,
    ) -> list[ir.Value]:
        """What the body yields at a point (or the values `wanted` of it).

        `held` gives operands, by number, that are not read from memory.
        """
        key = None
        if held is None and wanted is None:
            key = ("body", generic.op, tuple(loops), chunk.key)
            found = self.b.known(key)
            if found is not None:
                return found
        env: dict[ir.Value, ir.Value | Index] = {}
        arguments = {a: i for i, a in enumerate(generic.body.arguments)}

        def get(value: ir.Value) -> ir.Value | Index:
            found = env.get(value)
            if found is not None:
                return found
            i = arguments.get(value)
            if i is not None:
                if held is not None and i in held:
                    found = held[i]
                elif isinstance(generic.operands[i].type, ir.RankedTensorType):
                    found = self.at(generic.operands[i], tuple(apply(e, loops) for e in generic.maps[i].results), chunk)
                else:
                    found = self.scalar(generic.operands[i])
            elif value not in generic.local:
                found = self.scalar(value)
            else:
                op = value.owner
                if op.name == "linalg.index":
                    found = loops[op.attributes["dim"].value]
                elif op.name == "tensor.extract":
                    found = self._gather(op.operands[0], [get(o) for o in list(op.operands)[1:]], chunk)
                else:
                    found = _symbolic(op, get)
                if found is None:
                    for result, made in zip(op.results, self._lift(op, get, chunk), strict=True):
                        env[result] = made
                    return env[value]
            env[value] = found
            return found

        result = [self.emit(get(v), v.type, chunk) for v in (generic.yields if wanted is None else wanted)]
        return result if key is None else self.b.remember(key, result)

    def emit(self, value: ir.Value | Index, kind: ir.Type, chunk: Chunk) -> ir.Value:
        """An index as the value of its type; anything else as it is."""
        if not isinstance(value, Index):
            return value
        lanes = value.lane
        made = self.b.lanes(value, chunk.width) if lanes else self.b.compute(value)
        if isinstance(kind, ir.IndexType):
            return made
        return self.b.value("arith.index_cast", self.b.vector(chunk.width if lanes else 1, kind), made)

    def _lift(self, op: ir.Operation, get, chunk: Chunk) -> list[ir.Value]:
        """A scalar operation on vectors where any operand is one."""
        if op.name == "arith.constant":
            return [self.b.constant(op.attributes["value"])]
        if len(op.regions) or not op.name.startswith(("arith.", "math.")):
            raise NotApplicable(f"no schedule computes {op.name} in a body")
        if self.b.scalable and chunk.width > 1 and _is_library_call(op):
            raise NotApplicable(f"{op.name} is a call of a library a lane, and those of a scalable vector have no end")
        operands = [self.emit(get(o), o.type, chunk) for o in op.operands]
        width = chunk.width if any(isinstance(o.type, ir.VectorType) for o in operands) else 1
        if width > 1:
            keep = 1 if op.name == "arith.select" and not isinstance(operands[0].type, ir.VectorType) else 0
            operands = operands[:keep] + [self.b.splat(o, width) for o in operands[keep:]]
        types = [self.b.vector(width, r.type) for r in op.results]
        if len(types) == 1:
            return [self.b.value(op.name, types[0], *operands, **_attributes(op))]
        return list(self.b.op(op.name, types, operands, _attributes(op)).results)

    def _gather(self, tensor: ir.Value, places: list[ir.Value | Index], chunk: Chunk) -> ir.Value:
        """`tensor.extract` at computed places: rows where the lane only moves the last index, else lane by lane."""
        b = self.b
        if not any(isinstance(p, ir.Value) and isinstance(p.type, ir.VectorType) for p in places):
            return self.at(tensor, tuple(p if isinstance(p, Index) else of(Var(p)) for p in places), chunk)
        if chunk.mask is not None and not isinstance(chunk.count, int):
            zero = b.splat(b.index(0), chunk.width)
            places = [
                b.value("arith.select", p.type, chunk.mask, p, zero)
                if isinstance(p, ir.Value) and isinstance(p.type, ir.VectorType)
                else p
                for p in places
            ]

        def element(lane: Index, number: int) -> ir.Value:
            each = []
            for p in places:
                if isinstance(p, Index):
                    each.append(p.put_lane(lane))
                elif isinstance(p.type, ir.VectorType):
                    each.append(of(Var(self.memory.lane(p, number))))
                else:
                    each.append(of(Var(p)))
            return self.at(tensor, tuple(each), SCALAR)

        return self.memory.by_lane(element, chunk, numbered=True)


def _is_library_call(op: ir.Operation) -> bool:
    """Whether lanes are computed one by one on every machine: elementary functions of doubles, and remainders."""
    kind = op.results[0].type
    wide = isinstance(kind, ir.FloatType) and kind.width > 32
    return op.name == "arith.remf" or (wide and elementary([op.name]))


def _attributes(op: ir.Operation) -> dict[str, ir.Attribute]:
    return {name: op.attributes[name] for name in op.attributes}


def _literal(value: ir.Value) -> int:
    if value.owner.name != "arith.constant":
        raise NotApplicable("an extent is asked for by a number that is not constant")
    return value.owner.attributes["value"].value


def _symbolic(op: ir.Operation, get) -> Index | None:
    """Arithmetic on indices that stays an index expression, so that a load stays contiguous; None for all else."""
    if op.name == "arith.constant" and isinstance(op.results[0].type, ir.IndexType):
        return Index({}, op.attributes["value"].value)
    if op.name == "arith.index_cast":
        found = get(op.operands[0])
        return found if isinstance(found, Index) else None
    if op.name in _SYMBOLIC and isinstance(op.results[0].type, ir.IndexType):
        a, c = get(op.operands[0]), get(op.operands[1])
        if isinstance(a, Index) and isinstance(c, Index):
            return a + c * _SYMBOLIC[op.name]
    if op.name == "arith.muli" and isinstance(op.results[0].type, ir.IndexType):
        a, c = get(op.operands[0]), get(op.operands[1])
        if isinstance(a, Index) and isinstance(c, Index):
            if c.constant is not None:
                return a * c.constant
            if a.constant is not None:
                return c * a.constant
    return None
