"""What `neo-opt` reads and writes: files, the parts of a split input, the root operation."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neomlir import files
from neomlir.errors import PassFailure
from neomlir.mlir import ir
from neomlir.pipeline import Pipeline
from neomlir.pipeline_run import ROOT, bytecode
from neomlir.tools.opt_arguments import Arguments, UsageError

_RESOURCES = re.compile(r"\{-#.*?#-\}", re.DOTALL)
# A marker with its last characters missing: a line that was perhaps meant to split.
_NEAR_MISS = 2


def read(file: str) -> tuple[str, bytes]:
    """The name and the bytes of a file, or of standard input for `-`. Raises UsageError."""
    if file == "-":
        return "<stdin>", sys.stdin.buffer.read()
    try:
        return file, Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot open input file '{file}': {error.strerror}") from error


def parts(data: bytes, name: str, marker: str | None) -> Iterator[str | bytes | Path]:
    """The source of each input: bytecode or a file whole, text apart at `marker` where there is one.

    A part has empty lines before it, so that places in it are those in the whole file. A whole file is given by its
    path, which then stands in its locations.
    """
    whole: str | bytes | Path = Path(name) if Path(name).is_file() else data
    if data.startswith(b"ML\xefR"):
        yield whole
        return
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise UsageError(f"{name}:{line}:{column}: neither MLIR bytecode nor text in UTF-8") from error
    if not marker:
        yield whole if isinstance(whole, Path) else text
        return
    start = lines = 0
    for near in re.finditer(re.escape(marker[:-_NEAR_MISS] or marker), text):
        if not text.startswith(marker, near.start()):
            line = text.count("\n", 0, near.start()) + 1
            print(f"{name}:{line}:1: warning: near miss with file split marker", file=sys.stderr)
            continue
        yield "\n" * lines + text[start : near.start()]
        start = near.start() + len(marker)
        lines = text.count("\n", 0, start)
    yield "\n" * lines + text[start:]


def text_of(source: str | bytes | Path) -> str:
    """The text of an input; empty for bytecode."""
    data = source.read_bytes() if isinstance(source, Path) else source
    if isinstance(data, bytes):
        return "" if data.startswith(b"ML\xefR") else data.decode()
    return data


def load_irdl(file: str) -> None:
    """Load the dialects of an IRDL file. Raises UsageError, MLIRError."""
    from neomlir.mlir import irdl

    if not Path(file).is_file():
        raise UsageError(f"--irdl-file: cannot open input file '{file}'")
    irdl.load_dialects(ir.Module.parseFile(file))


def form(asked: Arguments) -> dict[str, Any]:
    """The arguments of `Operation.get_asm` that the flags ask for."""
    return {
        "large_elements_limit": asked.number("mlir-elide-elementsattrs-if-larger"),
        "large_resource_limit": asked.number("mlir-elide-resource-strings-if-larger"),
        "enable_debug_info": bool(asked.on & {"mlir-print-debuginfo", "mlir-pretty-debuginfo"}),
        "pretty_debug_info": "mlir-pretty-debuginfo" in asked.on,
        "print_generic_op_form": "mlir-print-op-generic" in asked.on,
        "use_local_scope": "mlir-print-local-scope" in asked.on,
        "use_name_loc_as_prefix": "mlir-use-nameloc-as-prefix" in asked.on,
        "assume_verified": "mlir-print-assume-verified" in asked.on,
        "skip_regions": "mlir-print-skip-regions" in asked.on,
    }


@dataclass
class Root:
    """The operation that passes run on: `module`, or with `--no-implicit-module` perhaps the only operation in it."""

    module: ir.Module
    name: str = ROOT

    @classmethod
    def parse(cls, asked: Arguments, source: str | bytes | Path) -> Root:
        """Read one input. Raises MLIRError, PassFailure."""
        if "run-reproducer" in asked.on and not isinstance(source, bytes):
            source = _RESOURCES.sub("", text_of(source))
        module = ir.Module.parseFile(str(source)) if isinstance(source, Path) else ir.Module.parse(source)
        root = cls(module)
        if "no-implicit-module" in asked.on:
            text = text_of(source)
            # Bytecode of an operation that is no module is read with one put around it.
            inner = [op.operation.name for op in module.body.operations]
            root.name = ir.Operation.parse(text).operation.name if text else inner[0] if len(inner) == 1 else ROOT
        if "verify-roundtrip" in asked.on:
            text = str(module)
            for again in (ir.Module.parse(text), ir.Module.parse(bytecode(module.operation))):
                if str(again) != text:
                    raise PassFailure("--verify-roundtrip: the module is not the same after printing and parsing")
        return root

    def within(self, pipeline: Pipeline, anchored: bool) -> Pipeline:
        """The pipeline for `module`; the passes of flags (`anchored`) stand in the root operation's name."""
        if self.name == ROOT or not anchored or not pipeline.steps:
            return pipeline
        return Pipeline(f"{self.name}({','.join(map(str, pipeline.steps))})")

    def print(self, asked: Arguments) -> str | bytes:
        """The operation as text or bytecode, as the flags say."""
        op = self.module.operation
        if self.name != ROOT:
            op = next(iter(self.module.body.operations)).operation
        if "emit-bytecode" in asked.on:
            try:
                return bytecode(op, asked.number("emit-bytecode-version"))
            except ValueError as error:
                raise UsageError(f"--emit-bytecode-version: {error}") from error
        return op.get_asm(**form(asked)).rstrip("\n") + "\n"


def write(file: str | None, outputs: list[str | bytes], marker: str) -> None:
    """Write what was printed to a file, whole or not at all, or to standard output. Raises UsageError."""
    is_bytecode = bool(outputs) and isinstance(outputs[0], bytes)
    data = b"".join(outputs) if is_bytecode else f"{marker}\n\n".join(outputs).encode()
    if file in (None, "-"):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        files.write_whole(file, data)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
