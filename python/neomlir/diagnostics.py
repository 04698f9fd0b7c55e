"""What the bindings report, as typed errors with readable places."""

from __future__ import annotations

import re

from neomlir.errors import PassFailure
from neomlir.mlir import ir

_PLACE = re.compile(r'"((?:[^"\\]|\\.)*)":(\d+):(\d+)')


def failure(name: str, error: ir.MLIRError) -> PassFailure:
    """A PassFailure from what the bindings raise; `diagnostics` holds (location, severity, message) tuples."""
    found: list[tuple[str, str, str]] = []

    def collect(diagnostic) -> None:
        found.append((location_text(diagnostic.location), severity(diagnostic), diagnostic.message))
        for note in diagnostic.notes:
            collect(note)

    for diagnostic in error.error_diagnostics:
        collect(diagnostic)
    lines = [f"{where}: {kind}: {message}" if where else f"{kind}: {message}" for where, kind, message in found]
    result = PassFailure("\n".join([f"pass {name!r} failed", *(lines or [str(error)])]))
    result.diagnostics = found
    return result


def severity(diagnostic: ir.Diagnostic) -> str:
    """`error`, `warning`, `remark` or `note`."""
    return str(diagnostic.severity).rsplit(".", 1)[-1].lower()


def location_text(location: ir.Location) -> str:
    """`file:line:column` of a location; the text of any other kind; empty for an unknown one."""
    text = str(location)
    found = _PLACE.search(text)
    if found:
        return ":".join(found.groups())
    inner = text.removeprefix("loc(").removesuffix(")")
    return "" if inner == "unknown" else inner
