"""The dialects of Neo: one file each, defined in Python on the bindings' `ext`, loaded into every context Neo makes."""

from __future__ import annotations

import importlib
from pathlib import Path

from neomlir import mlir
from neomlir.mlir import ir

__all__ = ["all_dialects", "context", "load"]


def all_dialects() -> list:
    """The module of each dialect of ours, sorted by name; its `DIALECT` is the class to load."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")
    return [importlib.import_module(f"neomlir.dialects.{name}") for name in names]


def load(context: ir.Context) -> None:
    """Load every dialect of ours into a context; harmless when done twice."""
    with context:
        for module in all_dialects():
            if not context.is_dialect_loaded(module.DIALECT.DIALECT_NAMESPACE):
                module.DIALECT.load()


def context(*, allow_unregistered: bool = False) -> ir.Context:
    """A fresh context with every dialect that a level may hold, ours included."""
    made = mlir.context(allow_unregistered=allow_unregistered)
    load(made)
    return made
