"""The part of the staircase that every target shares: `linalg` to `global`."""

from __future__ import annotations


def global_stage(target: str) -> str:
    """Pipeline text of the whole-program passes, weights packed for the register tile of `target` (a target name)."""
    passes = [
        "neo-generalize",
        "canonicalize",
        "cse",
        "neo-channels-last",
        "canonicalize",
        "cse",
        "neo-fuse-elementwise",
        "canonicalize",
        "cse",
        f"neo-pack-contractions{{target={target}}}",
        "neo-hoist-constants",
        "canonicalize",
        "cse",
    ]
    return f"builtin.module({','.join(passes)})"
