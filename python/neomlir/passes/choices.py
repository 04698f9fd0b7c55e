"""What `neo-tune` found for single contractions, as an option of a pass says it: `SIGNATURE:VALUE;…`."""

from __future__ import annotations

from collections.abc import Container, Mapping

from neomlir.errors import PipelineError


def parse_choices(name: str, text: str, allowed: Container[str]) -> dict[str, str]:
    """Values by `Contraction.signature`, from an option of the pass `name`. Raises PipelineError."""
    told = {}
    for pair in filter(None, text.split(";")):
        signature, colon, value = pair.partition(":")
        if not (signature and colon and value in allowed):
            raise PipelineError(f"{name}: {pair!r} is not SIGNATURE:VALUE with a value that there is")
        told[signature] = value
    return told


def choices_text(told: Mapping[str, int | str]) -> str:
    """The option's text, the same for the same choices."""
    return ";".join(f"{signature}:{value}" for signature, value in sorted(told.items()))
