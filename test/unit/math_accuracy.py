"""Compile each function that `neo-expand-math` expands, run it on samples of all f32, and measure its error.

`python test/unit/math_accuracy.py docs/math.md` writes the table of the documentation.
"""

from __future__ import annotations

import ctypes
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from neomlir.codegen.link import link_shared
from neomlir.codegen.objects import emit_object
from neomlir.codegen.translate import to_llvm_ir
from neomlir.mlir import context, ir, passmanager
from neomlir.passes.expand_math import ExpandMath
from neomlir.pipelines.stages import has_tables
from neomlir.targets import Target

LANES = 16
_TO_LLVM = (
    "builtin.module(cse,convert-vector-to-scf{full-unroll=1},convert-scf-to-cf,convert-vector-to-llvm,"
    "convert-math-to-llvm,convert-to-llvm,reconcile-unrealized-casts)"
)
_RANKED = "memref<?x{0}>"
SPECIALS = np.array(
    [
        0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e-45, -1e-45, 1.17549435e-38, -1.17549435e-38, 3.4028235e38,
        -3.4028235e38, 0.5, -0.5, 2, -2, 3, -3, 4, 1.5, -1.5, 16777215, 16777216, -16777215, 33554432, 1e-20, 88.722839,
        88.72284, -103.97, 9.0, -9.1, 3.92, 3.93,
    ],
    np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A function, what computes it in f64, and on how many arguments."""

    name: str
    reference: Callable[..., np.ndarray]
    arguments: int = 1
    body: str = ""
    limit: float = 4.0
    """Of the errors, in units in the last place."""

    def lanes(self, type_: str) -> str:
        """MLIR that computes `%r` from `%a` (and `%b`)."""
        if self.body:
            return self.body.replace("TYPE", type_)
        operands = ", ".join(["%a", "%b"][: self.arguments])
        return f"%r = math.{self.name} {operands} : {type_}"


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    vectorised = np.frompyfunc(function, 1, 1)
    return lambda x: vectorised(x).astype(np.float64)


def _power_of(exponent: float) -> Case:
    constant = f"%c = arith.constant dense<{exponent}> : TYPE\n"
    return Case(
        f"powf(x, {exponent:g})",
        lambda x: np.power(x, np.full_like(x, exponent)),
        1,
        constant + "%r = math.powf %a, %c : TYPE",
    )


_SINCOS = "%s, %c = math.sincos %a : TYPE\n%r = arith.addf %s, %c : TYPE"
_LEAST = np.float32(-125.5 * math.log(2))
"""Where an exponential becomes zero that need not be denormal."""
_OVERFLOWS = -math.log(np.finfo(np.float32).max)
"""Where the exponential in a sigmoid overflows."""
CASES = [
    Case("exp", np.exp),
    Case(
        "exp, approximate",
        lambda x: np.where(x < _LEAST, 0.0, np.exp(x)),
        body="%r = math.exp %a fastmath<afn> : TYPE",
        limit=7.0,
    ),
    Case(
        "1 / (1 + exp(-x))",
        lambda x: np.where(x < _OVERFLOWS, 0.0, 1 / (1 + np.exp(-x))),
        body="%one = arith.constant dense<1.0> : TYPE\n%m = arith.negf %a : TYPE\n%e = math.exp %m : TYPE\n"
        "%d = arith.addf %e, %one : TYPE\n%r = arith.divf %one, %d : TYPE",
    ),
    Case("exp2", np.exp2),
    Case("expm1", np.expm1),
    Case("log", np.log),
    Case("log2", np.log2),
    Case("log10", np.log10),
    Case("log1p", np.log1p),
    Case("tanh", np.tanh),
    Case("erf", _each(math.erf)),
    Case("erfc", _each(math.erfc)),
    Case("sin", np.sin),
    Case("cos", np.cos),
    Case("tan", np.tan),
    Case("asin", np.arcsin),
    Case("acos", np.arccos),
    Case("atan", np.arctan),
    Case("atan2", np.arctan2, 2),
    Case("sinh", np.sinh),
    Case("cosh", np.cosh),
    Case("asinh", np.arcsinh),
    Case("acosh", np.arccosh),
    Case("atanh", np.arctanh),
    Case("powf", np.power, 2),
    *map(_power_of, (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)),
    Case("rsqrt", lambda x: 1 / np.sqrt(x)),
    Case("cbrt", np.cbrt),
]


def lower(text: str, machine: Target) -> str:
    """LLVM IR of a module after the pass; raises what the pipeline raises."""
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        ExpandMath(machine.vector.fma_ports > 0, has_tables(machine)).run(module)
        passmanager.PassManager.parse(_TO_LLVM).run(module.operation)
        return to_llvm_ir(module)


def loop(symbol: str, body: str, types: tuple[str, ...], result: str, lanes: int = LANES) -> str:
    """A function `symbol` that computes `body` on each `lanes` elements of its arrays `%a`, `%b`, into the last."""
    vectors = [f"vector<{lanes}x{t}>" for t in types]
    names = ["%a", "%b"][: len(types)]
    arguments = ", ".join(f"{n}_: {_RANKED.format(t)}" for n, t in zip(names, types, strict=True))
    loads = "\n".join(
        f"{n} = vector.load {n}_[%i] : {_RANKED.format(t)}, {v}" for n, t, v in zip(names, types, vectors, strict=True)
    )
    out = _RANKED.format(result)
    return f"""
      func.func @{symbol}({arguments}, %out: {out}) {{
        %zero = arith.constant 0 : index
        %step = arith.constant {lanes} : index
        %n = memref.dim %out, %zero : {out}
        scf.for %i = %zero to %n step %step {{
          {loads}
          {body}
          vector.store %r, %out[%i] : {out}, vector<{lanes}x{result}>
        }}
        return
      }}"""


class Library:
    """Functions of `loop`, compiled for a target of this machine's architecture."""

    def __init__(self, functions: dict[str, str], target: str):
        machine = Target.named(target)
        code = emit_object(lower("\n".join(functions.values()), machine), machine)
        shared = link_shared([code], machine, list(functions))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "math.so")
            path.write_bytes(shared)
            self._library = ctypes.CDLL(str(path))

    def __call__(self, symbol: str, *arrays: np.ndarray, dtype=np.float32) -> np.ndarray:
        n = len(arrays[0])
        padded = [np.pad(a, (0, -n % LANES)) for a in arrays]
        out = np.zeros(len(padded[0]), dtype)
        arguments = []
        for array in (*padded, out):
            pointer = ctypes.c_void_p(array.ctypes.data)
            arguments += [pointer, pointer, ctypes.c_int64(0), ctypes.c_int64(len(array)), ctypes.c_int64(1)]
        getattr(self._library, symbol)(*arguments)
        return out[:n]


