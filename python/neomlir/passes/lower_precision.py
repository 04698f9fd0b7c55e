"""Let contractions read numbers of 16 bits, and let tensors between kernels be stored as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from neomlir import targets
from neomlir.errors import PassFailure
from neomlir.mlir import arith, ir
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, count, register
from neomlir.passes.constants import Constants, bytes_of
from neomlir.passes.contraction import Contraction
from neomlir.passes.dataflow import indexing_maps, iterators, number_of_inputs
from neomlir.passes.loops import with_loops
from neomlir.passes.winograd import Convolution
from neomlir.schedules.units import rate_of, step_unit
from neomlir.schedules.winograd_plan import pays

TYPES = ("f32", "bf16", "f16")
_VIEWS = frozenset(
    {
        "tensor.cast",
        "tensor.collapse_shape",
        "tensor.concat",
        "tensor.expand_shape",
        "tensor.extract_slice",
        "tensor.pad",
    }
)


@register
@dataclass(frozen=True)
class LowerPrecision(ModulePass):
    """Round the factors of contractions in f32 to a type of 16 bits; sums and all that follows them stay in f32.

    The tensors that contractions and windows (pooling) read are rounded where they are made, to nearest, ties to even,
    so that they are stored in half the memory, and so are views of them. What else reads them, such as the addition at
    the end of a residual block, widens what it reads, or, where half the second-level cache holds them in f32, reads
    them unrounded: errors would add up along the blocks, and the memory traffic is small. Weights are rounded while
    compiling. All else is computed in f32: softmax, layer norm, the epilogues of contractions. Filters of depthwise
    convolutions stay as they are, and so do the types of a function's arguments and results. Values beyond the range of
    f16 become infinities.

    Where the target has no instruction that multiplies such numbers, weights alone are rounded: they take half the
    memory, and a product widens what it loads; to round and to widen activations as well would cost time and accuracy
    for nothing.

    In the loop of a recurrent layer products of states by weights are rounded where the target has such an instruction
    and the states are whole steps of it: the weights, half as large then, are read again in every step.

    A convolution that is faster by Winograd's algorithm in f32 than directly with the target's instructions keeps its
    factors as they are.
    """

    name = "neo-lower-precision"

    type: str = "f32"
    """`bf16` or `f16`; `f32` leaves everything as it is."""
    target: str = "host"
    """The target whose second-level cache and units are meant."""
    winograd: bool = True
    """Whether `neo-winograd`, which comes behind, may rewrite convolutions."""

    def run(self, module: ir.Module) -> None:
        if self.type not in TYPES:
            raise PassFailure(f"{self.name}: type={self.type} is none of {', '.join(TYPES)}")
        if self.type == "f32":
            return
        with module.context, module.operation.location:
            target = targets.get(self.target)
            narrow = ir.BF16Type.get() if self.type == "bf16" else ir.F16Type.get()
            rate = rate_of(target, self.type)
            in_steps = partial(_in_steps, target, self.type)
            wanted = partial(_factors if rate else _weights, left=self._left(target, rate or 1))
            for function in s.straight_line(module):
                _Function(function, narrow, target.cache.l2 // 2, wanted, in_steps).lower()

    def _left(self, target: targets.Target, rate: int) -> Callable[[ir.Operation, Constants], bool]:
        """Whether a convolution is left to `neo-winograd`, rather than done directly at `rate` times f32's speed."""

        def left(op: ir.Operation, constants: Constants) -> bool:
            found = Convolution.match(op, constants) if self.winograd else None
            return found is not None and pays(target, found.shape, rate)

        return left


