"""Loops that do not wait for each other as one kernel: the two directions of a recurrent layer."""

from __future__ import annotations

from neomlir.passes.groups import Groups


def join_loops(groups: Groups) -> None:
    """Make one group of loops, of which each is work items of its own, so that threads share them.

    None of them reads, directly or through whatever stands between, what another gives.
    """
    loops = [group for group, kind in groups.kind.items() if kind == "loop" and group in groups.members]
    for later, other in enumerate(loops):
        for first in loops[:later]:
            if first in groups.members and _apart(groups, first, other) and groups.may_merge(first, other):
                groups.merge(first, other)
                break


def _apart(groups: Groups, a: int, b: int) -> bool:
    """Whether neither of two groups reads a result of the other."""
    pair = {a, b}
    return not any(
        groups.group[reader] in pair - {groups.group[i]}
        for i in groups.members[a] + groups.members[b]
        for reader in groups.next[i]
    )
