"""The Markdown pages of the project as its tests read them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Step:
    """A block of a page that is followed: a file to make, or commands to run, and what they print where it is shown."""

    line: int
    text: str
    file: str = ""
    prints: str | None = None
    numbers_vary: bool = False
    shown_at: tuple[int, int] = (0, 0)
    """The lines of the block with what it prints, its fences included."""


def steps(page: Path) -> list[Step]:
    """What a page tells its reader to do, in order.

    A block behind a paragraph that ends with a path in code and a colon is that file; a block of `sh` is run, and a
    block of `text` behind it is what it prints: `…` stands for anything, and in `text (numbers vary)` so do numbers,
    their units and hashes.
    """
    found: list[Step] = []
    said = ""
    for token in tokens(page):
        if token.type == "inline":
            said = token.content
        if token.type != "fence":
            continue
        line, named = token.map[0] + 1, re.search(r"`([\w./-]+)`:$", said)
        if token.info == "sh":
            found.append(Step(line, token.content))
        elif token.info.startswith("text") and found and not found[-1].file and found[-1].prints is None:
            found[-1] = dataclasses.replace(
                found[-1], prints=token.content, numbers_vary="vary" in token.info, shown_at=tuple(token.map)
            )
        elif named:
            found.append(Step(line, token.content, file=named[1]))
        said = ""
    return found


def follow(page: Path, folder: Path, environment: Mapping[str, str]) -> int:
    """Do in `folder` what `page` says; the number of commands whose output was compared with what it shows.

    With `UPDATE_PAGES=1` in the environment the page gets the output instead, where it shows another.
    """
    compared = 0
    stale: list[tuple[Step, str]] = []
    for step in steps(page):
        where = f"{page.name}:{step.line}"
        if step.file:
            (folder / step.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / step.file).write_text(step.text)
            continue
        script = f"set -euo pipefail\n{step.text}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{done.stdout}"
        if step.prints is not None:
            compared += 1
            if shows(step.prints, done.stdout, step.numbers_vary):
                continue
            stale.append((step, done.stdout))
            wrong = f"{where} shows\n{step.prints}\nbut it printed\n{done.stdout}\nUPDATE_PAGES=1 writes that there"
            assert "UPDATE_PAGES" in os.environ, wrong
    if stale:
        update(page, stale)
    return compared


def update(page: Path, stale: list[tuple[Step, str]]) -> None:
    """Let blocks of a page show what was printed."""
    lines = page.read_text().splitlines()
    for step, printed in reversed(stale):
        first, end = step.shown_at
        lines[first + 1 : end - 1] = [line.rstrip() for line in printed.rstrip().splitlines()]
    page.write_text("\n".join(lines) + "\n")


def shown(page: Path) -> list[str]:
    """The blocks of a page that show what something prints."""
    return [token.content for token in tokens(page) if token.type == "fence" and token.info.startswith("text")]


def shows(text: str, printed: str, numbers_vary: bool = False) -> bool:
    """Whether the text of a page shows what was printed."""
    both = text, printed
    return _alike(*map(_without_numbers, both)) if numbers_vary else _alike(*both)


def _alike(shown: str, printed: str) -> bool:
    lines = [" ".join(line.split()) for line in shown.strip().splitlines()]
    pattern = r"\n".join(".*?".join(map(re.escape, line.split("…"))) for line in lines)
    text = "\n".join(" ".join(line.split()) for line in printed.strip().splitlines())
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def _without_numbers(text: str) -> str:
    text = re.sub(r"_[0-9a-f]{8}\b", "_#", text)
    text = re.sub(r"(?<![\w.])[-+]?\d[\d.]*(e[-+]?\d+)?(\s?(µs|ms|s|[kM]?B)\b)?", "#", text)
    return re.sub("([─━])+", r"\1", text)


def checkout(folder: Path) -> dict[str, str]:
    """Copy the project to `folder`, as a reader of its pages has it; the environment to work there in.

    The package is found there before the installed one. Its folders that stand at the top are linked into it, as
    setuptools puts them there.
    """
    for name in ("dialects", "docs", "pipelines", "python", "runtime", "targets", "test"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "Output", "*.neo"))
    for name in ("Makefile", "README.md", "lit.cfg.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    for name, inside in (("dialects", ""), ("pipelines", ""), ("targets", ""), ("runtime", "runtime_src")):
        (folder / "python/neomlir" / (inside or name)).symlink_to(folder / name)
    # `make` finds its environment as `make setup` leaves it.
    (folder / ".venv").mkdir()
    installed = Path(sys.executable).parent
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(installed.parent / name)
    (folder / ".venv/.neo-setup").touch()
    return {**environment(), "PYTHONPATH": str(folder / "python")}


def environment() -> dict[str, str]:
    """The environment of commands: the tools first, and tables of one width."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # What `make test` tells a make inside it would have that print which folder it enters.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return {**outside, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}
