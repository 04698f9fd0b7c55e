"""Run a schedule written in the transform dialect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from neomlir import mlir
from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.passes.base import ModulePass, register


@register
@dataclass(frozen=True)
class Transform(ModulePass):
    """Apply a named sequence of a transform-dialect library (`.mlir` text or bytecode) to the module.

    The sequence takes one handle, the module at hand. The library is read at each run and never becomes part of the
    module.
    """

    name = "neo-transform"

    library: str = ""
    """The file with the library, a module of `transform.named_sequence`; relative to the working directory."""

    entry: str = "__transform_main"
    """The named sequence to run."""

    def run(self, module: ir.Module) -> None:
        interpreter = getattr(mlir, "transform.interpreter")
        if not Path(self.library).is_file():
            raise PassFailure(f"{self.name}: option 'library': no such file: {self.library!r}")
        library = ir.Module.parseFile(self.library)
        names = {}
        for op in library.body.operations:
            if op.operation.name == "transform.named_sequence":
                names[ir.StringAttr(op.operation.attributes["sym_name"]).value] = op.operation
        if self.entry not in names:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise PassFailure(f"{self.name}: {self.library} has no named sequence {self.entry!r}; {has}")
        try:
            interpreter.apply_named_sequence(module.operation, names[self.entry], library.operation)
        except ValueError as error:
            raise _failure(f"{self.name}: {self.library}: @{self.entry} failed", str(error)) from error


def _failure(head: str, text: str) -> PassFailure:
    """What the interpreter says, `Diagnostic message at loc(…): …` and `at loc(…): …`, as diagnostics."""
    pattern = r'^(Diagnostic message )?at loc\("([^"]*)":(\d+):(\d+)\): (.*)$'
    found = [
        (f"{file}:{line}:{column}", "error" if first else "note", message)
        for first, file, line, column, message in re.findall(pattern, text, re.MULTILINE)
    ]
    lines = [f"{where}: {kind}: {message}" for where, kind, message in found]
    failed = PassFailure("\n".join([head, *(lines or [text])]))
    failed.diagnostics = found
    return failed
