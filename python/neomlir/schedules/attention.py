"""The schedule of attention: scores, what turns them into weights, and the weighted sum, a block of rows at a time.

The scores of a block, a whole head where that is small, stay in scratch memory: no tensor of all scores is ever
written (as in FlashAttention, T. Dao et al., NeurIPS 2022, but with whole rows, which need no rescaling). Weights take
their place, and what they sum up to waits beside them until it is read behind the weighted sum.
"""

from __future__ import annotations

from neomlir.mlir import ir
from neomlir.schedules import reduction, scalable
from neomlir.schedules.attention_product import Product, strips
from neomlir.schedules.base import NotApplicable, Schedule
from neomlir.schedules.boxes import borders
from neomlir.schedules.builder import Chunk, Size
from neomlir.schedules.frame import Frame, static_shape
from neomlir.schedules.index import Index
from neomlir.schedules.kernel import Generic, Kernel
from neomlir.schedules.nest import lane_index
from neomlir.schedules.parts import PartFrame, cut
from neomlir.schedules.plan import Plan
from neomlir.schedules.root import Dim
from neomlir.schedules.rows import Rows
from neomlir.schedules.tiles import scores_bytes


class Attention(Schedule):
    name = "attention"
    order = 50
    scalable = True

    def applies(self, kernel: Kernel, target) -> bool:
        return len(kernel.roots) > 2 and len(_products(kernel)) == 2

    def build(self, kernel: Kernel, target) -> ir.Operation:
        scores, weights, factor = _between(kernel)
        shape = static_shape(scores)
        if None in shape or static_shape(weights) != shape or len(shape) < 2:
            raise NotApplicable("scores and weights are not of one static shape")
        parts: list[Kernel] = []
        frame = Frame(kernel, target)
        try:
            numbers = _of_rows(kernel, scores, weights)
            cuts = ([], [scores]), ([scores], [weights, *numbers]), ([factor, *numbers], kernel.results)
            for given, wanted in cuts:
                parts.append(cut(kernel, given, wanted))
            _Heads(frame, parts, shape, static_shape(factor)[-1], target).emit()
            made = frame.close()
        except NotApplicable:
            frame.drop()
            raise
        finally:
            for part in parts:
                part.func.erase()
        return made


def _products(kernel: Kernel) -> list[Generic]:
    """The sums of products of two tensors."""
    return [g for g in kernel.roots if len(g.inputs) == 2 and "arith.mulf" in g.names and "arith.addf" in g.names]


def _between(kernel: Kernel) -> tuple[ir.Value, ir.Value, ir.Value]:
    """What the reductions between the products read, what they make of it, and that as the second product reads it,
    maybe with zeros behind each row."""
    first, second = _products(kernel)
    behind = {first.results[0]}
    for g in kernel.generics:
        if any(operand in behind for operand in g.operands) and not any(g.reduction):
            behind.add(g.results[0])
        elif any(operand in behind for operand in g.inputs):
            scores = next(operand for operand in g.inputs if operand in behind)
            break
    else:
        raise NotApplicable("nothing reduces the scores")
    factors = {v: _without_pad(v) for v in second.inputs}
    weights = [(w, v) for v, w in factors.items() if kernel.generic_of(w) is not None and w not in behind]
    if g is second or len(weights) != 1:
        raise NotApplicable("the second product reads no weights")
    return scores, *weights[0]


def _without_pad(value: ir.Value) -> ir.Value:
    """What a pad makes longer, or the value itself."""
    padded = not isinstance(value.owner, ir.Block) and value.owner.name == "tensor.pad"
    return value.owner.operands[0] if padded else value


def _of_rows(kernel: Kernel, scores: ir.Value, weights: ir.Value) -> list[ir.Value]:
    """What is made of a row of scores beside its weights, and read behind the second product, as its sum is."""
    behind, after = {scores}, {_products(kernel)[1].results[0]}
    found: dict[ir.Value, None] = {}
    for g in kernel.generics:
        if any(operand in after for operand in g.operands):
            after.update(g.results)
            found.update(dict.fromkeys(operand for operand in g.inputs if operand in behind and operand != weights))
        elif any(operand in behind for operand in g.operands) and g.results[0] not in after:
            behind.update(g.results)
    shape = static_shape(weights)[:-1]
    if any(static_shape(value) != shape for value in found):
        raise NotApplicable("more than a number of each row of scores is read behind the second product")
    return list(found)


