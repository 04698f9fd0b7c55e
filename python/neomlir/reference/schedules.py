"""How one kind of kernel is tiled and vectorised; a kernel takes the first that fits, in this order."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from neomlir.reference.markdown import doc, file_link, join, summary, table
from neomlir.reference.sources import lit_tests, source_of, test_links
from neomlir.schedules.base import find, ladder

_HERE = Path("docs/reference/schedules")


def pages(root: Path) -> dict[str, str]:
    """A page a schedule, and their index in the order of the ladder."""
    written = {f"{name}.md": _page(name, root) for name in ladder()}
    rows = [(find(name).order, f"[{name}]({name}.md)", summary(_text(name))) for name in ladder()]
    how = (
        "[neo-schedule](../passes/neo-schedule.md) tries them from the top; a kernel that none takes becomes loops, "
        "through the affine dialect or plain ones. [Their parts](../../schedules.md), and "
        "[how to add one](../../add-a-schedule.md)."
    )
    written["index.md"] = join("# Schedules", how, table(("order", "schedule", ""), rows))
    return written


def _text(name: str) -> str:
    return doc(importlib.import_module(type(find(name)).__module__))


def _page(name: str, root: Path) -> str:
    page, schedule = _HERE / f"{name}.md", find(name)
    place = ladder().index(name)
    before = f"behind [{ladder()[place - 1]}]({ladder()[place - 1]}.md)" if place else "first of all"
    return join(
        f"# {name}",
        _text(name),
        doc(type(schedule)) if type(schedule).__dict__.get("__doc__") else "",
        f"Tried {before} (`order` {schedule.order}). Defined in {file_link(source_of(type(schedule)), page)}.",
        test_links(lit_tests(root, rf'neo\.schedule = "{re.escape(name)}"'), page),
    )
