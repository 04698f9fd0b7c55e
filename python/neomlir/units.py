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
    for factor, unit, digits in ((1e3, "ms", 2), (1e6, "µs", 1)):
        if value * factor >= 1:
            return f"{value * factor:.{digits}f} {unit}"
    return f"{value * 1e9:.0f} ns" if value else "0 s"
