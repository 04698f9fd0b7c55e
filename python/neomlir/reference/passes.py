"""Neo's own passes; upstream's are documented at <https://mlir.llvm.org/docs/Passes/>."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neomlir.passes.base import ModulePass, all_passes
from neomlir.pipeline_text import Step, parse
from neomlir.reference.frontends import pipelines_of_frontends
from neomlir.reference.markdown import code, doc, file_link, join, link, summary, table
from neomlir.reference.pipelines import EXAMPLE, stages_of_pipelines
from neomlir.reference.sources import is_own, pass_tests, source_of, test_links

_HERE = Path("docs/reference/passes")


def pages(root: Path) -> dict[str, str]:
    """A page a pass, and their index."""
    found = [cls for cls in all_passes() if is_own(cls)]
    uses = _uses()
    written = {f"{cls.name}.md": _page(cls, root, uses.get(cls.name, [])) for cls in found}
    rows = [(f"[{cls.name}]({cls.name}.md)", summary(doc(cls))) for cls in found]
    how = (
        "A pass is a flag of [neo-opt](../../tools/neo-opt.md), a name in pipeline text, or an object in Python. "
        "[How to add one](../../add-a-pass.md)."
    )
    written["index.md"] = join("# Passes", how, table(("pass", "what it does"), rows))
    return written


def _page(cls: type[ModulePass], root: Path, uses: list[tuple]) -> str:
    page = _HERE / f"{cls.name}.md"
    options = [(code(name), _kind(kind), code(default) or "none", text) for name, kind, default, text in cls.options()]
    rows = [
        (
            link(name, Path(f"docs/reference/{folder}/{file}.md"), page),
            f"to `{level}`",
            before and code(before),
            after and code(after),
        )
        for folder, file, name, level, before, after in uses
    ]
    return join(
        f"# {cls.name}",
        doc(cls),
        f"Defined in {file_link(source_of(cls), page)}.",
        "## Options" if options else "",
        table(("option", "type", "default", "what it does"), options) or "It has no options.",
        "## Where it runs",
        table(("pipeline", "stage", "behind", "before"), rows) or "In no named pipeline.",
        test_links(pass_tests(root, cls.name), page),
    )


def _kind(kind: str) -> str:
    kind = kind.removesuffix(" | None")
    named = {"str": "text", "int": "integer", "float": "number", "bool": "Boolean"}
    if kind.startswith("tuple["):
        return f"{named.get(kind[6:].split(',')[0].rstrip(']'), 'value')}s with commas between"
    return named.get(kind, f"`{kind}`")


def _uses() -> dict[str, list[tuple]]:
    """By the name of a pass: (folder, file, title, level, step before, step behind) of each place in a pipeline."""
    places = [("pipelines", name, f"`{name}`", level, text) for name, level, text in stages_of_pipelines(EXAMPLE)]
    places += [("frontends", "index", f"frontend `{name}`", "linalg", text) for name, text in pipelines_of_frontends()]
    found: dict[str, list[tuple]] = {}
    for folder, file, title, level, text in places:
        for before, name, after in _neighbours(parse(text)):
            found.setdefault(name, []).append((folder, file, title, level, before, after))
    return found


def _neighbours(steps: list[Step]) -> Iterator[tuple[str, str, str]]:
    for i, step in enumerate(steps):
        if step.children is not None:
            yield from _neighbours(step.children)
            continue
        before, after = (steps[k].name if 0 <= k < len(steps) else "" for k in (i - 1, i + 1))
        yield before, step.name, after
