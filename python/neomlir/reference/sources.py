"""Where things stand in the project's folder: sources, and the tests that show them."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from pathlib import Path

import neomlir
from neomlir.reference.markdown import file_link

# Folders of the project that are installed inside the package.
_MAPPED = ("dialects", "pipelines", "targets")


def source_of(thing: object) -> Path:
    """The file of a class or module, relative to the project's folder."""
    name = thing.__name__ if inspect.ismodule(thing) else thing.__module__
    parts = name.split(".")
    folder = Path() if len(parts) > 1 and parts[1] in _MAPPED else Path("python", "neomlir")
    file = folder.joinpath(*parts[1:])
    # A package's own file is its __init__.
    is_package = hasattr(sys.modules[name], "__path__")
    return file / "__init__.py" if is_package else file.with_suffix(".py")


def is_own(thing: object) -> bool:
    """Whether a class is the package's, and not loaded from elsewhere (`--load-pass`, `$NEO_PASS_PATH`, a test)."""
    return thing.__module__.startswith(f"{neomlir.__name__}.")


@functools.cache
def _tests(root: Path) -> dict[Path, str]:
    return {path.relative_to(root): path.read_text() for path in sorted((root / "test").rglob("*.mlir"))}


def lit_tests(root: Path, pattern: str) -> list[Path]:
    """The lit tests that have a line of theirs, `// …`, which matches a regular expression."""
    expression = re.compile(rf"^\s*//.*(?:{pattern})", re.MULTILINE)
    return [path for path, text in _tests(root).items() if expression.search(text)]


def pass_tests(root: Path, name: str) -> list[Path]:
    """The lit tests that run a pass; those of tools and targets, which need some pass, where there are no others."""
    tests = lit_tests(root, rf"RUN:.*(?:--|(?<![\w-])){re.escape(name)}(?![\w-])")
    return [test for test in tests if test.parts[1] not in ("targets", "tools")] or tests


def test_links(tests: list[Path], page: Path) -> str:
    """A paragraph that leads to tests."""
    return f"Tests: {', '.join(file_link(test, page) for test in tests)}" if tests else ""
