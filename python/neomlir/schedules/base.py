"""What a schedule is, and the ladder on which they stand."""

from __future__ import annotations

import abc
import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from neomlir.mlir import ir
    from neomlir.schedules.kernel import Kernel


class NotApplicable(Exception):
    """A schedule cannot take a kernel and says why; no error: the kernel takes the next schedule of the ladder."""


class Schedule(abc.ABC):
    """How one kind of kernel is tiled, vectorised and unrolled, from a target's facts."""

    name: ClassVar[str]
    """The name of its file."""

    order: ClassVar[int]
    """Its place on the ladder: lower is tried earlier, so the more kernels a schedule takes, the higher."""

    scalable: ClassVar[bool] = False
    """Whether it writes code for vectors of a length that only the machine knows; where it does, it may refuse a
    kernel, and is then asked for code of fixed width."""

    @abc.abstractmethod
    def applies(self, kernel: Kernel, target) -> bool:
        """Whether this schedule is meant for the kernel; cheap, emits nothing."""

    @abc.abstractmethod
    def build(self, kernel: Kernel, target) -> ir.Operation:
        """The kernel as a new function of vector code beside the old one; raises NotApplicable."""


@functools.cache
def ladder() -> tuple[str, ...]:
    """The names of all schedules: the files of this package with a `SCHEDULE`, by its `order`, then by name."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    names = [file.stem for file in files if "\nSCHEDULE = " in file.read_text()]
    return tuple(sorted(names, key=lambda name: _load(name).order))


def find(name: str) -> Schedule:
    """The schedule of that name; raises KeyError where there is none."""
    if name not in ladder():
        raise KeyError(name)
    return _load(name)


def _load(name: str) -> Schedule:
    return importlib.import_module(f"neomlir.schedules.{name}").SCHEDULE
