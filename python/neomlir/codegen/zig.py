"""The tools inside the `ziglang` wheel: clang and lld for every triple."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from neomlir.errors import CompileError


def zig() -> str:
    """Path of the zig program of the installed wheel, called directly to spare a start of Python."""
    import ziglang

    return str(Path(ziglang.__file__).parent / ("zig.exe" if os.name == "nt" else "zig"))


def run(*arguments: str) -> None:
    """Run zig. Raises CompileError with what it said."""
    done = subprocess.run([zig(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"zig {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