def _stays_in_place(part: Kernel) -> bool:
    """Whether weights may take the place of scores: one operation makes them, and maxima were all that read before it.

    What is computed along the row is written when the first reduction behind it passes by.
    """
    scores, weights = part.args[-1 - len(part.results)], part.results[0]
    made = part.generic_of(weights)
    if made is None or any(made[0].reduction) or scores.type != weights.type:
        return False
    for g in part.generics:
        if scores in g.inputs and g is not made[0] and (not any(g.reduction) or weights in g.inputs):
            return False
    readers = [g for g in part.roots if weights in g.inputs]
    before = [g for g in part.roots if scores in g.inputs]
    return bool(readers) and all(part.roots.index(g) < part.roots.index(readers[0]) for g in before)


def _walked(part: Kernel, value: ir.Value) -> set[int]:
    """The loops of a part's product that walk `value`, one of its factors."""
    product = part.roots[0]
    maps = [m for operand, m in zip(product.inputs, product.maps, strict=False) if operand == value]
    return {e.position for m in maps for e in m.results if isinstance(e, ir.AffineDimExpr)}


class _Heads:
    """The work items: one for each block of rows, at each place of the outer dimensions of the scores."""

    def __init__(self, frame: Frame, parts: list[Kernel], shape: list[int], length: int, target):
        """`length`: of a row of weights with the zeros behind it."""
        self.frame, self.b, self.shape = frame, frame.b, shape
        # What one product could walk together, such as the heads of several sentences, the other could not.
        apart = (range(parts[0].roots[0].rank), _walked(parts[2], parts[2].args[len(frame.kernel.args)]))
        self.factors = [Product(part, target, loops) for part, loops in zip((parts[0], parts[2]), apart, strict=True)]
        self.outer = [self._first(self.factors[0]), self._second(self.factors[1])]
        self.zeros = range(shape[-1], length)
        rows = [(shape[-1], parts[0].results[0].type.element_type)]
        if self.zeros or not _stays_in_place(parts[1]):
            rows.append((length, parts[1].results[0].type.element_type))
        # As neo-form-kernels counts them.
        fit = scores_bytes(target) // (shape[-1] * sum(e.width // 8 for e in {e for _, e in rows}))
        # Both products go by the same strips of rows.
        self.strips = strips(self.b, shape[-2], self.factors, fit)
        self.block = self._block(fit)
        most = min(shape[-2], self.block * self.strips.tall)
        held = [frame.memory.scratch([most, size], element) for size, element in rows]
        self.held = held[-1]
        """Where weights are."""
        windows = {buffer: len(shape) for buffer in held}
        numbers = [frame.memory.scratch([most], r.type.element_type) for r in parts[1].results[1:]]
        windows |= {buffer: len(shape) - 1 for buffer in numbers}
        results = [frame.destination(i) for i in range(len(frame.kernel.results))]
        buffers = ([held[0]], [held[0], held[-1], *numbers], [held[-1], *numbers, *results])
        frames = [PartFrame(frame, part, mine, windows) for part, mine in zip(parts, buffers, strict=True)]
        self.frames = frames
        self.products = [product.nest(f) for product, f in zip(self.factors, (frames[0], frames[2]), strict=True)]
        for nest in self.products:
            nest.strips = self.strips
        # Scores are in the cache, however large the tensor is of which they are a window.
        self.products[0].sums.foreseen = True
        self.rows = reduction.Nest(frames[1], Rows.of(parts[1]))
        places = [d for d, _ in self.rows.rows.outer]
        if self.rows.across or places != list(range(len(shape) - 1)):
            raise NotApplicable("the weights are not made row by row")

    def _first(self, product: Product) -> list[Dim]:
        """The outer dimensions of the first product."""
        dims, plan = product.root.dims, product.plan
        if len(dims) != len(self.shape) or [d.size for d in dims] != self.shape:
            raise NotApplicable("the dimensions of the scores are not those of the product")
        self._expect(plan, dims[:-2], dims[-2])
        if plan.columns is not dims[-1]:
            raise NotApplicable("the first product runs along another dimension than the scores")
        return dims[:-2]

    def _second(self, product: Product) -> list[Dim]:
        """The outer dimensions of the second product, in the order of the weights'."""
        root = product.root
        weights = product.part.args[len(self.frame.kernel.args)]
        found = [access for accesses in root.accesses for value, access in accesses if value == weights]
        if len(found) != 1:
            raise NotApplicable("the second product reads the weights in no plain way")
        dims = [next((d for d in root.dims if index.is_(d.probe)), None) for index in found[0][:-1]]
        if None in dims or not any(found[0][-1].is_(probe) for probe in root.reduced_probes.values()):
            raise NotApplicable("the second product does not sum along the weights' rows")
        self._expect(product.plan, dims[:-1], dims[-1])
        return dims[:-1]

    @staticmethod
    def _expect(plan: Plan, outer: list[Dim], rows: Dim) -> None:
        """Let a register tile have rows of one head: where heads share their keys, theirs are rows of the product."""
        around = [*plan.rows, *([plan.inner] if plan.inner else [])]
        heads = [*plan.batch, *(d for d in around if d is not rows)]
        if rows not in around or len(heads) != len(outer) or any(d not in outer for d in heads):
            raise NotApplicable("rows and columns of a product are not those of the scores")
        plan.rows, plan.inner = [*heads[len(plan.batch) :], rows], None

    def _block(self, rows: int) -> int:
        """Strips of a block of at most `rows` rows."""
        count = self.strips.count
        most = rows // self.strips.tall
        if not most:
            raise NotApplicable("a few rows of scores are too large for scratch memory")
        if most >= count:
            return count
        shares = [-(-count // number) for number in range(-(-count // most), count + 1)]
        return self.frame.kernel.parameter("block", shares[0], shares[1:6])

    def emit(self) -> None:
        b, strips = self.b, self.strips
        if borders(self.frame):
            raise NotApplicable("the result is padded")

        def rows(outer: list[Index], low: Size, high: Size) -> None:
            start, end = strips.first_row(low), strips.first_row(high)
            for frame in self.frames:
                frame.memory.low = scalable.place(start)
            self.factors[1].hold_from(list(zip(self.outer[1], outer, strict=True)), scalable.place(start))
            self._product(0, outer, low, high)
            b.loop(start, end, 1, lambda m: self._row([*outer, m]))
            self._product(1, outer, low, high)

        def part(indices: list[Index]) -> None:
            low = b.compute(indices[-1] * self.block)
            rows(indices[:-1], low, b.min(b.add(low, self.block), strips.count))

        outer, number = self.shape[:-2], -(-strips.count // self.block)
        b.items([(outer, lambda indices: rows(indices, 0, strips.count)) if number == 1 else ([*outer, number], part)])

    def _row(self, place: list[Index]) -> None:
        """Make weights of a row of scores."""
        self.rows.row(place, Chunk(1))
        memory, weights, b = self.frames[1].memory, self.held, self.b
        column = self.zeros.start
        while column < self.zeros.stop:
            width = min(self.frame.machine.usual_lanes(32), 1 << (self.zeros.stop - column).bit_length() - 1)
            zeros = b.splat(b.zero(ir.MemRefType(weights.type).element_type), width)
            memory.store(weights, (*place, lane_index(Index({}, column), width)), Chunk(width), zeros)
            column += width

    def _product(self, which: int, indices: list[Index], low: Size, high: Size) -> None:
        nest = self.products[which]
        fixed = {id(d): index for d, index in zip(self.outer[which], indices, strict=True)}
        width = nest.plan.width
        columns = nest.size[id(nest.plan.columns)]
        tiles = [*(nest.size[id(d)] for d in nest.plan.rows[:-1]), self.strips.count]

        def column(p: Index) -> None:
            nest.column_tile(p, columns, width, lambda tile: nest.rows(fixed, len(tiles) - 1, low, high, tiles, tile))

        nest.around(lambda: self.b.loop(0, self.b.ceildiv(columns, width), 1, column))


SCHEDULE = Attention()
