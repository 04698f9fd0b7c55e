"""Pieces of Markdown that the reference pages are put together from."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

NOTICE = "<!-- Written from the code by `make docs`: change the code, not this page. -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; empty text where there are no rows."""
    rows = [[cell(value) for value in row] for row in rows]
    if not rows:
        return ""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def cell(value: object) -> str:
    """What stands in a table's cell: one line, its bars escaped."""
    return " ".join(str(value).split()).replace("|", "\\|")


def code(value: object) -> str:
    """Inline code; nothing for nothing."""
    return f"`{value}`" if str(value) else ""


def doc(thing: object) -> str:
    """The docstring of a class, a function or a module, without its indentation."""
    return inspect.cleandoc(thing.__doc__ or "")


def summary(text: str) -> str:
    """The first sentence of a docstring."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[a-z`)\]]\.) ", paragraph)[0].rstrip(":")


def link(text: str, target: Path, page: Path) -> str:
    """A link from `page` to the file `target`, both below the project's folder."""
    return f"[{text}]({os.path.relpath(target, page.parent)})"


def file_link(target: Path, page: Path) -> str:
    """A link that shows the path it leads to."""
    return link(f"`{target.as_posix()}`", target, page)


def join(*parts: str) -> str:
    """A page of the parts that are not empty, with blank lines between them."""
    return NOTICE + "\n" + "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
