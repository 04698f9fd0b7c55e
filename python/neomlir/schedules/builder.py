"""Emits scalar and vector operations at one place, and remembers what it has emitted in the open scopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.index import Index, Part, Run, Var, lane, of
from neomlir.schedules.sizes import Size, Sizes

GRANULE = 128
"""Bits of the granules of which a scalable vector has a whole number."""
_MOST = 16
"""Granules of a scalable vector, at most."""


_EXTREMES = ("arith.maximumf", "arith.minimumf")
"""Which of two zeros is larger, frameworks leave open; x86 spends two instructions on it."""


@dataclass(frozen=True)
class Chunk:
    """A vector of `width` lanes along the vectorised dimension, or of so many a granule; width 1 is a scalar.

    Lanes from `count` on are off: an int, or an SSA value of which `mask` is the vector; `tag` tells equal ones.
    """

    width: int
    count: int | ir.Value | None = None
    mask: ir.Value | None = None
    tag: object = None

    @property
    def key(self) -> tuple:
        return (self.width, self.count if isinstance(self.count, int) else self.tag)


Tile = list[tuple[Index, Chunk]]
"""Vectors side by side: the index of each (a lane in it) and its chunk."""


class Builder(Sizes):
    """Operations are emitted into the innermost open scope; equal requests in an open scope give the same value.

    With `scalable` vectors have a length that only the machine knows: their width is that of a granule, of which
    there are `vector.vscale`.
    """

    def __init__(self, func: ir.Operation, scalable: bool = False):
        self.scalable = scalable
        self.func = func
        self.location = func.location
        self.context = func.context
        block = func.regions[0].blocks[0]
        self._points = [ir.InsertionPoint(block)]
        self._scopes: list[dict] = [{}]
        self.index_type = ir.IndexType.get(self.context)
        self.i1 = ir.IntegerType.get_signless(1, self.context)
        self._nsw = ir.Attribute.parse("#arith.overflow<nsw>", self.context)
        self._any_zero = ir.Attribute.parse("#arith.fastmath<nsz>", self.context)
        self._constants: dict = {}
        self._top = ir.InsertionPoint(block.operations[0]) if len(block.operations) else None

    # Scopes and the memory of what was emitted.

    def known(self, key):
        """What an open scope remembers under a key, or None."""
        for scope in reversed(self._scopes):
            value = scope.get(key)
            if value is not None:
                return value
        return None

    def remember(self, key, value):
        self._scopes[-1][key] = value
        return value

    @contextmanager
    def scope(self, block: ir.Block | None = None):
        """Emit into `block` (or go on where we are) and forget at the end what was emitted in it."""
        self._points.append(ir.InsertionPoint(block) if block is not None else self._points[-1])
        self._scopes.append({})
        try:
            yield
        finally:
            self._points.pop()
            self._scopes.pop()

    # Plain operations.

    def op(self, name: str, results: Sequence[ir.Type], operands: Sequence[ir.Value], attributes=None, regions=0):
        if name in _EXTREMES:
            attributes = {**(attributes or {}), "fastmath": self._any_zero}
        return ir.Operation.create(
            name,
            results=list(results),
            operands=list(operands),
            attributes=attributes,
            regions=regions,
            loc=self.location,
            ip=self._points[-1],
        )

    def value(self, name: str, result: ir.Type, *operands: ir.Value, **attributes: ir.Attribute) -> ir.Value:
        """One operation with one result, emitted once a scope."""
        key = (name, result, operands, tuple(attributes.items()))
        found = self.known(key)
        if found is None:
            found = self.remember(key, self.op(name, [result], operands, attributes or None).results[0])
        return found

    def constant(self, attribute: ir.Attribute) -> ir.Value:
        """A constant, placed at the top of the function."""
        found = self._constants.get(attribute)
        if found is None:
            found = ir.Operation.create(
                "arith.constant",
                results=[attribute.type],
                attributes={"value": attribute},
                loc=self.location,
                ip=self.top,
            ).results[0]
            self._constants[attribute] = found
        return found

    @property
    def top(self) -> ir.InsertionPoint:
        """Before everything else in the function."""
        if self._top is None:
            block = self._points[0].block
            if not len(block.operations):
                return self._points[0]
            self._top = ir.InsertionPoint(block.operations[0])
        return self._top

    # Indices.

    def compute(self, index: Index) -> ir.Value:
        """The index as a value; it holds no lane."""
        if index.constant is not None:
            return self.index(index.const)
        key = ("index", index)
        found = self.known(key)
        if found is not None:
            return found
        total: Size = 0
        for v, c in index.terms.items():
            if isinstance(v, Part):
                whole = self.compute(v.index)
                term = (self.div if v.kind == "floordiv" else self.rem)(whole, v.divisor)
            elif v.value is None:
                raise NotApplicable("an index depends on the lane where it may not")
            else:
                term = v.value
            total = self.add(total, self.mul(term, c))
        return self.remember(key, self.size(self.add(total, index.const)))

    def lanes(self, index: Index, width: int) -> ir.Value:
        """The index of each lane, as a vector of index."""
        vector = self.vector(width, self.index_type)
        if any(isinstance(v, Part) and v.index.lane for v in index.terms):
            if self.scalable:
                raise NotApplicable("lanes of a scalable vector are computed one by one")
            each = [self.compute(index.put_lane(lane)) for lane in range(width)]
            return self.value("vector.from_elements", vector, *each)
        step = self.value("vector.step", vector)
        factor = index.terms.get(index.lane, 0)
        if factor != 1:
            step = self.value("arith.muli", vector, step, self.splat(self.index(factor), width))
        base = self.compute(index.put_lane(0))
        return self.value("arith.addi", vector, self.splat(base, width), step)

    # Vectors.

    def vector(self, width: int, element: ir.Type) -> ir.Type:
        if width == 1:
            return element
        return ir.VectorType.get([width], element, scalable=[True] if self.scalable else None)

    def length(self, width: int) -> Size:
        """The number of lanes of a vector of that width: a value where vectors are scalable."""
        if width == 1 or not self.scalable:
            return width
        # At the top, so that one value serves all loops.
        granules = self._constants.get("vscale")
        if granules is None:
            granules = ir.Operation.create(
                "vector.vscale", results=[self.index_type], loc=self.location, ip=self.top
            ).results[0]
            self._constants["vscale"] = granules
        return self.mul(granules, width)

    def most(self, width: int) -> int:
        """The number of lanes of a vector of that width, at most."""
        return width * _MOST if width > 1 and self.scalable else width

    def run(self, base: Index, width: int, high: int | None = None) -> Index:
        """The index of a lane of the vector from `base` on; `high` is the last place that a lane which is on has."""
        if width == 1:
            return base
        return Run.of(base, high) if self.scalable else base + of(lane(width))

    def splat(self, scalar: ir.Value, width: int) -> ir.Value:
        if width == 1 or isinstance(scalar.type, ir.VectorType):
            return scalar
        owner = scalar.owner
        if isinstance(owner, ir.OpView | ir.Operation) and owner.name == "arith.constant":
            return self.constant(
                ir.DenseElementsAttr.get_splat(self.vector(width, scalar.type), owner.attributes["value"])
            )
        return self.value("vector.broadcast", self.vector(width, scalar.type), scalar)

    def join(self, vectors: Sequence[ir.Value]) -> ir.Value:
        """Vectors of one type, as many as a power of two, end to end."""
        values = list(vectors)
        while len(values) > 1:
            values = [self._pick(x, y, 0, 2 * _width(x)) for x, y in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    def piece(self, vector: ir.Value, start: int, width: int) -> ir.Value:
        """`width` lanes of a vector, from `start` on."""
        return self._pick(vector, vector, start, width)

    def _pick(self, x: ir.Value, y: ir.Value, start: int, width: int) -> ir.Value:
        return self.shuffle(x, y, range(start, start + width))

    def shuffle(self, x: ir.Value, y: ir.Value, lanes: Sequence[int]) -> ir.Value:
        """Lanes of two vectors, by their numbers in both end to end."""
        mask = ir.DenseI64ArrayAttr.get(list(lanes), self.context)
        kind = self.vector(len(lanes), ir.VectorType(x.type).element_type)
        return self.value("vector.shuffle", kind, x, y, mask=mask)

    def zero(self, element: ir.Type) -> ir.Value:
        return self.constant(number(element, 0))

    def chunk(self, width: int, count: Size | None = None) -> Chunk:
        """A chunk of which the first `count` lanes are on."""
        if count is None or (isinstance(count, int) and count >= width and not self.scalable):
            return Chunk(width)
        mask = self.value("vector.create_mask", self.vector(width, self.i1), self.size(count))
        return Chunk(width, count, mask, None if isinstance(count, int) else hash(count))

    def fetch(self, buffer: ir.Value, place: list[ir.Value], locality: int, write: bool = False) -> None:
        """Ask for the cache line of an element that will be read, or written."""
        i32 = ir.IntegerType.get_signless(32, self.context)
        attributes = {
            "isWrite": ir.BoolAttr.get(write, self.context),
            "localityHint": ir.IntegerAttr.get(i32, locality),
            "isDataCache": ir.BoolAttr.get(True, self.context),
        }
        self.op("memref.prefetch", [], [buffer, *place], attributes)

    # Loops.

    def loop(
        self,
        low: Size,
        high: Size,
        step: Size,
        body: Callable[..., Sequence[ir.Value] | None],
        carried: Sequence[ir.Value] = (),
    ) -> list[ir.Value]:
        """`scf.for`; `body(index, *carried)` gives what is carried on. One known iteration becomes no loop."""
        if isinstance(low, int) and isinstance(high, int):
            if high <= low:
                return list(carried)
            if isinstance(step, int) and high - low <= step:
                return list(body(Index({}, low), *carried) or ())
        types = [value.type for value in carried]
        op = self.op("scf.for", types, [self.size(low), self.size(high), self.size(step), *carried], regions=1)
        block = op.regions[0].blocks.append(self.index_type, *types, arg_locs=[self.location] * (1 + len(types)))
        known = isinstance(low, int)
        multiple = step if known and isinstance(step, int) and low % step == 0 else 1
        last = high - 1 if isinstance(high, int) else None
        iv = of(Var(block.arguments[0], multiple, low if known else 0, last))
        with self.scope(block):
            results = body(iv, *list(block.arguments)[1:]) or ()
            self.op("scf.yield", [], results)
        return list(op.results)

    def when(self, condition: ir.Value, then: Callable[[], None], otherwise: Callable[[], None] | None = None) -> None:
        """`scf.if` without results."""
        op = self.op("scf.if", [], [condition], regions=2)
        for region, body in zip(op.regions, (then, otherwise), strict=True):
            if body is None:
                continue
            with self.scope(region.blocks.append()):
                body()
                self.op("scf.yield", [], [])

    def where(
        self, condition: ir.Value, body: Callable[[], Sequence[ir.Value]], otherwise: Sequence[ir.Value]
    ) -> list[ir.Value]:
        """`scf.if`: what `body` gives, or else these values."""
        op = self.op("scf.if", [value.type for value in otherwise], [condition], regions=2)
        for region, values in zip(op.regions, (body, lambda: otherwise), strict=True):
            with self.scope(region.blocks.append()):
                self.op("scf.yield", [], list(values()))
        return list(op.results)

    def items(self, groups: Sequence[tuple[Sequence[Size], Callable[[list[Index]], None]]]) -> None:
        """One work item for each point of each group's sizes (the last fastest), in one `scf.forall` of one dimension.

        A group is (sizes, body); `body` is called with the indices of the item in its group.
        """
        starts: list[Size] = [0]
        for sizes, _ in groups:
            count: Size = 1
            for size in sizes:
                count = self.mul(count, size)
            starts.append(self.add(starts[-1], count))
        total = starts[-1]
        if isinstance(total, int) and total <= 1:
            for (sizes, body), low, high in zip(groups, starts, starts[1:], strict=False):
                if low != high:
                    body([Index() for _ in sizes])
            return
        dynamic = [] if isinstance(total, int) else [total]
        marker = -(2**63)
        attributes = {
            "staticLowerBound": ir.DenseI64ArrayAttr.get([0], self.context),
            "staticUpperBound": ir.DenseI64ArrayAttr.get([marker if dynamic else total], self.context),
            "staticStep": ir.DenseI64ArrayAttr.get([1], self.context),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, len(dynamic), 0, 0], self.context),
        }
        op = self.op("scf.forall", [], dynamic, attributes, regions=1)
        block = op.regions[0].blocks.append(self.index_type, arg_locs=[self.location])
        with self.scope(block):
            self._group(list(groups), starts, block.arguments[0])
            end = self.op("scf.forall.in_parallel", [], [], regions=1)
            end.regions[0].blocks.append()

    def _group(self, groups: list, starts: list[Size], item: ir.Value) -> None:
        """Run the body of the group that a work item belongs to."""
        sizes, body = groups[0]

        def first() -> None:
            body(self.unflatten(sizes, self.sub(item, starts[0]) if starts[0] != 0 else item))

        if len(groups) == 1:
            first()
        else:
            self.when(self.less(item, starts[1]), first, lambda: self._group(groups[1:], starts[1:], item))

    def unflatten(self, sizes: Sequence[Size], rest: Size) -> list[Index]:
        """The indices, of dimensions of these sizes, of the element that is number `rest`; the last runs fastest."""
        indices: list[Index] = []
        whole = [i for i, size in enumerate(sizes) if not isinstance(size, int) or size != 1]
        for i in range(len(sizes) - 1, -1, -1):
            if i not in whole:
                indices.append(Index())
                continue
            mine = self.rem(rest, sizes[i]) if i != whole[0] else rest
            rest = self.div(rest, sizes[i]) if i != whole[0] else rest
            high = sizes[i] - 1 if isinstance(sizes[i], int) else None
            indices.append(of(Var(self.size(mine), 1, 0, high)))
        return indices[::-1]


def _width(vector: ir.Value) -> int:
    return ir.VectorType(vector.type).shape[0]


def number(element: ir.Type, n: float) -> ir.Attribute:
    """The attribute of a number of an integer, index or floating-point type."""
    if isinstance(element, ir.IntegerType | ir.IndexType):
        return ir.IntegerAttr.get(element, int(n))
    return ir.FloatAttr.get(element, float(n))
