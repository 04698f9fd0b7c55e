"""The cache of compiled kernels."""

import importlib.metadata

import pytest
from neomlir import cache

ENTRY = {"objects": {"x86-64": b"\x7fELF", "generic": b""}, "schedule": "points"}


def test_gives_back_what_was_put(tmp_path):
    kept = cache.KernelCache(tmp_path)
    assert kept.get("ab12") is None
    kept.put("ab12", dict(ENTRY))
    assert kept.get("ab12") == ENTRY


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:80] + b"?" + d[81:], lambda d: b""])
def test_damaged_entry_counts_as_absent(tmp_path, damage):
    kept = cache.KernelCache(tmp_path)
    kept.put("ab12", dict(ENTRY))
    (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
    path.write_bytes(damage(path.read_bytes()))
    assert kept.get("ab12") is None


def test_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "kernels").write_text("a file in the way")
    cache.KernelCache(tmp_path).put("ab12", dict(ENTRY))
    assert cache.KernelCache(tmp_path).get("ab12") is None


def test_another_version_of_a_back_end_is_another_compiler(monkeypatch):
    before = cache.compiler()
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "llvmlite" else real(name))
    cache.compiler.cache_clear()
    try:
        assert cache.compiler() != before
    finally:
        cache.compiler.cache_clear()
