"""A kernel as the schedules see it: arguments, destinations, and a small graph of operations on tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from neomlir.mlir import ir
from neomlir.schedules.base import NotApplicable
from neomlir.schedules.index import Index, Var, apply, of, split

SAME = ("tensor.cast", "bufferization.materialize_in_destination")
"""Operations whose result has the elements of their first operand, at the same indices."""
LOOP = "scf.for"
DYNAMIC = -(2**63)
"""What stands in a list of static extents for one that is an operand."""


_INSTRUCTIONS = frozenset(
    f"math.{name}"
    for name in ("absf", "absi", "ceil", "copysign", "floor", "fma", "round", "roundeven", "rsqrt", "sqrt", "trunc")
)


def elementary(names: Iterable[str]) -> bool:
    """Whether there is an elementary function among operations of these names: a chain of many instructions."""
    return any(name.startswith("math.") and name not in _INSTRUCTIONS for name in names)


class Generic:
    """A `linalg.generic` or `linalg.fill`: loops, one map an operand, and a body of scalars."""

    def __init__(self, op: ir.Operation):
        self.op = op
        segments = list(op.attributes["operandSegmentSizes"])
        operands = list(op.operands)
        self.inputs, self.inits = operands[: segments[0]], operands[segments[0] :]
        self.results = list(op.results)
        self.body = op.regions[0].blocks[0]
        if "indexing_maps" in op.attributes:
            self.maps = [a.value for a in op.attributes["indexing_maps"]]
            self.reduction = ["reduction" in str(a) for a in op.attributes["iterator_types"]]
        else:  # linalg.fill
            rank = ir.RankedTensorType(self.results[0].type).rank
            context = op.context
            self.maps = [ir.AffineMap.get(rank, 0, [], context), ir.AffineMap.get_identity(rank, context)]
            self.reduction = [False] * rank
        self.rank = len(self.reduction)

    @property
    def operands(self) -> list[ir.Value]:
        return [*self.inputs, *self.inits]

    @property
    def yields(self) -> list[ir.Value]:
        return list(list(self.body.operations)[-1].operands)

    @cached_property
    def used(self) -> list[bool]:
        """Whether the body reads each operand."""
        return [len(list(a.uses)) > 0 for a in self.body.arguments]

    @cached_property
    def local(self) -> set[ir.Value]:
        """The values that the body computes."""
        return {result for op in self.body.operations for result in op.operation.results}

    @cached_property
    def names(self) -> set[str]:
        """The operations of the body."""
        return {op.operation.name for op in self.body.operations}

    def output_map(self, result: int = 0) -> ir.AffineMap:
        return self.maps[len(self.inputs) + result]

    def sizes(self) -> list[tuple[ir.Value, int]]:
        """For each loop an operand and its dimension that have the loop's extent."""
        found: list[tuple[ir.Value, int] | None] = [None] * self.rank
        for operand, m in zip(self.operands, self.maps, strict=True):
            for position, expr in enumerate(m.results):
                if not isinstance(expr, ir.AffineDimExpr):
                    continue
                static = not ir.RankedTensorType(operand.type).is_dynamic_dim(position)
                if found[expr.position] is None or static:
                    found[expr.position] = (operand, position)
        if None in found:
            raise NotApplicable("a loop's extent is no operand's extent")
        return found

    @cached_property
    def extents(self) -> list[int | None]:
        """The extent of each loop, None where it is dynamic."""
        found = []
        for value, d in self.sizes():
            kind = ir.RankedTensorType(value.type)
            found.append(None if kind.is_dynamic_dim(d) else kind.get_dim_size(d))
        return found

    def loops(self, result: int, indices: tuple[Index, ...]) -> list[Index | None]:
        """The loop indices that give the element `indices` of a result; None for a reduced loop."""
        loops: list[Index | None] = [None] * self.rank
        for expr, index in zip(self.output_map(result).results, indices, strict=True):
            if isinstance(expr, ir.AffineDimExpr):
                if loops[expr.position] is not None:
                    raise NotApplicable("a result reads one loop twice")
                loops[expr.position] = index
            elif not (isinstance(expr, ir.AffineConstantExpr) and expr.value == 0):
                raise NotApplicable("a result is not written by a permutation of its loops")
        for d, loop in enumerate(loops):
            if loop is None and not self.reduction[d]:
                raise NotApplicable("a result does not depend on a parallel loop")
        return loops


def parameters_of(func: ir.Operation) -> dict[str, int | str]:
    """The attribute `neo.parameters` of a kernel's function: numbers by name, and the name of its `schedule`."""
    if "neo.parameters" not in func.attributes:
        return {}
    return {a.name: a.attr.value for a in ir.DictAttr(func.attributes["neo.parameters"])}


