"""The grammar of pipeline text: `builtin.module(neo-form-kernels{max-ops=64},func.func(canonicalize),cse)`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from neomlir.errors import PipelineError


@dataclass
class Step:
    """A pass with its options, or an operation name with the steps nested in it."""

    name: str
    options: str = ""
    children: list[Step] | None = None
    where: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """The step as pipeline text."""
        if self.children is not None:
            return f"{self.name}({','.join(map(str, self.children))})"
        return f"{self.name}{{{self.options}}}" if self.options else self.name


def parse(text: str) -> list[Step]:
    """The steps of pipeline text, in order. Raises PipelineError with the column of the fault."""
    parser = _Parser(text)
    steps = parser.steps()
    if parser.at < len(text):
        parser.fail("expected ',' or the end")
    return steps


_DEEPEST = 100
_WINDOW = 100


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, message: str) -> None:
        # A window of the text, and controls as they are not: a message is read on a terminal.
        start = max(0, self.at - _WINDOW)
        shown = "".join(c if c.isprintable() else " " for c in self.text[start : self.at + _WINDOW])
        raise PipelineError(f"pipeline:{self.at + 1}: {message}\n  {shown}\n  {' ' * (self.at - start)}^")

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        self.skip()
        return self.text[self.at] if self.at < len(self.text) else ""

    def steps(self) -> list[Step]:
        found = []
        if self.peek() in ("", ")"):
            return found
        while True:
            found.append(self.step())
            if self.peek() != ",":
                return found
            self.at += 1

    def step(self) -> Step:
        self.skip()
        start = self.at
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "-_.*"):
            self.at += 1
        name = self.text[start : self.at]
        if not name:
            self.fail("expected the name of a pass or an operation")
        if self.peek() == "(":
            if self.depth == _DEEPEST:
                self.fail(f"nested more than {_DEEPEST} deep")
            self.at += 1
            self.depth += 1
            children = self.steps()
            if self.peek() != ")":
                self.fail("expected ',' or ')'")
            self.at += 1
            self.depth -= 1
            return Step(name, children=children, where=start)
        options = ""
        if self.peek() == "{":
            options = self.braces()
        return Step(name, options, where=start)

    def braces(self) -> str:
        start, depth, quote = self.at + 1, 0, False
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                quote = not quote
            depth += 0 if quote else (character == "{") - (character == "}")
            self.at += 1
            if depth == 0:
                return _one_line(self.text[start : self.at - 1])
        self.at = start - 1
        self.fail("this brace is never closed")
        return ""


def _one_line(options: str) -> str:
    """Options with single spaces between them; what stands in quotes is left alone."""
    pieces = re.split(r'("[^"]*")', options)
    return "".join(p if i % 2 else re.sub(r"\s+", " ", p) for i, p in enumerate(pieces)).strip()
