"""Reads and writes of buffers: contiguous vectors, masked ones, lanes gathered one by one, transposed blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.builder import Builder, Chunk, Size, number
from neomlir.schedules.index import MERGED, Index, Var, lane_like, of
from neomlir.schedules.kernel import dropped
from neomlir.schedules.lines import fills_lines

SCALAR = Chunk(1)
_ONE = {"bf16": 0x3F80, "f16": 0x3C00}
"""The bits of 1.0."""


class Memory:
    """The buffers of a kernel's arguments, and scratch rows."""

    def __init__(self, builder: Builder, arguments: dict[ir.Value, ir.Value]):
        self.b = builder
        self._of = dict(arguments)
        self._views: dict = {}
        self.block: tuple[Index, int, int] | None = None
        """(base index, width, side) of a second dimension tiled by the vector's width, along which blocks are
        transposed, by squares of that side."""
        self.past: dict[ir.Value, int] = {}
        """Buffers that start at a line of the cache, of so many bytes, and are written past it."""
        self.passed = 0
        """Stores past the caches that have been emitted."""

    def of(self, value: ir.Value) -> ir.Value:
        """The buffer of a tensor argument or constant, or the new value of a scalar argument."""
        found = self._of.get(value)
        if found is None:
            op = value.owner
            if isinstance(op, ir.Block) or op.name != "arith.constant":
                raise NotApplicable("a tensor has no buffer")
            with_top = self.b.top
            kind = ir.RankedTensorType(value.type)
            constant = ir.Operation.create(
                "arith.constant",
                results=[kind],
                attributes={"value": op.attributes["value"]},
                loc=self.b.location,
                ip=with_top,
            )
            found = ir.Operation.create(
                "bufferization.to_buffer",
                results=[memref(kind)],
                operands=[constant.results[0]],
                attributes={"read_only": ir.UnitAttr.get(self.b.context)},
                loc=self.b.location,
                ip=with_top,
            ).results[0]
            self._of[value] = found
        return found

    def dim(self, value: ir.Value, d: int, evaluator) -> Size:
        """The extent of a dimension of any tensor of the kernel, from the arguments' extents."""
        kind = ir.RankedTensorType(value.type)
        if not kind.is_dynamic_dim(d):
            return kind.get_dim_size(d)
        b, owner = self.b, value.owner
        if isinstance(owner, ir.Block):
            return b.value("memref.dim", b.index_type, self.of(value), b.index(d))
        found = evaluator.kernel.generic_of(value)
        if found is not None:
            generic, result = found
            return self.dim(generic.inits[result], d, evaluator)
        if owner.name == "tensor.empty":
            return evaluator.scalar(
                list(owner.operands)[[i for i in range(kind.rank) if kind.is_dynamic_dim(i)].index(d)]
            )
        if owner.name == "tensor.cast":
            return self.dim(owner.operands[0], d, evaluator)
        if owner.name == "bufferization.materialize_in_destination":
            return self.dim(owner.operands[1], d, evaluator)
        if owner.name == "tensor.extract_slice":
            return evaluator.slice_parts(owner)[1][[i for i in range(99) if i not in dropped(owner)][d]]
        if owner.name == "tensor.expand_shape":
            return evaluator.scalar(
                list(owner.operands)[1:][[i for i in range(kind.rank) if kind.is_dynamic_dim(i)].index(d)]
            )
        if owner.name == "tensor.collapse_shape":
            size: Size = 1
            for inner in owner.attributes["reassociation"][d]:
                size = b.mul(size, self.dim(owner.operands[0], inner.value, evaluator))
            return size
        if owner.name == "tensor.pad":
            lows, highs, _ = evaluator.pad_parts(owner)
            return b.add(b.add(self.dim(owner.operands[0], d, evaluator), lows[d]), highs[d])
        raise NotApplicable(f"the extent of the result of {owner.name} is not known")

    # Reading.

    def load(self, buffer: ir.Value, indices: tuple[Index, ...], chunk: Chunk) -> ir.Value:
        """Elements of a buffer that nothing in the kernel writes; a scalar where no index holds a lane."""
        b = self.b
        buffer, indices = self._merged(buffer, indices)
        element = ir.MemRefType(buffer.type).element_type
        moving = [i for i, index in enumerate(indices) if index.lane]
        if chunk.width == 1 or not moving:
            return b.value("memref.load", element, buffer, *[b.compute(i) for i in indices])
        if element == b.i1:
            byte = self.load(self._bits(buffer, 8), indices, chunk)
            return b.value("arith.trunci", b.vector(chunk.width, element), byte)
        last = len(indices) - 1
        if moving == [last] and lane_like(indices[last]):
            vector = b.vector(chunk.width, element)
            places = [b.compute(i.put_lane(0)) for i in indices]
            if chunk.mask is None:
                return b.value("vector.load", vector, buffer, *places)
            # Lanes that are off read one: an integer division by them must not trap. No machine with scalable vectors
            # traps, and zero is what its loads give.
            one = 0 if b.scalable else 1
            if _is_half(element):
                # As integers: 1 among their bits would be a denormal number, and arithmetic on that slow.
                bits = ir.IntegerType.get_signless(16, b.context)
                short, buffer = b.vector(chunk.width, bits), self._bits(buffer, 16)
                rest = b.constant(ir.DenseElementsAttr.get_splat(short, number(bits, one and _ONE[str(element)])))
                loaded = b.value("vector.maskedload", short, buffer, *places, chunk.mask, rest)
                return b.value("vector.bitcast", vector, loaded)
            rest = b.constant(ir.DenseElementsAttr.get_splat(vector, number(element, one)))
            return b.value("vector.maskedload", vector, buffer, *places, chunk.mask, rest)
        if self.block is not None and self._transposable(indices, chunk):
            return self._transposed(buffer, indices, chunk, element)
        return self.by_lane(lambda lane: self.load(buffer, tuple(i.put_lane(lane) for i in indices), SCALAR), chunk)

    def by_lane(self, element: Callable[..., ir.Value], chunk: Chunk, numbered: bool = False) -> ir.Value:
        """A vector put together from one scalar a lane that is on; the others repeat a lane that is on."""
        b, count = self.b, chunk.count
        if b.scalable:
            raise NotApplicable("lanes of a scalable vector are read one by one")
        lanes = []
        for lane in range(chunk.width):
            place = Index({}, lane)
            if isinstance(count, int):
                place = Index({}, min(lane, count - 1))
            elif count is not None and lane:
                place = of(Var(b.size(b.min(lane, b.sub(count, 1)))))
            lanes.append(element(place, lane) if numbered else element(place))
        return b.value("vector.from_elements", b.vector(chunk.width, lanes[0].type), *lanes)

    def lane(self, vector: ir.Value, lane: int) -> ir.Value:
        """One lane of a vector."""
        position = ir.DenseI64ArrayAttr.get([lane], self.b.context)
        return self.b.value("vector.extract", ir.VectorType(vector.type).element_type, vector, static_position=position)

    def _transposable(self, indices: tuple[Index, ...], chunk: Chunk) -> bool:
        base, width, _ = self.block
        moving = [i for i in indices if i.lane]
        if chunk.width != width or chunk.mask is not None or len(moving) != 1 or indices[-1].lane:
            return False
        offset = indices[-1] + base * -1
        return lane_like(moving[0]) and offset.constant is not None and 0 <= offset.constant < width

    def _transposed(self, buffer: ir.Value, indices: tuple[Index, ...], chunk: Chunk, element: ir.Type) -> ir.Value:
        base, width, side = self.block
        b = self.b
        part, offset = divmod((indices[-1] + base * -1).const, side)
        start = (*indices[:-1], base + part * side)
        key = ("transposed", buffer, start, width)
        columns = b.known(key)
        if columns is None:
            vector = b.vector(side, element)
            squares = []
            for low in range(0, width, side):
                rows = []
                for lane in range(low, low + side):
                    places = [b.compute(i.put_lane(lane)) for i in start]
                    rows.append(b.value("vector.load", vector, buffer, *places))
                squares.append(transpose(b, rows))
            columns = b.remember(key, [b.join(column) for column in zip(*squares, strict=True)])
        return columns[offset]

    # Writing.

    def store(
        self, buffer: ir.Value, indices: tuple[Index, ...], chunk: Chunk, value: ir.Value, again: bool = False
    ) -> None:
        """Write the lanes that are on; `again`: what is written is read again soon."""
        b = self.b
        line = 0 if again else self.past.get(buffer, 0)
        buffer, indices = self._merged(buffer, indices)
        element = ir.MemRefType(buffer.type).element_type
        moving = [i for i, index in enumerate(indices) if index.lane]
        if chunk.width == 1 or not moving:
            if isinstance(value.type, ir.VectorType):
                raise NotApplicable("a vector is stored to one place")
            b.op("memref.store", [], [value, buffer, *[b.compute(i) for i in indices]])
            return
        value = b.splat(value, chunk.width)
        if element == b.i1:
            byte = b.vector(chunk.width, ir.IntegerType.get_signless(8, b.context))
            self.store(self._bits(buffer, 8), indices, chunk, b.value("arith.extui", byte, value))
            return
        if moving == [len(indices) - 1] and lane_like(indices[-1]):
            places = [b.compute(i.put_lane(0)) for i in indices]
            if chunk.mask is None:
                past = line and fills_lines(buffer, indices, chunk, line)
                b.op("vector.store", [], [value, buffer, *places], self._past(line) if past else None)
            elif _is_half(element):
                short = b.vector(chunk.width, ir.IntegerType.get_signless(16, b.context))
                self.store(self._bits(buffer, 16), indices, chunk, b.value("vector.bitcast", short, value))
            else:
                b.op("vector.maskedstore", [], [buffer, *places, chunk.mask, value])
            return

        if b.scalable:
            raise NotApplicable("lanes of a scalable vector are written one by one")

        def put(lane: int) -> None:
            places = [b.compute(i.put_lane(lane)) for i in indices]
            b.op("memref.store", [], [self.lane(value, lane), buffer, *places])

        count = chunk.width if chunk.count is None else chunk.count
        for lane in range(count if isinstance(count, int) else chunk.width):
            if isinstance(count, int):
                put(lane)
            else:
                b.when(b.less(lane, count), partial(put, lane))

    def store_flat(self, buffer: ir.Value, place: Index, chunk: Chunk, value: ir.Value) -> None:
        """Write a full vector to a buffer of static shape, from a place on that counts all its elements."""
        line, flat, start = self.past.get(buffer, 0), self.flat(buffer), (place,)
        past = line and fills_lines(flat, start, chunk, line)
        self.b.op("vector.store", [], [value, flat, self.b.compute(place)], self._past(line) if past else None)

    def _past(self, line: int) -> dict[str, ir.Attribute]:
        """The attributes of a store past the caches."""
        self.passed += 1
        i64 = ir.IntegerType.get_signless(64, self.b.context)
        return {"nontemporal": ir.BoolAttr.get(True, self.b.context), "alignment": ir.IntegerAttr.get(i64, line)}

    def scratch(self, shape: list[int], element: ir.Type) -> ir.Value:
        """A buffer on the stack, private to whoever runs a range of work items."""
        alignment = ir.IntegerAttr.get(ir.IntegerType.get_signless(64, self.b.context), 64)
        return ir.Operation.create(
            "memref.alloca",
            results=[ir.MemRefType.get(shape, element, loc=self.b.location)],
            attributes={
                "alignment": alignment,
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0], self.b.context),
            },
            loc=self.b.location,
            ip=self.b.top,
        ).results[0]

    def fetch(
        self, buffer: ir.Value, indices: tuple[Index, ...], locality: int, write: bool = False, lane: int = 0
    ) -> None:
        """Ask for the cache line of what will be read or written there, by one lane of a vector."""
        if write and buffer in self.past:
            return
        buffer, indices = self._merged(buffer, indices)
        self.b.fetch(buffer, [self.b.compute(i.put_lane(lane)) for i in indices], locality, write)

    # Views.

    def _view(self, name: str, result: ir.Type, buffer: ir.Value, **attributes: ir.Attribute) -> ir.Value:
        """A view of a buffer, made once, right behind the buffer."""
        key = (name, result, buffer)
        found = self._views.get(key)
        if found is None:
            found = ir.Operation.create(
                name,
                results=[result],
                operands=[buffer],
                attributes=attributes,
                loc=self.b.location,
                ip=ir.InsertionPoint.after(buffer.owner),
            ).results[0]
            self._views[key] = found
        return found

    def flat(self, buffer: ir.Value) -> ir.Value:
        """A buffer of static shape as one row."""
        kind = ir.MemRefType(buffer.type)
        i64 = ir.IntegerType.get_signless(64, self.b.context)
        group = ir.ArrayAttr.get([ir.IntegerAttr.get(i64, d) for d in range(kind.rank)], self.b.context)
        row = ir.MemRefType.get([math.prod(kind.shape)], kind.element_type, loc=self.b.location)
        return self._view("memref.collapse_shape", row, buffer, reassociation=ir.ArrayAttr.get([group], self.b.context))

    def _bits(self, buffer: ir.Value, width: int) -> ir.Value:
        """A buffer as the integers that it is: vectors of i1 would be read as bits, bf16 be masked by conversions."""
        kind = ir.MemRefType(buffer.type)
        bits = ir.MemRefType.get(kind.shape, ir.IntegerType.get_signless(width, self.b.context), loc=self.b.location)
        return self._view("builtin.unrealized_conversion_cast", bits, buffer)

    def _merged(self, buffer: ir.Value, indices: tuple[Index, ...]) -> tuple[ir.Value, tuple[Index, ...]]:
        """Collapse the dimensions of a buffer that are walked together."""
        if not any(MERGED in index.terms for index in indices):
            return buffer, indices
        kind = ir.MemRefType(buffer.type)
        groups: list[list[int]] = []
        places: list[Index] = []
        going, shift = False, 0
        for d, index in enumerate(indices):
            (groups[-1].append if going else lambda d: groups.append([d]))(d)
            shift *= kind.shape[d]
            if MERGED in index.terms:
                going, shift = True, shift + index.const
            elif not (going and index.constant == 0 and kind.shape[d] == 1):
                places.append(index + shift)
                going, shift = False, 0
        if len(places) != len(groups):
            raise NotApplicable("merged dimensions end in nothing")
        dynamic = ir.ShapedType.get_dynamic_size()
        shape = []
        for group in groups:
            size = 1
            for d in group:
                size = dynamic if kind.shape[d] == dynamic or size == dynamic else size * kind.shape[d]
            shape.append(size)
        result = ir.MemRefType.get(shape, kind.element_type, loc=self.b.location)
        i64 = ir.IntegerType.get_signless(64, self.b.context)
        reassociation = ir.ArrayAttr.get(
            [ir.ArrayAttr.get([ir.IntegerAttr.get(i64, d) for d in g], self.b.context) for g in groups], self.b.context
        )
        return self._view("memref.collapse_shape", result, buffer, reassociation=reassociation), tuple(places)


def _is_half(element: ir.Type) -> bool:
    return isinstance(element, ir.BF16Type | ir.F16Type)


def memref(kind: ir.RankedTensorType) -> ir.Type:
    """The buffer type of a tensor type: the plain layout."""
    return ir.MemRefType.get(kind.shape, kind.element_type, loc=ir.Location.unknown(kind.context))


def transpose(b: Builder, rows: list[ir.Value]) -> list[ir.Value]:
    """The columns of a square block of n rows of n lanes (n a power of two), in log2(n) rounds of n shuffles."""
    n = len(rows)
    rows = list(rows)
    half = n // 2
    while half:
        low = [
            i
            for start in range(0, n, 2 * half)
            for i in (*range(start, start + half), *range(start + n, start + n + half))
        ]
        high = [i + half for i in low]
        for r in range(n):
            if not r & half:
                x, y = rows[r], rows[r + half]
                rows[r], rows[r + half] = (b.shuffle(x, y, lanes) for lanes in (low, high))
        half //= 2
    return rows
