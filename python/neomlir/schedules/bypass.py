"""Results that no cache holds until they are read are written past the caches, by whole lines.

A store reads the line that it writes to first, and puts it in the place of another. Where a result is larger than what
the caches keep for whoever reads it next, both are for nothing: a non-temporal store sends the line to memory. How
large that is says the target (`bypass` of its cache). Where a vector is a part of a line, those of a line are computed
and written together: what waits for the rest of its line is sent as it is when lines of other places come.

Such a store of a vector faults unless its place is a multiple of the vector's size. The arena and what the runtime
allocates start at a line; a caller's buffer, or a part of a larger one, need not. So each work item is written twice,
and the address that a run gives decides which of the two is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neomlir.mlir import ir
from neomlir.schedules.builder import Size
from neomlir.schedules.frame import Frame
from neomlir.schedules.index import Index
from neomlir.schedules.intrinsics import call
from neomlir.schedules.streams import bytes_of

_LEAST = 2
"""How often a result would have to be there to be as large as what the caches keep, at most."""

Group = tuple[Sequence[Size], Callable[[list[Index]], None]]
"""The sizes of a group of work items, and what an item does."""


def items(frame: Frame, groups: Sequence[Group]) -> None:
    """`Builder.items` that write large results past the caches, where these start at a line."""
    b, past = frame.b, [frame.destination(i) for i in range(len(frame.kernel.results)) if pays(frame, i)]
    if not past:
        b.items(groups)
        return
    start: Size = 0
    for buffer in past:
        address = b.value("memref.extract_aligned_pointer_as_index", b.index_type, buffer)
        start = address if isinstance(start, int) else b.value("arith.ori", b.index_type, start, address)
    aligned = b.equal(b.value("arith.andi", b.index_type, start, b.index(frame.machine.line - 1)), 0)

    def either(body: Callable[[list[Index]], None]) -> Callable[[list[Index]], None]:
        def item(indices: list[Index]) -> None:
            def lines() -> None:
                frame.memory.past = {buffer: frame.machine.line for buffer in past}
                try:
                    body(indices)
                finally:
                    frame.memory.past = {}

            b.when(aligned, lines, lambda: body(indices))

        return item

    b.items([(sizes, either(body)) for sizes, body in groups])
    if not frame.memory.passed:
        never = b.constant(ir.IntegerAttr.get(b.i1, 0))
        aligned.replace_all_uses_with(never)
        return
    # No later store of this thread, such as the one that says that the work is done, waits for these by itself.
    call(b, "llvm.x86.sse.sfence", [], [])


def pays(frame: Frame, i: int) -> bool:
    """Whether result `i` of a kernel is larger than the caches keep, and is written without being read.

    What is kept of a result as large as what it is computed from is a half of what is read and written. Where there is
    more of that, less of it is result, down to a quarter: of smaller ones the time that a reader loses is more than
    what the writer gains.
    """
    kernel, machine = frame.kernel, frame.machine
    value = kernel.destinations[i]
    if not machine.bypass or frame.b.scalable:
        return False
    sizes = [bytes_of(a.type) for a in kernel.args]
    size = bytes_of(value.type)
    read = any(used and o == value for g in kernel.generics for o, used in zip(g.operands, g.used, strict=True))
    if read or size is None:
        return False
    moved = sum(n or 0 for n in sizes)
    return max(size, min(moved // 2, _LEAST * size)) >= machine.bypass
