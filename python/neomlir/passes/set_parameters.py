"""Tell kernels which parameters their schedules shall take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neomlir.errors import PipelineError
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register
from neomlir.passes.functions import functions, kernel_modules, name_of
from neomlir.schedules.kernel import set_parameters

Parameters = Mapping[str, int | str]
"""Values by the name of a parameter; `schedule` is the name of a schedule, the others are numbers."""


@register
@dataclass(frozen=True)
class SetParameters(ModulePass):
    """Write the attribute `neo.parameters` on the functions of kernels of level `kernels`.

    `neo-schedule` takes these values instead of those of its analytic model. `neo-compile` adds this pass for kernels
    that `neo-tune` has measured, so that a replay needs no database. Kernels that the module lacks are passed over.
    """

    name = "neo-set-parameters"

    kernels: str = ""
    """`KERNEL:NAME=VALUE,…` with `;` between kernels."""

    def run(self, module: ir.Module) -> None:
        """Mark the kernels."""
        told = parse(self.kernels)
        for nested in kernel_modules(module.operation):
            function = functions(nested)[0]
            if name_of(function) in told:
                set_parameters(function, told[name_of(function)])


def parse(text: str) -> dict[str, dict[str, int | str]]:
    """Parameters by kernel, from the option's text. Raises PipelineError."""
    told: dict[str, dict[str, int | str]] = {}
    for group in filter(None, text.split(";")):
        kernel, colon, rest = group.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",")]
        if not (kernel and colon and all(name and equals and value for name, equals, value in pairs)):
            raise PipelineError(f"neo-set-parameters: {group!r} is not KERNEL:NAME=VALUE,…")
        told[kernel] = {name: int(value) if value.isdecimal() else value for name, _, value in pairs}
    return told


def text_of(told: Mapping[str, Parameters]) -> str:
    """The option's text, the same for the same parameters."""
    return ";".join(f"{kernel}:{describe(values)}" for kernel, values in sorted(told.items()) if values)


def describe(parameters: Parameters) -> str:
    """`rows=12,vectors=2`, sorted by name."""
    return ",".join(f"{name}={value}" for name, value in sorted(parameters.items()))
