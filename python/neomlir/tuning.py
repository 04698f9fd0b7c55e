"""What both searches of `neo-tune` have in common: what they find, what they tell, and what a gain is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neomlir.tuned import Entry

GAIN = 0.98
"""A candidate counts as faster from here on: noise moves medians by a percent."""


@dataclass
class Tuned:
    """What became of a kernel, or of a contraction."""

    name: str
    calls: int
    seconds: float
    """Of a call with the best parameters."""
    analytic_seconds: float
    parameters: dict[str, int | str]
    """Empty where the analytic choice is the best known."""
    tried: int
    complete: bool
    """Whether nothing is left to try."""
    problem: str = ""
    """Why it could not be measured."""
    kind: str = "kernel"
    """`kernel`, or `contraction` for what is chosen before there are kernels; its name is then its signature."""

    @classmethod
    def of(cls, name: str, calls: int, entry: Entry, problem: str, kind: str = "kernel") -> Tuned:
        """What the database has of a kernel or contraction; `entry` may have been made under another name."""
        return cls(
            name=name,
            calls=calls,
            seconds=entry.seconds or entry.analytic_seconds,
            analytic_seconds=entry.analytic_seconds,
            parameters=dict(entry.parameters),
            tried=len(entry.tried),
            complete=entry.complete,
            problem=problem,
            kind=kind,
        )


Progress = Callable[[str, float, str], None]
"""Called with the kernel at work, the seconds spent, and what has just been found."""