class _Function:
    """One function; `made` gives the narrow value of each wide one that has one."""

    def __init__(
        self,
        function: ir.Operation,
        narrow: ir.Type,
        small: int,
        wanted: Callable[[ir.Operation, Constants], list[int]],
        in_steps: Callable[[int], bool],
    ):
        """`wanted` gives the numbers of the operands that an operation reads in the narrow type, `in_steps` whether
        sums over so many products are of narrow numbers in the steps of a loop."""
        self.function, self.narrow, self.small, self.in_steps = function, narrow, small, in_steps
        self.constants = Constants.of(function)
        self.wanted = partial(wanted, constants=self.constants)
        self.made: dict[ir.Value, ir.Value] = {}
        self.readers: list[ir.Operation] = []
        """The contractions and windows."""
        self.rounded: list[ir.Operation] = []
        """The operations that do nothing but round."""

    def lower(self) -> None:
        for op in with_loops(self.function):
            if numbers := self.wanted(op) if op.parent.operation == self.function else self._in_loop(op):
                self.readers.append(op)
            for number in numbers:
                self.lowered(op.operands[number])
        for wide, value in self.made.items():
            self._redirect(wide, value)
        _erase_dead(self.function, self.rounded)
        for op in self.rounded:
            self._join(op)
        _erase_dead(self.function)

    def _in_loop(self, op: ir.Operation) -> list[int]:
        """The factors of a product of what a step computes by a weight."""
        found = Contraction.match(op) if op.name == "linalg.generic" else None
        if found is None or found.depthwise or not all(_is_wide(v) for v in op.operands):
            return []
        depths = [found.extents[loop] for loop in found.reductions]
        fits = len(depths) == 1 and depths[0] is not None and self.in_steps(depths[0])
        return [found.a, found.b] if fits and self.constants.weights(op.operands[found.b]) else []

    def lowered(self, value: ir.Value) -> ir.Value:
        """The narrow value of a wide one, made behind it."""
        found = self.made.get(value)
        if found is None:
            op = s.maker(value)
            if op is not None and op.name in _VIEWS and _is_plain(op):
                found = self._view(op)
            elif s.is_copy(op):
                found = self._moved(op)
            else:
                found = self._round(value)
            self.made[value] = found
        return found

    def _type(self, value: ir.Value) -> ir.Type:
        return ir.RankedTensorType.get(list(value.type.shape), self.narrow)

    def _view(self, op: ir.Operation) -> ir.Value:
        tensors = [(i, self.lowered(v)) for i, v in enumerate(op.operands) if _is_wide(v)]
        with op.location:
            copy = op.clone(ip=ir.InsertionPoint.after(op))
            for number, value in tensors:
                copy.operands[number] = value
            copy.results[0].set_type(self._type(op.results[0]))
            if op.name == "tensor.pad":
                block = copy.regions[0].blocks[0]
                end = block.operations[len(block.operations) - 1]
                number = ir.FloatAttr(s.constant_of(end.operands[0])).value
                with ir.InsertionPoint(end):
                    end.operands[0] = arith.ConstantOp(self.narrow, ir.FloatAttr.get(self.narrow, number)).result
        return copy.results[0]

    def _moved(self, op: ir.Operation) -> ir.Value:
        source = self.lowered(op.operands[0])
        with ir.InsertionPoint.after(op), op.location:
            empty = self._empty(op.results[0], op.operands[1])
            new, block = s.build_generic([source], [empty], indexing_maps(op), iterators(op), op.location)
            s.yield_(block, [block.arguments[0]])
        return new.results[0]

    def _empty(self, value: ir.Value, like: ir.Value) -> ir.Value:
        """An empty tensor of the narrow type, as large as `like`, at the insertion point."""
        made = s.maker(like)
        extents = list(made.operands) if made is not None and made.name == "tensor.empty" else _extents(like)
        return ir.Operation.create("tensor.empty", results=[self._type(value)], operands=extents).results[0]

    def _round(self, value: ir.Value) -> ir.Value:
        op = s.maker(value)
        at = ir.InsertionPoint.at_block_begin(value.owner) if op is None else None
        location = self.function.location if op is None else op.location
        with at or ir.InsertionPoint.after(op), location:
            rank = ir.RankedTensorType(value.type).rank
            identity = ir.AffineMap.get_identity(rank)
            new, block = s.build_generic(
                [value], [self._empty(value, value)], [identity, identity], [s.PARALLEL] * rank, location
            )
            with ir.InsertionPoint(block):
                rounded = arith.TruncFOp(self.narrow, block.arguments[0]).result
            s.yield_(block, [rounded])
        self.rounded.append(new)
        count("tensors rounded")
        return new.results[0]

    def _redirect(self, wide: ir.Value, value: ir.Value) -> None:
        """Let the generics that read the wide value read the narrow one, and widen it."""
        users = [use.owner.operation for use in wide.uses]
        block = wide.owner if isinstance(wide.owner, ir.Block) else wide.owner.operation.block
        # What a step leaves to the next stays exact.
        small = 0 < bytes_of(wide) <= self.small or block != self.function.regions[0].blocks[0]
        for op in users:
            if op.name != "linalg.generic" or op in self.rounded or (s.is_copy(op) and op.results[0] in self.made):
                continue
            if small and op not in self.readers:
                continue
            for number in range(number_of_inputs(op)):
                if op.operands[number] == wide:
                    op.operands[number] = value
                    self._widen(op, number)

    def _widen(self, op: ir.Operation, number: int) -> None:
        block = op.regions[0].blocks[0]
        argument = block.arguments[number]
        kind = argument.type
        if not len(list(argument.uses)):
            argument.set_type(self.narrow)
            return
        with ir.InsertionPoint.at_block_begin(block), op.location:
            stand_in = arith.ConstantOp(self.narrow, ir.FloatAttr.get(self.narrow, 0.0))
            wide = arith.ExtFOp(kind, stand_in.result)
        argument.replace_all_uses_with(wide.result)
        argument.set_type(self.narrow)
        wide.operation.operands[0] = argument
        stand_in.operation.erase()

    def _join(self, op: ir.Operation) -> None:
        """Round in the body that makes a tensor; where others read it unrounded, that body gives both."""
        value = op.operands[0]
        made = s.maker(value)
        if made is None or made.name != "linalg.generic" or not s.is_parallel(made):
            return
        inputs, operands, maps = number_of_inputs(made), list(made.operands), indexing_maps(made)
        position = list(made.results).index(value)
        both = not s.one_use(value)
        if not both and len(list(made.regions[0].blocks[0].arguments[inputs + position].uses)):
            return
        with ir.InsertionPoint(made), made.location:
            empty = self._empty(value, operands[inputs + position])
            if both:
                operands.append(empty)
                maps.append(maps[inputs + position])
            else:
                operands[inputs + position] = empty
            new, block = s.build_generic(operands[:inputs], operands[inputs:], maps, iterators(made), made.location)
        values = s.copy_body(made, block, dict(zip(made.regions[0].blocks[0].arguments, block.arguments, strict=False)))
        with ir.InsertionPoint(block), made.location:
            rounded = arith.TruncFOp(self.narrow, values[position]).result
        if both:
            values.append(rounded)
        else:
            values[position] = rounded
        s.yield_(block, values)
        s.replace(op, [new.results[-1 if both else position]])
        if both:
            s.replace(made, list(new.results)[:-1])
            return
        for old, result in zip(made.results, new.results, strict=True):
            if old != value:
                old.replace_all_uses_with(result)
        s.erase(made)


