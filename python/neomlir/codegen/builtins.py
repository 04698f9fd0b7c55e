"""The functions that LLVM calls where a machine has no instruction: 64-bit division on 32-bit Arm, halves on SSE."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path

from neomlir.cache import cache_folder
from neomlir.codegen.runtime_library import kept
from neomlir.codegen.zig import libraries, run, shared_triple

_OPTIONS = ("-OReleaseSmall", "-fPIC", "-fstrip", "-fno-stack-check", "-ffunction-sections", "-fdata-sections")


@functools.cache
def builtins_library(triple: str) -> Path:
    """Path of the static library of zig's compiler-rt for `triple`, built where the cache has none.

    Raises CompileError.
    """
    digest = hashlib.sha256(repr((triple, _OPTIONS, libraries())).encode()).hexdigest()[:32]
    place = cache_folder() / "runtime" / f"libbuiltins-{digest}.a"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(prefix="neo-builtins-") as folder:
        source, built = str(libraries() / "compiler_rt.zig"), Path(folder, "libbuiltins.a")
        run(
            "build-lib",
            source,
            "-target",
            shared_triple(triple),
            *_OPTIONS,
            "--name",
            "builtins",
            f"-femit-bin={built}",
        )
        return kept(built, place)
