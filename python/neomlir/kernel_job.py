"""Compile one kernel: its nested module down the last levels and out as objects. Runs in a worker process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from neomlir.codegen.objects import emit_object
from neomlir.codegen.translate import to_llvm_ir
from neomlir.mlir import ir
from neomlir.passes.functions import functions
from neomlir.pipeline import Pipeline
from neomlir.schedules.kernel import parameters_of
from neomlir.targets import Target


@dataclass
class KernelResult:
    """What the rest of a compile needs to know of a kernel."""

    interface: str
    """Its nested module at level `memref` with declarations alone."""
    schedule: str
    objects: dict[str, bytes]
    """Object files by the name of the target they are for."""
    seconds: float = 0.0
    parameters: dict[str, int] = field(default_factory=dict)
    """What the schedule took for its parameters."""
    fallback: str = ""
    """Why a better schedule was not taken."""
    levels: dict[str, str] = field(default_factory=dict)
    """The nested module at each level, when asked for."""

    def entry(self) -> dict[str, Any]:
        """As the cache keeps it."""
        return {
            "interface": self.interface,
            "schedule": self.schedule,
            "objects": self.objects,
            "parameters": self.parameters,
            "fallback": self.fallback,
        }


def compile_kernel(
    text: str, stages: dict[str, str], targets: dict[str, Target], keep_levels: bool, last: str = "llvm"
) -> KernelResult:
    """Take the nested module `text` through `stages` (level → pipeline for one kernel) and emit it for `targets`.

    Raises PassFailure or CompileError; may kill the process it runs in.
    """
    from neomlir.dialects import context

    start = time.perf_counter()
    with context():
        module = ir.Module.parse(text)
        result = KernelResult("", "", {})
        for level, pipeline in stages.items():
            Pipeline(f"builtin.module({pipeline})").run(module, isolate=False)
            if keep_levels:
                result.levels[level] = str(module)
            if level == "vector":
                result.schedule, result.parameters = _schedule_of(module)
            if level == "memref":
                result.interface = _interface(module)
        if last == "llvm":
            llvm_ir = to_llvm_ir(module)
            for name, target in targets.items():
                result.objects[name] = emit_object(llvm_ir, target)
    result.seconds = time.perf_counter() - start
    return result


def _schedule_of(module: ir.Module) -> tuple[str, dict[str, int]]:
    for function in functions(module.operation):
        if "neo.schedule" in function.attributes:
            return ir.StringAttr(function.attributes["neo.schedule"]).value, parameters_of(function)
    return "scalar", {}


def _interface(module: ir.Module) -> str:
    copy = ir.Module.parse(str(module))
    for function in functions(copy.operation):
        attributes = {name: function.attributes[name] for name in function.attributes}
        attributes["sym_visibility"] = ir.StringAttr.get("private")
        with ir.Location.unknown():
            ir.Operation.create("func.func", regions=1, attributes=attributes, ip=ir.InsertionPoint(function))
        function.erase()
    for op in [o.operation for o in copy.body.operations if o.operation.name != "func.func"]:
        op.erase()
    return str(copy)
