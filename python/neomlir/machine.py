"""What this machine can do at the most: floating-point operations and bytes copied a second, measured.

The roofs of Williams, Waterman and Patterson (Roofline, CACM 2009), one of them a size of memory.
"""

from __future__ import annotations

import bisect
import ctypes
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neomlir.code import open_code
from neomlir.codegen.link import link_shared
from neomlir.codegen.objects import emit_object
from neomlir.targets import Target

_BURST = 2e-3
"""Seconds of one measurement: long enough for the clock, short enough to fall between interruptions."""
_MOMENT = 2e-5
"""Seconds of a burst that tells the clock of the moment, which changes within milliseconds."""
_SMALLEST, _LARGEST = 1 << 14, 1 << 27
"""Bytes of the copies, read and written together."""


@dataclass(frozen=True)
class Machine:
    """Measured roofs of `threads` cores together."""

    threads: int
    flops: float
    """Operations a second, two a fused multiply-add of f32, in the target's vectors."""
    copies: tuple[tuple[int, float], ...]
    """(bytes read and written by a copy, bytes a second), sizes ascending; each thread copies its share."""

    @property
    def bandwidth(self) -> float:
        """Bytes a second of a copy too large for any cache that was reached."""
        return self.copies[-1][1]

    def copy_rate(self, size: float) -> float:
        """Bytes a second of a copy that touches `size` bytes, between the sizes that were measured."""
        sizes = [s for s, _ in self.copies]
        after = bisect.bisect_left(sizes, size)
        if after == 0 or after == len(sizes):
            return self.copies[min(after, len(sizes) - 1)][1]
        (low, slow), (high, fast) = self.copies[after - 1 : after + 1]
        part = math.log(size / low) / math.log(high / low)
        return slow + (fast - slow) * part

    def shortest(self, flops: float, size: float) -> float:
        """Seconds that so much arithmetic on so many bytes takes at least: by the arithmetic, or by a copy as large."""
        return max(flops / self.flops, size / self.copy_rate(size) if size else 0.0)

    def merged(self, other: Machine) -> Machine:
        """The better of two measurements."""
        copies = tuple((s, max(a, b)) for (s, a), (_, b) in zip(self.copies, other.copies, strict=True))
        return Machine(self.threads, max(self.flops, other.flops), copies)


