"""What a compile to an executable or an object gives."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neomlir.errors import ModelError
from neomlir.manifest import Spec, dtype_of


@dataclass(frozen=True)
class Emitted:
    """Files that a compile wrote."""

    form: str
    """`exe` or `obj`."""
    files: tuple[Path, ...]
    """The executable; or the object and its header."""
    inputs: list[Spec]
    outputs: list[Spec]
    report: dict[str, Any]
    """The compiler's report."""
    runs: bool = False
    """An executable, and for this machine."""

    def run(self, arrays: Mapping[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
        """Run the executable on arrays by input name, through files; arrays by output name. Raises ModelError."""
        if not self.runs:
            raise ModelError(f"{self.files[0]} is no program that this machine runs")
        with tempfile.TemporaryDirectory(prefix="neo-run-") as folder:
            command = [str(self.files[0].resolve()), "--output", folder, "--threads", str(threads)]
            for number, spec in enumerate(self.inputs):
                if spec.name not in arrays:
                    raise ModelError(f"input {spec.name!r} is missing")
                path = f"{folder}/in{number}.npy"
                np.save(path, np.ascontiguousarray(arrays[spec.name]))
                command += ["--input", f"{spec.name}={path}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ModelError(f"{self.files[0]} failed: {done.stderr.strip()[-2000:]}")
            files = [line.rpartition(" -> ")[2] for line in done.stdout.splitlines()]
            return {
                spec.name: np.load(file).view(dtype_of(spec.dtype))
                for spec, file in zip(self.outputs, files, strict=True)
            }
