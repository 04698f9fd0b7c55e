"""What a pass of ours is: a frozen dataclass with a textual name, typed options, and one method."""

from __future__ import annotations

import abc
from typing import ClassVar, TypeVar

from neomlir.mlir import ir

_REGISTRY: dict[str, type[ModulePass]] = {}


class ModulePass(abc.ABC):
    """A pass over a `builtin.module`; its dataclass fields are its textual options (`max_ops` is `max-ops`)."""

    name: ClassVar[str]

    @abc.abstractmethod
    def run(self, module: ir.Module) -> None:
        """Rewrite `module` in place."""


P = TypeVar("P", bound=type[ModulePass])


def register(cls: P) -> P:
    """Make a pass known by its textual name."""
    _REGISTRY[cls.name] = cls
    return cls
