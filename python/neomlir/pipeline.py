"""`Pipeline`: passes of ours and upstream's in one text, run, printed and timed together."""

from __future__ import annotations

import dataclasses
import importlib
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from neomlir.diagnostics import failure
from neomlir.errors import PassFailure, PipelineError, TargetError
from neomlir.mlir import ir, passmanager, register_all
from neomlir.passes.base import ModulePass, find_pass, is_ours, words
from neomlir.pipeline_run import ROOT, Printing, Run, bytecode, has_ours, one_line, pending_reproducer
from neomlir.pipeline_text import Step, parse
from neomlir.workers import WorkerDied, isolated

__all__ = [
    "Pipeline",
    "Printing",
    "named_stages",
    "pipeline_module",
    "pipeline_names",
    "with_precision",
    "with_weights",
]


class Pipeline:
    """A sequence of passes over a `builtin.module`.

    Built from text, from pass objects, from other pipelines, or from any mixture, in order:

        Pipeline("builtin.module(neo-form-kernels{max-ops=64},func.func(canonicalize),cse)")
        Pipeline(FormKernels(max_ops=64), "func.func(canonicalize)", "cse")

    `str()` gives text that builds the same pipeline. Passes of ours work on modules; within `builtin.module(…)` or
    `any(…)` they run on every module nested directly in the operation at hand. Raises PipelineError for text that is
    none, and for names and options that do not exist.
    """

    def __init__(self, *steps: str | ModulePass | Pipeline) -> None:
        """Parse and check the steps."""
        self.steps: list[Step] = []
        for step in steps:
            self.add(step)

    def add(self, step: str | ModulePass | Pipeline) -> Pipeline:
        """Append steps; returns the pipeline. Raises PipelineError."""
        if isinstance(step, Pipeline):
            self.steps += step.steps
            return self
        if not isinstance(step, str | ModulePass):
            raise PipelineError(f"a step of a pipeline is text, a pass or a pipeline, not {type(step).__name__}")
        found = parse(str(step))
        if len(found) == 1 and found[0].name == ROOT and found[0].children is not None:
            found = found[0].children
        _check(found)
        self.steps += found
        return self

    @classmethod
    def named(cls, name: str, target, first: str = "global") -> Pipeline:
        """The pipeline of that name (see `named_stages`) for a target (or its name), from level `first` down."""
        from neomlir.targets import Target

        stages = named_stages(name, Target.named(target) if isinstance(target, str) else target)
        levels = list(stages)
        if first not in levels:
            raise PipelineError(f"pipeline {name!r} has no level {first!r}; its levels are {', '.join(levels)}")
        return cls(*[stages[level] for level in levels[levels.index(first) :]])

    def __str__(self) -> str:
        """The pipeline as text."""
        return f"{ROOT}({','.join(map(str, self.steps))})"

    def __repr__(self) -> str:
        """The call that builds the same pipeline."""
        return f"Pipeline({str(self)!r})"

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
        statistics: Callable[[str, dict[str, int]], None] | None = None,
        reproducer: str | Path | None = None,
        on_pass: Callable[[str], None] | None = None,
        isolate: bool = True,
    ) -> None:
        """Run on `module` in place.

        Args:
            module: the module. Handles to what is in it are not to be used afterwards.
            verify: check the module after every pass; without it only at the end, or with `isolate=False` not at all.
            printing: print the module before and after passes.
            timing: called with the text of each step and its seconds.
            statistics: called with the text of each step and its counters by name: by how many operations the module
                grew or shrank, and what a pass of ours counts with `count`. Upstream's counters are not in the wheel.
            reproducer: a file for the module as it was before the failing pass, with the passes that were left. While
                a pass runs it stands beside it under `pending_reproducer(file)`.
            on_pass: called with the text of each step before it runs.
            isolate: run in a child process, so that a crash of MLIR is a PassFailure here; a failure then leaves the
                module as it was. Otherwise passes run in this process, and a failure leaves what the failing pass left.

        Raises:
            PassFailure: a pass failed, crashed, or left a module that does not verify; holds the diagnostics.
            PipelineError: a file of `printing` or `reproducer` cannot be written.
        """
        if not isinstance(module, ir.Module):
            raise PipelineError(f"a pipeline runs on a Module, not on {type(module).__name__}")
        run = Run(verify, printing or Printing(), timing, statistics, reproducer, on_pass)
        with module.context, ir.Location.unknown():
            try:
                if isolate:
                    self._isolated(module, run)
                else:
                    run.steps(self.steps, module)
            finally:
                if reproducer:
                    pending_reproducer(reproducer).unlink(missing_ok=True)

    def _isolated(self, module: ir.Module, run: Run) -> None:
        listeners: dict[str, Callable[..., Any] | None] = {
            "on_pass": run.on_pass,
            "timing": run.timing,
            "statistics": run.statistics,
            "print": run.printing.stream.write,
        }
        running = ""

        def hear(event: tuple) -> None:
            nonlocal running
            kind, *values = event
            running = values[0] if kind == "on_pass" else running
            if listeners[kind]:
                listeners[kind](*values)

        def work(emit: Callable[[tuple], None]) -> bytes:
            there = dataclasses.replace(
                run,
                on_pass=lambda *values: emit(("on_pass", *values)),
                timing=run.timing and (lambda *values: emit(("timing", *values))),
                statistics=run.statistics and (lambda *values: emit(("statistics", *values))),
                printing=dataclasses.replace(run.printing, stream=_Stream(emit)),
            )
            there.steps(self.steps, module)
            return bytecode(module.operation)

        try:
            data = isolated(work, on_event=hear)
        except WorkerDied as error:
            if run.reproducer and pending_reproducer(run.reproducer).exists():
                pending_reproducer(run.reproducer).replace(run.reproducer)
            code = error.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            failed = PassFailure(f"MLIR crashed ({how}) in pass {running!r}")
            raise failed from error
        try:
            _replace(module, ir.Module.parse(data))
        except ir.MLIRError as error:
            # Without verification a pass may leave what only its own process can hold.
            raise failure(str(self), error) from error


