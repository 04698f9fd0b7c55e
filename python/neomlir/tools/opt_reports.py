"""The reports of `neo-opt` on standard error: time and counters of each pass."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_RULE = "===" + "-" * 73 + "==="


class Times:
    """`--mlir-timing`: seconds by pass and by what stands around the passes."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._rows: list[tuple[str, float]] = []

    def add(self, name: str, seconds: float) -> None:
        """Take the time of a step."""
        self._rows.append((name, seconds))

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Take the time of what runs within."""
        start = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - start)

    def print(self, display: str) -> None:
        """Write the report; `list` sorts by time."""
        total = time.perf_counter() - self._start
        rows = sorted(self._rows, key=lambda row: -row[1]) if display == "list" else self._rows
        rest = total - sum(seconds for _, seconds in rows)
        _head("Execution time report")
        print(f"  Total Execution Time: {total:.4f} seconds\n\n  ----Wall Time----  ----Name----", file=sys.stderr)
        for name, seconds in [*rows, ("Rest", rest), ("Total", total)]:
            print(f"  {seconds:8.4f} ({100 * seconds / max(total, 1e-9):5.1f}%)  {name}", file=sys.stderr)


class Counters:
    """`--mlir-pass-statistics`: counters by pass."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, dict[str, int]]] = []

    def add(self, name: str, counters: dict[str, int]) -> None:
        """Take the counters of a step."""
        self._rows.append((name, counters))

    def print(self, display: str) -> None:
        """Write the report; `list` sorts by name and adds up the counters of passes that ran several times."""
        rows = self._rows
        if display == "list":
            summed: dict[str, dict[str, int]] = {}
            for name, counters in rows:
                into = summed.setdefault(name, {})
                for what, number in counters.items():
                    into[what] = into.get(what, 0) + number
            rows = sorted(summed.items())
        _head("Pass statistics report")
        for name, counters in rows:
            print(name, file=sys.stderr)
            for what, number in counters.items():
                print(f"  (S) {number:8} {what}", file=sys.stderr)


def _head(title: str) -> None:
    print(f"{_RULE}\n{'... ' + title + ' ...':^{len(_RULE)}}\n{_RULE}", file=sys.stderr)
