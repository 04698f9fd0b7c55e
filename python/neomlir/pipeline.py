"""`Pipeline`: passes of ours and upstream's in one text, run, printed and timed together."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from neomlir.errors import NeoError, PassFailure, PipelineError
from neomlir.mlir import ir, passmanager, register_all
from neomlir.passes.base import ModulePass, find_pass, is_ours
from neomlir.pipeline_text import Step, parse

ROOT = "builtin.module"


@dataclass
class Printing:
    """When the module is printed, to `stream` or as files under `folder`: names of passes, or all of them."""

    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    before_all: bool = False
    after_all: bool = False
    after_change: bool = False
    after_failure: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    folder: Path | None = None
    generic: bool = False
    debug_info: bool = False

    def any(self) -> bool:
        """Whether anything is printed, so that upstream passes must run one by one."""
        return bool(
            self.before or self.after or self.before_all or self.after_all or self.after_change or self.after_failure
        )


class Pipeline:
    """A sequence of passes over a `builtin.module`.

    Built from text, from pass objects, from other pipelines, or from any mixture, in order:

        Pipeline("builtin.module(neo-form-kernels{max-ops=64},func.func(canonicalize),cse)")
        Pipeline(FormKernels(max_ops=64), "func.func(canonicalize)", "cse")

    `str()` gives text that builds the same pipeline. Passes of ours work on modules; within `builtin.module(…)` they
    run on every module nested directly in the one at hand. Raises PipelineError for text that is none, and for names
    and options that do not exist.
    """

    def __init__(self, *steps: str | ModulePass | Pipeline) -> None:
        """Parse and check the steps."""
        self.steps: list[Step] = []
        for step in steps:
            self.add(step)

    def add(self, step: str | ModulePass | Pipeline) -> Pipeline:
        """Append steps; returns the pipeline."""
        if isinstance(step, Pipeline):
            self.steps += step.steps
            return self
        found = parse(str(step))
        if len(found) == 1 and found[0].name == ROOT and found[0].children is not None:
            found = found[0].children
        _check(found)
        self.steps += found
        return self

    @classmethod
    def named(cls, name: str, target, first: str = "global") -> Pipeline:
        """The pipeline `cpu`, `cpu-affine` or `cpu-scalar` for a target (or its name), from level `first` down."""
        from neomlir.targets import Target

        module = pipeline_module(name)
        stages = module.stages(Target.named(target) if isinstance(target, str) else target)
        levels = list(stages)
        if first not in levels:
            raise PipelineError(f"pipeline {name!r} has no level {first!r}; its levels are {', '.join(levels)}")
        return cls(*[stages[level] for level in levels[levels.index(first) :]])

    def __str__(self) -> str:
        """The pipeline as text."""
        return f"{ROOT}({','.join(map(str, self.steps))})"

    def __eq__(self, other: object) -> bool:
        """Whether the text is the same."""
        return isinstance(other, Pipeline) and str(self) == str(other)

    __hash__ = None

    def run(
        self,
        module: ir.Module,
        *,
        verify: bool = True,
        printing: Printing | None = None,
        timing: Callable[[str, float], None] | None = None,
        statistics: bool = False,
        reproducer: str | Path | None = None,
        on_pass: Callable[[str], None] | None = None,
    ) -> None:
        """Run on `module` in place.

        Args:
            module: the module; after a failure it is in the state that the failing pass left.
            verify: check the module after every pass.
            printing: print the module before and after passes.
            timing: called with the text of each step and its seconds.
            statistics: let upstream's passes print their statistics on stderr.
            reproducer: a file for the module as it was before the failing pass, with the passes that were left. While
                a pass runs it stands beside it under `pending_reproducer(file)`, where a crash leaves it.
            on_pass: called with the name of each step before it runs.

        Raises:
            PassFailure: a pass failed, or left a module that does not verify; holds the diagnostics.
        """
        run = _Run(verify, printing or Printing(), timing, statistics, reproducer, on_pass)
        with module.context, ir.Location.unknown():
            try:
                run.steps(self.steps, module)
            finally:
                if reproducer:
                    pending_reproducer(reproducer).unlink(missing_ok=True)


def pending_reproducer(file: str | Path) -> Path:
    """Where the reproducer of the running pass stands until that pass has failed or ended."""
    return Path(f"{file}.pending")


def pipeline_names() -> list[str]:
    """The names of the pipelines in `pipelines/`."""
    folder = Path(importlib.import_module("neomlir.pipelines").__file__).parent
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if "def stages(" in p.read_text())


def pipeline_module(name: str):
    """The module in `pipelines/` that defines a named pipeline. Raises PipelineError."""
    if name not in pipeline_names():
        raise PipelineError(f"there is no pipeline {name!r}; there are {', '.join(pipeline_names())}")
    return importlib.import_module(f"neomlir.pipelines.{name.replace('-', '_')}")


def _check(steps: Iterable[Step], anchor: str = ROOT) -> None:
    for step in steps:
        if step.children is not None:
            _check(step.children, step.name)
        elif is_ours(step.name):
            if anchor not in (ROOT, "any"):
                raise PipelineError(f"pass {step.name!r} works on modules: it cannot run nested in {anchor!r}")
            find_pass(step.name).parse(step.options)
    upstream = [step for step in steps if not has_ours(step)]
    if upstream and anchor == ROOT:
        register_all()
        try:
            with ir.Context():
                passmanager.PassManager.parse(f"{ROOT}({','.join(map(str, upstream))})")
        except ValueError as error:
            raise PipelineError(" ".join(str(error).split())) from None


def has_ours(step: Step) -> bool:
    """Whether a pass of ours stands anywhere in a step."""
    return any(map(has_ours, step.children)) if step.children is not None else is_ours(step.name)


def _apart(step: Step) -> list[Step]:
    """A step as steps of one pass each: `func.func(a,b)` is `func.func(a)`, then `func.func(b)`."""
    if not step.children or has_ours(step):
        return [step]
    return [Step(step.name, children=[alone]) for child in step.children for alone in _apart(child)]


def _innermost(step: Step) -> str:
    """The name of the pass in a step of one pass."""
    while step.children and len(step.children) == 1:
        step = step.children[0]
    return step.name


@dataclass
class _Run:
    verify: bool
    printing: Printing
    timing: Callable[[str, float], None] | None
    statistics: bool
    reproducer: str | Path | None
    on_pass: Callable[[str], None] | None
    count: int = 0

    def steps(self, steps: list[Step], module: ir.Module) -> None:
        single = self.printing.any() or self.timing or self.reproducer or self.on_pass
        stretch: list[Step] = []
        if single:
            steps = [alone for step in steps for alone in _apart(step)]
        for i, step in enumerate(steps):
            if has_ours(step) or single:
                self._upstream(stretch, module)
                stretch = []
                self._one(step, steps[i:], module)
            else:
                stretch.append(step)
        self._upstream(stretch, module)

    def _one(self, step: Step, rest: list[Step], module: ir.Module) -> None:
        text = str(step)
        if self.on_pass:
            self.on_pass(text)
        nested = step.children is not None and has_ours(step)
        if self.reproducer and not nested:
            left = reproducer_text(str(module), f"{ROOT}({','.join(map(str, rest))})")
            pending_reproducer(self.reproducer).write_text(left)
        wants = self.printing
        shown = str(module) if wants.after_change else None
        name = _innermost(step)
        if not nested and (wants.before_all or name in wants.before):
            self._print("Before", step, module)
        start = time.perf_counter()
        try:
            if nested:
                self._nested(step, module)
            elif has_ours(step):
                self._ours(step, module)
            else:
                self._upstream([step], module)
        except PassFailure:
            if wants.after_failure and not nested:
                self._print("After", step, module, " Failed")
            if self.reproducer and not nested:
                pending_reproducer(self.reproducer).replace(self.reproducer)
            raise
        if self.timing and not nested:
            self.timing(text, time.perf_counter() - start)
        changed = shown is not None and shown != str(module)
        if not nested and (wants.after_all or name in wants.after or changed):
            self._print("After", step, module)

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
            raise PassFailure(f"{step.name}: {type(error).__name__}: {error}") from error

    def _nested(self, step: Step, module: ir.Module) -> None:
        """Run steps on every module nested directly in this one, each on its own."""
        inner = [op.operation for op in module.body.operations if op.operation.name == ROOT]
        if step.name != ROOT:
            raise PipelineError(f"passes of ours run on modules, not nested in {step.name!r}")
        for op in inner:
            alone = ir.Module.parse(bytecode(op))
            self.steps(step.children, alone)
            alone.operation.clone(ip=ir.InsertionPoint(op))
            op.erase()

    def _upstream(self, steps: list[Step], module: ir.Module) -> None:
        if not steps:
            return
        text = f"{ROOT}({','.join(map(str, steps))})"
        try:
            manager = passmanager.PassManager.parse(text)
            manager.enable_verifier(self.verify)
            if self.statistics:
                manager.enable_statistics()
            manager.run(module.operation)
        except ir.MLIRError as error:
            raise failure(",".join(map(str, steps)), error) from error
        except ValueError as error:
            raise PipelineError(" ".join(str(error).split())) from error

    def _print(self, when: str, step: Step, module: ir.Module, what: str = "") -> None:
        wants = self.printing
        text = module.operation.get_asm(
            print_generic_op_form=wants.generic, enable_debug_info=wants.debug_info, assume_verified=False
        )
        head = f"// -----// IR Dump {when} {step}{what} //----- //\n"
        if wants.folder is None:
            wants.stream.write(f"{head}{text}\n\n")
            return
        wants.folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", _innermost(step))
        (wants.folder / f"{self.count}_{when.lower()}_{name}.mlir").write_text(head + text + "\n")
        self.count += 1


def bytecode(op: ir.Operation) -> bytes:
    """An operation as MLIR bytecode."""
    buffer = io.BytesIO()
    op.write_bytecode(buffer)
    return buffer.getvalue()


def failure(name: str, error: ir.MLIRError) -> PassFailure:
    """A PassFailure from what the bindings raise; `diagnostics` holds (location, severity, message) tuples."""
    found: list[tuple[str, str, str]] = []

    def collect(diagnostic) -> None:
        kind = str(diagnostic.severity).rsplit(".", 1)[-1].lower()
        found.append((location_text(diagnostic.location), kind, diagnostic.message))
        for note in diagnostic.notes:
            collect(note)

    for diagnostic in error.error_diagnostics:
        collect(diagnostic)
    lines = [f"{where}: {kind}: {message}" if where else f"{kind}: {message}" for where, kind, message in found]
    result = PassFailure("\n".join([f"pass {name!r} failed", *(lines or [str(error)])]))
    result.diagnostics = found
    return result


def location_text(location: ir.Location) -> str:
    """`file:line:column` of a location; the text of any other kind; empty for an unknown one."""
    text = str(location)
    found = re.search(r'"([^"]*)":(\d+):(\d+)', text)
    if found:
        return ":".join(found.groups())
    inner = text.removeprefix("loc(").removesuffix(")")
    return "" if inner == "unknown" else inner


def reproducer_text(module: str, pipeline: str) -> str:
    """A module with the pipeline to run on it, in the form that `--run-reproducer` reads."""
    quoted = json.dumps(pipeline)
    return (
        f"{module.rstrip()}\n\n{{-#\n  external_resources: {{\n    mlir_reproducer: {{\n      pipeline: {quoted},\n"
        "      disable_threading: true,\n      verify_each: true\n    }\n  }\n#-}\n"
    )