class _Stream:
    """Writes in the child what the parent's stream shall have."""

    def __init__(self, emit: Callable[[tuple], None]) -> None:
        self._emit = emit

    def write(self, text: str) -> None:
        self._emit(("print", text))


def _replace(module: ir.Module, other: ir.Module) -> None:
    """Make `module` what `other` is."""
    into, source = module.operation, other.operation
    for op in list(module.body.operations):
        op.operation.erase()
    for op in list(other.body.operations):
        op.operation.detach_from_parent()
        module.body.append(op)
    for name in list(into.attributes):
        del into.attributes[name]
    for name in source.attributes:
        into.attributes[name] = source.attributes[name]
    into.location = source.location


def pipeline_names() -> list[str]:
    """The names of the pipelines in `pipelines/`."""
    folder = Path(importlib.import_module("neomlir.pipelines").__file__).parent
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if "def stages(" in p.read_text())


def pipeline_module(name: str):
    """The module in `pipelines/` that defines a named pipeline. Raises PipelineError."""
    if name not in pipeline_names():
        raise PipelineError(f"there is no pipeline {name!r}; there are {', '.join(pipeline_names())}")
    return importlib.import_module(f"neomlir.pipelines.{name.replace('-', '_')}")


def named_stages(name: str, target) -> dict[str, str]:
    """The pipeline of each level, in order, from `global` down: those of a named pipeline for a `Target`.

    Braces behind the name set options of its passes: `cpu{neo-pack-forest.strategy=loops}`, with spaces between
    several; they hold wherever the pass stands, and in what is dumped. Passes are Neo's. Raises PipelineError.
    """
    name, brace, _ = (given := name).partition("{")
    module = pipeline_module(name)
    stages = module.stages(target)
    if not brace:
        return stages
    steps = parse(given)
    if len(steps) != 1 or not given.rstrip().endswith("}"):
        raise PipelineError(f"{given!r} is not NAME{{PASS.OPTION=VALUE …}}")
    for word in words(steps[0].options):
        where, equals, value = word.partition("=")
        pass_name, dot, option = where.partition(".")
        if not (pass_name and dot and option and equals):
            raise PipelineError(f"{word!r} in {given!r} is not PASS.OPTION=VALUE")
        pass_ = find_pass(pass_name)
        made = {level: _set_option(parse(text), pass_, f'{option}="{value}"') for level, text in stages.items()}
        if not any(made.values()):
            raise PipelineError(
                f"pipeline {name!r} has no pass {pass_name!r}; docs/reference/pipelines says what it has"
            )
        stages |= {level: text for level, text in made.items() if text}
    return stages


def with_option(name: str, target, option: str) -> str:
    """A named pipeline's name with `PASS.OPTION=VALUE` in its braces too; unchanged where it has no such pass.

    Raises PipelineError as `named_stages` does.
    """
    pass_name = option.partition(".")[0]
    if not any(pass_name in text for text in named_stages(name, target).values()):
        return name
    bare, brace, rest = name.partition("{")
    return f"{bare}{{{rest.rstrip()[:-1]} {option}}}" if brace else f"{bare}{{{option}}}"


PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""What the factors of contractions are rounded to, as users and as `neo-lower-precision` call it."""
_LOWER = "neo-lower-precision"


def with_precision(pipeline: str, precision: str, target) -> str:
    """A named pipeline that computes in `precision` on a `Target`.

    Raises PipelineError for a precision that there is not, TargetError for one that the target has no numbers of.
    """
    if precision not in PRECISIONS:
        raise PipelineError(f"there is no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return pipeline
    if precision == "fp16" and not target.half:
        raise TargetError(f"target {target.name} has no instructions that read fp16; bf16 runs on every target")
    return with_option(pipeline, target, f"{_LOWER}.type={PRECISIONS[precision]}")


WEIGHTS = {"fp32": 0, "int8": 8, "int4": 4}
"""What the weights of matrix products may be kept as, and the bits of `neo-quantize-weights`."""
_QUANTIZE = "neo-quantize-weights"


def weight_bits(weights: str) -> tuple[int, int]:
    """Bits and the length of a group of `fp32`, `int8`, `int4` or `int4:64`; 0 where there is none.

    Raises PipelineError.
    """
    name, colon, group = weights.partition(":") if isinstance(weights, str) else ("", "", "")
    allowed = name in WEIGHTS and (not colon or (name == "int4" and group.isdecimal() and int(group)))
    if not allowed:
        raise PipelineError(
            f"weights are {', '.join(WEIGHTS)}, or int4:GROUP with the length of a group (16, 32, 64, 128), "
            f"not {weights!r}"
        )
    return WEIGHTS[name], int(group or 0)


def with_weights(pipeline: str, weights: str, target) -> str:
    """A named pipeline that keeps the weights of matrix products as `int8`, `int4`, or `int4:GROUP`.

    Raises PipelineError for anything else, or a pipeline that has no such step.
    """
    bits, group = weight_bits(weights)
    if not bits:
        return pipeline
    made = with_option(pipeline, target, f"{_QUANTIZE}.bits={bits}")
    if made == pipeline:
        raise PipelineError(
            f"pipeline {pipeline!r} has no pass {_QUANTIZE}: weights={weights!r} takes the pipeline cpu"
        )
    made = with_option(made, target, f"{_QUANTIZE}.group={group}") if group else made
    named_stages(made, target)
    return made


def pipeline_for(
    name: str | None, target, precision: str = "fp32", weights: str = "fp32", winograd: bool = True
) -> str:
    """The pipeline to take (`cpu` where none is named), with the options that the arguments of `compile` stand for.

    Raises PipelineError, TargetError.
    """
    name = with_weights(with_precision(name or "cpu", precision, target), weights, target)
    if winograd:
        return name
    return with_option(with_option(name, target, "neo-winograd.use=never"), target, f"{_LOWER}.winograd=false")


def precision_of(stages: Mapping[str, str]) -> str:
    """The precision that the stages of a named pipeline compute in."""
    found = re.search(_LOWER + r"\{[^}]*?type=(\w+)", stages.get("global", ""))
    return next(name for name, type_ in PRECISIONS.items() if type_ == (found[1] if found else "f32"))


def split_at(text: str, names: Iterable[str]) -> tuple[str, str]:
    """A stage's pipeline before its first pass of one of these names, and from there on; that may be empty."""
    steps = Pipeline(text).steps
    names = set(names)
    at = next((n for n, step in enumerate(steps) if step.name in names), len(steps))
    return tuple(f"{ROOT}({','.join(map(str, part))})" for part in (steps[:at], steps[at:]))


def with_options(text: str, options: Mapping[str, str]) -> str:
    """A stage's pipeline with `OPTION=VALUE` of passes by name; passes that it has not are left out."""
    for name, option in options.items():
        text = _set_option(parse(text), find_pass(name), option) or text
    return text


def _set_option(steps: list[Step], pass_: type[ModulePass], word: str) -> str:
    """The text of steps with an option of a pass set wherever it stands; empty where it stands nowhere."""
    found, todo = False, list(steps)
    while todo:
        step = todo.pop()
        todo += step.children or ()
        if step.children is None and step.name == pass_.name:
            step.options = pass_.parse(f"{step.options} {word}").option_text()
            found = True
    return ",".join(map(str, steps)) if found else ""


def _check(steps: Iterable[Step], anchors: tuple[str, ...] = (ROOT,)) -> None:
    """Raise PipelineError unless every pass exists, takes its options, and may stand under its anchors."""
    steps = list(steps)
    for step in steps:
        if step.children is not None and has_ours(step):
            _check(step.children, (*anchors, step.name))
        elif step.children is None and is_ours(step.name):
            if anchors[-1] not in (ROOT, "any"):
                raise PipelineError(f"pass {step.name!r} works on modules: it cannot run nested in {anchors[-1]!r}")
            find_pass(step.name).parse(step.options)
    upstream = [str(step) for step in steps if not has_ours(step)]
    if not upstream:
        return
    register_all()
    text = "".join(f"{anchor}(" for anchor in anchors) + ",".join(upstream) + ")" * len(anchors)
    try:
        with ir.Context():
            passmanager.PassManager.parse(text)
    except ValueError as error:
        raise PipelineError(one_line(error)) from None
