"""The reference pages under docs/, from the code: passes, dialects, targets, pipelines, schedules, frontends, tools."""

from __future__ import annotations

from pathlib import Path

__all__ = ["changes", "pages", "write"]


def pages(root: Path) -> dict[Path, str]:
    """The text of every page that is written from the code, by its path below `root`, the project's folder."""
    from neomlir.reference import dialects, frontends, passes, pipelines, python, schedules, targets, tools
    from neomlir.reference.markdown import NOTICE, table

    kinds = (passes, dialects, targets, pipelines, schedules, frontends, python)
    written: dict[Path, str] = {}
    rows = []
    for kind in kinds:
        name = kind.__name__.rpartition(".")[2]
        found = kind.pages(root)
        for page, text in found.items():
            written[Path("docs/reference", name, page)] = text
        rows.append((f"[{name}]({name}/index.md)", kind.__doc__))
    index = table(("", ""), rows)
    written[Path("docs/reference/index.md")] = f"{NOTICE}\n# Reference\n\n{index}\n"
    written.update(tools.pages(root))
    return written


def changes(root: Path) -> dict[Path, str | None]:
    """What differs between the code and the pages below `root`: the text each should have, None where it should go."""
    wanted = pages(root)
    there = {path.relative_to(root) for path in (root / "docs/reference").rglob("*.md")}
    stale: dict[Path, str | None] = dict.fromkeys(sorted(there - wanted.keys()))
    for path, text in sorted(wanted.items()):
        if not (root / path).is_file() or (root / path).read_text() != text:
            stale[path] = text
    return stale


def write(root: Path) -> list[Path]:
    """Bring the pages below `root` up to date; those that changed."""
    stale = changes(root)
    for path, text in stale.items():
        if text is None:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return list(stale)
