"""A content-addressed cache on disk of what compiling a kernel, or the code between kernels, gave."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any

_BACK_ENDS = ("torch-mlir", "llvmlite", "ziglang")
"""The distributions that turn IR into objects."""


def cache_folder() -> Path:
    """`$NEO_CACHE_DIR`, else `$XDG_CACHE_HOME/neomlir`, else `~/.cache/neomlir`."""
    given = os.environ.get("NEO_CACHE_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neomlir"


def key_of(*parts: str) -> str:
    """The address of what was made from these texts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part.encode())
    return digest.hexdigest()


@functools.cache
def compiler() -> str:
    """The digest of this compiler's own sources and back ends: what another state of them made is not to be found."""
    digest = hashlib.sha256()
    for name in _BACK_ENDS:
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    for package in ("neomlir", "neomlir.dialects", "neomlir.pipelines"):
        folder = Path(importlib.util.find_spec(package).origin).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class KernelCache:
    """Kernels by address: a JSON header and the objects behind it, in one file; a damaged entry counts as absent."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use `folder`, or the user's cache folder."""
        self.folder = (folder or cache_folder()) / "kernels"

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]

    def get(self, key: str) -> dict[str, Any] | None:
        """What was put at `key`: its `objects` are bytes by name."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        digest, _, rest = data.partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            return None
        header, _, blob = rest.partition(b"\n")
        entry = json.loads(header)
        sizes, entry["objects"], start = entry["objects"], {}, 0
        for name, size in sizes.items():
            entry["objects"][name] = blob[start : start + size]
            start += size
        return entry

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Keep `entry`; a full or read-only disk is no error."""
        objects = entry["objects"]
        header = json.dumps({**entry, "objects": {name: len(data) for name, data in objects.items()}})
        rest = header.encode() + b"\n" + b"".join(objects.values())
        path = self._path(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
            os.replace(file.name, path)
