"""Turn a bufferised kernel into a range of work items: `(buffers…, lo, hi) -> ()`."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.expect import expect_signature, expect_straight_line, fail
from neomlir.passes.functions import defined_functions, name_of

_PURE = ("arith.", "memref.dim", "affine.apply", "affine.min", "affine.max", "index.")


@register
@dataclass(frozen=True)
class FormDispatches(ModulePass):
    """Make every bufferised kernel a function of buffers and a range, without results.

    The outermost `scf.forall` becomes an `scf.for` from `lo` to `hi`; `neo.grid` holds the number of its iterations,
    or, where that depends on shapes, a function `@KERNEL.grid` of the same buffers gives it; `neo.signature` keeps the
    types for the passes after the conversion to LLVM. Results that the body did not write in place are copied to their
    destinations; copies become `linalg.copy`.
    """

    name = "neo-form-dispatches"

    def run(self, module: ir.Module) -> None:
        """Rewrite every function of the module that has a body."""
        with ir.Location.unknown(module.context):
            for function in defined_functions(module.operation):
                if "neo.grid" not in function.attributes and not name_of(function).endswith(".grid"):
                    _form(module, function)
            _lower_copies(module.operation)


_ARGUMENTS = (ir.MemRefType, ir.IndexType, ir.IntegerType, ir.FloatType)
"""What a kernel is given: buffers, and scalars that the host computes."""


def _form(module: ir.Module, function: ir.Operation) -> None:
    expect_straight_line(function, FormDispatches.name)
    expect_signature(function, FormDispatches.name, _ARGUMENTS, "memref")
    entry = function.regions[0].blocks[0]
    arguments = list(entry.arguments)
    end = list(entry.operations)[-1].operation
    returned = list(end.operands)
    if len(returned) > len(arguments):
        fail(function, f"{FormDispatches.name}: @{name_of(function)} has fewer arguments than results to write to")
    for value, destination in zip(returned, arguments[len(arguments) - len(returned) :], strict=True):
        if value != destination:
            ir.Operation.create("memref.copy", operands=[value, destination], ip=ir.InsertionPoint(end))
    ir.Operation.create("func.return", operands=[], ip=ir.InsertionPoint(end))
    end.erase()
    index = ir.IndexType.get()
    lo, hi = (entry.add_argument(index, ir.Location.unknown()) for _ in range(2))
    types = [a.type for a in arguments]
    foralls = [op.operation for op in entry.operations if op.operation.name == "scf.forall"]
    grid: ir.Value | int = 1
    if len(foralls) > 1:
        raise PassFailure(f"{name_of(function)}: a kernel has at most one outermost scf.forall, not {len(foralls)}")
    if foralls:
        grid = _range(foralls[0], lo, hi)
    if isinstance(grid, int):
        function.attributes["neo.grid"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), grid)
    else:
        _define_grid(module, function, entry, arguments, grid)
        function.attributes["neo.grid"] = ir.FlatSymbolRefAttr.get(f"{name_of(function)}.grid")
    signature = ir.TypeAttr.get(ir.FunctionType.get([*types, index, index], []))
    function.attributes["function_type"] = function.attributes["neo.signature"] = signature
    for attribute in ("arg_attrs", "res_attrs"):
        if attribute in function.attributes:
            del function.attributes[attribute]


def _range(forall: ir.Operation, lo: ir.Value, hi: ir.Value) -> ir.Value | int:
    """Replace the forall by a loop from lo to hi; returns the number of its iterations."""
    lower, upper, step = (
        list(ir.DenseI64ArrayAttr(forall.attributes[f"static{name}"])) for name in ("LowerBound", "UpperBound", "Step")
    )
    dynamic = list(forall.operands)
    if len(upper) != 1 or lower != [0] or step != [1] or len(dynamic) > 1:
        raise PassFailure("the outermost scf.forall of a kernel must count 0, 1, … in one dimension")
    at = ir.InsertionPoint(forall)
    one = ir.Operation.create(
        "arith.constant",
        results=[ir.IndexType.get()],
        attributes={"value": ir.IntegerAttr.get(ir.IndexType.get(), 1)},
        ip=at,
    ).results[0]
    loop = ir.Operation.create("scf.for", operands=[lo, hi, one], regions=1, ip=at)
    body = forall.regions[0].blocks[0]
    body.append_to(loop.regions[0])
    list(body.operations)[-1].operation.erase()
    ir.Operation.create("scf.yield", ip=ir.InsertionPoint(body))
    bound = dynamic[0] if dynamic else upper[0]
    forall.erase()
    return bound


def _define_grid(
    module: ir.Module, function: ir.Operation, entry: ir.Block, arguments: list[ir.Value], grid: ir.Value
) -> None:
    types = [a.type for a in arguments]
    index = ir.IndexType.get()
    new = ir.Operation.create(
        "func.func",
        regions=1,
        attributes={
            "sym_name": ir.StringAttr.get(f"{name_of(function)}.grid"),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [index])),
        },
        ip=ir.InsertionPoint(module.body),
    )
    block = ir.Block.create_at_start(new.regions[0], types)
    values = dict(zip(arguments, block.arguments, strict=True))
    at = ir.InsertionPoint(block)
    for op in (o.operation for o in entry.operations):
        if op.name.startswith(_PURE) and all(v in values for v in op.operands):
            clone = op.clone(ip=at)
            for i, value in enumerate(op.operands):
                clone.operands[i] = values[value]
            values.update(zip(op.results, clone.results, strict=True))
    if grid not in values:
        raise PassFailure(f"{name_of(function)}: the number of work items must follow from the extents of the buffers")
    ir.Operation.create("func.return", operands=[values[grid]], ip=at)


def _lower_copies(root: ir.Operation) -> None:
    copies: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "memref.copy":
            copies.append(op.operation)
        return ir.WalkResult.ADVANCE

    root.walk(visit)
    for copy in copies:
        source, target = copy.operands
        type_ = ir.MemRefType(source.type)
        new = ir.Operation.create(
            "linalg.copy",
            operands=[source, target],
            regions=1,
            attributes={"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1])},
            ip=ir.InsertionPoint(copy),
        )
        elements = [type_.element_type, ir.MemRefType(target.type).element_type]
        block = ir.Block.create_at_start(new.regions[0], elements)
        ir.Operation.create("linalg.yield", operands=[block.arguments[0]], ip=ir.InsertionPoint(block))
        copy.erase()
