"""The named pipelines: which passes take a program from one level to the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neomlir.errors import NeoError
from neomlir.pipeline import pipeline_module, pipeline_names
from neomlir.pipeline_text import Step, parse
from neomlir.reference.markdown import code, doc, file_link, join, summary, table
from neomlir.reference.sources import source_of
from neomlir.targets import Target, names

EXAMPLE = "x86-64-v3"
"""The target that pages show a pipeline for, where the pipeline takes it."""
_HERE = Path("docs/reference/pipelines")


def pages(root: Path) -> dict[str, str]:
    """A page a pipeline, and their index."""
    written = {f"{name}.md": _page(name) for name in pipeline_names()}
    rows = [(f"[{name}]({name}.md)", summary(_text(name))) for name in pipeline_names()]
    how = (
        "`neo-compile --pipeline NAME` takes a model down one of them; `neo-opt --pipeline NAME --target TARGET "
        "--from-level LEVEL` runs the rest of one on a level. A pipeline is one file in `pipelines/` with a function "
        "`stages`, which gives the passes to each level as text."
    )
    written["index.md"] = join("# Pipelines", how, table(("pipeline", ""), rows))
    return written


def stages_of_pipelines(example: str) -> Iterator[tuple[str, str, str]]:
    """(pipeline, level, text of the passes that lead to it), for the target `example` where it can be had."""
    for name in pipeline_names():
        for level, text in _stages(name, example)[1].items():
            yield name, level, text


def _stages(name: str, example: str) -> tuple[str, dict[str, str]]:
    for target in (example, *names()):
        try:
            return target, pipeline_module(name).stages(Target.named(target))
        except NeoError:
            continue
    return example, {}


def _text(name: str) -> str:
    """What the pipeline's file says of it, without its own name in front."""
    text = doc(pipeline_module(name)).removeprefix(f"`{name}`: ")
    return text[:1].upper() + text[1:]


def _page(name: str) -> str:
    page = _HERE / f"{name}.md"
    target, stages = _stages(name, EXAMPLE)
    parts = []
    for level, text in stages.items():
        parts += [f"## To `{level}`", "```\n" + _indented(parse(text)) + "\n```"]
    return join(
        f"# {name}",
        _text(name),
        f"Defined in {file_link(source_of(pipeline_module(name)), page)}. For the target {code(target)}:",
        *parts,
    )


def _indented(steps: list[Step], depth: int = 0) -> str:
    """Pipeline text with a pass a line."""
    lines = []
    for i, step in enumerate(steps):
        comma = "," if i + 1 < len(steps) else ""
        if step.children is not None and len(str(step)) + 2 * depth > 100:
            lines += [f"{'  ' * depth}{step.name}(", _indented(step.children, depth + 1), f"{'  ' * depth}){comma}"]
        else:
            lines.append(f"{'  ' * depth}{step}{comma}")
    return "\n".join(lines)
