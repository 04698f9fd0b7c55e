"""The options of the tools, from their own parsers, inside the pages under docs/tools/."""

from __future__ import annotations

import argparse
import importlib
import textwrap
from collections.abc import Iterable
from pathlib import Path

from neomlir.reference.markdown import code, table
from neomlir.tools import opt_arguments

BEGIN = "<!-- Options, written from the code by `make docs`. -->"
END = "<!-- End of the options. -->"


def pages(root: Path) -> dict[Path, str]:
    """The page of each `neo_*.py` in tools/ with its options brought up to date; a new page where there is none."""
    written = {}
    for file in sorted((root / "python/neomlir/tools").glob("neo_*.py")):
        name = file.stem.replace("_", "-")
        page = Path("docs/tools", f"{name}.md")
        module = importlib.import_module(f"neomlir.tools.{file.stem}")
        usage, description, groups = _described(module, name)
        block = f"{BEGIN}\n\n```\n{usage}\n```\n\n{groups}\n\n{END}"
        text = (root / page).read_text() if (root / page).is_file() else f"# {name}\n\n{description}\n"
        written[page] = _replaced(text, block)
    return written


def _replaced(text: str, block: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return f"{text.rstrip()}\n\n## Options\n\n{block}\n"
    return before + block + rest.partition(END)[2]


def _described(module, name: str) -> tuple[str, str, str]:
    if name == "neo-opt":
        return _described_flags(opt_arguments)
    if not hasattr(module, "parser"):
        raise AttributeError(f"{module.__name__} has no function `parser` that gives its argparse.ArgumentParser")
    parser = module.parser()
    return _usage(name, parser._actions), parser.description or "", _options(parser)


def _described_flags(module) -> tuple[str, str, str]:
    """`neo-opt` reads its arguments itself: flags are those of `mlir-opt`, and every pass is one."""
    usage = module.USAGE.splitlines()[0].removeprefix("usage: ")
    rows = [(code(f"--{name}"), text) for name, text in module.SWITCHES.items()]
    for name, (text, default) in module.OPTIONAL.items():
        value, _, what = text.partition(": ")
        rows.append((code(f"--{name}[={value}]"), f"{what} (`{default}` if nothing else is said)"))
    for name, text in module.VALUES.items():
        value, _, what = text.partition(": ")
        rows.append((code(f"--{name}={value}" if len(name) > 1 else f"-{name} {value}"), what))
    return usage, "", table(("flag", "what it does"), rows)


def _usage(name: str, actions: Iterable[argparse.Action]) -> str:
    words = []
    for action in sorted(actions, key=lambda action: bool(action.option_strings)):
        if isinstance(action, argparse._HelpAction):
            continue
        word = _form(action, action.option_strings[0] if action.option_strings else "")
        repeated = "…" if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*") else ""
        optional = action.option_strings or action.nargs in ("?", "*")
        words.append(f"[{word}]{repeated}" if optional and not action.required else word + repeated)
    # A word's own spaces must not be broken at.
    lines = textwrap.wrap(" ".join(word.replace(" ", "\0") for word in words), 110 - len(name))
    return f"{name} " + "\n".ljust(len(name) + 2).join(lines).replace("\0", " ")


def _options(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        forms = [_form(action, option) for option in action.option_strings] or [_form(action, "")]
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        rows.append((", ".join(map(code, forms)), text))
    return table(("option", "what it does"), rows)


def _form(action: argparse.Action, option: str) -> str:
    if action.nargs == 0:
        return option
    value = action.metavar or (action.dest.upper() if not action.choices else "|".join(map(str, action.choices)))
    if isinstance(value, tuple):
        value = " ".join(value)
    return f"{option} {value}".strip()
