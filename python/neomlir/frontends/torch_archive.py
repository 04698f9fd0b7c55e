"""Load a `.pt2` archive without running anything that stands in it.

`torch.export.load` falls back to full unpickling, evaluates symbolic expressions with sympy (which is `eval`), and can
load compiled libraries. So every record is looked at first, through the very reader that PyTorch uses.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from neomlir.errors import ImportFailure

_OPERATOR = re.compile(
    r"torch\.ops\.[A-Za-z_]\w*(\.\w+){1,2}|_operator\.\w+|math\.\w+|torch\.(sym_\w+|_sym_sqrt|_constrain\w*)|"
    r"torch\._higher_order_ops\.\w+(\.\w+)*"
)
# The operators of these namespaces neither load code nor call back into Python.
_NAMESPACES = ("aten", "prims", "higher_order", "prim", "quantized_decomposed")
# Functions that symbolic extents are written with.
_SYMBOLIC = frozenset(
    {
        "Abs",
        "Add",
        "CeilToInt",
        "CleanDiv",
        "Eq",
        "FloatTrueDiv",
        "FloorDiv",
        "FloorToInt",
        "Ge",
        "Gt",
        "IntTrueDiv",
        "IsNonOverlappingAndDenseIndicator",
        "Le",
        "Lt",
        "Max",
        "Min",
        "Mod",
        "ModularIndexing",
        "Mul",
        "Ne",
        "PowByNatural",
        "Pow",
        "PythonMod",
        "RoundDecimal",
        "RoundToInt",
        "ToFloat",
        "TruncToInt",
        "Where",
        "floor",
        "ceiling",
        "And",
        "Or",
        "Not",
        "Integer",
        "Float",
        "Rational",
        "Symbol",
    }
)


def load(path: Path) -> torch.export.ExportedProgram:
    """The one exported program of an archive. Raises ImportFailure for what is no archive or could run code."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImportFailure(f"{path.name} can't be read: {error.strerror}") from error
    try:
        _inspect(data, path.name)
        with warnings.catch_warnings(), _without_traces():
            warnings.simplefilter("ignore")
            return torch.export.load(io.BytesIO(data))
    except ImportFailure:
        raise
    except Exception as error:
        raise ImportFailure(
            f"{path.name} is not a .pt2 file of this PyTorch ({torch.__version__}), or it is damaged: "
            f"{type(error).__name__}: {str(error).strip()[:500]}"
        ) from error


@contextlib.contextmanager
def _without_traces() -> Iterator[None]:
    """PyTorch logs the traceback of whatever it then raises."""
    logger = logging.getLogger("torch.export")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _check_sizes(data: bytes, name: str) -> None:
    """PyTorch stores records as they are: a compressed one could hold any number of bytes, and is another reader's."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ImportFailure(f"{name}: record {info.filename!r:.80} is compressed, which no .pt2 file's is")
            if ".." in info.filename.split("/") or info.filename.startswith("/") or "\\" in info.filename:
                raise ImportFailure(f"{name}: record {info.filename!r:.80} leads out of the archive")
        if sum(info.file_size for info in archive.infolist()) > len(data):
            raise ImportFailure(f"{name} has records that lie upon each other")


def _inspect(data: bytes, name: str) -> None:
    _check_sizes(data, name)
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    records = reader.get_all_records()
    models = [r for r in records if r.startswith("models/")]
    if len(set(records)) != len(records):
        raise ImportFailure(f"{name} holds two records of one name")
    if len(models) != 1 or not models[0].endswith(".json"):
        raise ImportFailure(f"{name} holds {len(models)} exported programs; one is expected")
    for record in records:
        if record.startswith("data/aotinductor/"):
            raise ImportFailure(f"{name} holds compiled code ({record}); save the exported program alone")
        if record.startswith("data/constants/") and not re.fullmatch(
            r"data/constants/(tensor_\d+|[\w.]+\.json|[\w.]+\.pt)", record
        ):
            raise ImportFailure(f"{name} holds a Python object ({record}), which would run code when it is read")
        if record.endswith(".json"):
            _check_json(json.loads(reader.get_record(record)), record)
        elif record.endswith(".pt"):
            _check_pickle(reader.get_record(record), record, name)


def _check_pickle(content: bytes, record: str, name: str) -> None:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise ImportFailure(
            f"{name}: {record} is pickled and holds more than tensors, so it could run code: "
            f"{str(error).strip().splitlines()[0][:200]}"
        ) from error


def _check_json(value: Any, record: str) -> None:
    for key, text in _strings(value):
        if key in ("expr_str", "guards_code"):
            _check_expression(text, record)
        elif key == "target":
            _check_operator(text, record)
        elif key in ("in_spec", "out_spec", "treespec", "default_factory_module"):
            _check_treespec(text, record)
    for payload in _payloads(value):
        if payload.get("use_pickle"):
            raise ImportFailure(f"{record} asks to unpickle {payload.get('path_name')!r}; save plain tensors")


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every string of a JSON value, depth first without recursion."""
    waiting = [(key, value)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((key, item) for item in value)


def _payloads(value: Any) -> Iterator[dict]:
    config = value.get("config") if isinstance(value, dict) else None
    if isinstance(config, dict):
        yield from (payload for payload in config.values() if isinstance(payload, dict))


def _check_operator(target: str, record: str) -> None:
    # Signatures have targets too: names of weights, which are no operators.
    if not target.startswith(("torch.", "_operator.", "math.", "operator.")) and "(" not in target:
        return
    inner = re.sub(r"^torch\.ops\.aten\.__i?(and|or|xor|lshift|rshift)__", "", target)
    if not _OPERATOR.fullmatch(target) or "__" in inner.removeprefix("_operator."):
        raise ImportFailure(f"{record} names {target!r}, which is no operator")
    parts = target.split(".")
    if target.startswith("torch.ops.") and parts[2] not in _NAMESPACES:
        raise ImportFailure(f"{record} uses the custom operator {target!r}, which is not supported")


def _check_expression(text: str, record: str) -> None:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ImportFailure(f"{record} has an extent that is no expression: {text[:80]!r}") from error
    names: set[ast.AST] = set()
    for node in ast.walk(tree):
        # A string anywhere else would be evaluated: sympy takes text for an expression.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Symbol":
            names.update(node.args[:1])
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            names.add(node.slice)
    for node in ast.walk(tree):
        fine = isinstance(
            node,
            ast.Expression
            | ast.BinOp
            | ast.UnaryOp
            | ast.BoolOp
            | ast.Compare
            | ast.operator
            | ast.unaryop
            | ast.boolop
            | ast.cmpop
            | ast.expr_context
            | ast.keyword,
        )
        fine |= isinstance(node, ast.Constant) and isinstance(node.value, int | float | bool)
        fine |= isinstance(node, ast.Name) and not node.id.startswith("_")
        fine |= isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SYMBOLIC
        fine |= isinstance(node, ast.Constant) and isinstance(node.value, str) and node in names
        # Guards on the inputs' extents: L['x'].size()[0].
        fine |= isinstance(node, ast.Subscript)
        fine |= isinstance(node, ast.Attribute) and node.attr == "size"
        fine |= isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args
        if not fine:
            raise ImportFailure(f"{record} has an extent that is no plain expression: {text[:80]!r}")


def _check_treespec(text: str, record: str) -> None:
    """A tree of inputs or outputs may hold containers of Python's own and registered ones, but must not import any."""
    if "default_factory_module" in text:
        raise ImportFailure(f"{record} has an input or output that names code to import")
