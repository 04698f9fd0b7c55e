"""Merge chains of elementwise generics, and read through transposes, broadcasts and unit reshapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neomlir.mlir import arith, ir, linalg
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import is_product
from neomlir.passes.dataflow import captured_values, indexing_maps, iterators, number_of_inputs
from neomlir.passes.gathers import gathers_rows
from neomlir.passes.layouts import RESHAPES, unit_reshape
from neomlir.schedules.kernel import Generic
from neomlir.schedules.scatter_form import ScatterForm


@register
@dataclass(frozen=True)
class FuseElementwise(ModulePass):
    """Compute elementwise producers inside the one generic that reads them, and read copies at their source.

    A producer is merged if all its loops are parallel, it has one result, all its readers are merged too, and no
    element of it is computed twice (a reader that broadcasts it does not merge it). What reads rows at computed
    places, as a resized picture does, is not merged into what walks them across. A scatter takes each update once,
    although its loops pass by them for each element of the result. Contractions merge no
    arithmetic, but read through copies and through reshapes that only add or drop dimensions of extent 1. A
    transpose of a contraction's or reduction's result becomes the map of that result, if its innermost dimension
    stays innermost. What depends on weights alone is not merged into what does not, so that it can be hoisted.
    """

    name = "neo-fuse-elementwise"

    views: bool = True
    """Read through reshapes that add or drop dimensions of extent 1 (their readers then have zeros in their maps)."""

    def run(self, module: ir.Module) -> None:
        with module.context, module.operation.location:
            for function in s.straight_line(module):
                # Elementwise operations first, so that a reduction sees whole epilogues and not parts of them.
                for wanted in (s.is_parallel, lambda _: True):
                    _merge_all(function, wanted, self.views)
                for op in s.operations(function):
                    if op.name == "linalg.generic":
                        _write_transposed(op)


def _merge_all(function: ir.Operation, wanted: Callable[[ir.Operation], bool], views: bool) -> None:
    constants = Constants.of(function)
    ops = s.operations(function)
    order = {op: number for number, op in enumerate(ops)}
    for op in reversed(ops):
        if len(op.results) and op.name in _REMOVABLE and all(_unused(r) for r in op.results):
            del order[op]
            s.erase(op)
        elif op.name == "linalg.generic" and wanted(op):
            _Consumer(op, constants, order, views).merge()


_CHAIN = 8
"""Elementwise operations behind a contraction that are looked through for it."""
_REMOVABLE = frozenset(
    {"linalg.generic", "linalg.fill", "tensor.empty", "tensor.collapse_shape", "tensor.expand_shape"}
)


def _unused(value: ir.Value) -> bool:
    return next(iter(value.uses), None) is None


def _users(value: ir.Value) -> set[ir.Operation]:
    return {use.owner.operation for use in value.uses}


class _Consumer:
    """One generic, and what it takes in: operations whose loops are written as maps over its own loops."""

    def __init__(self, op: ir.Operation, constants: Constants, order: dict[ir.Operation, int], views: bool):
        self.op = op
        self.views = views
        self.constants = constants
        self.order = order
        self.maps = indexing_maps(op)
        self.loops = self.maps[0].n_dims
        self.inputs = number_of_inputs(op)
        self.is_parallel = s.is_parallel(op)
        self.is_contraction = is_product(op)
        self.constant = all(result in constants for result in op.results)
        scatter = None if self.is_parallel else ScatterForm.of(Generic(op))
        self.scattered = set(scatter.places) if scatter else set()
        self.merged: dict[ir.Operation, list[ir.AffineExpr]] = {op: s.dims(range(self.loops))}
        self.reads: dict[ir.Value, list[ir.AffineMap]] = {}
        # Read elsewhere instead: a view or a copy, or a scalar.
        self.through: dict[ir.Value, tuple[ir.Value, ir.AffineMap]] = {}
        self.scalars: dict[ir.Value, ir.Value] = {}
        # Whether 8-bit results of a contraction are computed here: another contraction keeps its own, which are a
        # quarter of its sums.
        self.narrows = self.is_parallel and any(_is_sums(value) for value in list(op.operands)[: self.inputs])

    def merge(self) -> None:
        """Take in what can be, and write the generic anew if anything was."""
        for value, map_ in zip(list(self.op.operands)[: self.inputs], self.maps, strict=False):
            if not isinstance(value.type, ir.RankedTensorType):
                return
            self._read(value, map_)
        changed, known = True, set()
        while changed:
            changed = False
            for value in list(self.reads):
                if value not in known and self._take(value):
                    known.add(value)
                    changed = True
        if known:
            self._rebuild()

    def _read(self, value: ir.Value, map_: ir.AffineMap) -> None:
        maps = self.reads.setdefault(value, [])
        if map_ not in maps:
            maps.append(map_)

    def _take(self, value: ir.Value) -> bool:
        maker = s.maker(value)
        if maker is None:
            return False
        if maker.name in RESHAPES:
            back = unit_reshape(maker) if self.views else None
            return back is not None and self._look_through(value, maker.operands[0], back)
        if maker.name == "linalg.generic":
            if s.is_copy(maker):
                back = _copy_map(maker)
                kept = value in self.constants and not self.is_contraction and not self.constant and _moves_only(maker)
                return back is not None and not kept and self._look_through(value, maker.operands[0], back)
            if not _is_uniform(maker):
                return self._inline(value, maker)
        if self.is_contraction:
            return False
        return self._scalar(value, maker)

    def _scalar(self, value: ir.Value, maker: ir.Operation) -> bool:
        if maker.name == "linalg.fill":
            scalar = maker.operands[0]
            if s.element_type(value) != scalar.type:
                return False
        elif maker.name == "linalg.generic":
            scalar = s.yielded(maker)[0]
        elif maker.name == "arith.constant":
            attribute = maker.attributes["value"]
            if not isinstance(attribute, ir.DenseElementsAttr) or not attribute.is_splat:
                return False
            with ir.InsertionPoint(self.op):
                scalar = arith.ConstantOp(s.element_type(value), attribute.get_splat_value()).result
        else:
            return False
        covered = set()
        for other, maps in self.reads.items():
            if other != value and other not in self.scalars:
                covered |= _covered(maps)
        covered |= _covered(self.maps[self.inputs :])
        if len(covered) != self.loops:
            return False
        self.scalars[value] = scalar
        return True

    def _look_through(self, value: ir.Value, source: ir.Value, back: ir.AffineMap) -> bool:
        """Read `source` where `value` was read: element e of `value` is element `back(e)` of `source`."""
        maps = [s.substitute(back, list(map_.results), self.loops) for map_ in self.reads[value]]
        left = [m for other, found in self.reads.items() if other != value and self._is_read(other) for m in found]
        if len(_covered([*maps, *left, *self.maps[self.inputs :]])) != self.loops:
            return False  # the extent of a loop over one place would be known from nothing
        self.through[value] = (source, back)
        for map_ in maps:
            self._read(source, map_)
        return True

    def _is_read(self, value: ir.Value) -> bool:
        return value not in self.through and value not in self.scalars and s.maker(value) not in self.merged

    def _inline(self, value: ir.Value, maker: ir.Operation) -> bool:
        maps = self.reads[value]
        if self.is_contraction or len(maps) != 1 or len(maker.results) != 1 or not s.is_parallel(maker):
            return False
        if (value in self.constants and not self.constant) or not self._only_reader(value):
            return False
        sums = _narrows_sums(value)
        if sums and self.narrows:
            return False
        loops = [p for p in s.positions(maps[0]) if p is not None]
        extents = s.shape(value)
        moving = {p for p in range(self.loops) if self._extent(p) != 1} - self.scattered
        if not moving <= set(loops) or len(set(loops)) != len(loops) or len(loops) + extents.count(1) < len(extents):
            return False
        out = s.positions(indexing_maps(maker)[-1])
        if sorted(p for p in out if p is not None) != list(range(len(out))) or _touches_destination(maker):
            return False
        exprs = s.permuted(list(maps[0].results), s.inverse(out))
        if any(not isinstance(e, ir.AffineDimExpr | ir.AffineConstantExpr) for e in exprs):
            return False
        if out and s.uses_of(exprs[out[-1]]) != {self._along()} and gathers_rows(maker):
            return False
        inputs = list(zip(list(maker.operands)[: number_of_inputs(maker)], indexing_maps(maker), strict=False))
        if any(not isinstance(v.type, ir.RankedTensorType) for v, _ in inputs):
            return False
        new = [(v, s.substitute(m, exprs, self.loops)) for v, m in inputs]
        if not self.is_parallel:
            # The epilogue of a contraction belongs to the contraction.
            if any(is_product(s.maker(v)) for v, _ in inputs):
                return False
            covered = _covered(m for _, m in new)
            for other, others in self.reads.items():
                if other != value and other not in self.through:
                    covered |= _covered(others)
            if len(covered | _covered(self.maps[self.inputs :])) != self.loops:
                return False
        for v, m in new:
            self._read(v, m)
        self.merged[maker] = exprs
        self.narrows |= sums
        return True

    def _along(self) -> int:
        """The loop that is walked in vectors: the innermost, or, where updates are scattered, that along the result."""
        along = s.positions(self.maps[-1]) if self.scattered else []
        return self.loops - 1 if not along or along[-1] is None else along[-1]

    def _extent(self, loop: int) -> int:
        for value, map_ in zip(self.op.operands, self.maps, strict=True):
            for extent, place in zip(s.shape(value), s.positions(map_), strict=True):
                if place == loop:
                    return extent
        return -1

    def _only_reader(self, value: ir.Value) -> bool:
        for user in _users(value):
            if user in self.merged:
                continue
            if len(user.results) == 1 and user.results[0] in self.through and self._only_reader(user.results[0]):
                continue
            return False
        return True

    def _maps_of(self, part: ir.Operation) -> list[ir.AffineMap]:
        """How the inputs of an operation that is taken in, or of this one, are read over the loops of this one.

        An expression that is simplified again may be written another way, so this one's are left as they are.
        """
        if part == self.op:
            return self.maps[: self.inputs]
        maps = indexing_maps(part)[: number_of_inputs(part)]
        return [s.substitute(map_, self.merged[part], self.loops) for map_ in maps]

    def _rebuild(self) -> None:
        sources: dict[tuple[ir.Value, ir.AffineMap], int] = {}

        def find(value: ir.Value, map_: ir.AffineMap) -> None:
            """Number what is read from outside in the order of the operands."""
            maker = s.maker(value)
            if value in self.through:
                source, back = self.through[value]
                find(source, s.substitute(back, list(map_.results), self.loops))
            elif maker in self.merged:
                find_all(maker)
            elif value not in self.scalars:
                sources.setdefault((value, map_), len(sources))

        def find_all(part: ir.Operation) -> None:
            for value, map_ in zip(part.operands, self._maps_of(part), strict=False):
                find(value, map_)

        find_all(self.op)
        outputs = list(self.op.operands)[self.inputs :]
        inputs = [value for value, _ in sources]
        maps = [map_ for _, map_ in sources] + self.maps[self.inputs :]
        with ir.InsertionPoint(self.op):
            new, block = s.build_generic(inputs, outputs, maps, iterators(self.op), self.op.location)
        yields: dict[ir.Operation, list[ir.Value]] = {}

        def at(value: ir.Value, map_: ir.AffineMap) -> ir.Value:
            if value in self.through:
                source, back = self.through[value]
                return at(source, s.substitute(back, list(map_.results), self.loops))
            if value in self.scalars:
                return self.scalars[value]
            maker = s.maker(value)
            if maker in yields:
                return yields[maker][0]
            return block.arguments[sources[value, map_]]

        for part in sorted(self.merged, key=self.order.__getitem__):
            exprs = self.merged[part]
            arguments = part.regions[0].blocks[0].arguments
            mapping: dict[ir.Value, ir.Value] = {}
            for number, map_ in enumerate(self._maps_of(part)):
                mapping[arguments[number]] = at(part.operands[number], map_)
            if part == self.op:
                for number in range(len(outputs)):
                    mapping[arguments[self.inputs + number]] = block.arguments[len(inputs) + number]
            before = len(block.operations)
            yields[part] = s.copy_body(part, block, mapping)
            _renumber(block, before, exprs)
            yields[part] = [mapping.get(v, v) for v in s.yielded(part)]
        s.yield_(block, yields[self.op])
        self.order[new] = self.order.pop(self.op)
        for old, result in zip(self.op.results, new.results, strict=True):
            if old in self.constants:
                self.constants.bytes_from[result] = self.constants.bytes_from[old]
        s.replace(self.op, list(new.results))


def _renumber(block: ir.Block, first: int, exprs: list[ir.AffineExpr]) -> None:
    """Loop numbers of a body that was taken in are those of the consumer."""
    for inner in [op.operation for op in block.operations][first:]:
        if inner.name != "linalg.index":
            continue
        expr = exprs[ir.IntegerAttr(inner.attributes["dim"]).value]
        with ir.InsertionPoint(inner), inner.location:
            if isinstance(expr, ir.AffineDimExpr):
                value = linalg.IndexOp(ir.AffineDimExpr(expr).position).result
            else:
                number = ir.IntegerAttr.get(ir.IndexType.get(), ir.AffineConstantExpr(expr).value)
                value = arith.ConstantOp(ir.IndexType.get(), number).result
        inner.results[0].replace_all_uses_with(value)
        inner.erase()


def _is_uniform(op: ir.Operation) -> bool:
    """Whether a generic writes one value from outside everywhere: a fill that lost its name."""
    if number_of_inputs(op) or len(op.results) != 1:
        return False
    block = op.regions[0].blocks[0]
    return len(block.operations) == 1 and s.yielded(op)[0] not in list(block.arguments)


def _covered(maps) -> set[int]:
    return {p for m in maps for p in s.positions(m) if p is not None}


def _touches_destination(op: ir.Operation) -> bool:
    block = op.regions[0].blocks[0]
    return any(not _unused(argument) for argument in list(block.arguments)[number_of_inputs(op) :])


def _narrows_sums(value: ir.Value) -> bool:
    """Whether a value is of 8-bit integers that elementwise operations make of a contraction's sums."""
    element = s.element_type(value)
    if not isinstance(element, ir.IntegerType) or element.width != 8:
        return False
    for _ in range(_CHAIN):
        op = s.maker(value)
        if op is None or op.name != "linalg.generic" or not number_of_inputs(op):
            return False
        if is_product(op):
            return True
        value = op.operands[0]
    return False


