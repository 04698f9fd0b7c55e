"""The arithmetic and memory of each call in a run whose dynamic extents are known: level `kernels`, evaluated."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

from neomlir.costs import walked, work
from neomlir.mlir import ir
from neomlir.passes.functions import functions, kernel_modules, main_of, name_of
from neomlir.passes.loops import LOOP
from neomlir.passes.places import type_bytes

Cost = tuple[int | None, int | None]
_BINARY = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.divsi": lambda a, b: _quotient(a, b) if b else None,
    "arith.divui": lambda a, b: a // b if b else None,
    "arith.floordivsi": lambda a, b: a // b if b else None,
    "arith.ceildivsi": lambda a, b: -(-a // b) if b else None,
    "arith.ceildivui": lambda a, b: -(-a // b) if b else None,
    "arith.remsi": lambda a, b: a - b * _quotient(a, b) if b else None,
    "arith.maxsi": max,
    "arith.minsi": min,
    "arith.maxui": max,
    "arith.minui": min,
    "arith.andi": operator.and_,
    "arith.ori": operator.or_,
}
_PREDICATES = (operator.eq, operator.ne, *2 * (operator.lt, operator.le, operator.gt, operator.ge))
"""Of `arith.cmpi` by their number; extents are not negative, so that signs do not matter."""
_SAME = ("arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui", "arith.trunci", "tensor.cast")


def run_costs(_emit: Any, text: str, shapes: Sequence[Sequence[int]]) -> list[Cost]:
    """(operations, bytes) of each call that `main` makes on inputs of these shapes, in order.

    None where they hang on more than shapes. Counted as `kernel_costs` does. For a worker process.
    """
    from neomlir.dialects import context

    with context():
        module = ir.Module.parse(text)
        kernels = {name_of(functions(nested)[0]): functions(nested)[0] for nested in kernel_modules(module.operation)}
        return [_call_cost(kernels[callee], arguments) for callee, arguments in run_arguments(module, shapes)]


def run_arguments(module: ir.Module, shapes: Sequence[Sequence[int]]) -> Iterator[tuple[str, list[Any]]]:
    """The kernel and the arguments of each call that `main` makes on inputs of these shapes, in order.

    An argument is a tuple of extents of a tensor or the number of an integer, with None for what is not known.
    """
    for op, operands in run_operands(module, shapes):
        if op.name == "func.call":
            yield ir.FlatSymbolRefAttr(op.attributes["callee"]).value, operands


def run_operands(module: ir.Module, shapes: Sequence[Sequence[int]]) -> Iterator[tuple[ir.Operation, list[Any]]]:
    """Each operation of `main` with what its operands are on inputs of these shapes, as `run_arguments` has them."""
    main = main_of(module.operation)
    host = _Values(dict(zip(main.regions[0].blocks[0].arguments, map(tuple, shapes), strict=True)))
    for op in (o.operation for o in main.regions[0].blocks[0].operations):
        yield op, [host.of(value) for value in op.operands]
        host.step(op)


def _call_cost(kernel: ir.Operation, arguments: list[Any]) -> Cost:
    block = kernel.regions[0].blocks[0]
    flops = _operations(block, _Values(dict(zip(block.arguments, arguments, strict=True))))
    size: int | None = 0
    for argument, shape in zip(block.arguments, arguments, strict=True):
        if isinstance(argument.type, ir.RankedTensorType):
            known = size is not None and shape is not None and None not in shape
            size = size + math.prod(shape) * type_bytes(argument.type.element_type) if known else None
    return flops, size


def _operations(block: ir.Block, values: _Values) -> int | None:
    total: int | None = 0
    for op in (o.operation for o in block.operations):
        if op.name == LOOP:
            low, high, by = (values.of(v) for v in list(op.operands)[:3])
            inner = op.regions[0].blocks[0]
            # What is carried is as large as before the first step.
            carried = zip(list(inner.arguments)[1:], list(op.operands)[3:], strict=True)
            values.known.update({value: values.of(first) for value, first in carried})
            each = _operations(inner, values)
            extents = [None if None in (low, high, by) else max(0, -(-(high - low) // by))]
        else:
            each = work(op)
            generic = op.name == "linalg.generic"
            extents = walked(op, values.loops(op)) if generic else values.of(op.operands[0])[:1] if each else []
        if total is None or each is None or (each and None in extents):
            total = None
        elif each:
            total += each * math.prod(extents)
        values.step(op)
    return total


class _Values:
    """What is known of values: shapes of tensors, with None for what is not, and integers."""

    def __init__(self, known: dict[ir.Value, Any]) -> None:
        self.known = known

    def of(self, value: ir.Value) -> Any:
        """A tuple of extents of a tensor, the number of an integer; None where it is not known."""
        if value in self.known:
            return self.known[value]
        return _static(value.type) if isinstance(value.type, ir.RankedTensorType) else None

    def loops(self, op: ir.Operation) -> list[int | None]:
        """The extents of the loops of a `linalg.generic`, from those of its operands."""
        maps = [attribute.value for attribute in op.attributes["indexing_maps"]]
        found: list[int | None] = [None] * maps[0].n_dims
        for operand, map_ in zip(op.operands, maps, strict=True):
            if not isinstance(operand.type, ir.RankedTensorType):
                continue
            for expression, extent in zip(map_.results, self.of(operand), strict=True):
                if isinstance(expression, ir.AffineDimExpr) and extent is not None:
                    found[expression.position] = extent
        return found

    def step(self, op: ir.Operation) -> None:
        """Learn what an operation gives."""
        operands = list(op.operands)
        if not len(op.results):
            return
        result, made = op.results[0], None
        if op.name == "arith.constant" and isinstance(op.attributes["value"], ir.IntegerAttr):
            made = ir.IntegerAttr(op.attributes["value"]).value
        elif op.name in _BINARY:
            made = self._binary(op.name, operands)
        elif op.name == "arith.cmpi":
            a, b = (self.of(value) for value in operands)
            compare = _PREDICATES[ir.IntegerAttr(op.attributes["predicate"]).value]
            made = None if a is None or b is None else int(compare(a, b))
        elif op.name == "arith.select":
            which = self.of(operands[0])
            made = None if which is None else self.of(operands[1 if which else 2])
        elif op.name in _SAME:
            made = self.of(operands[0])
        elif op.name == "affine.apply":
            made = self._affine(op, operands)
        elif op.name == "tensor.dim":
            shape, number = self.of(operands[0]), self.of(operands[1])
            made = shape[number] if number is not None and number < len(shape) else None
        elif op.name == "tensor.empty":
            made = self._filled(result, operands)
        elif op.name == "tensor.expand_shape":
            made = self._filled(result, operands[1:])
        elif op.name == "tensor.collapse_shape":
            shape = self.of(operands[0])
            groups = [[i.value for i in group] for group in op.attributes["reassociation"]]
            made = tuple(_product([shape[d] for d in group]) for group in groups)
        elif op.name == "tensor.from_elements":
            made = tuple(self.of(value) for value in operands)
        elif op.name == "tensor.reshape" and operands[1].owner.name == "tensor.from_elements":
            made = tuple(self.of(value) for value in operands[1].owner.operands)
        elif op.name == "func.call" or op.name.startswith(("linalg.", "forest.", "bufferization.materialize")):
            # In destination style: results are as large as the last operands.
            for each, destination in zip(op.results, operands[-len(op.results) :], strict=True):
                self.known[each] = self.of(destination)
            return
        if made is not None and op.name != "tensor.from_elements":
            self.known[result] = made

    def _binary(self, name: str, operands: list[ir.Value]) -> int | None:
        a, b = (self.of(value) for value in operands)
        return None if a is None or b is None else _BINARY[name](a, b)

    def _affine(self, op: ir.Operation, operands: list[ir.Value]) -> int | None:
        map_ = op.attributes["map"].value
        numbers = [self.of(value) for value in operands]
        if None in numbers:
            return None
        return _evaluated(map_.results[0], numbers[: map_.n_dims], numbers[map_.n_dims :])

    def _filled(self, result: ir.Value, dynamic: list[ir.Value]) -> tuple[int | None, ...]:
        rest = iter(dynamic)
        return tuple(self.of(next(rest)) if extent is None else extent for extent in _static(result.type))


def _quotient(a: int, b: int) -> int:
    """Rounded towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _static(type_: ir.Type) -> tuple[int | None, ...]:
    type_ = ir.RankedTensorType(type_)
    return tuple(None if type_.is_dynamic_dim(d) else type_.get_dim_size(d) for d in range(type_.rank))


def _product(extents: list[int | None]) -> int | None:
    return None if None in extents else math.prod(extents)


def _evaluated(expression: ir.AffineExpr, dims: list[int], symbols: list[int]) -> int:
    if isinstance(expression, ir.AffineConstantExpr):
        return expression.value
    if isinstance(expression, ir.AffineDimExpr):
        return dims[expression.position]
    if isinstance(expression, ir.AffineSymbolExpr):
        return symbols[expression.position]
    a, b = (_evaluated(side, dims, symbols) for side in (expression.lhs, expression.rhs))
    if isinstance(expression, ir.AffineAddExpr):
        return a + b
    if isinstance(expression, ir.AffineMulExpr):
        return a * b
    if isinstance(expression, ir.AffineModExpr):
        return a % b
    return a // b if isinstance(expression, ir.AffineFloorDivExpr) else -(-a // b)
