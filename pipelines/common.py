"""The part of the staircase that every target shares: `linalg` to `global`."""

from __future__ import annotations

from neomlir import targets
from neomlir.schedules.units import S8, U8, units_of


def global_stage(target: str) -> str:
    """Pipeline text of the whole-program passes, weights packed for the register tile of `target` (a target name)."""
    tidy = ("canonicalize", "cse")
    # Without an instruction for unsigned by signed integers both factors are signed, where there is one for these.
    units = {pair: units_of(targets.get(target), *pair) for pair in ((U8, S8), (S8, S8))}
    signs = "{signed=true}" if units[S8, S8] and not units[U8, S8] else ""
    passes = [
        f"neo-pack-forest{{target={target}}}",
        "neo-generalize",
        "neo-trim-windows",
        "neo-simplify-bodies",
        "neo-narrow-doubles",
        *tidy,
        "neo-resolve-gathers",
        "neo-split-inits",
        "neo-skip-borders",
        f"neo-fold-quantization{signs}",
        *tidy,
        "neo-channels-last",
        *tidy,
        f"neo-join-groups{{target={target}}}",
        "neo-split-batches",
        *tidy,
        "neo-fuse-elementwise",
        *tidy,
        "linalg-fold-unit-extent-dims",
        *tidy,
        "neo-pull-scales",
        "neo-share-maxima",
        f"neo-invert-sums{{target={target}}}",
        "neo-defer-scales",
        "neo-fuse-elementwise{views=false}",
        *tidy,
        "neo-sink-reshapes",
        *tidy,
        "neo-join-quantizers",
        "neo-split-transposed-convs",
        "neo-phase-transposed-convs",
        *tidy,
        "neo-fold-scales",
        f"neo-quantize-weights{{target={target}}}",
        f"neo-lower-precision{{target={target}}}",
        f"neo-winograd{{target={target}}}",
        f"neo-pack-contractions{{target={target}}}",
        "cse",  # A weight that several contractions read, as the steps of a recurrent layer do, is packed once.
        f"neo-split-columns{{target={target}}}",
        "neo-hoist-constants",
        *tidy,
    ]
    return f"builtin.module({','.join(passes)})"
