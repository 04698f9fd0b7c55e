"""The demo reads what it drew, and prints what README.md shows."""

import subprocess
import sys

from pages import ROOT, shown, shows


def test_the_demo_reads_its_picture(tmp_path):
    command = [sys.executable, ROOT / "examples" / "read_text.py", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from PyTorch and ONNX to native code." in done.stdout
    assert (tmp_path / "boxes.png").stat().st_size > 10_000
    wanted = next(text for text in shown(ROOT / "README.md") if "boxes drawn" in text)
    assert shows(wanted.replace("out/demo", "…"), done.stdout, numbers_vary=True), done.stdout
