"""Results that are written past the caches: at any address, and read by other threads."""

import dataclasses
import random

import neomlir
import numpy as np
import pytest
import torch
from kernels import check, generic, kernel, scheduled, tensor
from neomlir import targets


def small(target, size, **own):
    """That target with caches that keep results of less than `size` bytes."""
    found = targets.get(target)
    return dataclasses.replace(found, cache=dataclasses.replace(found.cache, bypass=size), **own)


def machine(target="znver4"):
    """A target of which any cache is small."""
    return small(target, 64)


def turned(rows, columns):
    kind, out = tensor((rows, columns)), tensor((columns, rows))
    body = "%y = arith.negf %x0 : f32"
    return kernel([kind], [out], generic("r0", ["d1, d0", "d0, d1"], "pp", [("%a0", kind)], ("%out0", out), body))


def sums(rows, columns):
    """A row of numbers added to each row."""
    kind, row = tensor((rows, columns)), tensor((columns,))
    body = "%y = arith.addf %x0, %x1 : f32"
    ins = [("%a0", kind), ("%a1", row)]
    return kernel([kind, row], [kind], generic("r0", ["d0, d1", "d1", "d0, d1"], "pp", ins, ("%out0", kind), body))


# The arrays of these tests end at a page: those of whole lines start at one, the others do not.
@pytest.mark.parametrize("target", ["znver4", "znver2"])
@pytest.mark.parametrize("shape", [(64, 32), (64, 48), (17, 16), (48, 5), (33, 35), (20, 100), (32, 272), (16, 259)])
def test_results_that_start_anywhere(shape, target):
    rows, columns = shape
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    check(turned(*shape), [x], [np.zeros((columns, rows), "f4")], machine(target), "elementwise")
    check(sums(*shape), [x, x[0].copy()], [np.zeros(shape, "f4")], machine(target), "elementwise")


def test_lines_are_written_past_the_caches():
    assert "nontemporal" in scheduled(turned(64, 32), machine())[1]
    assert "nontemporal" not in scheduled(turned(64, 32), targets.get("znver4"))[1]
    assert "nontemporal" in scheduled(turned(32, 272), machine("znver2"))[1]


def test_what_is_read_is_not_written_past_the_caches():
    kind = tensor((64, 64))
    body = "%y = arith.addf %x0, %o : f32"
    text = kernel([kind], [kind], generic("r0", ["d0, d1"] * 2, "pp", [("%a0", kind)], ("%out0", kind), body))
    assert "nontemporal" not in scheduled(text, machine(), told=random.Random(0))[1]


class Chain(torch.nn.Module):
    """Each thread writes rows; then each reads columns, which others wrote."""

    def forward(self, x):
        y = torch.nn.functional.layer_norm(x, (1024,))
        return y.t().contiguous() * 2.0, y.sum(0)


def test_other_threads_read_what_was_written(monkeypatch):
    """On this machine, whatever its own target says."""
    known = (*targets._all(), small("host", 4096, name="small-caches", aliases=()))
    monkeypatch.setattr(targets, "_all", lambda: known)
    draw = np.random.default_rng(0)
    xs = [draw.standard_normal((4096, 1024)).astype("f4") for _ in range(2)]
    model = neomlir.compile(Chain(), "small-caches", inputs=(torch.from_numpy(xs[0]),), threads=2)
    wanted = []
    for x in xs:
        y = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        wanted.append((y.T * 2, y.sum(0, dtype="f8")))
    for run in range(20):
        found = model(xs[run % 2])
        for array, right in zip(found, wanted[run % 2], strict=True):
            scale = float(np.abs(right).max())
            np.testing.assert_allclose(array, right, rtol=1e-4, atol=1e-5 * scale)