class Meter:
    """Measures this machine in the code of a target."""

    def __init__(self, target: Target, threads: int = 1) -> None:
        """Compile what is timed. Raises CompileError."""
        self.threads = threads
        self._lanes = max(1, target.vector.bits // 32)
        self._chains = max(4, target.vector.registers * 3 // 4)
        self._count = 256
        code = link_shared([emit_object(self._program(), target)], target, ["neo_flops", "neo_copy"])
        self._library = open_code(code, "the roofline's program")
        self._library.neo_flops.argtypes = [ctypes.c_int64, ctypes.c_void_p]
        self._library.neo_copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
        # Ones: pages of zeros that nobody has written to are one page.
        self._memory = [np.ones(_LARGEST // threads // 2 + 4096, np.uint8) for _ in range(2 * threads)]

    def _program(self) -> str:
        """Independent chains of multiply-adds that stay in registers, and a loop of copies."""
        vector, chains = f"<{self._lanes} x float>" if self._lanes > 1 else "float", range(self._chains)
        name = f"llvm.fmuladd.v{self._lanes}f32" if self._lanes > 1 else "llvm.fmuladd.f32"
        at = "\n".join(f"  %p{i} = getelementptr {vector}, ptr %data, i64 {i + 2}" for i in chains)
        first = "\n".join(f"  %s{i} = load {vector}, ptr %p{i}, align 4" for i in chains)
        carried = "\n".join(f"  %c{i} = phi {vector} [%s{i}, %entry], [%n{i}, %loop]" for i in chains)
        steps = "\n".join(f"  %n{i} = call {vector} @{name}({vector} %c{i}, {vector} %a, {vector} %b)" for i in chains)
        last = "\n".join(f"  store {vector} %n{i}, ptr %p{i}, align 4" for i in chains)
        return f"""
declare {vector} @{name}({vector}, {vector}, {vector})
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @neo_flops(i64 %count, ptr %data) {{
entry:
  %a = load {vector}, ptr %data, align 4
  %pb = getelementptr {vector}, ptr %data, i64 1
  %b = load {vector}, ptr %pb, align 4
{at}
{first}
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{carried}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %end
end:
{last}
  ret void
}}
define void @neo_copy(ptr %to, ptr %from, i64 %bytes, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  call void asm sideeffect "", "r,~{{memory}}"(ptr %to)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""

    def measure(self, bursts: int = 5) -> Machine:
        """The roofs: of each the best of `bursts` measurements of a few milliseconds."""
        sizes = [_SMALLEST << i for i in range((_LARGEST // _SMALLEST).bit_length())]
        return Machine(self.threads, self.peak(bursts), tuple((s, self.copies(s, bursts)) for s in sizes))

    def peak(self, bursts: int = 5) -> float:
        """`Machine.flops`: the best of `bursts` measurements."""
        data = [np.full((self._chains + 2) * self._lanes, 0.5, np.float32) for _ in range(self.threads)]
        work = 2 * self._lanes * self._chains * self.threads

        def step(thread: int, count: int) -> None:
            self._library.neo_flops(count, data[thread].ctypes.data)

        return work * self._rate(step, bursts)

    def pace(self) -> float:
        """`Machine.flops` at this moment: the best of three bursts of some 20 µs, on this thread's core."""
        data = np.full((self._chains + 2) * self._lanes, 0.5, np.float32)

        def step(_: int, count: int) -> None:
            self._library.neo_flops(count, data.ctypes.data)

        while self._count < 1 << 40 and min(_alone(step, self._count) for _ in range(3)) < _MOMENT:
            self._count *= 2
        seconds = min(_alone(step, self._count) for _ in range(3))
        return 2 * self._lanes * self._chains * self.threads * self._count / seconds

    def copies(self, size: int, bursts: int = 5) -> float:
        """Bytes a second of copies that read and write `size` bytes, by all threads together."""
        share = max(64, size // self.threads // 2)

        def step(thread: int, count: int) -> None:
            to, source = self._memory[2 * thread : 2 * thread + 2]
            self._library.neo_copy(to.ctypes.data, source.ctypes.data, share, count)

        return 2 * share * self.threads * self._rate(step, bursts)

    def _rate(self, step: Callable[[int, int], None], bursts: int) -> float:
        """How often a second all threads take a step at the same time, at best."""
        count = 1
        # On one thread, and the better of two: that others are at work on the machine must not make bursts short.
        while (seconds := min(_alone(step, count) for _ in range(2))) < _BURST / 2 and count < 1 << 40:
            count = count * 8 if seconds < _BURST / 16 else max(count + 1, int(count * _BURST / seconds))
        return max(count / self._together(step, count) for _ in range(bursts))

    def _together(self, step: Callable[[int, int], None], count: int) -> float:
        if self.threads == 1:
            return _alone(step, count)
        ready, spans = threading.Barrier(self.threads), [(0.0, 0.0)] * self.threads

        def work(thread: int) -> None:
            ready.wait()
            begin = time.perf_counter()
            step(thread, count)
            spans[thread] = begin, time.perf_counter()

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(self.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return max(end for _, end in spans) - min(begin for begin, _ in spans)


def _alone(step: Callable[[int, int], None], count: int) -> float:
    """Seconds of `count` steps on this thread."""
    begin = time.perf_counter()
    step(0, count)
    return time.perf_counter() - begin


def best(machines: Sequence[Machine]) -> Machine:
    """The roofs seen in several measurements of one machine."""
    result = machines[0]
    for machine in machines[1:]:
        result = result.merged(machine)
    return result
