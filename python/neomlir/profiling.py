"""`profile`: where the time of a run goes, kernel by kernel, beside what this machine could do at the most."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neomlir.errors import ModelError, NeoError
from neomlir.kernel_levels import kernel_levels
from neomlir.machine import Machine, Meter
from neomlir.run_costs import Cost, run_costs
from neomlir.runtime import Model, load
from neomlir.samples import Sampler
from neomlir.targets import Target
from neomlir.workers import isolated


@dataclass(frozen=True)
class KernelProfile:
    """One kernel of a program: what it took in a run, all its calls together."""

    name: str
    schedule: str
    parameters: Mapping[str, int]
    tuned: bool
    calls: int
    seconds: float
    """The median over the runs."""
    share: float
    """Of the time of all kernels."""
    flops: int | None
    """Arithmetic operations a call, the mean where calls differ; None where extents are dynamic and the program holds
    no IR that tells what they were, as with the next three."""
    bytes: int | None
    """Of all arguments of a call."""
    flops_rate: float | None
    """Operations a second."""
    bytes_rate: float | None
    """Bytes of arguments a second."""
    roof: float | None
    """The least time its arithmetic and its bytes take on this machine (`Machine.shortest`), over what it took."""


@dataclass(frozen=True)
class Step:
    """One call of a kernel in the quickest run; times in seconds since its begin."""

    kernel: int
    """Its place in `Profile.kernels`."""
    begin: float
    end: float
    items: int
    """Work items of the call."""


@dataclass(frozen=True)
class Buffer:
    """An intermediate in the arena: where, how large, and the steps that first and last use it."""

    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Profile:
    """Measurements of one program, the kernels that took most first."""

    target: str
    threads: int
    runs: int
    seconds: float
    """The median of a run."""
    traced_seconds: float
    """The median of a run whose kernels are timed; the two kinds take turns."""
    outside: float
    """Seconds of a run outside of kernels, the median."""
    machine: Machine
    kernels: tuple[KernelProfile, ...]
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    arena_bytes: int
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """The IR of each kernel by its name and the level's, where it was asked for."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: all but the IR."""
        document = {name: value for name, value in asdict(self).items() if name != "levels"}
        document["machine"]["bandwidth"] = self.machine.bandwidth
        return document

    def html(self, title: str = "") -> str:
        """A report in one HTML page that needs no network: plots, the table, and the IR."""
        from neomlir.report import render

        return render(self, title)


def profile(
    model: Any,
    arrays: Mapping[str, Any] | None = None,
    *,
    runs: int = 30,
    inputs: Any = None,
    target: str | Target = "host",
    pipeline: str | None = None,
    precision: str = "fp32",
    threads: int | None = None,
    ir: bool = False,
) -> Profile:
    """Measure every kernel of a program inside its runs.

    Args:
        model: a loaded `Model`, the path of a `.neo` file, or whatever `compile` takes.
        arrays: what to run it on, by input name; random by default.
        runs: how many are measured with kernels timed, and as many without.
        inputs, target, pipeline, precision: as for `compile`, where `model` is to be compiled.
        threads: of the runs and of the roofs; by default those of a loaded model, else one.
        ir: keep the IR of each kernel at every level; a `.neo` file must hold it (`include_ir=True`).

    The roofs are measured before and after the runs, on as many threads. Raises ModelError where the file tells too
    little (compile it again), and what `compile` and `load` raise.
    """
    if not isinstance(model, Model):
        model = _loaded(model, inputs, target, pipeline, precision, threads or 1)
    elif threads is not None and threads != model.threads:
        model.threads = threads
    if "steps" not in model.report:
        raise ModelError("the program does not say which kernels it runs; compile the model again to profile it")
    levels = kernel_levels(model) if ir else {}
    given = Sampler(model.inputs).draw() if arrays is None else dict(arrays)
    meter = Meter(code_target(model.target), model.threads)
    costs = _costs(model, given)
    before = meter.measure()
    plain, traced, events = _runs(model, given, runs)
    machine = before.merged(meter.measure())
    return _profile(model, machine, plain, traced, events, levels, costs)


