"""What `neo-opt` does that a lit test cannot show safely."""

import os
import stat
import subprocess
import sys
from pathlib import Path

TOOL = Path(sys.executable).parent / "neo-opt"


def test_a_pipe_as_output_is_written_to_and_stays(tmp_path):
    """So is a device, which root would otherwise replace for the whole machine."""
    pipe, source = tmp_path / "pipe", tmp_path / "f.mlir"
    os.mkfifo(pipe)
    source.write_text("func.func @f() { return }")
    # Opened for both ways, so that a tool that never opens the pipe leaves nobody waiting.
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    subprocess.run([TOOL, source, "-o", pipe], check=True, timeout=60)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    read = os.read(end, 1 << 16)
    os.close(end)
    assert b"func.func @f" in read
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.mlir", "pipe"]


def test_starting_loads_no_framework():
    code = (
        "import sys, neomlir.tools.neo_opt as t, neomlir.dialects, neomlir.pipeline; neomlir.dialects.context()\n"
        "print([name for name in ('torch', 'onnx', 'numpy.testing', 'llvmlite') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
