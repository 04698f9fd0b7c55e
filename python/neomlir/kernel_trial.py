"""One kernel with given parameters: its code, and how long it takes beside the same kernel with others."""

from __future__ import annotations

import ctypes
import math
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from neomlir.code import open_code
from neomlir.codegen.link import link_shared
from neomlir.codegen.objects import emit_object
from neomlir.elements import numpy_dtype
from neomlir.errors import TuningError
from neomlir.kernel_job import KernelResult, compile_kernel
from neomlir.mlir import ir
from neomlir.passes.functions import functions, name_of
from neomlir.passes.schedule import schedule_space
from neomlir.schedules.kernel import set_parameters
from neomlir.targets import Target

Parameters = Mapping[str, int | str]
_BURST = 1e-3
"""Seconds for which a kernel is called again and again, without another in between."""
_PATIENCE = 0.3
"""Seconds for one comparison."""
_LEAST_PAIRS = 5
_HOPELESS = 1.3
"""A candidate that takes so much longer at first is not measured to the end."""
_TOLERANCE = 1e-4


class Candidate(NamedTuple):
    """A kernel's code with some parameters."""

    name: str
    object: bytes
    interface: str
    parameters: dict[str, int]
    """All that the schedule asked for, as it took them."""


def told(text: str, parameters: Parameters) -> str:
    """The nested module of a kernel with parameters for its schedule."""
    from neomlir.dialects import context

    with context():
        module = ir.Module.parse(text)
        set_parameters(functions(module.operation)[0], dict(parameters))
        return str(module)


def space_of(_emit: Any, text: str, parameters: Parameters, target: Target) -> dict[str, tuple[int | str, ...]]:
    """`schedule_space` of a kernel that has been told parameters; for a worker process."""
    from neomlir.dialects import context

    with context():
        module = ir.Module.parse(told(text, parameters))
        return schedule_space(functions(module.operation)[0], target)


def candidate(text: str, parameters: Parameters, stages: dict[str, str], target: Target) -> Candidate:
    """Compile it; for a worker process. Raises PassFailure, CompileError."""
    from neomlir.dialects import context

    result: KernelResult = compile_kernel(told(text, parameters), stages, {target.name: target}, False)
    with context():
        name = name_of(functions(ir.Module.parse(text).operation)[0])
    return Candidate(name, result.objects[target.name], result.interface, result.parameters)


@dataclass(frozen=True)
class Comparison:
    """One candidate beside another."""

    ratio: float
    """The median of its time over the other's, taken in turn."""
    seconds: float
    """Its best time of a call."""
    pairs: int


def compare(_emit: Any, new: Candidate, old: Candidate, target: Target, core: int | None = None) -> Comparison:
    """Run both on the same random arguments, in turn; for a worker process, since a candidate may do anything.

    Raises TuningError where their results differ, or the kernel's arguments are not static.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})
    runs = [_Runner(which, _arguments(new), target) for which in (new, old)]
    _check(runs[0], runs[1])
    count = max(1, int(_BURST / max(1e-7, min(run.time(1) for run in runs))))
    ratios, best, end = [], math.inf, time.perf_counter() + _PATIENCE
    while time.perf_counter() < end or len(ratios) < _LEAST_PAIRS:
        # Whoever comes second finds the caches as the other left them: each is second every other time.
        first, second = runs if len(ratios) % 2 else runs[::-1]
        took = {id(run): run.time(count) for run in (first, second)}
        ratios.append(took[id(runs[0])] / took[id(runs[1])])
        best = min(best, took[id(runs[0])])
        if len(ratios) >= 3 and min(ratios) > _HOPELESS:
            break
    return Comparison(statistics.median(ratios), best, len(ratios))


class _Argument(NamedTuple):
    """A buffer, or the value of a scalar as an array without dimensions."""

    array: np.ndarray
    is_buffer: bool

    def word(self) -> int:
        """What stands in the kernel's slot: the address of a buffer, the bits of a scalar."""
        if self.is_buffer:
            return self.array.ctypes.data
        return int.from_bytes(self.array.tobytes().ljust(8, b"\0"), "little")


class _Runner:
    """A kernel's library and its arguments."""

    def __init__(self, candidate: Candidate, arguments: list[_Argument], target: Target) -> None:
        objects = [emit_object(_driver(candidate.name), target), candidate.object]
        library = open_code(link_shared(objects, target, ["neo_repeat"]), candidate.name)
        self._repeat = library.neo_repeat
        self._repeat.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.arrays = [argument.array for argument in arguments]
        self._slots = (ctypes.c_uint64 * max(1, len(arguments)))(*[argument.word() for argument in arguments])
        self._items = _grid(candidate)

    def time(self, count: int) -> float:
        """Seconds of a call, of `count` calls together."""
        begin = time.perf_counter()
        self._repeat(count, self._items, ctypes.addressof(self._slots))
        return (time.perf_counter() - begin) / count


def _driver(name: str) -> str:
    """A loop around the kernel, so that the way in from Python is not measured."""
    return f"""
declare void @"{name}.run"(i64, i64, ptr)
define void @neo_repeat(i64 %count, i64 %items, ptr %data) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  call void @"{name}.run"(i64 0, i64 %items, ptr %data)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""


def _function(candidate: Candidate) -> tuple[ir.Module, ir.Operation]:
    module = ir.Module.parse(candidate.interface)
    return module, next(f for f in functions(module.operation) if name_of(f) == candidate.name)


def _grid(candidate: Candidate) -> int:
    from neomlir.dialects import context

    with context():
        _module, function = _function(candidate)
        grid = function.attributes["neo.grid"]
        if not isinstance(grid, ir.IntegerAttr):
            raise TuningError(f"{candidate.name} has dynamic extents, of which none is known here")
        return ir.IntegerAttr(grid).value


def _arguments(candidate: Candidate) -> list[_Argument]:
    """Random arguments: standard normal numbers; integers are zero, for they may be indices."""
    from neomlir.dialects import context

    rng, found = np.random.default_rng(0), []
    with context():
        _module, function = _function(candidate)
        signature = ir.FunctionType(ir.TypeAttr(function.attributes["neo.signature"]).value)
        for type_ in signature.inputs[:-2]:
            shape: tuple[int, ...] = ()
            is_buffer = isinstance(type_, ir.MemRefType)
            if is_buffer:
                if not type_.has_static_shape:
                    raise TuningError(f"{candidate.name} has dynamic extents, of which none is known here")
                shape, type_ = tuple(type_.shape), type_.element_type
            dtype = np.dtype(np.int64) if isinstance(type_, ir.IndexType) else numpy_dtype(type_)
            if dtype.kind in "iub":
                array = np.zeros(shape, dtype)
            else:
                array = np.asarray(rng.standard_normal(shape, np.float32)).astype(dtype)
            found.append(_Argument(_aligned(array), is_buffer))
    return found


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy at 64 bytes, as the arena and the weights are."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _check(new: _Runner, old: _Runner) -> None:
    new.time(1)
    old.time(1)
    for found, right in zip(new.arrays, old.arrays, strict=True):
        if not agree(found, right):
            raise TuningError("its result is another one")


def agree(found: np.ndarray, right: np.ndarray) -> bool:
    """Whether two results are the same: integers exactly, numbers to 1e-4 in the norm, what is not finite in place."""
    if right.dtype.kind in "iub":
        return np.array_equal(found, right)
    a, b = found.astype(np.float64), right.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    return bool(np.linalg.norm(a[finite] - b[finite]) <= _TOLERANCE * max(np.linalg.norm(b[finite]), 1e-30))
