"""`--verify-diagnostics`: what a file says it expects against what was reported."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT = re.compile(
    r"expected-(?P<kind>error|warning|remark|note)(?P<regex>-re)?\s*"
    r"(?:@(?P<where>[+-]\d+|above|below|unknown))?\s*(?P<count>\d+)?\s*\{\{"
)
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}(?!\})")
# The character classes of POSIX, which upstream's regular expressions have and Python's lack.
_POSIX = {
    "[:alnum:]": "a-zA-Z0-9",
    "[:alpha:]": "a-zA-Z",
    "[:blank:]": " \\t",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:punct:]": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "[:space:]": "\\s",
    "[:upper:]": "A-Z",
    "[:xdigit:]": "0-9a-fA-F",
}


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
        return self.pattern().search(message) is not None

    def pattern(self) -> re.Pattern:
        """What the message must hold. Raises re.error."""
        if not self.regex:
            return re.compile(re.escape(self.text))
        pieces = _PLACEHOLDER.split(self.text)
        return re.compile("".join(f"(?:{_python(p)})" if i % 2 else re.escape(p) for i, p in enumerate(pieces)))


def _python(pattern: str) -> str:
    for posix, ours in _POSIX.items():
        pattern = pattern.replace(posix, ours)
    return pattern


def expectations(text: str) -> list[Expected]:
    """The expectations in the comments of a file."""
    found = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        for match, message in _comments(line):
            at: int | None = number
            where = match["where"]
            if where == "unknown":
                at = None
            elif where in ("above", "below"):
                step = -1 if where == "above" else 1
                at = number + step
                while 0 < at <= len(lines) and _comments(lines[at - 1]):
                    at += step
            elif where:
                at = number + int(where)
            found.append(Expected(match["kind"], at, message, bool(match["regex"]), int(match["count"] or 1), number))
    return found


def _comments(line: str) -> list[tuple[re.Match, str]]:
    """The expectations in a line with their texts, which go on to the `}}` that closes them."""
    found, at = [], 0
    while match := _COMMENT.search(line, at):
        depth, at = 1, match.end()
        while depth and at < len(line):
            two = line[at : at + 2]
            # Of three closing braces the first belongs to what stands inside.
            closes = two == "}}" and line[at + 2 : at + 3] != "}"
            depth += (two == "{{") - closes
            at += 2 if closes or two == "{{" else 1
        if depth:
            # Never balanced: upstream reads on to the last `}}` of the line.
            end = line.rfind("}}", match.end())
            if end < 0:
                break
            at = end + 2
        found.append((match, line[match.end() : at - 2]))
    return found


def check(
    text: str, diagnostics: list[tuple[str, int | None, str]], only_expected: bool = False
) -> list[tuple[int | None, str]]:
    """Compare; returns (line, complaint) for each expectation not met and each diagnostic not expected.

    With `only_expected` diagnostics that nothing expects are let pass.
    """
    expected, complaints = [], []
    for e in expectations(text):
        try:
            e.pattern()
        except re.error as error:
            complaints.append((e.comment_line, f"invalid regular expression in expected {e.kind}: {error}"))
            continue
        expected.append(e)
    left = [e.count for e in expected]
    for kind, line, message in diagnostics:
        for i, e in enumerate(expected):
            if left[i] and e.matches(kind, line, message):
                left[i] -= 1
                break
        else:
            if not only_expected:
                near = [e for i, e in enumerate(expected) if left[i] and e.matches(e.kind, line, message)]
                said = (
                    f"'{kind}' diagnostic emitted when expecting a '{near[0].kind}'" if near else f"unexpected {kind}"
                )
                complaints.append((line, f"{said}: {message}"))
    for e, count in zip(expected, left, strict=True):
        if count:
            complaints.append((e.comment_line, f'expected {e.kind} "{e.text}" was not produced'))
    return complaints
