"""The demo reads what it drew."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_reads_its_picture(tmp_path):
    command = [sys.executable, ROOT / "examples" / "read_text.py", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from PyTorch and ONNX to native code." in done.stdout
    assert "the text is the same as ONNX Runtime's" in done.stdout
    assert (tmp_path / "boxes.png").stat().st_size > 10_000
