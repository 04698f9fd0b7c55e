"""Worker processes are forked from whatever the caller's Python has become."""

import os
import subprocess
import sys

import pytest

AFTER_TORCH = """
import torch
import neomlir

torch.set_num_threads(2)
torch.randn(512, 512) @ torch.randn(512, 512)
torch.randn(1 << 20).exp()
model = torch.nn.Sequential(torch.nn.Conv2d(64, 256, 3, bias=False), torch.nn.BatchNorm2d(256)).eval()
print(neomlir.compile(model, inputs=[(1, 64, 8, 8)])(torch.zeros(1, 64, 8, 8)).shape)
"""


def test_a_worker_does_not_wait_for_the_threads_of_its_parent():
    pytest.importorskip("torch")
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", AFTER_TORCH], capture_output=True, text=True, timeout=240, env=environment
    )
    assert done.stdout == "(1, 256, 6, 6)\n", done.stderr
