"""Make the weights of a function external globals, loaded where the function starts."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import ir, ml_program
from neomlir.passes.base import ModulePass, register
from neomlir.passes.expect import fail

WEIGHT = "neo.weight"


@register
@dataclass(frozen=True)
class WeightsToGlobals(ModulePass):
    """Replace each argument that carries `neo.weight = "name"` by a load of the external global `@name`.

    Arguments of one name share one global. A weight that nothing reads leaves no trace.
    """

    name = "neo-weights-to-globals"

    def run(self, module: ir.Module) -> None:
        taken = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value
            for op in module.body.operations
            if "sym_name" in op.operation.attributes
        }
        declared: dict[str, ir.Type] = {}
        with module.context:
            for op in [o.operation for o in module.body.operations]:
                if op.name == "func.func" and "arg_attrs" in op.attributes:
                    _convert(op, declared, taken)


def _convert(function: ir.Operation, declared: dict[str, ir.Type], taken: set[str]) -> None:
    attributes = list(ir.ArrayAttr(function.attributes["arg_attrs"]))
    if not any(WEIGHT in attribute for attribute in attributes):
        return
    block = function.regions[0].blocks[0]
    symbol = ir.StringAttr(function.attributes["sym_name"]).value
    start = ir.InsertionPoint.at_block_begin(block)
    loaded: dict[str, ir.Value] = {}
    for number, attribute in enumerate(attributes):
        if WEIGHT not in attribute:
            continue
        if not isinstance(attribute[WEIGHT], ir.StringAttr):
            fail(function, f"argument {number} of @{symbol}: {WEIGHT} is the name of a weight, not {attribute[WEIGHT]}")
        name = attribute[WEIGHT].value
        argument = block.arguments[number]
        if next(iter(argument.uses), None) is None:
            continue
        if declared.get(name, argument.type) != argument.type:
            raise PassFailure(f"weight {name!r} of @{symbol} has two types: {declared[name]} and {argument.type}")
        if name not in declared:
            if name in taken:
                raise PassFailure(f"weight {name!r} of @{symbol} cannot become a global: the module has a @{name}")
            _declare(function, name, argument.type)
            declared[name] = argument.type
        if name not in loaded:
            with start, function.location:
                load = ml_program.GlobalLoadConstOp(argument.type, ir.FlatSymbolRefAttr.get(name))
            loaded[name] = load.results[0]
        argument.replace_all_uses_with(loaded[name])
    kept = [number for number, attribute in enumerate(attributes) if WEIGHT not in attribute]
    for number in reversed(range(len(attributes))):
        if WEIGHT in attributes[number]:
            block.erase_argument(number)
    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    inputs = [type_.inputs[number] for number in kept]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, type_.results))
    function.attributes["arg_attrs"] = ir.ArrayAttr.get([attributes[number] for number in kept])


def _declare(function: ir.Operation, name: str, type_: ir.Type) -> None:
    with ir.InsertionPoint(function), function.location:
        ir.Operation.create(
            "ml_program.global",
            attributes={
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "type": ir.TypeAttr.get(type_),
                "value": ir.Attribute.parse("#ml_program.extern"),
            },
        )
