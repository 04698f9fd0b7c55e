"""What `import neomlir` has: functions, classes and errors."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import neomlir
from neomlir.errors import NeoError
from neomlir.passes.base import field_docs
from neomlir.reference.markdown import code, doc, file_link, join, summary, table
from neomlir.reference.sources import source_of

_PAGE = Path("docs/reference/python/index.md")


def pages(root: Path) -> dict[str, str]:
    """One page for all."""
    things = {name: getattr(neomlir, name) for name in neomlir.__all__}
    errors = {name: thing for name, thing in things.items() if inspect.isclass(thing) and issubclass(thing, NeoError)}
    parts = []
    for name, thing in things.items():
        if name not in errors:
            parts += list(_class(name, thing) if inspect.isclass(thing) else _function(name, thing))
    rows = [(code(name), code(thing.__base__.__name__), summary(doc(thing))) for name, thing in sorted(errors.items())]
    return {"index.md": join("# Python", *parts, "## Errors", table(("error", "is a", ""), rows))}


def _function(name: str, thing: object) -> Iterator[str]:
    yield f"## `neomlir.{name}`"
    yield f"```python\n{_signature(thing)}\n```"
    yield _text(thing)
    yield f"Defined in {file_link(source_of(thing), _PAGE)}."


def _class(name: str, cls: type) -> Iterator[str]:
    yield f"## `neomlir.{name}`"
    yield _text(cls)
    yield f"Defined in {file_link(source_of(cls), _PAGE)}."
    if dataclasses.is_dataclass(cls):
        docs = field_docs(cls)
        fields = [(code(f.name), code(f.type), docs.get(f.name, "")) for f in dataclasses.fields(cls)]
        yield table(("field", "type", ""), fields)
    rows = []
    for member, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if member.startswith("_") and member != "__call__":
            continue
        if inspect.isfunction(function):
            before = f"{name}." if function is not value else ""
            rows.append((code(f"{before}{_call(function)}"), summary(doc(function))))
        elif isinstance(value, property):
            rows.append((code(member), summary(doc(value))))
    yield table(("member", ""), rows)


def _arguments(function: object) -> ast.arguments:
    found = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    return found.args


def _call(function: object) -> str:
    """The name and the parameters, without types."""
    arguments = _arguments(function)
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
    arguments.args = [argument for argument in arguments.args if argument.arg not in ("self", "cls")]
    name = "model" if function.__name__ == "__call__" else function.__name__
    return f"{name}({ast.unparse(arguments)})"


def _signature(function: object) -> str:
    """The head of a function, a parameter a line where there are many."""
    found = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    returns = f" -> {ast.unparse(found.returns)}" if found.returns else ""
    line = f"def {found.name}({ast.unparse(found.args)}){returns}: ..."
    if len(line) <= 100:
        return line
    parts, rest = [], found.args
    for i, argument in enumerate(rest.args):
        default = rest.defaults[i - len(rest.args)] if i >= len(rest.args) - len(rest.defaults) else None
        parts.append(ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else ""))
    if rest.kwonlyargs:
        parts.append("*")
    for argument, default in zip(rest.kwonlyargs, rest.kw_defaults, strict=True):
        parts.append(ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else ""))
    return f"def {found.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}: ..."


def _text(thing: object) -> str:
    """A docstring, its arguments as a list."""
    lines, section = [], ""
    for line in doc(thing).splitlines():
        if line in ("Args:", "Raises:", "Returns:"):
            section = line.removesuffix(":").replace("Args", "Arguments")
            lines += [f"**{section}**", ""]
        elif section and line.startswith("    "):
            names, colon, rest = line.strip().partition(": ")
            starts = section == "Arguments" and line[4] != " " and colon and re.fullmatch(r"[\w*, ]+", names)
            listed = f"- `{names}`: {rest}" if starts else f"  {line.strip()}"
            lines.append(listed if section == "Arguments" else line.strip())
        else:
            section = section if not line else ""
            lines.append(line)
    return "\n".join(lines)
