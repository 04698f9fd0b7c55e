"""The IR of every kernel of a compiled program, level by level."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from neomlir.errors import ModelError, NeoError
from neomlir.kernel_job import KernelResult, compile_kernel
from neomlir.passes.functions import functions, kernel_modules, name_of
from neomlir.runtime import Model
from neomlir.staircase import LEVELS, RUNGS, with_rung
from neomlir.workers import isolated, parallel


def kernel_levels(model: Model, jobs: int | None = None) -> dict[str, dict[str, str]]:
    """The text of each kernel at the levels `kernels`, `vector`, `memref` and `llvm`, by its name and the level's.

    The file holds the first (`include_ir=True`) and the pipelines that lead to the others, which are run again, `jobs`
    kernels at a time in processes of their own. Raises ModelError where it holds none.
    """
    text, pipelines = model.ir("kernels"), model.report.get("pipelines")
    if not pipelines:
        raise ModelError("the program does not say which passes led to it; compile the model again")
    stages = {level: pipelines[level] for level in LEVELS if level in pipelines}
    rungs = {kernel["name"]: kernel.get("rung", "") for kernel in model.report["kernels"]}
    kernels = isolated(_kernels, text)
    tasks = [(_limited(kernels[name], rungs.get(name, "")), stages, {}, True, "") for name in kernels]
    found = {name: {"kernels": kernels[name]} for name in kernels}
    for number, answer in parallel(compile_kernel, tasks, jobs or os.cpu_count() or 1):
        name = list(kernels)[number]
        if isinstance(answer, KernelResult):
            found[name].update(answer.levels)
        else:
            found[name]["error"] = _message(answer)
    return found


def _kernels(_emit: Any, text: str) -> Mapping[str, str]:
    """The nested modules of level `kernels` by the name of their kernel."""
    from neomlir.dialects import context
    from neomlir.mlir import ir

    with context():
        module = ir.Module.parse(text)
        return {name_of(functions(nested)[0]): str(nested) for nested in kernel_modules(module.operation)}


def _limited(text: str, rung: str) -> str:
    return with_rung(text, RUNGS.index(rung) if rung in RUNGS else 0)


def _message(error: NeoError) -> str:
    return str(error) or type(error).__name__
