"""Run the steps of a pipeline on a module: printing, timing, counting and reproducers around each pass."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from neomlir.diagnostics import failure
from neomlir.errors import NeoError, PassFailure, PipelineError, exception_text
from neomlir.mlir import ir, passmanager
from neomlir.passes.base import counting, find_pass, is_ours
from neomlir.pipeline_text import Step

ROOT = "builtin.module"
Root = ir.Module | ir.Operation


@dataclass
class Printing:
    """When the module is printed, to `stream` or as files under `folder`: names of passes, or all of them.

    `after_change` and `after_failure` narrow what is printed after passes to those that changed the module, or failed;
    alone they print after any such pass. `form` holds arguments of `Operation.get_asm`.
    """

    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    before_all: bool = False
    after_all: bool = False
    after_change: bool = False
    after_failure: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    folder: Path | None = None
    form: Mapping[str, Any] = field(default_factory=dict)

    def any(self) -> bool:
        """Whether anything is printed, so that upstream passes must run one by one."""
        return bool(self.before or self.before_all or self._after_any())

    def wants_before(self, name: str) -> bool:
        """Whether the module is printed before the pass `name`."""
        return self.before_all or name in self.before

    def wants_after(self, name: str, changed: bool, failed: bool) -> bool:
        """Whether the module is printed after the pass `name`."""
        if not self._after_any() or (self.after and name not in self.after and not self.after_all):
            return False
        if self.after_failure or failed:
            return failed and self.after_failure
        return changed or not self.after_change

    def _after_any(self) -> bool:
        return bool(self.after or self.after_all or self.after_change or self.after_failure)


@dataclass
class Run:
    """One run; see `Pipeline.run` for the meaning of its fields."""

    verify: bool = True
    printing: Printing = field(default_factory=Printing)
    timing: Callable[[str, float], None] | None = None
    statistics: Callable[[str, dict[str, int]], None] | None = None
    reproducer: str | Path | None = None
    on_pass: Callable[[str], None] | None = None
    count: int = 0

    def steps(self, steps: list[Step], op: Root) -> None:
        """Run steps on a module, or on an operation nested in one."""
        single = self.printing.any() or self.timing or self.statistics or self.reproducer or self.on_pass
        stretch: list[Step] = []
        if single:
            steps = [alone for step in steps for alone in _apart(step)]
        for i, step in enumerate(steps):
            if has_ours(step) or single:
                self._upstream(stretch, op)
                stretch = []
                self._one(step, steps[i:], op)
            else:
                stretch.append(step)
        self._upstream(stretch, op)

    def _one(self, step: Step, rest: list[Step], op: Root) -> None:
        if step.children is not None and has_ours(step):
            self._nested(step, op)
            return
        text, name = str(step), innermost(step)
        if self.on_pass:
            self.on_pass(text)
        if self.reproducer:
            left = reproducer_text(*_left(op, rest), verify=self.verify)
            try:
                pending_reproducer(self.reproducer).write_text(left)
            except OSError as error:
                raise PipelineError(f"cannot write the reproducer {self.reproducer}: {error.strerror}") from error
        shown = _text(op) if self.printing.after_change else None
        if self.printing.wants_before(name):
            self._print("Before", step, op)
        size = _size(op) if self.statistics else 0
        start = time.perf_counter()
        try:
            with counting() as counters:
                if has_ours(step):
                    self._ours(step, op)
                else:
                    self._upstream([step], op)
        except PassFailure:
            if self.printing.wants_after(name, changed=True, failed=True):
                self._print("After", step, op, " Failed")
            if self.reproducer:
                pending_reproducer(self.reproducer).replace(self.reproducer)
            raise
        if self.timing:
            self.timing(text, time.perf_counter() - start)
        if self.statistics:
            grown = _size(op) - size
            net = {f"operations {'added' if grown > 0 else 'removed'}": abs(grown)} if grown else {}
            self.statistics(text, {**net, **counters})
        changed = shown is not None and shown != _text(op)
        if self.printing.wants_after(name, changed, failed=False):
            self._print("After", step, op)

    def _ours(self, step: Step, module: ir.Module) -> None:
        try:
            find_pass(step.name).parse(step.options).run(module)
            if self.verify:
                module.operation.verify()
        except ir.MLIRError as error:
            raise failure(step.name, error) from error
        except NeoError:
            raise
        except Exception as error:
            raise PassFailure(f"{step.name}: {exception_text(error)}") from error

    def _nested(self, step: Step, op: Root) -> None:
        """Run steps on every operation of that name (or on every module, for `any`) nested directly in this one."""
        wanted = ROOT if step.name == "any" else step.name
        blocks = [block for region in _operation(op).regions for block in region.blocks]
        for inner in [o.operation for block in blocks for o in block.operations if o.operation.name == wanted]:
            if wanted != ROOT:
                self.steps(step.children, inner)
                continue
            alone = ir.Module.parse(bytecode(inner))
            self.steps(step.children, alone)
            alone.operation.clone(ip=ir.InsertionPoint(inner))
            inner.erase()

    def _upstream(self, steps: list[Step], op: Root) -> None:
        if not steps:
            return
        try:
            manager = passmanager.PassManager.parse(f"{_operation(op).name}({','.join(map(str, steps))})")
            manager.enable_verifier(self.verify)
            manager.run(_operation(op))
        except ir.MLIRError as error:
            raise failure(",".join(map(str, steps)), error) from error
        except ValueError as error:
            raise PipelineError(one_line(error)) from error

    def _print(self, when: str, step: Step, op: Root, what: str = "") -> None:
        wants = self.printing
        text = _operation(op).get_asm(**{"assume_verified": False, **wants.form})
        head = f"// -----// IR Dump {when} {step}{what} //----- //\n"
        if wants.folder is None:
            wants.stream.write(f"{head}{text}\n\n")
            return
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", innermost(step))
        place = wants.folder / _folder_name(op) / f"{self.count}_{when.lower()}_{name}.mlir"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(head + text + "\n")
        except OSError as error:
            raise PipelineError(f"cannot print to {place}: {error.strerror}") from error
        self.count += 1


def has_ours(step: Step) -> bool:
    """Whether a pass of ours stands anywhere in a step."""
    return any(map(has_ours, step.children)) if step.children is not None else is_ours(step.name)


def innermost(step: Step) -> str:
    """The name of the pass in a step of one pass."""
    while step.children and len(step.children) == 1:
        step = step.children[0]
    return step.name


def pending_reproducer(file: str | Path) -> Path:
    """Where the reproducer of the running pass stands until that pass has failed or ended."""
    return Path(f"{file}.pending")


def reproducer_text(module: str, pipeline: str, verify: bool = True) -> str:
    """A module with the pipeline to run on it, in the form that `--run-reproducer` reads."""
    quoted = json.dumps(pipeline)
    return (
        f"{module.rstrip()}\n\n{{-#\n  external_resources: {{\n    mlir_reproducer: {{\n      pipeline: {quoted},\n"
        f"      disable_threading: true,\n      verify_each: {str(verify).lower()}\n    }}\n  }}\n#-}}\n"
    )


def bytecode(op: ir.Operation, version: int | None = None) -> bytes:
    """An operation as MLIR bytecode."""
    buffer = io.BytesIO()
    op.write_bytecode(buffer, desired_version=version)
    return buffer.getvalue()


def one_line(error: Exception) -> str:
    """A message of upstream's parsers without its line breaks and its `^`."""
    return " ".join(str(error).split()).removesuffix(" ^")


