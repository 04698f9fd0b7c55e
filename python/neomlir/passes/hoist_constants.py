"""Move what depends on weights alone to a function of its own, to be run once, at compile time."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import func, ir, ml_program
from neomlir.passes import structured as s
from neomlir.passes.base import ModulePass, register
from neomlir.passes.constants import Constants, bytes_of
from neomlir.passes.dataflow import captured_values
from neomlir.passes.functions import name_of

_FREE = frozenset({"arith.constant", "linalg.fill", "ml_program.global_load_const", "tensor.empty", "tensor.splat"})
_VIEWS = frozenset({"tensor.cast", "tensor.collapse_shape", "tensor.expand_shape"})
_SMALL = 1 << 16


@register
@dataclass(frozen=True)
class HoistConstants(ModulePass):
    """Move the largest subgraphs of `@main` that depend on weights and constants alone to `@initialize`.

    Each of their results that other operations read becomes an external global `@packed_N`; `@initialize` returns
    it with `neo.defines = @packed_N` on the result. Reshapes stay where they are: they cost nothing. So does what
    would make data much larger (a broadcast of a small weight).
    """

    name = "neo-hoist-constants"

    growth: int = 8
    """A result of more than this many times the bytes of the weights it comes from (and over 64 KiB) is not moved."""

    def run(self, module: ir.Module) -> None:
        functions = {name_of(f): f for f in s.straight_line(module)}
        if "main" not in functions:
            return
        with module.context, module.operation.location:
            chosen = self._choose(functions["main"])
            if not chosen:
                return
            if "initialize" in functions:
                raise PassFailure(
                    "neo-hoist-constants: @initialize exists already, and @main has new constants to move; "
                    "run the pass once, after every pass that works on weights"
                )
            _move(module, functions["main"], chosen)

    def _choose(self, main: ir.Operation) -> list[ir.Value]:
        constants = Constants.of(main)
        chosen: dict[ir.Value, None] = {}
        seen: set[ir.Value] = set()

        def need(value: ir.Value) -> None:
            """`value` is read at run time: compute it at compile time, or what it is made of."""
            if value in seen:
                return
            seen.add(value)
            op = s.maker(value)
            if op.name in _FREE or not isinstance(value.type, ir.RankedTensorType):
                for operand in captured_values(op):
                    need(operand)
                return
            size = bytes_of(value)
            grows = size > _SMALL and size > self.growth * constants.bytes_from[value]
            if op.name in _VIEWS or grows or not size:
                for operand in captured_values(op):
                    need(operand)
                return
            chosen[value] = None

        order: dict[ir.Value, int] = {}
        for op in s.operations(main):
            for result in op.results:
                order[result] = len(order)
            if not all(result in constants for result in op.results) or not len(op.results):
                for value in captured_values(op):
                    if value in constants:
                        need(value)
        return sorted(chosen, key=order.__getitem__)


def _move(module: ir.Module, main: ir.Operation, values: list[ir.Value]) -> None:
    symbols = {
        ir.StringAttr(op.operation.attributes["sym_name"]).value
        for op in module.body.operations
        if "sym_name" in op.operation.attributes
    }
    names: list[str] = []
    number = 0
    for _ in values:
        while f"packed_{number}" in symbols:
            number += 1
        names.append(f"packed_{number}")
        number += 1

    location = main.location
    _declare(main, names, values)
    with ir.InsertionPoint.after(main), location:
        initialize = func.FuncOp("initialize", ir.FunctionType.get([], [v.type for v in values]))
        block = initialize.add_entry_block()
    initialize.attributes["res_attrs"] = ir.ArrayAttr.get(
        [ir.DictAttr.get({"neo.defines": ir.FlatSymbolRefAttr.get(name)}) for name in names]
    )
    mapping: dict[ir.Value, ir.Value] = {}
    s.clone_into(_slice(main, values), mapping, ir.InsertionPoint(block))
    with ir.InsertionPoint(block), location:
        func.ReturnOp([mapping[value] for value in values])
    for name, value in zip(names, values, strict=True):
        maker = s.maker(value)
        with ir.InsertionPoint(maker), maker.location:
            loaded = ml_program.GlobalLoadConstOp(value.type, ir.FlatSymbolRefAttr.get(name))
        value.replace_all_uses_with(loaded.results[0])
    _erase_dead(main)


def _declare(main: ir.Operation, names: list[str], values: list[ir.Value]) -> None:
    extern = ir.Attribute.parse("#ml_program.extern")
    with ir.InsertionPoint(main), main.location:
        for name, value in zip(names, values, strict=True):
            ir.Operation.create(
                "ml_program.global",
                attributes={
                    "sym_name": ir.StringAttr.get(name),
                    "sym_visibility": ir.StringAttr.get("private"),
                    "type": ir.TypeAttr.get(value.type),
                    "value": extern,
                },
            )


def _slice(main: ir.Operation, values: list[ir.Value]) -> list[ir.Operation]:
    """What `values` are computed from, in program order."""
    needed = set(values)
    found = []
    for op in reversed(s.operations(main)):
        if any(result in needed for result in op.results):
            found.append(op)
            needed.update(captured_values(op))
    return found[::-1]


def _erase_dead(main: ir.Operation) -> None:
    for op in reversed(s.operations(main)):
        if len(op.results) and all(next(iter(r.uses), None) is None for r in op.results) and op.name != "func.call":
            s.erase(op)
