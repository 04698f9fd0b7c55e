"""Compiled code as a library of this process, for what is measured without a model around it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import tempfile
from pathlib import Path

from neomlir.errors import CompileError


def _ask_for_tiles() -> None:
    """Ask Linux for the tile registers of AMX, as the runtime does for a model; code that has none does not care."""
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    if sys.platform == "linux" and platform.machine() == "x86_64":
        ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data)


def open_code(code: bytes, what: str) -> ctypes.CDLL:
    """The shared library in `code`, which stays loaded. Raises CompileError, which calls it `what`."""
    _ask_for_tiles()
    with contextlib.suppress(OSError):
        # The code takes libm's functions from the process, and not every Python brings them.
        ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL)
    with tempfile.TemporaryDirectory(prefix="neo-code-") as folder:
        path = Path(folder) / "code.so"
        try:
            path.write_bytes(code)
            return ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise CompileError(f"the code of {what} cannot be loaded: {error}") from error
