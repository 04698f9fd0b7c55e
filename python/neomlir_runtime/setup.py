"""Builds the C runtime with the clang of the `ziglang` wheel; NEO_RUNTIME_TARGET names another machine than this."""

import os
import platform
import re
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent.resolve()
RUNTIME = HERE.parents[1] / "runtime"
FLAGS = (
    *("-shared", "-s", "-Os", "-fPIC", "-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-ffunction-sections"),
    *(
        "-fdata-sections",
        "-fno-sanitize=all",
        "-Wl,--gc-sections",
        "-Wall",
        "-Wextra",
        "-Wno-missing-field-initializers",
    ),
)
TAGS = {
    "x86_64-linux-gnu": "manylinux_2_17_x86_64",
    "aarch64-linux-gnu": "manylinux_2_17_aarch64",
    "arm-linux-gnueabihf": "manylinux_2_17_armv7l",
    "riscv64-linux-gnu": "manylinux_2_31_riscv64",
    "x86_64-linux-musl": "musllinux_1_1_x86_64",
    "aarch64-linux-musl": "musllinux_1_1_aarch64",
    "arm-linux-musleabihf": "musllinux_1_1_armv7l",
}


def target() -> str:
    """What zig calls the machine that the wheel is for."""
    named = os.environ.get("NEO_RUNTIME_TARGET")
    machine = {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "arm", "armv8l": "arm"}
    here = machine.get(platform.machine().lower(), platform.machine().lower())
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    found = named or f"{here}-linux-{'musl' if musl else 'gnu'}{'eabihf' if here == 'arm' else ''}"
    if found not in TAGS:
        raise SystemExit(f"the runtime is built for {', '.join(TAGS)}, not for {found}; set NEO_RUNTIME_TARGET")
    return found


class BuildLibrary(build_py):
    """Python files, and the library beside them."""

    def run(self):
        super().run()
        import ziglang

        zig = str(Path(ziglang.__file__).parent / "zig")
        glibc = re.search(r"manylinux_(\d+)_(\d+)_", TAGS[target()])
        version = f".{glibc[1]}.{glibc[2]}" if glibc else ""
        out = Path(self.build_lib, "neomlir_runtime", "libneo.so")
        sources = sorted(str(path) for path in RUNTIME.glob("*.c"))
        command = [zig, "cc", "-target", target() + version, *FLAGS, *sources, "-lm", "-o", str(out)]
        subprocess.run(command, check=True)


class Binary(Distribution):
    """It is for one platform, although it has no extension module."""

    def has_ext_modules(self):
        return True


class Wheel(bdist_wheel):
    """A wheel for any Python of one platform."""

    def get_tag(self):
        return "py3", "none", TAGS[target()]


setup(
    distclass=Binary,
    version=re.search(r'__version__ = "(.+)"', (HERE / "src/neomlir_runtime/__init__.py").read_text())[1],
    cmdclass={"build_py": BuildLibrary, "bdist_wheel": Wheel},
)
