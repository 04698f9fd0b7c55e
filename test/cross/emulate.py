"""Programs for other machines, run by QEMU's user mode or Node.js."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from neomlir.emitted import Emitted
from neomlir.targets import Target

_RISCV = "rv64,v=true,vlen={bits},elen=64,vext_spec=v1.0"
_RUN_WASI = Path(__file__).with_name("run_wasi.mjs")
_PACKAGE = {"node": "Node.js 20 or later: its package nodejs"}


def emulator(target: Target, bits: int = 0) -> list[str]:
    """The command before a program for `target`: a machine that has what the target says and, where it can, no more.

    `bits` is the width of scalable vectors, by default that of the target's core. Skips the test where the emulator is
    not installed.
    """
    vectors = target.vector.scalable or "v" in target.needs
    match target.architecture, vectors:
        case "wasm32", _:
            command = ["node", "--no-warnings", str(_RUN_WASI)]
        case "aarch64", True:
            command = ["qemu-aarch64-static", "-cpu", f"max,sve{bits or target.vector.bits}=on"]
        case "aarch64", False:
            known = target.cpu in ("cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1")
            command = ["qemu-aarch64-static", "-cpu", target.cpu if known else "max"]
        case "armv7", _:
            command = ["qemu-arm-static", "-cpu", "cortex-a7" if target.cpu == "cortex-a7" else "max"]
        case "riscv64", True:
            command = ["qemu-riscv64-static", "-cpu", _RISCV.format(bits=max(128, target.vector.bits))]
        case "riscv64", False:
            command = ["qemu-riscv64-static", "-cpu", "rv64"]
        case "x86_64", _ if target.vector.bits == 512:
            # QEMU has no such vectors. Tiles, where there are none, are computed by a signal's handler (tiles.c).
            if not target.runs_here():
                pytest.skip(f"this machine lacks {', '.join(target.missing_here() or [target.triple])}")
            return []
        case "x86_64", _:
            command = ["qemu-x86_64-static", "-cpu", {128: "Nehalem", 256: "max"}[target.vector.bits]]
        case _:
            raise AssertionError(f"nothing runs {target.triple} here")
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: {_PACKAGE.get(command[0], 'qemu-user-static')})")
    return command


def widths(target: Target) -> tuple[int, ...]:
    """The widths of vectors on which a program for `target` is run; 0 where there is one."""
    return (128, 256, 512) if target.vector.scalable else (0,)


def run(
    emitted: Emitted, target: Target, inputs: Mapping[str, np.ndarray], folder: Path, bits: int = 0
) -> list[np.ndarray]:
    """The outputs of an executable for `target`, in their order, on a machine with vectors of `bits` bits."""
    command = [*emulator(target, bits), str(emitted.files[0]), "--output", str(folder)]
    if "wasm" not in target.triple:
        command += ["--threads", "2"]
    for number, spec in enumerate(emitted.inputs):
        path = folder / f"in{number}.npy"
        np.save(path, np.ascontiguousarray(inputs[spec.name]))
        command += ["--input", f"{spec.name}={path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, f"exit {done.returncode} of {target.name}: {done.stderr[-2000:]}"
    files = [line.rpartition(" -> ")[2] for line in done.stdout.splitlines()]
    assert len(files) == len(emitted.outputs)
    return [np.load(file) for file in files]