def _apart(step: Step) -> list[Step]:
    """A step as steps of one pass each: `func.func(a,b)` is `func.func(a)`, then `func.func(b)`."""
    if not step.children or has_ours(step):
        return [step]
    return [Step(step.name, children=[alone]) for child in step.children for alone in _apart(child)]


def _operation(op: Root) -> ir.Operation:
    return op.operation


def _text(op: Root) -> str:
    return _operation(op).get_asm(assume_verified=True, print_generic_op_form=True)


def _size(op: Root) -> int:
    number = 0

    def count(_: ir.Operation) -> ir.WalkResult:
        nonlocal number
        number += 1
        return ir.WalkResult.ADVANCE

    _operation(op).walk(count)
    return number


def _left(op: Root, rest: list[Step]) -> tuple[str, str]:
    """What a reproducer holds: the text of the operation, and the pipeline that is left to run on it."""
    left = ",".join(map(str, rest))
    name = _operation(op).name
    return str(op), f"{ROOT}({left})" if name == ROOT else f"{ROOT}({name}({left}))"


def _folder_name(op: Root) -> str:
    """`builtin_module_SYMBOL`, as upstream's printing into a tree has it."""
    operation = _operation(op)
    attributes = operation.attributes
    symbol = ir.StringAttr(attributes["sym_name"]).value if "sym_name" in attributes else "no-symbol-name"
    return re.sub(r"[^A-Za-z0-9-]+", "_", f"{operation.name}_{symbol}")
