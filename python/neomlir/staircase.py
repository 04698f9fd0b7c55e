"""The way down: from an imported model to machine code and weights, level by level."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neomlir.cache import KernelCache, compiler, key_of
from neomlir.codegen.objects import emit_object
from neomlir.codegen.translate import to_llvm_ir
from neomlir.costs import kernel_costs
from neomlir.elements import numpy_dtype
from neomlir.errors import CompileError, NeoError, first_line
from neomlir.frontends.base import Imported
from neomlir.host_plan import HostPlan
from neomlir.initialize import run_initialize
from neomlir.kernel_job import KernelResult, compile_kernel
from neomlir.mlir import ir
from neomlir.passes.functions import defined_functions, functions, kernel_modules, name_of
from neomlir.passes.limit_schedules import RUNGS
from neomlir.passes.quantize_weights import quantized_globals
from neomlir.passes.set_parameters import text_of
from neomlir.pipeline import Pipeline, named_stages, precision_of, split_at, with_options
from neomlir.pipeline_run import reproducer_text
from neomlir.targets import Target
from neomlir.tuned import CHOOSING, Database
from neomlir.workers import parallel

LEVELS = ("input", "linalg", "global", "kernels", "vector", "memref", "llvm")
Progress = Callable[[str, int, int], None]


@dataclass
class Program:
    """What a compile gives: objects that define `neo_main`, weights at offsets, and what a report says."""

    objects: list[bytes]
    weights: list[tuple[int, np.ndarray]]
    weight_bytes: int
    arena_bytes: int
    allocates: bool
    """A run asks the runtime for memory: something has a size that is not known before."""
    report: dict
    kernels_level: str = ""
    variants: dict[str, list[bytes]] = field(default_factory=dict)
    """The objects for better machines than that of `objects`, by target, best first."""


@dataclass
class Kernel:
    """One kernel of the `kernels` level on its way down."""

    name: str
    text: str
    callers: set[str]
    calls: int
    flops: int | None = None
    bytes: int | None = None
    key: str = ""
    rung: int = 0
    result: KernelResult | None = None
    failures: list[str] = field(default_factory=list)


def split_stage(text: str) -> tuple[str, str]:
    """A stage's passes for each kernel (those nested in `builtin.module`, which stand first) and for the host."""
    inner = text.removeprefix("builtin.module(").removesuffix(")")
    parts, depth, start = [], 0, 0
    for i, character in enumerate(inner + ","):
        depth += (character in "({") - (character in ")}")
        if character == "," and depth == 0:
            parts.append(inner[start:i])
            start = i + 1
    kernels = [p.removeprefix("builtin.module(").removesuffix(")") for p in parts if p.startswith("builtin.module(")]
    host = [p for p in parts if p and not p.startswith("builtin.module(")]
    return ",".join(kernels), ",".join(host)


