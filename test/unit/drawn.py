"""What tests of schedules draw: targets, arrays, borders."""

from __future__ import annotations

import dataclasses

import numpy as np
from kernels import generic, tensor
from neomlir import targets

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "neoverse-n1")
MULTIPLY = "%m = arith.mulf %x0, %x1 : f32\n%y = arith.addf %o, %m : f32"


def target(r):
    """A target, at times with caches so small that what is done for large tensors is done for small ones."""
    found = targets.get(r.choice(TARGETS))
    if r.random() < 0.5:
        found = dataclasses.replace(
            found, cache=dataclasses.replace(found.cache, l2=r.choice((2048, 16384)), bypass=512)
        )
    return found


def normal(*shape, dtype="f4"):
    return np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape).astype(dtype)


def at_times_padded(r, text, shape):
    """A kernel's text with its result %r0 in a border of ones, or as it is; the shape and type of the new result."""
    if r.random() < 0.5:
        return text, shape
    low, high = ([r.randint(0, 2) for _ in shape] for _ in range(2))
    wide = [a + n + c for a, n, c in zip(low, shape, high, strict=True)]
    text = text.replace("%r0 =", "%inner =").replace("outs(%out0 :", "outs(%within :")
    indices = ", ".join(f"%i{d} : index" for d in range(len(shape)))
    before = f"%within = tensor.empty() : {tensor(shape)}\n%one = arith.constant 1.0 : f32\n"
    pad = (
        f"%r0 = tensor.pad %inner low{low} high{high} {{\n^bb0({indices.replace(' :', ':')}):\n"
        f"tensor.yield %one : f32\n}} : {tensor(shape)} to {tensor(wide)}\n"
    )
    return before + text + pad, wide


def padded(name, low, high, value, kind, out) -> str:
    """`%name` is %a0 with `value` around it, of rank three."""
    return (
        f"%v = arith.constant {value} : f32\n%{name} = tensor.pad %a0 low{low} high{high} {{\n"
        f"^bb0(%i: index, %j: index, %k: index):\ntensor.yield %v : f32\n}} : {kind} to {out}\n"
    )


def centred(kind, small) -> str:
    """`%diff` is %a0, rows of `%n` numbers, less their means, and `%var` the sums of its squares.

    `kind` and `small` are the types of rows and of a number a row; `%zero`, `%e1` and `%e` are tensors of these
    types to begin with.
    """
    text = generic("sum", ["d0, d1", "d0"], "pr", [("%a0", kind)], ("%zero", small), "%y = arith.addf %o, %x0 : f32")
    text += generic("mean", ["d0", "d0"], "p", [("%sum", small)], ("%e1", small), "%y = arith.divf %x0, %n : f32")
    body = "%y = arith.subf %x0, %x1 : f32"
    text += generic("diff", ["d0, d1", "d0", "d0, d1"], "pp", [("%a0", kind), ("%mean", small)], ("%e", kind), body)
    body = "%s = arith.mulf %x0, %x0 : f32\n%y = arith.addf %o, %s : f32"
    return text + generic("var", ["d0, d1", "d0"], "pr", [("%diff", kind)], ("%zero", small), body)
