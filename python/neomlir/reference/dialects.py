"""Neo's own operations, types and attributes; upstream's are documented at <https://mlir.llvm.org/docs/Dialects/>."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from neomlir.dialects import all_dialects
from neomlir.mlir import ext
from neomlir.reference.markdown import code, doc, file_link, join, summary, table
from neomlir.reference.sources import lit_tests, source_of, test_links

_HERE = Path("docs/reference/dialects")
_KINDS = {ext.OperandDef: "operand", ext.ResultDef: "result", ext.AttributeDef: "attribute", ext.RegionDef: "region"}


def pages(root: Path) -> dict[str, str]:
    """A page a dialect, and their index."""
    found = {module.DIALECT.DIALECT_NAMESPACE: module for module in all_dialects()}
    written = {f"{name}.md": _page(name, module, root) for name, module in found.items()}
    rows = [(f"[{name}]({name}.md)", summary(doc(module.DIALECT)), _names(module)) for name, module in found.items()]
    how = (
        "Each is one file, defined in Python and loaded into every context. "
        "[How to add one](../../add-a-dialect-op.md)."
    )
    written["index.md"] = join("# Dialects", how, table(("dialect", "", "operations"), rows))
    return written


def _operations(module: ModuleType) -> list[type]:
    return sorted(module.DIALECT.operations, key=lambda op: op.OPERATION_NAME)


def _names(module: ModuleType) -> str:
    return ", ".join(code(op._op_name) for op in _operations(module))


def _page(name: str, module: ModuleType, root: Path) -> str:
    page, dialect = _HERE / f"{name}.md", module.DIALECT
    parts = []
    for op in _operations(module):
        messages = list(dict.fromkeys(_messages(op, module)))
        parts += [
            f"## `{op.OPERATION_NAME}`",
            doc(op),
            table(("", "name", "of"), [(_kind(f), code(f.name), _constraint(f.constraint)) for f in op._fields]),
            "Traits: " + ", ".join(code(trait.__name__) for trait in op._traits) + "." if op._traits else "",
            "Refused by the verifier, which says of the operation:" if messages else "",
            "\n".join(f"- {message}" for message in messages),
        ]
    for title, classes in (("type", dialect.types), ("attribute", dialect.attributes)):
        for cls in classes:
            sign = "!" if title == "type" else "#"
            parts += [
                f"## `{sign}{dialect.DIALECT_NAMESPACE}.{cls._name}`",
                doc(cls) if cls.__dict__.get("__doc__") else "",
                table(("parameter", "of"), [(code(f.name), _constraint(f.constraint)) for f in cls._fields]),
            ]
    return join(
        f"# {name}",
        doc(dialect),
        f"Defined in {file_link(source_of(dialect), page)}.",
        *parts,
        test_links(_tests(root, name), page),
    )


def _tests(root: Path, name: str) -> list[Path]:
    return [path for path in lit_tests(root, "RUN:") if path.parts[1] == "dialects" and _shows(root / path, name)]


def _shows(path: Path, name: str) -> bool:
    return re.search(rf'(?<![\w.])"?[!#]?{re.escape(name)}\.[a-z]', path.read_text()) is not None


def _kind(field: Any) -> str:
    kind = _KINDS[type(field)]
    many = {"optional": "optional ", "variadic": "any number: "}.get(field.variadicity.name, "")
    return f"{many}{kind}"


def _constraint(kind: Any) -> str:
    """A type hint of a field as MLIR calls it."""
    if kind is Any:
        return "anything"
    if isinstance(kind, TypeVar):
        return f"{_constraint(kind.__bound__ or Any)} (the same wherever it says {code(kind.__name__)})"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_constraint, arguments))
    if origin is not None:
        inner = ", ".join(_constraint(a).strip("`") if isinstance(a, type) else str(a) for a in arguments)
        return code(f"{_constraint(origin).strip('`')}<{inner}>")
    name = getattr(kind, "type_name", None) or kind.__name__
    return code(name.removeprefix("builtin."))


def _messages(op: type, module: ModuleType) -> Iterator[str]:
    """What a verifier says: texts that it emits, or that functions of the dialect's file return to it."""
    helpers = {
        node.name: node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.FunctionDef)
    }
    waiting = [ast.parse(textwrap.dedent(inspect.getsource(op))).body[0]]
    seen: set[str] = set()
    while waiting:
        for node in ast.walk(waiting.pop(0)):
            texts: list[ast.expr] = []
            if isinstance(node, ast.Return) and node.value is not None:
                texts = [node.value]
            elif isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                texts = node.args if called == "emit_error" else []
                if called in helpers and called not in seen:
                    seen.add(called)
                    waiting.append(helpers[called])
            said = [re.sub(r"^'[^']*' op ", "", _literal(text)) for text in texts]
            yield from (text for text in said if " " in text)


def _literal(node: ast.AST) -> str:
    """Literal text, `…` where a formatted one has values; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
