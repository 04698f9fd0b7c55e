"""`--verify-diagnostics`: what a file says it expects against what was reported."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT = re.compile(
    r"expected-(?P<kind>error|warning|remark|note)(?P<regex>-re)?\s*"
    r"(?:@(?P<where>[+-]\d+|above|below|unknown))?\s*(?P<count>\d+)?\s*\{\{(?P<text>.*?)\}\}(?!\})"
)


@dataclass
class Expected:
    """One expectation: a diagnostic of `kind` at `line` (None: no location) whose message holds `text`."""

    kind: str
    line: int | None
    text: str
    regex: bool
    count: int
    comment_line: int

    def matches(self, kind: str, line: int | None, message: str) -> bool:
        """Whether a diagnostic is the expected one."""
        if kind != self.kind or line != self.line:
            return False
        if not self.regex:
            return self.text in message
        pieces = re.split(r"\{\{(.*?)\}\}", self.text)
        pattern = "".join(p if i % 2 else re.escape(p) for i, p in enumerate(pieces))
        return re.search(pattern, message) is not None


def expectations(text: str) -> list[Expected]:
    """The expectations in the comments of a file."""
    found = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        for match in _COMMENT.finditer(line):
            at: int | None = number
            where = match["where"]
            if where == "unknown":
                at = None
            elif where in ("above", "below"):
                step = -1 if where == "above" else 1
                at = number + step
                while 0 < at <= len(lines) and _COMMENT.search(lines[at - 1]):
                    at += step
            elif where:
                at = number + int(where)
            found.append(
                Expected(match["kind"], at, match["text"], bool(match["regex"]), int(match["count"] or 1), number)
            )
    return found


def check(text: str, diagnostics: list[tuple[str, int | None, str]]) -> list[tuple[int | None, str]]:
    """Compare; returns (line, complaint) for each expectation not met and each diagnostic not expected."""
    expected = expectations(text)
    left = [e.count for e in expected]
    complaints = []
    for kind, line, message in diagnostics:
        for i, e in enumerate(expected):
            if left[i] and e.matches(kind, line, message):
                left[i] -= 1
                break
        else:
            if kind != "note":
                complaints.append((line, f"unexpected {kind}: {message}"))
    for e, count in zip(expected, left, strict=True):
        if count:
            complaints.append((e.comment_line, f'expected {e.kind} "{e.text}" was not produced'))
    return complaints
