"""One kernel with given parameters: its code, and how long it takes beside the same kernel with others."""

from __future__ import annotations

import ctypes
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
Given = Sequence[tuple[int | None, ...] | int | None]
"""What each argument of a kernel is: the extents of a buffer, or the number of an integer; None is not known."""
_BURST = 1e-3
"""Seconds for which a kernel is called again and again, without another in between."""
_PATIENCE = 0.3
"""Seconds for one comparison."""
_LEAST_PAIRS = 5
_HOPELESS = 1.3
"""A candidate that takes so much longer at first is not measured to the end."""
_TOLERANCE = 1e-4


_MOST_ELSEWHERE = 1 << 27


class Elsewhere:
    """Memory that is read between two calls, so that what was in the caches is not."""

    def __init__(self, size: int) -> None:
        """`size` bytes, at most more than any cache holds."""
        # Ones: pages of zeros that nobody has written to are one page.
        self._memory = np.ones(min(size, _MOST_ELSEWHERE) // 8 + 1, np.uint64)

    def visit(self) -> None:
        """Read all of it."""
        self._memory.max()


class Around(NamedTuple):
    """What a run does between two calls of a kernel."""

    passed: int = 0
    """Bytes of weights that pass by."""
    weights: tuple[int, ...] = ()
    """The arguments of the kernel that are weights; the others were written just before."""


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


def compare(
    _emit: Any,
    new: Candidate,
    old: Candidate,
    target: Target,
    core: int | None = None,
    given: Given | None = None,
    around: Around | None = None,
) -> Comparison:
    """Run both on the same random arguments, in turn; for a worker process, since a candidate may do anything.

    `given` says how large arguments are whose extents are dynamic, `around` where they are before a call: without it,
    or where a run's weights fit twice the second-level cache, in the caches. Raises TuningError where results differ,
    or an extent is not known.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})
    runs = [_Runner(which, _arguments(new, given), target) for which in (new, old)]
    _check(runs[0], runs[1])
    if around is not None and around.weights and around.passed > 2 * target.cache.l2:
        elsewhere = Elsewhere(around.passed)
        return in_turn(*[partial(_cold, run, elsewhere, around.weights) for run in runs])
    count = max(1, int(_BURST / max(1e-7, min(run.time(1) for run in runs))))
    return in_turn(*[partial(run.time, count) for run in runs])


def _cold(run: _Runner, elsewhere: Elsewhere, weights: tuple[int, ...]) -> float:
    """Seconds of a call whose weights are far and whose other arguments are near."""
    elsewhere.visit()
    for number, array in enumerate(run.arrays):
        if number not in weights and array.ndim and array.size:
            array.reshape(-1).view(np.uint8).max()
    return run.time(1)


def in_turn(new: Callable[[], float], old: Callable[[], float]) -> Comparison:
    """Compare two ways by calls that give their seconds, for as long as one comparison takes."""
    both = (new, old)
    ratios, best, end = [], math.inf, time.perf_counter() + _PATIENCE
    while time.perf_counter() < end or len(ratios) < _LEAST_PAIRS:
        # Whoever comes second finds the caches as the other left them: each is second every other time.
        took = {call: call() for call in (both if len(ratios) % 2 else both[::-1])}
        ratios.append(took[new] / took[old])
        best = min(best, took[new])
        if len(ratios) >= 3 and min(ratios) > _HOPELESS:
            break
    return Comparison(statistics.median(ratios), best, len(ratios))


class _Argument(NamedTuple):
    """A buffer, or the value of a scalar as an array without dimensions."""

    array: np.ndarray
    is_buffer: bool
    dynamic: tuple[int, ...] = ()
    """The extents of a buffer that its type does not say."""

    def words(self) -> list[int]:
        """What stands in the kernel's slots: the address of a buffer and its extents, the bits of a scalar."""
        if self.is_buffer:
            return [self.array.ctypes.data, *self.dynamic]
        return [int.from_bytes(self.array.tobytes().ljust(8, b"\0"), "little")]

    def described(self) -> list[ctypes._SimpleCData]:
        """The same as MLIR's own convention has it, for the function that counts work items: a descriptor, written out.

        Addresses, offset, extents and strides of a buffer; a number.
        """
        if self.is_buffer:
            strides = [stride // self.array.itemsize for stride in self.array.strides]
            numbers = [*[self.array.ctypes.data] * 2, 0, *self.array.shape, *strides]
            return [ctypes.c_int64(number) for number in numbers]
        kinds = {"f4": ctypes.c_float, "f8": ctypes.c_double}
        return [kinds.get(self.array.dtype.str[1:], ctypes.c_int64)(self.array.item())]


class _Runner:
    """A kernel's library and its arguments."""

    def __init__(self, candidate: Candidate, arguments: list[_Argument], target: Target) -> None:
        objects = [emit_object(_driver(candidate.name), target), candidate.object]
        grid = _grid(candidate)
        exported = ["neo_repeat", *([grid] if isinstance(grid, str) else [])]
        library = open_code(link_shared(objects, target, exported), candidate.name)
        self._repeat = library.neo_repeat
        self._repeat.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.arrays = [argument.array for argument in arguments]
        words = [word for argument in arguments for word in argument.words()]
        self._slots = (ctypes.c_uint64 * max(1, len(words)))(*words)
        self._items = grid
        if isinstance(grid, str):
            count = library[grid]
            count.restype = ctypes.c_int64
            self._items = count(*[part for argument in arguments for part in argument.described()])

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


def _grid(candidate: Candidate) -> int | str:
    """The number of work items, or the name of the function that counts them."""
    from neomlir.dialects import context

    with context():
        _module, function = _function(candidate)
        grid = function.attributes["neo.grid"]
        return ir.IntegerAttr(grid).value if isinstance(grid, ir.IntegerAttr) else ir.FlatSymbolRefAttr(grid).value


def _arguments(candidate: Candidate, given: Given | None) -> list[_Argument]:
    """Random arguments: standard normal numbers; integers are zero, for they may be indices, unless they are given."""
    from neomlir.dialects import context

    rng, found = np.random.default_rng(0), []
    with context():
        _module, function = _function(candidate)
        signature = ir.FunctionType(ir.TypeAttr(function.attributes["neo.signature"]).value)
        for number, type_ in enumerate(signature.inputs[:-2]):
            shape: tuple[int, ...] = ()
            dynamic: tuple[int, ...] = ()
            is_buffer = isinstance(type_, ir.MemRefType)
            value = None if given is None else given[number]
            if is_buffer:
                open_ = [d for d in range(type_.rank) if type_.is_dynamic_dim(d)]
                if open_ and (value is None or None in value):
                    raise TuningError(
                        f"{candidate.name} has dynamic extents that do not follow from those of the inputs"
                    )
                dynamic = tuple(value[d] for d in open_)
                shape, type_ = tuple(value if open_ else type_.shape), type_.element_type
            dtype = np.dtype(np.int64) if isinstance(type_, ir.IndexType) else numpy_dtype(type_)
            if dtype.kind in "iub":
                array = np.full(shape, 0 if is_buffer or value is None else value, dtype)
            else:
                array = np.asarray(rng.standard_normal(shape, np.float32)).astype(dtype)
            found.append(_Argument(_aligned(array), is_buffer, dynamic))
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