class Staircase:
    """Takes one imported model down; `target` and `pipeline` say how."""

    def __init__(
        self,
        imported: Imported,
        target: Target,
        pipeline: str = "cpu",
        *,
        jobs: int = 2,
        cache: KernelCache | None = None,
        database: Database | None = None,
        progress: Progress | None = None,
        reproducer: Path | None = None,
    ) -> None:
        """Nothing runs yet. Each stage leaves what it starts from in the file `reproducer`."""
        self.imported = imported
        self.module = imported.module
        self.target = target
        self.pipeline = pipeline
        self.stages = {"linalg": imported.pipeline, **named_stages(pipeline, target)}
        self.jobs = jobs
        self.cache = cache
        self.database = database
        self.parameters: dict[str, dict[str, int | str]] = {}
        self.choices: dict[str, str] = {}
        self.progress = progress or (lambda *_: None)
        self.reproducer = reproducer
        self.times: list[dict] = []
        self.hits = 0

    def limit(self, rungs: dict[str, str]) -> None:
        """Keep kernels from schedules above the given rung, as a step of the `kernels` stage."""
        if rungs:
            pairs = ";".join(f"{kernel}:{rung}" for kernel, rung in sorted(rungs.items()))
            text = self.stages["kernels"].removesuffix(")")
            self.stages["kernels"] = f"{text},neo-limit-schedules{{kernels={pairs}}})"

    def tell(self, parameters: dict[str, dict[str, int | str]]) -> None:
        """Give kernels parameters for their schedules, as a step of the `kernels` stage."""
        if parameters:
            text = self.stages["kernels"].removesuffix(")")
            self.stages["kernels"] = f"{text},neo-set-parameters{{kernels={text_of(parameters)}}})"

    def choose(self, choices: dict[str, str]) -> None:
        """Give passes of the `global` stage what `Database.choices` found for the contractions of this model."""
        self.choices = choices
        self.stages["global"] = with_options(self.stages["global"], choices)

    def to_contractions(self) -> str:
        """Down to where choices are made for contractions; the passes of the stage `global` that are left."""
        self._stage("linalg", self.stages["linalg"])
        first, rest = split_at(self.stages["global"], CHOOSING)
        self._stage("global", first)
        return rest

    def run_whole(self, last: str, on_level: Callable[[str, str, str | None], None] | None = None) -> None:
        """Take the whole module down to level `last`; `on_level(level, text, next pipeline)` sees each level."""
        levels = [*self.stages]
        reached = "input"
        for level in levels[: levels.index(last) + 1] if last != "input" else []:
            if on_level:
                on_level(reached, str(self.module), self.stages[level])
            self._stage(level, self.stages[level])
            if level == "kernels" and self.database is not None:
                self.tune(self.database)
            reached = level
        if on_level:
            on_level(reached, str(self.module), None)

    def to_kernels(self) -> list[Kernel]:
        """Down to level `kernels`, with what was tuned; the kernels in order of their first call."""
        for level in ("linalg", "global", "kernels"):
            self._stage(level, self.stages[level])
        if self.database is not None:
            self.parameters = self.tune(self.database)
        return self.kernels()

    def tune(self, database: Database) -> dict[str, dict[str, int | str]]:
        """Give the kernels of a module at level `kernels` the parameters that a database has for them; those."""
        modules = {name_of(functions(nested)[0]): nested for nested in kernel_modules(self.module.operation)}
        found = {name: database.parameters(nested, self.target) for name, nested in modules.items()}
        found = {name: parameters for name, parameters in found.items() if parameters}
        if found:
            Pipeline(f"builtin.module(neo-set-parameters{{kernels={text_of(found)}}})").run(self.module, isolate=False)
        return found

    def kernels(self) -> list[Kernel]:
        """The kernels of a module at level `kernels`."""
        calls: dict[str, list[str]] = {}
        for function in defined_functions(self.module.operation):
            for op in function.regions[0].blocks[0].operations:
                if op.operation.name == "func.call":
                    callee = ir.FlatSymbolRefAttr(op.operation.attributes["callee"]).value
                    calls.setdefault(callee, []).append(name_of(function))
        found = []
        for nested in kernel_modules(self.module.operation):
            name = name_of(functions(nested)[0])
            found.append(
                Kernel(name, str(nested), set(calls.get(name, ())), len(calls.get(name, ())), *kernel_costs(nested))
            )
        return found

    def plan_schedules(self, kernels: list[Kernel]) -> list[dict]:
        """The schedule each kernel would take, without compiling it."""
        passes = split_stage(self.stages["vector"])[0]
        tasks = [(k.text, {"vector": passes}, {}, False, "vector") for k in kernels]
        for number, answer in parallel(compile_kernel, tasks, self.jobs):
            kernels[number].result = (
                KernelResult("", "scalar", {}, fallback=first_line(answer)) if isinstance(answer, NeoError) else answer
            )
        return [self._describe(k) for k in kernels]

    def run(self) -> Program:
        """All the way down. Raises PassFailure or CompileError."""
        start = time.perf_counter()
        kernels = self.to_kernels()
        kernels_level = str(self.module)
        if not self.target.variants:
            return self._program(kernels, kernels_level, start)
        first, *others = (self._variant(name, kernels_level) for name in (*self.target.variants, self.target.base))
        program = first._program(first.kernels(), kernels_level, start)
        program.variants[first.target.name] = program.objects
        for stairs in others:
            program.objects = program.variants[stairs.target.name] = stairs._objects(stairs.kernels())
            if stairs.plan["main"].layout != first.plan["main"].layout:
                raise CompileError(f"{stairs.target.name} and {first.target.name} do not share one memory plan")
        del program.variants[self.target.base]
        program.report["cache_hits"] = sum(stairs.hits for stairs in (first, *others))
        program.report["total_seconds"] = time.perf_counter() - start
        return program

    def for_variant(self, name: str) -> Staircase:
        """The way down for one variant of the target: from level `kernels` on its own, before that the target's."""
        other = copy.copy(self)
        other.target = Target.named(name)
        lower = named_stages(self.pipeline, other.target)
        other.stages = {**self.stages, **{level: lower[level] for level in ("vector", "memref", "llvm")}}
        return other

    def _variant(self, name: str, kernels_level: str) -> Staircase:
        stairs = self.for_variant(name)
        stairs.module = ir.Module.parse(kernels_level, self.module.context)
        return stairs

    def _program(self, kernels: list[Kernel], kernels_level: str, start: float) -> Program:
        """From level `kernels` down."""
        objects = self._objects(kernels)
        began = time.perf_counter()
        weights, weight_bytes, arena_bytes = self._weights(kernels)
        self._took("initialize", began)
        names = [k.name for k in kernels]
        passes = {level: split_stage(self.stages[level])[0] for level in ("vector", "memref", "llvm")}
        report = {
            "levels": self.times,
            "kernels": [self._describe(k) for k in kernels],
            "cache_hits": self.hits,
            "precision": precision_of(self.stages),
            "choices": self.choices,
            "arena_bytes": arena_bytes,
            "weight_bytes": weight_bytes,
            "pipelines": passes,
            "steps": [names.index(name) for name in self.plan["main"].steps.kernels],
            "buffers": [list(buffer) for buffer in self.plan["main"].steps.buffers],
            "total_seconds": time.perf_counter() - start,
        }
        return Program(objects, weights, weight_bytes, arena_bytes, self.plan["main"].allocates, report, kernels_level)

    def _objects(self, kernels: list[Kernel]) -> list[bytes]:
        """From level `kernels` to the objects of the program, the host's first."""
        self._compile_kernels(kernels)
        self._lower_host(kernels)
        began = time.perf_counter()
        objects = [k.result.objects[self.target.name] for k in kernels if "main" in k.callers]
        objects.insert(0, self._host_object("neo_main", self.target))
        self._took("host code", began)
        return objects

    def _describe(self, kernel: Kernel) -> dict:
        result = kernel.result
        return {
            "name": kernel.name,
            "schedule": result.schedule,
            "parameters": result.parameters,
            "tuned": kernel.name in self.parameters,
            "rung": RUNGS[kernel.rung],
            "calls": kernel.calls,
            "flops": kernel.flops,
            "bytes": kernel.bytes,
            "in": sorted(kernel.callers),
            "fallback": "; ".join(kernel.failures) or result.fallback,
            "seconds": result.seconds,
        }

    def _took(self, name: str, since: float) -> None:
        self.times.append({"name": name, "seconds": time.perf_counter() - since})

    def _stage(self, level: str, text: str) -> None:
        began = time.perf_counter()
        self.progress(level, 0, 1)
        if self.reproducer:
            # Locations name the nodes of the source, for the message when an importing pass dies of one of them.
            source = self.module.operation.get_asm(enable_debug_info=level == "linalg")
            self.reproducer.write_text(reproducer_text(source, text))
        if level == "linalg":
            self.imported.lower()
        elif level == "global" and self.database is not None:
            first, rest = split_at(text, CHOOSING)
            Pipeline(first).run(self.module, isolate=False)
            self.choose(self.database.choices(self.module, self.target))
            Pipeline(with_options(rest, self.choices)).run(self.module, isolate=False)
        else:
            Pipeline(text).run(self.module, isolate=False)
        self.progress(level, 1, 1)
        self._took(level, began)

    # Kernels, in worker processes.

    def _targets(self, kernel: Kernel) -> dict[str, Target]:
        targets = {self.target.name: self.target} if "main" in kernel.callers else {}
        if "initialize" in kernel.callers:
            targets["initialize"] = baseline()
        return targets

    def _compile_kernels(self, kernels: list[Kernel]) -> None:
        began = time.perf_counter()
        stages = {level: split_stage(self.stages[level])[0] for level in ("vector", "memref", "llvm")}
        todo = []
        for kernel in kernels:
            kernel.key = key_of(
                compiler(), kernel.text, *stages.values(), *(repr(t) for t in self._targets(kernel).items())
            )
            entry = self.cache.get(kernel.key) if self.cache else None
            if entry:
                kernel.failures = entry.pop("failures")
                kernel.rung = entry.pop("rung")
                kernel.result = KernelResult(**entry)
                self.hits += 1
            else:
                todo.append(kernel)
        done = len(kernels) - len(todo)
        while todo:
            tasks = [(with_rung(k.text, k.rung), stages, self._targets(k), False) for k in todo]
            again = []
            for number, answer in parallel(compile_kernel, tasks, self.jobs):
                kernel = todo[number]
                if isinstance(answer, NeoError):
                    kernel.failures.append(f"{RUNGS[kernel.rung] or 'scheduled'}: {first_line(answer)}")
                    kernel.rung += 1
                    if kernel.rung == len(RUNGS):
                        raise CompileError(f"kernel {kernel.name} could not be compiled: {'; '.join(kernel.failures)}")
                    again.append(kernel)
                    continue
                kernel.result = answer
                done += 1
                self.progress("kernels", done, len(kernels))
                if self.cache:
                    self.cache.put(kernel.key, {**answer.entry(), "failures": kernel.failures, "rung": kernel.rung})
            todo = again
        self._took("compile kernels", began)

    # The host.

    def _lower_host(self, kernels: list[Kernel]) -> None:
        for nested in kernel_modules(self.module.operation):
            nested.erase()
        with ir.Location.unknown(self.module.context):
            for kernel in kernels:
                ir.InsertionPoint(self.module.body).insert(ir.Operation.parse(kernel.result.interface))
        for level in ("vector", "memref", "llvm"):
            passes = split_stage(self.stages[level])[1]
            if passes:
                self._stage(level, f"builtin.module({passes})")
            if level == "memref":
                for nested in kernel_modules(self.module.operation):
                    nested.erase()
                self.plan = {name_of(f): HostPlan.of(f) for f in defined_functions(self.module.operation)}

    def _host_object(self, entry: str, target: Target) -> bytes:
        text = to_llvm_ir(self.module, (entry,))
        key = key_of(compiler(), "host", text, repr(target))
        found = self.cache.get(key) if self.cache else None
        if found:
            return found["objects"]["host"]
        # It only calls kernels; -O2 thinks about each call in view of all others and gains nothing by it.
        made = emit_object(text, target, opt=1)
        if self.cache:
            self.cache.put(key, {"objects": {"host": made}})
        return made

    def _weights(self, kernels: list[Kernel]) -> tuple[list[tuple[int, np.ndarray]], int, int]:
        known = {**self.imported.weights, **global_values(self.module)}
        if "initialize" in self.plan:
            plan = self.plan["initialize"]
            defined = {name: np.empty(type_.shape, numpy_dtype(type_.element_type)) for name, type_ in plan.defines}
            objects = [k.result.objects["initialize"] for k in kernels if "initialize" in k.callers]
            objects.insert(0, self._host_object("neo_initialize", baseline()))
            _expect_finite(known, quantized_globals(self.module))
            inputs = [known[name] for name in plan.reads]
            run_initialize(objects, baseline(), inputs, list(defined.values()), plan.arena)
            known.update(defined)
        plan = self.plan["main"]
        return [(offset, known[name]) for name, offset in plan.weights], plan.weights_size, plan.arena


