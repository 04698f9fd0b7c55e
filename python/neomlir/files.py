"""Files that are written whole or not at all, and devices that stay what they are."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from neomlir.workers import no_signals

_STEP = 1 << 24


def scratch_folder() -> tempfile.TemporaryDirectory:
    """A folder for intermediate files, for a `with` statement; an ending between making and minding it has to wait."""
    with no_signals():
        return tempfile.TemporaryDirectory(prefix="neo-")


def as_path(place: Any, what: str, error: type[Exception]) -> Path:
    """`place` as a path. Raises `error`, which calls it `what`, for anything but a string or a path of characters."""
    given = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(given, str):
        raise error(f"{what} is a path, not {type(given).__name__}")
    if "\0" in given:
        raise error(f"{what} is a path; {given!r} has a null character in it")
    return Path(given)


def why_not_writable(place: str | os.PathLike) -> str | None:
    """Why a file cannot come to be at `place`, as far as can be told before the work is done; None where it can."""
    place = Path(place)
    if place.is_dir():
        return os.strerror(errno.EISDIR)
    if not place.parent.is_dir():
        return f"there is no folder {place.parent}"
    if not os.access(place if place.exists() and not place.is_file() else place.resolve().parent, os.W_OK):
        return os.strerror(errno.EACCES)
    return None


@contextlib.contextmanager
def replacing(place: str | os.PathLike, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file that takes the place of `place` when the block ends well, and vanishes when it does not.

    A symbolic link leads to its file. A device or a pipe is written to at the end, and stays; only a file is replaced.
    `mode` is less the user's mask. Raises OSError.
    """
    place = Path(place)
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    is_device = place.exists() and not place.is_file()
    real = place.resolve()
    folder = Path(tempfile.gettempdir()) if is_device else real.parent
    part = folder / f".{real.name[:50]}.{secrets.token_hex(6)}"
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
        if is_device:
            with part.open("rb") as data, place.open("wb") as device:
                shutil.copyfileobj(data, device, _STEP)
        else:
            os.replace(part, real)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def move(source: str | os.PathLike, place: str | os.PathLike, mode: int = 0o666) -> None:
    """Put the finished file `source` at `place` as `replacing` does, also across file systems. Raises OSError."""
    with open(source, "rb") as data, replacing(place, mode) as file:
        shutil.copyfileobj(data, file, _STEP)


def write_whole(place: str | os.PathLike, data: bytes) -> None:
    """Write bytes as `replacing` does, on disk before they show. Raises OSError."""
    with replacing(place) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