def _costs(model: Model, arrays: Mapping[str, Any]) -> list[Cost]:
    """The operations and bytes of each step, as far as they are known."""
    report = model.report
    kernels = [report["kernels"][number] for number in report["steps"]]
    static = [(kernel.get("flops"), kernel.get("bytes")) for kernel in kernels]
    if all(None not in cost for cost in static) or "pipelines" not in report:
        return static
    shapes = [np.shape(arrays[spec.name]) for spec in model.inputs if spec.name in arrays]
    with contextlib.suppress(NeoError):
        found = isolated(run_costs, model.ir(), shapes)
        if len(found) == len(static):
            return found
    return static


def code_target(name: str) -> Target:
    """The target whose code runs here: of one with variants the first that can."""
    target = Target.named(name)
    each = (Target.named(variant) for variant in target.variants)
    return next((variant for variant in each if variant.runs_here()), target)


def _loaded(model: Any, inputs: Any, target: str | Target, pipeline: str | None, precision: str, threads: int) -> Model:
    from neomlir.api import compile

    if isinstance(model, str | os.PathLike) and Path(model).suffix == ".neo":
        return load(model, threads=threads)
    compiled = compile(model, target, inputs, pipeline, precision=precision, threads=threads, include_ir=True)
    if compiled is None:
        raise ModelError(f"this machine cannot run programs for {target}; profile where it runs")
    return compiled


def _runs(model: Model, arrays: Mapping[str, Any], runs: int) -> tuple[list[float], list[float], np.ndarray]:
    """Seconds of the plain runs and of the traced ones, in turn, and the events of the latter."""
    for _ in range(3):
        model.run(arrays)
    plain, traced, events = [], [], []
    for _ in range(runs):
        begin = time.perf_counter()
        model.run(arrays)
        middle = time.perf_counter()
        events.append(model.trace(arrays)[1])
        plain.append(middle - begin)
        traced.append(time.perf_counter() - middle)
    return plain, traced, np.stack(events)


def _profile(
    model: Model,
    machine: Machine,
    plain: list[float],
    traced: list[float],
    events: np.ndarray,
    levels: Mapping,
    costs: list[Cost],
) -> Profile:
    report, order = model.report, np.asarray(model.report["steps"], int)
    spans = (events[:, :, 1] - events[:, :, 0]) * 1e-9
    ran = [number for number in range(len(report["kernels"])) if number in order]
    each = {number: float(np.median(spans[:, order == number].sum(axis=1))) for number in ran}
    total = sum(each.values()) or 1.0
    ran.sort(key=lambda number: -each[number])
    kernels = [
        _kernel(report["kernels"][n], [costs[i] for i in np.flatnonzero(order == n)], each[n], total, machine)
        for n in ran
    ]
    place = {number: i for i, number in enumerate(ran)}
    whole = events[:, -1, 1] - events[:, 0, 0] if len(order) else np.zeros(len(events))
    # In the quickest run nothing else kept the core from a kernel.
    chosen = events[int(np.argmin(whole))]
    steps = [
        Step(place[number], float(begin - chosen[0, 0]) * 1e-9, float(end - chosen[0, 0]) * 1e-9, int(items))
        for number, (begin, end, items) in zip(order, chosen, strict=True)
    ]
    return Profile(
        target=model.target,
        threads=model.threads,
        runs=len(plain),
        seconds=statistics.median(plain),
        traced_seconds=statistics.median(traced),
        outside=max(0.0, float(np.median(np.asarray(traced) - spans.sum(axis=1)))),
        machine=machine,
        kernels=tuple(kernels),
        steps=tuple(steps),
        buffers=tuple(Buffer(*buffer) for buffer in report.get("buffers", ())),
        arena_bytes=report["arena_bytes"],
        levels={kernel.name: levels[kernel.name] for kernel in kernels if kernel.name in levels},
    )


def _kernel(
    said: Mapping[str, Any], costs: list[Cost], seconds: float, total: float, machine: Machine
) -> KernelProfile:
    known = seconds > 0 and all(None not in cost for cost in costs)
    flops, size = (sum(cost[i] for cost in costs) if known else None for i in range(2))
    return KernelProfile(
        name=said["name"],
        schedule=said.get("schedule", ""),
        parameters=dict(said.get("parameters", {})),
        tuned=bool(said.get("tuned", False)),
        calls=len(costs),
        seconds=seconds,
        share=seconds / total,
        flops=flops // len(costs) if known else said.get("flops"),
        bytes=size // len(costs) if known else said.get("bytes"),
        flops_rate=flops / seconds if known else None,
        bytes_rate=size / seconds if known else None,
        roof=sum(machine.shortest(*cost) for cost in costs) / seconds if known else None,
    )
