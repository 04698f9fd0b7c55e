"""From a model in its own framework to an `input`-level module. A framework is imported only for a model of its own."""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from typing import Any

from neomlir import mlir
from neomlir.errors import ImportFailure
from neomlir.frontends.base import Frontend, Imported, Inputs, Spec
from neomlir.mlir import ir

__all__ = ["Frontend", "Imported", "Spec", "find", "frontends", "import_model", "source_name"]


@functools.cache
def frontends() -> dict[str, Frontend]:
    """Every frontend by name, in the order in which they are asked: the `FRONTEND` of each file here that has one."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    names = [file.stem for file in files if "\nFRONTEND = " in file.read_text()]
    return {name: importlib.import_module(f"neomlir.frontends.{name}").FRONTEND for name in names}


def find(source: Any) -> Frontend:
    """The frontend that reads `source`. Raises ImportFailure where none does, or where no such file exists."""
    every = frontends().values()
    for frontend in every:
        if frontend.reads(source):
            return frontend
    suffixes = ", ".join(suffix for frontend in every for suffix in frontend.suffixes)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise ImportFailure(f"no such file: {path}")
        raise ImportFailure(f"{path} is not a kind of model file that Neo reads; it reads {suffixes}")
    raise ImportFailure(
        f"a {type(source).__module__}.{type(source).__qualname__} is not a model that Neo reads; it reads files "
        f"({suffixes}), {', and '.join(frontend.objects for frontend in every if frontend.objects)}"
    )


def source_name(source: Any) -> str:
    """What messages call a model: its file, or the name of its class."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    return "the model" if isinstance(source, bytes | bytearray | memoryview) else type(source).__name__


def import_model(source: Any, inputs: Inputs = None, context: ir.Context | None = None) -> Imported:
    """Import a model to the `input` level.

    `inputs` gives shapes (or example arrays) by input name or in order; each frontend has its page in docs/frontends.
    Raises ImportFailure.
    """
    return find(source).import_(source, inputs, context or mlir.context())
