"""Numbers with units, for people."""

from __future__ import annotations


def quantity(value: float, unit: str) -> str:
    """`1.5 GFLOP` for (1.5e9, "FLOP"), in steps of a thousand."""
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:.3g} T{unit}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.2f} ms" if value >= 1e-3 else f"{value * 1e6:.1f} µs"
