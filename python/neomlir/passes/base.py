"""What a pass of ours is: a frozen dataclass with a textual name, typed options, and one method."""

from __future__ import annotations

import abc
import ast
import difflib
import importlib
import importlib.util
import inspect
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from neomlir.errors import PipelineError, exception_text
from neomlir.mlir import ir

_REGISTRY: dict[str, type[ModulePass]] = {}
_COUNTERS: list[dict[str, int]] = []
PREFIX = "neo-"


class ModulePass(abc.ABC):
    """A pass over a `builtin.module`; its dataclass fields are its textual options (`max_ops` is `max-ops`)."""

    name: ClassVar[str]

    @abc.abstractmethod
    def run(self, module: ir.Module) -> None:
        """Rewrite `module` in place, within an active context and location."""

    def __str__(self) -> str:
        """The pass as pipeline text; options at their defaults are left out."""
        given = self.option_text()
        return f"{self.name}{{{given}}}" if given else self.name

    def option_text(self) -> str:
        """The options that are not at their defaults, as `parse` takes them."""
        return " ".join(
            f"{field.name.replace('_', '-')}={_print(getattr(self, field.name))}"
            for field in fields(self)
            if getattr(self, field.name) != _default(field)
        )

    @classmethod
    def parse(cls, options: str) -> ModulePass:
        """An instance from textual options, `a=1 b=x`. Raises PipelineError."""
        known = {field.name.replace("_", "-"): field for field in fields(cls)}
        values = {}
        for word in words(options):
            key, equals, text = word.partition("=")
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                has = f"its options are {', '.join(known)}" if known else "it has no options"
                raise PipelineError(f"pass {cls.name!r} has no option {key!r}{hint} ({has})")
            field = known[key]
            values[field.name] = _read(cls.name, key, _kind(field), text if equals else "true")
        try:
            return cls(**values)
        except TypeError as error:
            raise PipelineError(f"pass {cls.name!r}: {error}") from error

    @classmethod
    def options(cls) -> list[tuple[str, str, str, str]]:
        """(option, type, default as text, documentation) of each, in order."""
        docs = field_docs(cls)
        return [(f.name.replace("_", "-"), _kind(f), _print(_default(f)), docs.get(f.name, "")) for f in fields(cls)]


def count(what: str, number: int = 1) -> None:
    """Add to a counter of the pass that runs, for `--mlir-pass-statistics`: `count("kernels", len(made))`."""
    if _COUNTERS:
        _COUNTERS[-1][what] = _COUNTERS[-1].get(what, 0) + number


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """The counters of the pass that runs within."""
    _COUNTERS.append({})
    try:
        yield _COUNTERS[-1]
    finally:
        _COUNTERS.pop()


P = TypeVar("P", bound=type[ModulePass])


def register(cls: P) -> P:
    """Make a pass known by its textual name."""
    _REGISTRY[cls.name] = cls
    return cls


def is_ours(name: str) -> bool:
    """Whether a textual pass name belongs to Neo."""
    return name.startswith(PREFIX) or name in _REGISTRY


def find_pass(name: str) -> type[ModulePass]:
    """The pass of that textual name; its file is imported when first asked for. Raises PipelineError."""
    if name not in _REGISTRY:
        stem = name.removeprefix(PREFIX).replace("-", "_")
        if stem.isidentifier() and importlib.util.find_spec(f"neomlir.passes.{stem}"):
            importlib.import_module(f"neomlir.passes.{stem}")
    if name not in _REGISTRY:
        load_extra_passes()
    if name not in _REGISTRY:
        near = difflib.get_close_matches(name, [p.name for p in all_passes()], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PipelineError(f"there is no pass {name!r}{hint}")
    return _REGISTRY[name]


def all_passes() -> list[type[ModulePass]]:
    """Every pass of ours, sorted by name."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if "@register" in path.read_text():
            importlib.import_module(f"neomlir.passes.{path.stem}")
    load_extra_passes()
    return [_REGISTRY[name] for name in sorted(_REGISTRY)]


def load_extra_passes() -> None:
    """Import the files of the folders in `$NEO_PASS_PATH` (with `:` between them): passes that live elsewhere.

    Raises PipelineError where one of them fails.
    """
    for folder in filter(None, os.environ.get("NEO_PASS_PATH", "").split(os.pathsep)):
        for path in sorted(Path(folder).glob("*.py")):
            load_file(path)


def load_file(path: str | os.PathLike) -> ModuleType:
    """Import a file of passes, once. Raises PipelineError where it is missing or fails."""
    path = Path(path)
    if not path.is_file():
        raise PipelineError(f"no such file: {path}")
    name = f"neomlir_extra_{path.stem}_{abs(hash(path.resolve())):x}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None:
            raise PipelineError(f"{path} is no Python file: its name must end in .py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise PipelineError(f"{path} cannot be imported: {exception_text(error)}") from error
    return sys.modules[name]


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _kind(field: Any) -> str:
    """The type of a field as text, whether its file postpones annotations or not."""
    return field.type.__name__ if type(field.type) is type else str(field.type)


def _print(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(map(_print, value))
    text = "" if value is None or value is MISSING else str(value)
    if '"' in text:
        raise PipelineError(f"the value of an option can't hold a double quote: {text!r}")
    return f'"{text}"' if any(c.isspace() or c in "{}[]()" for c in text) else text


def words(text: str) -> list[str]:
    """Options apart at spaces that stand outside quotes and brackets."""
    found, depth, quote, word = [], 0, False, ""
    for character in text:
        if character == '"':
            quote = not quote
            continue
        depth += 0 if quote else (character in "({[") - (character in ")}]")
        if character.isspace() and not quote and depth == 0:
            found.append(word)
            word = ""
        else:
            word += character
    return [w for w in [*found, word] if w]


def _read(name: str, option: str, kind: str, text: str) -> Any:
    if kind.endswith(" | None") and not text:
        return None
    kind = kind.removesuffix(" | None")
    try:
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
        if kind.startswith("tuple[int"):
            return tuple(int(part) for part in text.split(",") if part)
        if kind.startswith("tuple[str"):
            return tuple(part for part in text.split(",") if part)
    except (KeyError, ValueError):
        raise PipelineError(f"pass {name!r}: option {option!r} takes a value of type {kind}, not {text!r}") from None
    return text


def field_docs(cls: type) -> dict[str, str]:
    """The string under each field of a dataclass."""
    body = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body[0].body
    docs = {}
    for before, after in itertools.pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[before.target.id] = inspect.cleandoc(str(after.value.value))
    return docs
