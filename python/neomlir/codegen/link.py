"""Link objects to a shared library by the lld inside the `ziglang` wheel."""

from __future__ import annotations

import tempfile
from pathlib import Path

from neomlir.codegen.builtins import builtins_library
from neomlir.codegen.elf_symbols import undefined_symbols
from neomlir.codegen.zig import run
from neomlir.errors import CompileError
from neomlir.targets import Target

_OTHERS = {"wasi": "exe"}


def link_shared(objects: list[bytes], target: Target, exports: list[str]) -> bytes:
    """A stripped shared library of `objects` that exports only `exports`; the same bytes for the same objects.

    Functions of libc and libm that the code needs (`memcpy`, `malloc`, `erff` …) stay undefined: the process that loads
    the library gives them. What LLVM calls for instructions that the machine lacks is linked in. Raises CompileError
    for targets whose libraries are not ELF.
    """
    system = target.triple.rsplit("-", 1)[1]
    if "linux" not in target.triple:
        raise CompileError(
            f"target {target.name}: a .neo file holds a library for Linux; emit {_OTHERS.get(system, 'obj')} instead"
        )
    with tempfile.TemporaryDirectory(prefix="neo-link-") as folder:
        names = []
        for number, data in enumerate(objects):
            names.append(f"{folder}/{number}.o")
            Path(names[-1]).write_bytes(data)
        if any(name.startswith("__") for data in objects for name in undefined_symbols(data)):
            names.append(str(builtins_library(target.triple)))
        script = Path(folder) / "exports"
        script.write_text("{ global: " + " ".join(f"{name};" for name in exports) + " local: *; };\n")
        out = Path(folder) / "out.so"
        options = ["-shared", "--gc-sections", "--strip-all", "--build-id=none", "-z", "noexecstack", "-z", "relro"]
        run("ld.lld", *options, f"--version-script={script}", "-o", str(out), *names)
        return out.read_bytes()
