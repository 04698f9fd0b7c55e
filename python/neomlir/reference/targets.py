"""The machines that Neo compiles for: a file of facts each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neomlir.reference.markdown import code, doc, file_link, join, table
from neomlir.targets import Cache, Target, Vector, devices, names

_HERE = Path("docs/reference/targets")


def pages(root: Path) -> dict[str, str]:
    """A page a target, and their index."""
    found = [Target.named(name) for name in names()]
    written = {f"{target.name}.md": _page(target, root) for target in found}
    rows = [(f"[{t.name}]({t.name}.md)", ", ".join(map(code, t.aliases)), t.description) for t in found]
    how = (
        "`neo-compile --target NAME` takes a name, an alias or a device; `host` is the target that fits the machine at "
        "hand best. [How to choose](../../targets.md), [how to add one](../../add-a-target.md)."
    )
    called = [(f"[{t.name}]({t.name}.md)", ", ".join(_devices(t))) for t in found if _devices(t)]
    facts = [(code(name), doc(kind)) for name, kind in (("", Target), ("[vector]", Vector), ("[cache]", Cache))]
    written["index.md"] = join(
        "# Targets",
        how,
        table(("target", "aliases", "machines"), rows),
        "Devices that deployers know by a name (`targets/devices.toml`), by what their processor is; a GPU or an "
        "accelerator beside it is not used:",
        table(("target", "devices"), called),
        "What a file holds:",
        table(("table", "facts"), facts),
    )
    return written


def _page(target: Target, root: Path) -> str:
    file = Path("targets", f"{target.name}.toml")
    facts = tomllib.loads((root / file).read_text())
    aliases, description, base = facts.pop("aliases", []), facts.pop("description", ""), facts.pop("base", "")
    called = [*map(code, aliases), *_devices(target)]
    over = f", over those of [{base}]({base}.md)" if base else ""
    return join(
        f"# {target.name}",
        description,
        f"Also called {', '.join(called)}." if called else "",
        f"Facts of {file_link(file, _HERE / 'x.md')}{over}:",
        table(("", ""), [(code(name), _value(value)) for name, value in _flat(facts)]),
    )


def _devices(target: Target) -> list[str]:
    return [code(name) for name, meant in devices().items() if meant == target.name]


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value >= 1024 and value % 1024 == 0:
        return f"{value} ({value // 1024} Ki)" if value % (1 << 20) else f"{value} ({value >> 20} Mi)"
    return code(value) if isinstance(value, str) else str(value)
