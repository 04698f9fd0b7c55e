"""The C program of docs/runtime.md runs MiniLM, built by one command for each machine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import neomlir
from models import MODELS
from neomlir.cache import cache_folder

ROOT = Path(__file__).parents[2]
SENTENCES = ([101, 2023, 2003, 1037, 3407, 3899, 1012, 102], [101, 1037, 17022, 4841, 2083, 1996, 2380, 102])
TARGETS = {"x86_64": ("host", ""), "aarch64": ("cortex-a72", "qemu-aarch64-static")}


def expected() -> float:
    """The cosine of the sentences' mean states, by PyTorch."""
    import torch

    module, _ = MODELS["minilm"].build(tokens=len(SENTENCES[0]))
    with torch.no_grad():
        ids = [torch.tensor([tokens]) for tokens in SENTENCES]
        a, b = (module(i, torch.ones_like(i)).mean(1) for i in ids)
    return float(torch.nn.functional.cosine_similarity(a, b))


@pytest.mark.parametrize("architecture", TARGETS)
def test_minilm_in_c(architecture, tmp_path, monkeypatch):
    target, emulator = TARGETS[architecture]
    if emulator and not shutil.which(emulator):
        pytest.skip(f"needs {emulator}")
    command = re.search(r"^python -m ziglang cc .*$", (ROOT / "docs" / "runtime.md").read_text(), re.MULTILINE)[0]
    command = command.replace("x86_64-linux-musl", f"{architecture}-linux-musl")
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        monkeypatch.setenv(name, str(cache_folder() / "zig"))
    built = tmp_path / "minilm"
    command = command.replace("python ", f"{sys.executable} ").replace("-o minilm", f"-o {built}")
    subprocess.run(command, shell=True, check=True, cwd=ROOT)
    module, example = MODELS["minilm"].build(tokens=len(SENTENCES[0]))
    neomlir.compile(module, target, example, output=tmp_path / "minilm.neo")
    tokens = [",".join(map(str, sentence)) for sentence in SENTENCES]
    run = [*([emulator] if emulator else []), built, tmp_path / "minilm.neo", *tokens]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert abs(float(said) - expected()) < 2e-4
    assert len((ROOT / "docs" / "minilm.c").read_text().splitlines()) < 40