def _in_steps(target: targets.Target, type_: str, channels: int) -> bool:
    return step_unit(target, type_, type_, channels) is not None


def _is_wide(value: ir.Value) -> bool:
    return isinstance(value.type, ir.RankedTensorType) and isinstance(value.type.element_type, ir.F32Type)


def _weights(op: ir.Operation, constants: Constants, left: Callable[[ir.Operation, Constants], bool]) -> list[int]:
    """The weight of a contraction in f32 that is neither depthwise nor `left` as it is."""
    found = Contraction.match(op) if op.name == "linalg.generic" else None
    if found is None or found.depthwise or not all(_is_wide(v) for v in op.operands):
        return []
    return [found.b] if constants.weights(op.operands[found.b]) and not left(op, constants) else []


def _factors(op: ir.Operation, constants: Constants, left: Callable[[ir.Operation, Constants], bool]) -> list[int]:
    """What contractions and windows in f32 read, but for those `left` as they are."""
    if op.name != "linalg.generic" or s.is_parallel(op):
        return []
    found = Contraction.match(op)
    if found is not None:
        if not all(_is_wide(v) for v in op.operands) or left(op, constants):
            return []
        return [found.a] if found.depthwise else [found.a, found.b]
    maps = indexing_maps(op)
    return [i for i in range(number_of_inputs(op)) if _is_wide(op.operands[i]) and None in s.positions(maps[i])]


def _is_plain(op: ir.Operation) -> bool:
    """Whether a view can be taken of narrow tensors as well."""
    if op.name != "tensor.pad":
        return True
    block = op.regions[0].blocks[0]
    end = block.operations[len(block.operations) - 1]
    return isinstance(s.constant_of(end.operands[0]), ir.FloatAttr)


def _extents(value: ir.Value) -> list[ir.Value]:
    """The dynamic extents of a tensor, at the insertion point."""
    index = ir.IndexType.get()
    found = []
    for d, extent in enumerate(s.shape(value)):
        if extent < 0:
            number = arith.ConstantOp(index, ir.IntegerAttr.get(index, d)).result
            found.append(ir.Operation.create("tensor.dim", results=[index], operands=[value, number]).results[0])
    return found


def _erase_dead(function: ir.Operation, kept: Sequence[ir.Operation] = ()) -> None:
    """Erase the tensor operations whose results nobody reads, but those in `kept`."""
    for op in reversed(s.operations(function)):
        dead = op.name.startswith(("tensor.", "linalg.")) and not any(True for r in op.results for _ in r.uses)
        if dead and op not in kept:
            s.erase(op)