def with_rung(text: str, rung: int) -> str:
    """The nested module with the schedules it may take limited to those from `rung` on."""
    if not rung:
        return text
    return text.replace("attributes {neo.kernel", f'attributes {{neo.kernel, neo.rung = "{RUNGS[rung]}"', 1)


def _expect_finite(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Raise CompileError where one of these weights, which integers are to stand for, is not finite throughout."""
    for name in names:
        array = arrays.get(name)
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CompileError(
                f"weight {name} holds numbers that are not finite, which integers cannot stand for: "
                "keep weights in fp32"
            )


def global_values(module: ir.Module) -> dict[str, np.ndarray]:
    """The arrays of the globals whose values stand in the module: tables that passes made."""
    found = {}
    for op in (o.operation for o in module.body.operations):
        if op.name == "ml_program.global" and "value" in op.attributes:
            value = op.attributes["value"]
            if isinstance(value, ir.DenseElementsAttr):
                kind = ir.RankedTensorType(value.type)
                array = np.array(value, numpy_dtype(kind.element_type)).reshape(kind.shape)
                found[ir.StringAttr(op.attributes["sym_name"]).value] = array
    return found


def baseline() -> Target:
    """The target of what runs at compile time, the same on every machine of an architecture: so are its results."""
    import platform

    return Target.named({"aarch64": "cortex-a53", "arm64": "cortex-a53"}.get(platform.machine(), "x86-64-v2"))