def _is_sums(value: ir.Value) -> bool:
    """Whether a value is a contraction's sums of products of integers."""
    element = s.element_type(value) if isinstance(value.type, ir.RankedTensorType) else None
    return isinstance(element, ir.IntegerType) and element.width == 32 and is_product(s.maker(value))


def _copy_map(op: ir.Operation) -> ir.AffineMap | None:
    """Where element e of a copy's result stands in its source; None where its output is not a permutation."""
    source, out = indexing_maps(op)
    places = s.positions(out)
    if None in places or sorted(places) != list(range(len(places))):
        return None
    return s.substitute(source, s.dims(s.inverse(places)), len(places))


def _moves_only(op: ir.Operation) -> bool:
    """Whether a copy repeats nothing: as many elements come out as go in."""
    return s.shape(op.operands[0]).count(1) - len(s.shape(op.operands[0])) == s.shape(op.results[0]).count(1) - len(
        s.shape(op.results[0])
    )


def _write_transposed(op: ir.Operation) -> None:
    """Let a reduction write its result as its one reader, a transpose, has it."""
    if s.is_parallel(op) or len(op.results) != 1 or not s.one_use(op.results[0]):
        return
    copy = next(iter(op.results[0].uses)).owner.operation
    if not s.is_copy(copy) or copy.operands[0] != op.results[0]:
        return
    back = _copy_map(copy)
    places = s.positions(back) if back else [None]
    if None in places or sorted(places) != list(range(back.n_dims)) or places[-1] != len(places) - 1:
        return
    fill = s.maker(op.operands[len(op.operands) - 1])
    if fill is None or fill.name != "linalg.fill" or any(v in copy.results for v in captured_values(op)):
        return
    order = s.inverse(places)
    maps = indexing_maps(op)
    maps[-1] = ir.AffineMap.get(maps[-1].n_dims, 0, s.permuted(list(maps[-1].results), order))
    sizes = s.maker(fill.operands[1])
    if sizes is None or sizes.name != "tensor.empty":
        return
    dynamic = dict(zip((d for d, e in enumerate(s.shape(op.results[0])) if e < 0), sizes.operands, strict=True))
    type_ = copy.results[0].type
    with ir.InsertionPoint(op), op.location:
        empty = ir.Operation.create(
            "tensor.empty", results=[type_], operands=[dynamic[d] for d in order if d in dynamic]
        ).results[0]
        filled = linalg.fill(fill.operands[0], outs=[empty])
    op.operands[len(op.operands) - 1] = filled
    op.results[0].set_type(type_)
    s.set_maps(op, maps)
    s.replace(copy, [op.results[0]])
