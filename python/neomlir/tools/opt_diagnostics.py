"""What happens to diagnostics in `neo-opt`: printed as `mlir-opt` prints them, or kept for `--verify-diagnostics`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from neomlir.diagnostics import location_text, severity
from neomlir.mlir import ir

_OPERATION = "see current operation: "


class Reporter:
    """Takes the diagnostics of one input, the whole or a part of the file `name`.

    With `verify` they are kept in `reported` as (kind, line or None, message), otherwise printed on stderr.
    """

    def __init__(self, name: str, text: str, *, verify: bool, show_operation: bool = True) -> None:
        self.reported: list[tuple[str, int | None, str]] = []
        self._name, self._lines = name, text.split("\n")
        self._verify, self._show_operation = verify, show_operation and not verify

    def diagnostic(self, diagnostic) -> None:
        """Take a diagnostic of the bindings and its notes."""
        kind, message = severity(diagnostic), diagnostic.message
        if self._show_operation or not message.startswith(_OPERATION):
            self._take(kind, location_text(diagnostic.location), message)
        for note in diagnostic.notes:
            self.diagnostic(note)

    def error(self, error: ir.MLIRError) -> None:
        """Take an exception of the bindings."""
        for diagnostic in error.error_diagnostics:
            self.diagnostic(diagnostic)
        if not error.error_diagnostics and not self.reported:
            self.plain(str(error), self._name)

    def told(self, diagnostics: Iterable[tuple[str, str, str]]) -> None:
        """Take (location, severity, message) of a PassFailure."""
        for where, kind, message in diagnostics:
            self._take(kind, where, message)

    def plain(self, message: str, where: str = "neo-opt") -> None:
        """Take an error that has no place in the input."""
        self.reported.append(("error", None, message))
        if not self._verify:
            print(f"{where}: error: {message}", file=sys.stderr)

    def _take(self, kind: str, where: str, message: str) -> None:
        found = re.fullmatch(r"(.*):(\d+):(\d+)", where, re.DOTALL)
        line, excerpt = None, ""
        if found:
            file, number, column = found[1], int(found[2]), int(found[3])
            if file in ("-", self._name):
                line = number
                file, excerpt = self._name, self._excerpt(number, column)
            where = f"{file}:{number}:{column}"
        self.reported.append((kind, line, message))
        if not self._verify:
            print(f"{where or self._name}: {kind}: {message}{excerpt}", file=sys.stderr)

    def _excerpt(self, line: int, column: int) -> str:
        """The line of the input and a mark below the column."""
        if not (0 < line <= len(self._lines) and column > 0):
            return ""
        text = self._lines[line - 1].rstrip("\r")
        before = "".join("\t" if c == "\t" else " " for c in text[: column - 1])
        return f"\n{text}\n{before.ljust(column - 1)}^"
