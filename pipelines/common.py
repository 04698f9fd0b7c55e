"""The part of the staircase that every target shares: `linalg` to `global`."""

from __future__ import annotations


def global_stage(target: str) -> str:
    """Pipeline text of the whole-program passes, weights packed for the register tile of `target` (a target name)."""
    tidy = ("canonicalize", "cse")
    passes = [
        f"neo-pack-forest{{target={target}}}",
        "neo-generalize",
        "neo-trim-windows",
        "neo-simplify-bodies",
        "neo-narrow-doubles",
        *tidy,
        "neo-split-inits",
        "neo-fold-quantization",
        *tidy,
        "neo-channels-last",
        *tidy,
        "neo-fuse-elementwise",
        *tidy,
        "linalg-fold-unit-extent-dims",
        *tidy,
        "neo-pull-scales",
        "neo-share-maxima",
        "neo-fuse-elementwise{views=false}",
        *tidy,
        "neo-join-quantizers",
        "neo-split-transposed-convs",
        *tidy,
        "neo-fold-scales",
        f"neo-quantize-weights{{target={target}}}",
        f"neo-lower-precision{{target={target}}}",
        f"neo-winograd{{target={target}}}",
        f"neo-pack-contractions{{target={target}}}",
        "neo-hoist-constants",
        *tidy,
    ]
    return f"builtin.module({','.join(passes)})"
