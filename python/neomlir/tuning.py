"""What both searches of `neo-tune` have in common: what they find, what they tell, and what a gain is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neomlir.errors import NeoError

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


Progress = Callable[[str, float, str], None]
"""Called with the kernel at work, the seconds spent, and what has just been found."""


def first_problem(error: NeoError) -> str:
    """What a table has room for."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
