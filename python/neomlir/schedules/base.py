"""What a schedule is, and the ladder on which they stand."""

from __future__ import annotations

import abc
import importlib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from neomlir.mlir import ir
    from neomlir.schedules.kernel import Kernel

LADDER = ("contraction", "window", "reduction", "elementwise")
"""The schedules of this package, from the most specialised to the most general."""


class NotApplicable(Exception):
    """A schedule cannot take a kernel and says why; no error: the kernel takes the next schedule of the ladder."""


class Schedule(abc.ABC):
    """How one kind of kernel is tiled, vectorised and unrolled, from a target's facts."""

    name: ClassVar[str]

    @abc.abstractmethod
    def applies(self, kernel: Kernel, target) -> bool:
        """Whether this schedule is meant for the kernel; cheap, emits nothing."""

    @abc.abstractmethod
    def build(self, kernel: Kernel, target) -> ir.Operation:
        """The kernel as a new function of vector code beside the old one; raises NotApplicable."""


def find(name: str) -> Schedule:
    """The schedule of that name; raises KeyError where there is none."""
    if name not in LADDER:
        raise KeyError(name)
    module = importlib.import_module(f"neomlir.schedules.{name}")
    return module.SCHEDULE
