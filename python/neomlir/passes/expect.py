"""What a pass may take for granted of the module it is given, checked with a place and a way out."""

from __future__ import annotations

from typing import NoReturn

from neomlir.diagnostics import location_text
from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.functions import name_of


def fail(op: ir.Operation, message: str) -> NoReturn:
    """Raise a PassFailure with one diagnostic at an operation."""
    where = location_text(op.location)
    failed = PassFailure(f"{where}: error: {message}" if where else message)
    failed.diagnostics = [(where, "error", message)]
    raise failed


def expect_straight_line(function: ir.Operation, name: str) -> None:
    """Fail unless a function with a body has one block."""
    blocks = len(function.regions[0].blocks)
    if blocks != 1:
        fail(function, f"{name} works on straight-line code: @{name_of(function)} has {blocks} blocks")


def expect_signature(function: ir.Operation, name: str, kind: type[ir.Type] | tuple, level: str) -> None:
    """Fail unless all arguments and results of a function are of one kind, as they are at `level`."""
    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    for what, types in (("argument", type_.inputs), ("result", type_.results)):
        for number, found in enumerate(types):
            if not isinstance(found, kind):
                wanted = "ranked tensors" if kind is ir.RankedTensorType else "memrefs and scalars"
                fail(
                    function,
                    f"{name} works at level `{level}`, where functions take and give {wanted}: {what} {number} of "
                    f"@{name_of(function)} is {found}",
                )
