"""Time several ways of computing the same thing, side by side in one process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Timing:
    """The time of one call in seconds: the median, the 10th and the 90th percentile of `runs` calls."""

    median: float
    low: float
    high: float
    runs: int


@contextlib.contextmanager
def unpinned_afterwards() -> Iterator[None]:
    """Give this process back the cores that it may use now, whatever `pin` takes from it inside."""
    cores = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def pin(threads: int) -> list[int]:
    """Keep this process on the last `threads` of the cores that it may use; their numbers.

    The last, since the first serves interrupts on most machines. Affinity is inherited by threads made afterwards:
    call it before any library makes its pool.
    """
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    os.sched_setaffinity(0, cores)
    return cores


def interleave(calls: Mapping[str, Callable[[], object]], runs: int, warmup: int = 3) -> dict[str, Timing]:
    """Call each of `calls` in turn, `runs` times over (A B A B …), after `warmup` calls of each.

    What slows the machine down for a while then slows all of them, and ratios of the medians stay.
    """
    for call in calls.values():
        for _ in range(warmup):
            call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - start)
    return {
        name: Timing(*(float(np.percentile(values, p)) for p in (50, 10, 90)), runs) for name, values in samples.items()
    }
