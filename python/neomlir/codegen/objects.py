"""LLVM IR to object files, in process, for every triple llvmlite's LLVM knows."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm

from neomlir.codegen.llvm_ir import to_llvmlite
from neomlir.codegen.target_ir import specialized
from neomlir.errors import CompileError
from neomlir.targets import Target


@functools.cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def _machine(target: Target, opt: int) -> llvm.TargetMachine:
    _initialize()
    try:
        return llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu,
            features=",".join(target.features),
            opt=opt,
            reloc="static" if target.architecture.startswith("wasm") else "pic",
            codemodel="default",
            abiname=target.abi,
        )
    except RuntimeError as error:
        raise CompileError(f"target {target.name}: LLVM cannot make code for {target.triple}: {error}") from error


def _optimized(text: str, target: Target, opt: int) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    machine = _machine(target, opt)
    try:
        module = llvm.parse_assembly(specialized(to_llvmlite(text), target))
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM cannot read the program's IR: {error}") from error
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    for function in module.functions:
        function.add_function_attribute("nounwind")
    options = llvm.PipelineTuningOptions(speed_level=opt)
    options.loop_vectorization = options.slp_vectorization = opt > 1
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module, machine


def emit_object(text: str, target: Target, *, opt: int = 3) -> bytes:
    """An object file of LLVM IR `text` for `target`; the same bytes for the same text. Raises CompileError."""
    module, machine = _optimized(text, target, opt)
    return machine.emit_object(module)


def emit_assembly(text: str, target: Target, *, opt: int = 3) -> str:
    """The assembly of the same code. Raises CompileError."""
    module, machine = _optimized(text, target, opt)
    return machine.emit_assembly(module)
