"""What reads models: files, objects, and the passes from each to `linalg`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from neomlir.frontends import frontends
from neomlir.pipeline_text import parse
from neomlir.reference.markdown import code, doc, file_link, join, link, table
from neomlir.reference.sources import source_of

_PAGE = Path("docs/reference/frontends/index.md")


def pages(root: Path) -> dict[str, str]:
    """One page for all."""
    parts = []
    pipelines = dict(pipelines_of_frontends())
    for name, frontend in frontends().items():
        guide = Path(f"docs/frontends/{name}.md")
        rows = [
            ("files", ", ".join(map(code, frontend.suffixes))),
            ("objects", frontend.objects),
            ("compared with", code(frontend.peer)),
            ("source", file_link(source_of(type(frontend)), _PAGE)),
            ("guide", link(guide.name, guide, _PAGE) if (root / guide).is_file() else ""),
        ]
        parts += [f"## {name}", doc(type(frontend)), table(("", ""), [row for row in rows if row[1]])]
        if name in pipelines:
            steps = parse(pipelines[name])
            listed = "\n".join(map(str, steps[0].children if steps[0].children is not None else steps))
            parts += ["To `linalg`:", f"```\n{listed}\n```"]
    how = "Each is one file, found by itself: [how to add one](../../add-a-frontend.md)."
    return {"index.md": join("# Frontends", how, *parts)}


def pipelines_of_frontends() -> Iterator[tuple[str, str]]:
    """(frontend, pipeline text to `linalg`) of each that names it as `PIPELINE`."""
    for name, frontend in frontends().items():
        text = getattr(importlib.import_module(type(frontend).__module__), "PIPELINE", None)
        if text:
            yield name, text
