"""The Markdown pages of the project as its tests read them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """README.md and every page under docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def tokens(page: Path) -> list[Token]:
    """The blocks of a page."""
    return MarkdownIt().enable("table").parse(page.read_text())


def links(page: Path) -> Iterator[str]:
    """The target of each link and image."""
    for token in tokens(page):
        for inner in token.children or ():
            if inner.type in ("link_open", "image"):
                yield str(inner.attrs.get("href") or inner.attrs.get("src"))


def anchors(page: Path) -> set[str]:
    """What GitHub calls a page's headings in links."""
    blocks = tokens(page)
    titles = [block.content for mark, block in itertools.pairwise(blocks) if mark.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
