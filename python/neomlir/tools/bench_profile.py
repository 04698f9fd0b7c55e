"""`neo-bench --profile`: the table and the page."""

from __future__ import annotations

from pathlib import Path

from neomlir.errors import CompileError
from neomlir.files import write_whole
from neomlir.profiling import KernelProfile, Profile
from neomlir.tools import console

_COLUMNS = (
    *("kernel ", "schedule ", "calls", "time", "share", "GFLOP/s", "GB/s", "of the roof", "parameters "),
)  # fmt: skip


def print_profile(title: str, profile: Profile) -> None:
    """The roofs, the run, and a line a kernel, the longest first."""
    machine = profile.machine
    rows = [
        ("a run", console.seconds(profile.seconds)),
        ("a run with kernels timed", console.seconds(profile.traced_seconds)),
        ("outside of kernels", console.seconds(profile.outside)),
        ("peak of f32", console.quantity(machine.flops, "FLOP/s")),
        *(
            (f"copy of {console.quantity(size, 'B')}", console.quantity(rate, "B/s"))
            for size, rate in machine.copies[:: max(1, len(machine.copies) // 5)]
        ),
    ]
    console.print_table(f"{title}: {profile.threads} thread(s), median of {profile.runs}", ("measured ", "value"), rows)
    console.print_table("Kernels", _COLUMNS, [_row(kernel) for kernel in profile.kernels])


def write_page(path: Path, title: str, profile: Profile) -> None:
    """The HTML report, whole or not at all. Raises CompileError."""
    page = profile.html(title).encode()
    try:
        write_whole(path, page)
    except OSError as error:
        raise CompileError(f"{path} cannot be written: {error.strerror}") from error


def _row(kernel: KernelProfile) -> tuple[str, ...]:
    return (
        kernel.name,
        kernel.schedule + (", tuned" if kernel.tuned else ""),
        str(kernel.calls),
        console.seconds(kernel.seconds),
        f"{kernel.share:.1%}",
        "dynamic" if kernel.flops_rate is None else f"{kernel.flops_rate / 1e9:.1f}",
        "dynamic" if kernel.bytes_rate is None else f"{kernel.bytes_rate / 1e9:.1f}",
        "" if kernel.roof is None else f"{kernel.roof:.0%}",
        " ".join(f"{name}={value}" for name, value in sorted(kernel.parameters.items())),
    )
