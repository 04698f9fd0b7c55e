"""Build the C runtime for a triple, once, into the cache."""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.resources
import os
import shutil
import tempfile
from pathlib import Path

from neomlir.cache import cache_folder
from neomlir.codegen.zig import run
from neomlir.errors import CompileError

_TRIPLES = {"x86_64-unknown-linux-gnu": "x86_64-linux-gnu", "aarch64-unknown-linux-gnu": "aarch64-linux-gnu"}
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O3", "-fPIC", "-fno-sanitize=all", "-Wall", "-Wextra", "-Werror")


def sources() -> dict[str, bytes]:
    """The runtime's C files by name."""
    folder = importlib.resources.files("neomlir.runtime_src")
    return {
        f.name: f.read_bytes() for f in sorted(folder.iterdir(), key=lambda f: f.name) if f.name[-2:] in (".c", ".h")
    }


@functools.cache
def runtime_library(triple: str) -> Path:
    """Path of the shared library for `triple`, built where the cache has none. Raises CompileError.

    libc's functions stay undefined in it: every process that loads it has them.
    """
    if triple not in _TRIPLES:
        raise CompileError(f"the runtime is not built for {triple}; only for {', '.join(_TRIPLES)}")
    files = sources()
    digest = hashlib.sha256(repr((triple, _FLAGS, files)).encode()).hexdigest()[:32]
    place = cache_folder() / "runtime" / f"libneo-{digest}.so"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(prefix="neo-runtime-") as folder:
        objects = []
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        for name in files:
            if name.endswith(".c"):
                objects.append(f"{folder}/{name}.o")
                run("cc", "-target", _TRIPLES[triple], *_FLAGS, "-c", f"{folder}/{name}", "-o", objects[-1])
        built = Path(folder, "libneo.so")
        run("ld.lld", "-shared", "--gc-sections", "--strip-all", "--build-id=none", "-o", str(built), *objects)
        return _kept(built, place)


def _kept(built: Path, place: Path) -> Path:
    """Put it in the cache in one step; where the cache cannot be written, in a folder of its own."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        place = Path(tempfile.mkdtemp(prefix="neo-runtime-")) / place.name
        atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    try:
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".neo-", delete=False) as file:
            file.write(built.read_bytes())
        os.replace(file.name, place)
    except OSError as error:
        raise CompileError(f"{place} cannot be written: {error.strerror}; set NEO_CACHE_DIR") from error
    return place
