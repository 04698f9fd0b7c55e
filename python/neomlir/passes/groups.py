"""Groups of operations that become a kernel each."""

from __future__ import annotations

from collections.abc import Iterable

from neomlir.passes.dataflow import CHEAP, Block, runs_on_host
from neomlir.passes.in_place import views_of_parts


class Groups:
    """A partition of the kernel operations of a block, grown by merges that keep the graph of groups acyclic."""

    def __init__(self, block: Block, max_ops: int) -> None:
        """Each kernel operation starts alone; no group grows past `max_ops` operations."""
        self.block = block
        self.max_ops = max_ops
        self.group: list[int] = list(range(len(block.ops)))
        self.members: dict[int, list[int]] = {i: [i] for i in range(len(block.ops))}
        self.kind: dict[int, str] = {}
        self.views = views_of_parts(block)
        self.cloned: set[int] = set()
        """Operations that every kernel clones that reads them."""
        self.next: list[list[int]] = [[] for _ in block.ops]
        for number, values in enumerate(block.reads):
            for value in values:
                if value in block.maker:
                    self.next[block.maker[value]].append(number)

    def is_kernel(self, number: int) -> bool:
        """Whether the operation is computed by kernels (and not by the host or cloned where it is read)."""
        op = self.block.ops[number]
        return not (runs_on_host(op) or op.name in CHEAP or number in self.views or number in self.cloned)

    def may_merge(self, a: int, b: int, between: Iterable[int] = ()) -> bool:
        """Whether groups a and b, and the operations `between` them, can be one without a cycle through others."""
        inside = {a, b, *(self.group[number] for number in between)}
        if sum(len(self.members[group]) for group in inside) > self.max_ops:
            return False
        todo = [g for m in inside for i in self.members[m] for n in self.next[i] if (g := self.group[n]) not in inside]
        seen = set(todo)
        while todo:
            for i in self.members[todo.pop()]:
                for n in self.next[i]:
                    g = self.group[n]
                    if g in inside:
                        return False
                    if g not in seen:
                        seen.add(g)
                        todo.append(g)
        return True

    def merge(self, into: int, other: int) -> None:
        """Make two groups one."""
        for i in self.members[other]:
            self.group[i] = into
        self.members[into] = sorted(self.members[into] + self.members.pop(other))
