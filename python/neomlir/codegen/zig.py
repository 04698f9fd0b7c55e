"""The tools inside the `ziglang` wheel: clang and lld for every triple."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from neomlir.cache import cache_folder
from neomlir.errors import CompileError
from neomlir.targets import Target

_PATIENCE = 1200
"""Seconds: the first program for a machine builds its C library, which takes minutes where other work goes on."""


def zig() -> str:
    """Path of the zig program of the installed wheel, called directly to spare a start of Python."""
    import ziglang

    return str(Path(ziglang.__file__).parent / ("zig.exe" if os.name == "nt" else "zig"))


def libraries() -> Path:
    """The folder of the sources that zig builds its libraries from."""
    return Path(zig()).parent / "lib"


@functools.cache
def _environment() -> dict[str, str]:
    """zig insists on a folder for its cache, and tries for ever where it cannot make one."""
    folder = cache_folder() / "zig"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="neo-zig-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {"ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder), **os.environ}


def run(*arguments: str) -> None:
    """Run zig. Raises CompileError with what it said."""
    try:
        done = subprocess.run(
            [zig(), *arguments], capture_output=True, text=True, check=False, env=_environment(), timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise CompileError(f"zig {arguments[0]} did not end within {_PATIENCE} s") from error
    if done.returncode:
        raise CompileError(f"zig {arguments[0]} failed: {done.stderr.strip()[-2000:]}")


_ARCHITECTURES = {"armv7": "arm", "arm64": "aarch64"}
_STATIC = {
    **{"linux-gnu": "linux-musl", "linux-gnueabihf": "linux-musleabihf", "linux-musl": "linux-musl"},
    **{"wasi": "wasi"},
}


def static_triple(target: Target) -> str:
    """What zig calls the target with a C library that links statically. Raises CompileError where it has none."""
    architecture, system = _parts(target.triple)
    if system not in _STATIC:
        raise CompileError(f"target {target.name}: no static program can be linked for {target.triple}")
    return f"{architecture}-{_STATIC[system]}"


def object_triple(target: Target) -> str:
    """What zig calls the target where it makes objects for embedding. Raises CompileError where they are not made."""
    architecture, system = _parts(target.triple)
    if system.startswith("apple-macos"):
        return f"{architecture}-macos"
    if system not in _STATIC:
        raise CompileError(
            f"target {target.name}: no object for embedding is made for {target.triple}; "
            "they are made for Linux, macOS and WASI"
        )
    return static_triple(target)


def shared_triple(triple: str) -> str:
    """What zig calls a triple. Raises CompileError where its libraries are none of ELF."""
    architecture, system = _parts(triple)
    if not system.startswith("linux-"):
        raise CompileError(f"no shared library can be linked for {triple}")
    return f"{architecture}-{system}"


def _parts(triple: str) -> tuple[str, str]:
    architecture, _, system = triple.partition("-")
    return _ARCHITECTURES.get(architecture, architecture), system.removeprefix("unknown-")
