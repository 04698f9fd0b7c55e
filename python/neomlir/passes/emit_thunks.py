"""Give every kernel the one signature the runtime calls: `void (i64 lo, i64 hi, ptr arguments)`."""

from __future__ import annotations

from dataclasses import dataclass

from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import name_of
from neomlir.passes.llvm_text import Text, buffer_types, dynamic_extents, insert_function, llvm_type


@register
@dataclass(frozen=True)
class EmitThunks(ModulePass):
    """Define `@KERNEL.run(i64, i64, ptr)` beside every kernel of level `llvm`.

    It reads the arguments from an array of 8-byte slots, a pointer and the dynamic extents for a buffer, a value for a
    scalar, and calls the kernel, which becomes internal. The order of the slots is that of `neo.signature`.
    """

    name = "neo-emit-thunks"

    def run(self, module: ir.Module) -> None:
        """Add a thunk for every function that has a signature and none yet."""
        ops = [op.operation for op in module.body.operations if op.operation.name == "llvm.func"]
        with ir.Location.unknown(module.context):
            for op in ops:
                if "neo.signature" in op.attributes and len(op.regions[0].blocks):
                    signature = ir.FunctionType(ir.TypeAttr(op.attributes["neo.signature"]).value)
                    insert_function(module.body, *_thunk(name_of(op), signature.inputs[:-2]))
                    op.attributes["linkage"] = ir.Attribute.parse("#llvm.linkage<internal>")
                    op.attributes["arg_attrs"] = _no_aliases(signature.inputs)
                    del op.attributes["neo.signature"]


def slots(type_: ir.Type) -> int:
    """How many 8-byte slots an argument takes."""
    return 1 + dynamic_extents(type_) if isinstance(type_, ir.MemRefType) else 1


def _thunk(name: str, types: list[ir.Type]) -> tuple[str, str]:
    """The text of the thunk, and the declaration of what it calls."""
    text, flat, flat_types, slot = Text(), [], [], 0
    for type_ in types:
        if isinstance(type_, ir.MemRefType):
            pointer = text.load("%data", 8 * slot, "!llvm.ptr")
            extents = [text.load("%data", 8 * (slot + 1 + i), "i64") for i in range(dynamic_extents(type_))]
            flat += text.buffer(type_, pointer, extents)
            flat_types += buffer_types(type_)
        else:
            flat.append(text.load("%data", 8 * slot, llvm_type(type_)))
            flat_types.append(llvm_type(type_))
        slot += slots(type_)
    arguments, all_types = ", ".join([*flat, "%lo", "%hi"]), ", ".join([*flat_types, "i64", "i64"])
    thunk = "\n".join(
        [
            f'llvm.func @"{name}.run"(%lo: i64, %hi: i64, %data: !llvm.ptr) {{',
            *text.lines,
            f'  llvm.call @"{name}"({arguments}) : ({all_types}) -> ()',
            "  llvm.return",
            "}",
        ]
    )
    return thunk, f'llvm.func @"{name}"({all_types})'


def _no_aliases(types: list[ir.Type]) -> ir.ArrayAttr:
    """Kernels write to their destinations only and no destination is also an input."""
    plain, alone = ir.DictAttr.get({}), ir.DictAttr.get({"llvm.noalias": ir.UnitAttr.get()})
    attributes: list[ir.Attribute] = []
    for type_ in types:
        if isinstance(type_, ir.MemRefType):
            attributes += [plain, alone] + [plain] * (1 + 2 * type_.rank)
        else:
            attributes.append(plain)
    return ir.ArrayAttr.get(attributes)
