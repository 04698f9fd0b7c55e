"""Link objects to a shared library by the lld inside the `ziglang` wheel."""

from __future__ import annotations

import tempfile
from pathlib import Path

from neomlir.codegen.zig import run
from neomlir.errors import CompileError
from neomlir.targets import Target


def link_shared(objects: list[bytes], target: Target, exports: list[str]) -> bytes:
    """A stripped shared library of `objects` that exports only `exports`; the same bytes for the same objects.

    Functions of libc and libm that the code needs (`memcpy`, `malloc`, `erff` …) stay undefined: the process that loads
    the library gives them. Raises CompileError for targets whose libraries are not ELF.
    """
    if "linux" not in target.triple:
        raise CompileError(
            f"target {target.name}: libraries for {target.triple} are not linked here, only objects are made"
        )
    with tempfile.TemporaryDirectory(prefix="neo-link-") as folder:
        names = []
        for number, data in enumerate(objects):
            names.append(f"{folder}/{number}.o")
            Path(names[-1]).write_bytes(data)
        script = Path(folder) / "exports"
        script.write_text("{ global: " + " ".join(f"{name};" for name in exports) + " local: *; };\n")
        out = Path(folder) / "out.so"
        options = ["-shared", "--gc-sections", "--strip-all", "--build-id=none", "-z", "noexecstack", "-z", "relro"]
        run("ld.lld", *options, f"--version-script={script}", "-o", str(out), *names)
        return out.read_bytes()
