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
from neomlir.codegen.zig import run, shared_triple
from neomlir.errors import CompileError

FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-Os", "-fPIC", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections"),
    *(
        "-fno-asynchronous-unwind-tables",
        "-fno-unwind-tables",
        "-fno-sanitize=all",
        "-Wall",
        "-Wextra",
        "-Wno-missing-field-initializers",
        "-Werror",
    ),
)
_LIBRARIES = ("libc.so.6", "libm.so.6")
"""What the shared library loads."""


def sources(with_main: bool = False) -> dict[str, bytes]:
    """The runtime's C files by name, those of the command line in `exe/` too if asked for."""
    folder = importlib.resources.files("neomlir.runtime_src")
    found = {}
    for place, prefix in ((folder, ""), (folder / "exe", "exe/")) if with_main else ((folder, ""),):
        for file in sorted(place.iterdir(), key=lambda f: f.name):
            if file.name[-2:] in (".c", ".h"):
                found[prefix + file.name] = file.read_bytes()
    return found


def write_sources(place: Path, with_main: bool = False) -> list[str]:
    """Write the runtime's files below `place`; the paths of those to compile."""
    paths = []
    for name, data in sources(with_main).items():
        path = place / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if name.endswith(".c"):
            paths.append(str(path))
    return paths


@functools.cache
def runtime_library(triple: str) -> Path:
    """Path of the shared library for `triple`, built where the cache has none. Raises CompileError.

    libc's functions stay undefined in it: every process that loads it has them.
    """
    zig_triple = shared_triple(triple)
    files = sources()
    digest = hashlib.sha256(repr((triple, FLAGS, files)).encode()).hexdigest()[:32]
    place = cache_folder() / "runtime" / f"libneo-{digest}.so"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(prefix="neo-runtime-") as folder:
        return kept(_link_shared(_objects(Path(folder), zig_triple), Path(folder)), place)


def static_library(triple: str) -> bytes:
    """The static library for `triple`, an archive of objects. Raises CompileError."""
    with tempfile.TemporaryDirectory(prefix="neo-runtime-") as folder:
        archive = f"{folder}/libneo.a"
        run("ar", "rcsD", archive, *_objects(Path(folder), shared_triple(triple)))
        return Path(archive).read_bytes()


def _objects(folder: Path, zig_triple: str) -> list[str]:
    """Compile the runtime's files in `folder`."""
    objects = []
    for path in write_sources(folder):
        objects.append(f"{path}.o")
        run("cc", "-target", zig_triple, *FLAGS, "-c", path, "-o", objects[-1])
    return objects


def _link_shared(objects: list[str], folder: Path) -> Path:
    """Link against libraries of nothing but a name: zig would build glibc's own first."""
    options = ["-shared", "--gc-sections", "--strip-all", "--build-id=none", "--hash-style=gnu", "-z", "relro"]
    stubs = []
    for name in _LIBRARIES:
        stubs.append(str(folder / name))
        run("ld.lld", "-shared", "-soname", name, "--exclude-libs=ALL", "--version-script", _nothing(folder),
            "-o", stubs[-1], objects[0])  # fmt: skip
    built = folder / "libneo.so"
    run("ld.lld", *options, "-soname", "libneo.so", "-o", str(built), *objects, "--no-as-needed", *stubs)
    return built


def _nothing(folder: Path) -> str:
    """A version script that exports nothing."""
    path = folder / "nothing"
    path.write_text("{ local: *; };\n")
    return str(path)


def kept(built: Path, place: Path) -> Path:
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