def set_parameters(func: ir.Operation, parameters: Mapping[str, int | str]) -> None:
    """Write that attribute; nothing where there are none."""
    if not parameters:
        if "neo.parameters" in func.attributes:
            del func.attributes["neo.parameters"]
        return
    with func.context:
        i64 = ir.IntegerType.get_signless(64)
        func.attributes["neo.parameters"] = ir.DictAttr.get(
            {
                name: ir.StringAttr.get(value) if isinstance(value, str) else ir.IntegerAttr.get(i64, value)
                for name, value in parameters.items()
            }
        )


def _check_type(type_: ir.Type) -> None:
    """Raise NotApplicable for types that no schedule computes on, and for tensors without elements."""
    if isinstance(type_, ir.RankedTensorType) and 0 in type_.shape:
        raise NotApplicable("a tensor has no elements")
    element = type_.element_type if isinstance(type_, ir.ShapedType) else type_
    if not isinstance(element, ir.FloatType | ir.IntegerType | ir.IndexType):
        raise NotApplicable(f"no schedule computes on {element}")


@dataclass
class Kernel:
    """One `func.func` of the level `kernels`: `results[i]` is to be stored in `destinations[i]`."""

    func: ir.Operation
    args: list[ir.Value]
    destinations: list[ir.Value]
    results: list[ir.Value]
    generics: list[Generic]
    others: list[ir.Operation]
    given: dict[str, int | str] = field(default_factory=dict)
    """Parameters that the kernel is told to take: the attribute `neo.parameters` of its function."""
    space: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Every parameter that its schedule has asked for, and the values that it may take, the analytic one first."""
    taken: dict[str, int] = field(default_factory=dict)

    def parameter(self, name: str, analytic: int, others: Iterable[int]) -> int:
        """What a schedule takes for a parameter: `analytic`, what its model of the target says, unless told otherwise.

        `others` are the values that are worth a measurement; asking is what makes a parameter known to `neo-tune`. A
        kernel that is told something else takes `analytic`: the schedule may have changed since it was measured.
        """
        self.space[name] = tuple(dict.fromkeys((analytic, *others)))
        given = self.given.get(name)
        self.taken[name] = given if given in self.space[name] else analytic
        return self.taken[name]

    @staticmethod
    def read(func: ir.Operation) -> Kernel:
        """Raises NotApplicable where the body is not a straight line of known operations that ends in a return."""
        blocks = list(func.regions[0].blocks)
        if len(blocks) != 1:
            raise NotApplicable("the body has control flow")
        ops = [op.operation for op in blocks[0].operations]
        generics, others = [], []
        for op in ops[:-1]:
            if op.name in ("linalg.generic", "linalg.fill"):
                generics.append(Generic(op))
            elif len(op.regions) and op.name not in ("tensor.pad", LOOP):
                raise NotApplicable(f"no schedule knows {op.name}")
            else:
                others.append(op)
        args = list(blocks[0].arguments)
        results = [same(v) for v in ops[-1].operands]
        if len(results) > len(args) or not results:
            raise NotApplicable("a kernel has one destination a result")
        destinations = args[len(args) - len(results) :]
        if any(not isinstance(v.type, ir.RankedTensorType) for v in results):
            raise NotApplicable("a result is not a tensor")
        for value in [*args, *(r for op in ops[:-1] for r in op.results)]:
            _check_type(value.type)
        return Kernel(func, args, destinations, results, generics, others, parameters_of(func))

    @cached_property
    def roots(self) -> list[Generic]:
        """The operations that reduce."""
        return [g for g in self.generics if any(g.reduction)]

    @cached_property
    def by_result(self) -> dict[ir.Value, tuple[Generic, int]]:
        return {r: (g, i) for g in self.generics for i, r in enumerate(g.results)}

    def generic_of(self, value: ir.Value) -> tuple[Generic, int] | None:
        """The generic operation that computes a value, and which of its results it is."""
        return self.by_result.get(value)

    @cached_property
    def element_bits(self) -> int:
        """Width of the widest element that is computed on; 64-bit integers beside floats are taken for indices."""
        bits = {"f": 0, "i": 0}
        values = [*self.args, *(r for g in self.generics for r in g.results)]
        for value in values:
            element = value.type.element_type if isinstance(value.type, ir.ShapedType) else value.type
            kind = "f" if isinstance(element, ir.FloatType) else "i"
            bits[kind] = max(bits[kind], 64 if isinstance(element, ir.IndexType) else max(8, element.width))
        return bits["f"] or bits["i"] or 32

    def leaves(self, value: ir.Value, indices: tuple[Index, ...]) -> Iterator[tuple[ir.Value, tuple[Index, ...]]]:
        """Every argument, and constant of more than one number, that the element `indices` of `value` reads, and where.

        A reduced loop shows as a fresh variable. An argument that is read at computed places yields None.
        """
        yield from self._leaves(value, indices, {})

    def _leaves(self, value, indices, reduced):
        owner = value.owner
        if isinstance(owner, ir.Block):
            yield value, indices
            return
        found = self.generic_of(value)
        if found is not None:
            generic, result = found
            loops = generic.loops(result, indices)
            for d, loop in enumerate(loops):
                if loop is None and generic.extents[d] == 1:
                    loops[d] = Index()
                elif loop is None:
                    loops[d] = of(reduced.setdefault((generic, d), Var(None)))
            if "linalg.index" in generic.names or "tensor.extract" in generic.names:
                yield None, tuple(loops)
            for operand, used, m in zip(generic.operands, generic.used, generic.maps, strict=True):
                if used and isinstance(operand.type, ir.RankedTensorType):
                    yield from self._leaves(operand, tuple(apply(e, loops) for e in m.results), reduced)
            return
        name = owner.name
        if name in SAME:
            yield from self._leaves(owner.operands[0], indices, reduced)
        elif name == "tensor.extract_slice" and (place := static_slice(owner, indices)) is not None:
            yield from self._leaves(owner.operands[0], place, reduced)
        elif name in ("tensor.expand_shape", "tensor.collapse_shape"):
            yield from self._leaves(owner.operands[0], through_reshape(owner, indices), reduced)
        elif name == "arith.constant":
            constant = owner.attributes["value"]
            if not (isinstance(constant, ir.DenseElementsAttr) and constant.is_splat):
                yield value, indices
        elif name in ("tensor.pad", "tensor.extract_slice", "tensor.insert_slice", "tensor.concat"):
            for operand in owner.operands:
                if isinstance(operand.type, ir.RankedTensorType):
                    yield None, indices


def same(value: ir.Value) -> ir.Value:
    """The value behind casts and copies into destinations."""
    while not isinstance(value.owner, ir.Block) and value.owner.name in SAME:
        value = value.owner.operands[0]
    return value


def dropped(op: ir.Operation) -> set[int]:
    """The dimensions that a slice (taken or put in) drops."""
    small = ir.RankedTensorType((op.results[0] if op.name == "tensor.extract_slice" else op.operands[0]).type)
    sizes = [None if n == DYNAMIC else n for n in op.attributes["static_sizes"]]
    left = [None if small.is_dynamic_dim(d) else small.get_dim_size(d) for d in range(small.rank)]
    found: set[int] = set()
    for d, size in enumerate(sizes):
        spare = len(sizes) - d - len(left)
        if left and size == left[0] and not (size == 1 and spare and sizes[d:].count(1) > left.count(1)):
            left.pop(0)
        else:
            found.add(d)
    if left:
        raise NotApplicable("the dimensions that a slice drops are not clear")
    return found


def static_slice(op: ir.Operation, indices: tuple[Index, ...]) -> tuple[Index, ...] | None:
    """The indices into the source of an extract_slice whose offsets and strides are static, else None."""
    offsets, strides = list(op.attributes["static_offsets"]), list(op.attributes["static_strides"])
    if DYNAMIC in offsets or DYNAMIC in strides:
        return None
    rest, gone = iter(indices), dropped(op)
    return tuple(
        Index({}, offset) if d in gone else next(rest) * stride + offset
        for d, (offset, stride) in enumerate(zip(offsets, strides, strict=True))
    )


def through_reshape(op: ir.Operation, indices: tuple[Index, ...]) -> tuple[Index, ...]:
    """The indices into the operand of an expand_shape or a collapse_shape."""
    groups = [[i.value for i in group] for group in op.attributes["reassociation"]]
    long = ir.RankedTensorType((op.results[0] if op.name == "tensor.expand_shape" else op.operands[0]).type)
    found: list[Index] = []
    for position, group in enumerate(groups):
        inner = [long.get_dim_size(d) if not long.is_dynamic_dim(d) else None for d in group[1:]]
        if op.name == "tensor.expand_shape":
            total = indices[group[0]] if group else Index()
            for d, size in zip(group[1:], inner, strict=True):
                if total.constant == 0:
                    total = indices[d]
                    continue
                if size is None:
                    raise NotApplicable("a reshape has an inner dimension that is not static")
                total = total * size + indices[d]
            found.append(total)
            continue
        pieces: list[Index] = []
        rest = indices[position]
        sizes = [1 if not long.is_dynamic_dim(d) and long.get_dim_size(d) == 1 else None for d in group]
        wide = [i for i, size in enumerate(sizes) if size is None]
        for i in range(len(group) - 1, -1, -1):
            if i not in wide:
                pieces.append(Index())
            elif i == wide[0]:
                pieces.append(rest)
            else:
                size = inner[i - 1]
                if size is None:
                    raise NotApplicable("a reshape has an inner dimension that is not static")
                rest, piece = split(rest, size)
                pieces.append(piece)
        found.extend(pieces[::-1])
    return tuple(found)
