"""Which operators of a module have no lowering: each distinct one is lowered alone, in a process that may die."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from neomlir import mlir
from neomlir.errors import ImportFailure, NeoError
from neomlir.mlir import ir
from neomlir.workers import Job

_SHOWN = 3
_SEED = "global_seed"
# What stands between operators and is lowered with them.
_GLUE = re.compile(r"torch\.(constant|prim\.ListConstruct|prim\.ListUnpack|prim\.TupleConstruct|vtensor\.literal|bind)")


class Unsupported(ImportFailure):
    """Operators of a model without a lowering; `missing` is a list of (operator, its nodes)."""

    def __init__(self, source_name: str, missing: Mapping[str, Sequence[str]], page: str = "onnx"):
        self.source_name = source_name
        self.missing = [(operator, list(nodes)) for operator, nodes in sorted(dict(missing).items())]
        self.page = page
        super().__init__(self._text())

    def __reduce__(self):
        return type(self), (self.source_name, self.missing, self.page)

    def _text(self) -> str:
        count = len(self.missing)
        lines = [
            f"{count} operator{'s' * (count > 1)} of {self.source_name} ha{'ve' if count > 1 else 's'} no lowering"
        ]
        width = max(len(operator) for operator, _ in self.missing)
        for operator, nodes in self.missing:
            shown = ", ".join(repr(node) for node in nodes[:_SHOWN]) + (", …" if len(nodes) > _SHOWN else "")
            counted = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
            lines.append(f"  {operator:<{width}}  {counted:<8} {shown}")
        lines.append(
            f"Split the model before these nodes, or see docs/frontends/{self.page}.md "
            "for the list of supported operators."
        )
        return "\n".join(lines)


def explain(text: str, pipeline: str, source_name: str, diagnostics: str = "") -> ImportFailure:
    """Why `pipeline` fails on the `input`-level module `text` (printed with locations): an error that lists operators.

    Lowers every distinct operator alone; where each of them can be lowered, the error has `diagnostics` instead.
    """
    found = probe(text, pipeline)
    if found:
        page = "onnx" if "onnx." in text else "torch"
        return Unsupported(source_name, found, page)
    return ImportFailure(
        f"{source_name} can't be lowered to linalg, although each of its operators can alone:\n{diagnostics.strip()}"
    )


def explain_reproducer(path: Path, source_name: str = "the model") -> ImportFailure | None:
    """The same for a process that died: `path` is what `pipeline.reproducer_text` gave.

    None where no such file was left, or no operator is at fault.
    """
    if not path.exists():
        return None
    text, _, resources = path.read_text().rpartition("{-#")
    pipeline = re.search(r'^ *pipeline: (".*"),$', resources, re.MULTILINE)
    found = probe(text, json.loads(pipeline[1])) if pipeline else {}
    return Unsupported(source_name, found, "onnx" if "onnx." in text else "torch") if found else None


def probe(text: str, pipeline: str) -> dict[str, list[str]]:
    """The nodes of a module by operator, of the operators that `pipeline` can't lower or dies of."""
    with mlir.context():
        operators = _operators(ir.Module.parse(text))
    failing: dict[str, list[str]] = {}
    for (name, _), (program, nodes) in operators.items():
        try:
            Job(_lower, (program, pipeline), quiet=True).result()
        except NeoError:
            failing.setdefault(name, []).extend(nodes)
    return failing


def _lower(program: str, pipeline: str) -> None:
    from neomlir.pipeline import Pipeline

    with mlir.context():
        module = ir.Module.parse(program)
        Pipeline(pipeline).run(module, isolate=False)
        check_determinism(module)


def check_determinism(module: ir.Module) -> None:
    """Raises ImportFailure if a module of the `linalg` level draws random numbers.

    The torch dialect's lowerings keep the state of its generator in a mutable global; no framework's own generator
    draws the same numbers, and a program of ours is a function of its inputs.
    """
    for op in module.body.operations:
        if op.operation.name == "ml_program.global" and ir.StringAttr(op.attributes["sym_name"]).value == _SEED:
            raise ImportFailure("random numbers are drawn")


def _operators(module: ir.Module) -> dict[tuple[str, str], tuple[str, list[str]]]:
    """A program of one operator, and the nodes it stands for, by (operator, text of the program)."""
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for function in [o.operation for o in module.body.operations]:
        if function.name != "func.func" or not len(function.regions[0].blocks):
            continue
        for op in function.regions[0].blocks[0].operations:
            op = op.operation
            if not op.name.startswith("torch.") or _GLUE.match(op.name) or _is_onnx_constant(op):
                continue
            program = _alone(op, function)
            entry = found.setdefault((operator_name(op), program), (program, []))
            entry[1].append(node_name(op.location) or operator_name(op))
    return found


def operator_name(op: ir.Operation) -> str:
    """The framework's name of an operator: `Conv`, `aten.topk`."""
    if op.name == "torch.operator":
        return ir.StringAttr(op.attributes["name"]).value.removeprefix("onnx.").removeprefix("torch.")
    return op.name.removeprefix("torch.")


def node_name(location: ir.Location) -> str:
    """The name of the node that a location came from, or file:line of a traced program."""
    text = str(location)
    if match := re.match(r'loc\("([^"]*)"\)', text):
        return match[1]
    if match := re.search(r'"([^"]*)":(\d+):\d+', text):
        return f"{match[1].rsplit('/', 1)[-1]}:{match[2]}"
    return ""


def _is_onnx_constant(op: ir.Operation) -> bool:
    return op.name == "torch.operator" and operator_name(op) == "Constant"


def _alone(op: ir.Operation, function: ir.Operation) -> str:
    """A module that holds `op` and the constants it reads; its other operands are arguments, its results results."""
    arguments: list[ir.Value] = []
    glue: list[ir.Operation] = []

    def need(value: ir.Value) -> None:
        owner = value.owner
        if isinstance(owner, ir.Block):
            if value not in arguments:
                arguments.append(value)
            return
        # Not of the generated class, whose `name` is the attribute of that name.
        owner = owner.operation
        if owner in glue:
            return
        if _GLUE.match(owner.name) or _is_onnx_constant(owner):
            for operand in owner.operands:
                need(operand)
            glue.append(owner)
        elif value not in arguments:
            arguments.append(value)

    for operand in op.operands:
        need(operand)
    with ir.Location.unknown(op.context):
        module = ir.Module.create()
        attributes = {
            "sym_name": ir.StringAttr.get("main"),
            "function_type": ir.TypeAttr.get(
                ir.FunctionType.get([a.type for a in arguments], [r.type for r in op.results])
            ),
        }
        for name in list(function.attributes):
            if name.startswith("torch."):
                attributes[name] = function.attributes[name]
        with ir.InsertionPoint(module.body):
            made = ir.Operation.create("func.func", attributes=attributes, regions=1)
        block = made.regions[0].blocks.append(*[a.type for a in arguments])
        mapping = dict(zip(arguments, block.arguments, strict=True))
        with ir.InsertionPoint(block):
            for inner in [*glue, op]:
                copy = inner.clone()
                for number, operand in enumerate(inner.operands):
                    copy.operands[number] = mapping[operand]
                mapping.update(zip(inner.results, copy.results, strict=True))
            ir.Operation.create("func.return", operands=[mapping[r] for r in op.results])
    return str(module)
