"""Give every host function its entry point of the ABI: `i32 neo_NAME(struct neo_call *)`."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import name_of
from neomlir.passes.llvm_text import Text, buffer_types, insert_function
from neomlir.passes.relate_extents import ATTRIBUTE as EXTENTS

INPUTS, IN_DIMS, OUTPUTS, WEIGHTS, ARENA = range(5)
# `enum neo_status` of runtime/neo.h.
_DIMS_DISAGREE = 3
_HUGE = 2**63 - 1


@register
@dataclass(frozen=True)
class EmitEntry(ModulePass):
    """Define `@neo_NAME(!llvm.ptr) -> i32` for every host function `@NAME` of level `llvm`, which becomes internal.

    The entry reads inputs, their extents, outputs, weights and arena from `struct neo_call` (docs/levels.md), whose
    pointers are as wide as the machine's: fields are addressed by number.
    """

    name = "neo-emit-entry"

    def run(self, module: ir.Module) -> None:
        """Add an entry for every function that has a signature."""
        with ir.Location.unknown(module.context):
            for op in [o.operation for o in module.body.operations if o.operation.name == "llvm.func"]:
                if "neo.signature" in op.attributes and "neo.outputs" in op.attributes:
                    signature = ir.FunctionType(ir.TypeAttr(op.attributes["neo.signature"]).value)
                    extents = []
                    if EXTENTS in op.attributes:
                        extents = [list(ir.DenseI64ArrayAttr(a)) for a in ir.ArrayAttr(op.attributes[EXTENTS])]
                    outputs = len(ir.ArrayAttr(op.attributes["neo.outputs"]))
                    text = _entry(name_of(op), signature.inputs[:-3], outputs, extents)
                    insert_function(module.body, *text)
                    op.attributes["linkage"] = ir.Attribute.parse("#llvm.linkage<internal>")
                    del op.attributes["neo.signature"]


def _entry(name: str, types: list[ir.Type], outputs: int, related: list[list[int]]) -> tuple[str, str]:
    """The text of the entry, and the declaration of what it calls."""
    text, flat, flat_types = Text(), [], []
    seen: dict[int, str] = {}
    wrong: list[str] = []
    inputs, dims, results = (text.pointer("%call", field) for field in (INPUTS, IN_DIMS, OUTPUTS))
    for number, type_ in enumerate(types):
        is_input = number < len(types) - outputs
        table, slot = (inputs, number) if is_input else (results, number - (len(types) - outputs))
        pointer = text.pointer(table, slot)
        extents = []
        if is_input and not type_.has_static_shape:
            row = text.pointer(dims, number)
            dynamic = [i for i in range(type_.rank) if type_.is_dynamic_dim(i)]
            extents = [text.load(row, 8 * i, "i64") for i in dynamic]
            for i, extent in zip(dynamic, extents, strict=True):
                wanted = related[number][i] if number < len(related) else -1
                if wanted != -1:
                    other = text.constant(wanted) if wanted >= 0 else seen.setdefault(wanted, extent)
                    if other != extent:
                        wrong.append(text.emit(f'llvm.icmp "ne" {extent}, {other} : i64'))
        elif not type_.has_static_shape:
            extents = [text.constant(_HUGE)]
        flat += text.buffer(type_, pointer, extents)
        flat_types += buffer_types(type_)
    for field in (WEIGHTS, ARENA):
        pointer = text.pointer("%call", field)
        flat += [pointer, pointer, text.constant(0), text.constant(_HUGE), text.constant(1)]
        flat_types += ["!llvm.ptr", "!llvm.ptr", "i64", "i64", "i64"]
    arguments, all_types = ", ".join([*flat, "%call"]), ", ".join([*flat_types, "!llvm.ptr"])
    refuse = _refuse(text, wrong)
    entry = "\n".join(
        [
            f"llvm.func @neo_{name}(%call: !llvm.ptr) -> i32 {{",
            *text.lines,
            *refuse,
            f"  llvm.call @{name}({arguments}) : ({all_types}) -> ()",
            "  %ok = llvm.mlir.constant(0 : i32) : i32",
            "  llvm.return %ok : i32",
            "}",
        ]
    )
    return entry, f"llvm.func @{name}({all_types})"


def _refuse(text: Text, wrong: list[str]) -> list[str]:
    """Lines that return `NEO_DIMS_DISAGREE` where any of the conditions `wrong` holds, and go on where none does."""
    if not wrong:
        return []
    any_ = wrong[0]
    for condition in wrong[1:]:
        any_ = text.emit(f"llvm.or {any_}, {condition} : i1")
    return [
        f"  llvm.cond_br {any_}, ^disagree, ^agree",
        "^disagree:",
        f"  %disagree = llvm.mlir.constant({_DIMS_DISAGREE} : i32) : i32",
        "  llvm.return %disagree : i32",
        "^agree:",
    ]