def build(target: str) -> Library:
    """All CASES, the i-th as function `f{i}`."""
    vector = f"vector<{LANES}xf32>"
    functions = {
        f"f{i}": loop(f"f{i}", case.lanes(vector), ("f32",) * case.arguments, "f32") for i, case in enumerate(CASES)
    }
    return Library(functions, target)


def samples(stride: int) -> np.ndarray:
    """Every `stride`-th f32 by its bits, and special ones."""
    return np.concatenate([np.arange(0, 2**32, stride, np.uint64).astype(np.uint32).view(np.float32), SPECIALS])


def pairs(stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs for functions of two arguments: any bits, bases near 1 with large exponents, and all pairs of specials."""
    count, draw = 2**32 // stride, np.random.default_rng(0)
    any_x, any_y = (draw.integers(0, 2**32, count, np.uint32).view(np.float32) for _ in range(2))
    near_x = draw.uniform(0.5, 2, count).astype(np.float32)
    near_y = (draw.uniform(-150, 130, count) / np.log2(near_x, dtype=np.float64)).astype(np.float32)
    small_x, small_y = draw.uniform(-20, 20, count).astype(np.float32), draw.integers(-30, 30, count).astype(np.float32)
    special_x, special_y = (a.ravel() for a in np.meshgrid(SPECIALS, SPECIALS))
    x = np.concatenate([any_x, near_x, small_x, special_x])
    return x, np.concatenate([any_y, near_y, small_y, special_y])


def error(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Units in the last place between f32 `got` and f64 `exact`; infinite for a wrong infinity, NaN or sign of zero."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        unit = np.maximum(np.spacing(np.minimum(np.abs(rounded), np.float32(3.4028235e38))), np.float32(1e-45))
        ulp = np.abs(got.astype(np.float64) - exact) / unit
    # Where either is infinite, they may be neighbours at the edge of overflow.
    edge = np.isinf(got) & (np.abs(exact) > 3.4028233e38) & (np.signbit(got) == np.signbit(exact))
    edge |= np.isinf(rounded) & (np.abs(got) > np.float32(3.402823e38)) & (np.signbit(got) == np.signbit(exact))
    same = (got == rounded) & (np.signbit(got) == np.signbit(rounded))
    wrong_zero = (got == 0) & (exact == 0) & ~same
    ulp = np.where(edge | np.isnan(got) & np.isnan(exact), 0, ulp)
    return np.where(wrong_zero | np.isnan(ulp), np.inf, ulp)


def measure(library: Library, index: int, stride: int) -> tuple[float, tuple]:
    """The largest error of a case, and the arguments where it is."""
    case = CASES[index]
    arrays = pairs(stride * 4) if case.arguments == 2 else (samples(stride),)
    got = library(f"f{index}", *arrays)
    with np.errstate(all="ignore"):
        exact = case.reference(*(a.astype(np.float64) for a in arrays))
    ulp = error(got, exact)
    worst = int(np.argmax(ulp))
    return float(ulp[worst]), (*(a[worst] for a in arrays), got[worst], exact[worst])


def _table(path: str, stride: int) -> None:
    targets = ["x86-64-v2", "x86-64-v4"]
    libraries = [build(target) for target in targets]
    lines = [
        "# The accuracy of elementary functions",
        "",
        "`neo-expand-math` writes these functions as code that runs in vector registers. Errors are in units in the",
        "last place (ulp) of the exact result, 0.5 being that of a correctly rounded one; the largest of every "
        f"{stride}st f32 by its",
        "bits (of random pairs for two arguments), on a processor without fused multiply-add and on one with it. The",
        "domain is every f32: zeros, denormals, infinities and NaN give what C's Annex F asks for. f16 and bf16 are",
        "computed in f32 and rounded. Where an `exp` may be approximate (`fastmath<afn>`), as in a softmax, or is",
        "only added to a number, as in a sigmoid, what is below 1.7e-38 is zero. With fused multiply-add an",
        "approximate one is off by another 2e-9 of itself for every factor of two between it and 1. On AVX-512 `erf`",
        "is a polynomial whose coefficients are looked up in registers.",
        "`python test/unit/math_accuracy.py docs/math.md` writes this page.",
        "",
        f"| function | {' | '.join(targets)} |",
        "|---|---|---|",
    ]
    for index, case in enumerate(CASES):
        errors = [measure(library, index, stride)[0] for library in libraries]
        lines.append(f"| {case.name} | {' | '.join(f'{e:.2f}' for e in errors)} |")
    Path(path).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _table(sys.argv[1], 1021)
    else:
        for name in ("x86-64-v2", "x86-64-v4"):
            built = build(name)
            for number, each in enumerate(CASES):
                print(name, each.name, *measure(built, number, 10007))
