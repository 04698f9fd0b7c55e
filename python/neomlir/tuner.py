"""`tune`: measure what the schedules' parameters are worth on this machine, and keep the best in a database.

The search is coordinate descent from the analytic choice: all values of one parameter beside the best so far, then
the next parameter, until a round over all of them finds nothing faster. The space of one parameter may depend on the
others, so it is asked for anew after each step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neomlir import files
from neomlir.cache import compiler
from neomlir.contraction_search import ContractionSearch
from neomlir.errors import NeoError, TargetError, TuningError, first_line
from neomlir.frontends import source_name
from neomlir.kernel_trial import Candidate, Comparison, candidate, compare, space_of
from neomlir.passes.set_parameters import describe
from neomlir.pipeline import named_stages, pipeline_for
from neomlir.staircase import split_stage
from neomlir.subjects import Subject, contractions_of, is_kernel_file, kernels_of_file, kernels_of_start
from neomlir.targets import Target
from neomlir.tuned import Database, Entry
from neomlir.tuning import GAIN, Progress, Tuned
from neomlir.workers import isolated, parallel

_FIRST = ("panelwise", "across", "part", "item", "pack")
"""Parameters that are tried before others: the order of the loops is worth more than the shape of the register tile."""
_LEAST_LOST = 0.1
"""What part of a kernel's time may be won, at least: none is perfect."""
CONTRACTIONS_SHARE = 0.5
"""What part of the budget goes to choices before there are kernels, at most."""


def tune(
    model: Any,
    target: str | Target = "host",
    inputs: Any = None,
    *,
    budget: float = 60.0,
    database: str | os.PathLike | None = None,
    pipeline: str | None = None,
    precision: str = "fp32",
    weights: str = "fp32",
    winograd: bool = True,
    sizes: Mapping[str, Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> list[Tuned]:
    """Measure the kernels of a model with other parameters, for about `budget` seconds.

    First come choices that are made before there are kernels: which convolutions are Winograd's, how wide panels of
    weights are (docs/tools/neo-tune.md).
    Kernels share the time as they share that of a run. What is measured is in the database at once: an interrupted
    search goes on where it stopped. A kernel's candidates are compared with its analytic parameters on random
    arguments, on one core of this machine; one that gives another result does not count.

    Args:
        model: what `compile` takes, or the path of a `.mlir` file of level `kernels`: a whole module, or one kernel.
        target: whose code is measured; this machine must run it.
        inputs, pipeline, precision, weights, winograd: as for `compile`.
        sizes: the shapes at which inputs with dynamic extents are measured, by name; those of a kernel that is a file
            are named by their number. By default a first extent that is open is 1 (a batch), others are 128.
        budget: seconds of measuring, the time of importing the model not among them.
        database: the file that is read and written; by default that which `compile` reads.
        progress: called as it goes.

    Returns:
        The contractions of a model that had a choice, then the kernels, those that cost most first.

    Raises:
        TargetError, TuningError, and what importing a model raises.
    """
    chosen = target if isinstance(target, Target) else Target.named(target)
    if not chosen.runs_here():
        raise TargetError(f"neo-tune measures on this machine, which cannot run code for {chosen.name}")
    pipeline = pipeline_for(pipeline, chosen, precision, weights, winograd)
    stages = named_stages(pipeline, chosen)
    found, sizes, report = Database(database), dict(sizes or {}), progress or (lambda *_: None)
    passes = {level: split_stage(stages[level])[0] for level in ("vector", "memref", "llvm")}
    search = _Search(found, chosen, passes, report)
    results: list[Tuned] = []
    with files.scratch_folder() as scratch, search.aside():
        if is_kernel_file(model):
            subjects = isolated(kernels_of_file, Path(model), chosen, sizes)
        else:
            start = isolated(contractions_of, Path(scratch), model, chosen, inputs, pipeline, sizes)
            search.began = time.monotonic()
            first = ContractionSearch(found, chosen, stages, start.rest, report, search.core, search.others)
            spent = -time.monotonic()
            results = first.run(start.subjects, budget * CONTRACTIONS_SHARE, Path(scratch))
            budget -= spent + time.monotonic()
            subjects = isolated(kernels_of_start, start, found, chosen, stages["kernels"], sizes)
        if not subjects:
            raise TuningError(f"{source_name(model)} has no kernel of level `kernels` that a run calls")
        return results + search.run(subjects, budget)


class _Search:
    """The search over all kernels within a budget."""

    def __init__(self, database: Database, target: Target, stages: dict[str, str], progress: Progress) -> None:
        self.database, self.target, self.stages, self.progress = database, target, stages, progress
        self.began = time.monotonic()
        cores = sorted(os.sched_getaffinity(0))
        # What is measured has a core of its own; the others compile what comes next.
        self.core = cores[-1]
        self.others = cores[:-1] or cores

    def run(self, subjects: list[Subject], budget: float) -> list[Tuned]:
        end = time.monotonic() + budget
        states = self._start(subjects, end)
        worth = _worth(states)
        ranked = sorted(states, key=lambda s: -worth[s.subject.name])
        for number, state in enumerate(ranked):
            rest = sum(worth[other.subject.name] for other in ranked[number:] if other.open) or 1.0
            left = end - time.monotonic()
            if left > 0 and state.open:
                self._descend(state, time.monotonic() + left * worth[state.subject.name] / rest)
        return [state.result() for state in sorted(states, key=lambda s: -s.cost)]

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Keep this process, and what it starts, off the core that is measured on."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.others)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def _compile(self, subject: Subject, all_parameters: list[dict]) -> Iterator[tuple[dict, Candidate | NeoError]]:
        tasks = [(subject.text, parameters, self.stages, self.target) for parameters in all_parameters]
        for number, answer in parallel(candidate, tasks, len(self.others)):
            yield all_parameters[number], answer

    def _start(self, subjects: list[Subject], end: float) -> list[_State]:
        """A state a kernel; those that the database does not know are timed as they are, those with most work first."""
        states = {s.name: _State.of(s, self.database, self.target) for s in subjects}
        unknown = [s for s in subjects if not states[s.name].entry.analytic_seconds]
        unknown.sort(key=lambda s: -math.inf if s.flops is None else -s.flops * s.calls)
        tasks = [(s.text, {}, self.stages, self.target) for s in unknown]
        half = (time.monotonic() + end) / 2
        for number, answer in parallel(candidate, tasks, len(self.others)):
            if time.monotonic() > half:
                break
            state = states[unknown[number].name]
            try:
                if isinstance(answer, NeoError):
                    raise answer
                state.entry.analytic_seconds = self._compare(state, answer, answer).seconds
                state.analytic = answer
                self._keep(state)
            except NeoError as error:
                state.problem = first_line(error)
            self.progress(state.subject.name, self._spent(), state.problem)
        return list(states.values())

    def _compare(self, state: _State, new: Candidate, old: Candidate) -> Comparison:
        return isolated(compare, new, old, self.target, self.core, state.subject.given, state.subject.around)

    def _spent(self) -> float:
        return time.monotonic() - self.began

    # One kernel.

    def _descend(self, state: _State, deadline: float) -> None:
        if not self._resume(state):
            return
        while time.monotonic() < deadline:
            improved, finished = self._round(state, deadline)
            if finished and not improved:
                state.entry.complete = True
                break
        self._confirm(state)
        self._keep(state)

    def _resume(self, state: _State) -> bool:
        """Compile what is to be beaten: the best of an earlier search, or the analytic choice; whether it can be."""
        wanted = [p for p in ({}, state.entry.parameters) if p or state.analytic is None]
        for parameters, answer in self._compile(state.subject, wanted):
            if isinstance(answer, Candidate) and parameters:
                state.old = answer
            elif isinstance(answer, Candidate):
                state.analytic = answer
            elif parameters:
                state.entry.parameters, state.gain = {}, 1.0
            else:
                state.problem = first_line(answer)
        if state.analytic is not None and state.stale:
            # Another compiler measured it: what it found best is worth a comparison, no more.
            state.gain = 1.0
            self._confirm(state)
        state.old = state.old or state.analytic
        return state.analytic is not None

    def _confirm(self, state: _State) -> None:
        """Small gains one after another may be noise: what counts is the best beside the analytic choice."""
        if state.old is None or state.old.object == state.analytic.object:
            state.gain, state.entry.parameters, state.old = 1.0, {}, state.analytic
            return
        try:
            state.gain = self._compare(state, state.old, state.analytic).ratio
        except NeoError:
            state.gain = 1.0
        if state.gain >= GAIN:
            state.gain, state.entry.parameters, state.old = 1.0, {}, state.analytic

    def _round(self, state: _State, deadline: float) -> tuple[bool, bool]:
        """Try every value of every parameter: whether one was faster, and whether there was time for all."""
        improved, done = False, set()
        while True:
            space = isolated(space_of, state.subject.text, state.entry.parameters, self.target)
            # Another schedule comes last: it is to beat this one at its best.
            names = sorted(list(space)[1:], key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST))
            name = next((n for n in (*names, *list(space)[:1]) if n not in done), None)
            if name is None:
                return improved, True
            done.add(name)
            found = [p for p in _alternatives(state.entry.parameters, name, space[name]) if p]
            found = [p for p in found if describe(p) not in state.entry.tried]
            for parameters, answer in self._compile(state.subject, found):
                if time.monotonic() > deadline:
                    return improved, False
                improved |= self._measure(state, parameters, answer)

    def _measure(self, state: _State, parameters: dict[str, int | str], answer: Candidate | NeoError) -> bool:
        """Compare a candidate with the best so far; whether it takes its place."""
        ratio = None
        if isinstance(answer, Candidate) and answer.object == state.old.object:
            ratio = 1.0
        elif isinstance(answer, Candidate):
            with contextlib.suppress(NeoError):
                ratio = self._compare(state, answer, state.old).ratio
        told = None if ratio is None else round(ratio * state.gain, 4)
        state.entry.tried[describe(parameters)] = told
        faster = ratio is not None and ratio < GAIN
        if faster:
            state.old, state.gain, state.entry.parameters = answer, ratio * state.gain, parameters
        self._keep(state)
        found = "refused" if told is None else f"{told:.2f}x"
        self.progress(state.subject.name, self._spent(), f"{describe(parameters)}: {found}")
        return faster

    def _keep(self, state: _State) -> None:
        state.entry.seconds = state.entry.analytic_seconds * state.gain
        self.database.put(state.subject.key, state.entry)


def _worth(states: list[_State]) -> dict[str, float]:
    """By the name of a kernel, about how many seconds of a run a search may win: what it takes beyond its roof.

    The roofs are the best rates of arithmetic and of memory among the kernels themselves: what one reaches, another
    may.
    """
    timed = [s for s in states if s.entry.analytic_seconds]
    work = max((s.rate(s.subject.flops) for s in timed), default=0.0)
    moved = max((s.rate(s.subject.bytes) for s in timed), default=0.0)

    def lost(state: _State) -> float:
        parts = ((state.subject.flops, work), (state.subject.bytes, moved))
        if not state.cost or None in (state.subject.flops, state.subject.bytes):
            return 1.0
        least = max(amount / rate if rate else 0.0 for amount, rate in parts)
        return max(_LEAST_LOST, 1.0 - least * state.subject.calls / state.cost)

    return {s.subject.name: s.cost * lost(s) for s in states}


def _alternatives(best: dict, name: str, values: tuple[int | str, ...]) -> Iterator[dict[str, int | str]]:
    """`best` with each other value of one parameter; the analytic one, which stands first, is left unsaid."""
    # The other parameters belong to the schedule.
    others = {} if name == "schedule" else {n: v for n, v in best.items() if n != name}
    for value in values:
        if value != best.get(name, values[0]):
            yield others if value == values[0] else {**others, name: value}


@dataclass
class _State:
    """A kernel in the search."""

    subject: Subject
    entry: Entry
    gain: float
    """The best one's time over that of the analytic choice."""
    stale: bool = False
    """Whether the entry is that of another compiler."""
    analytic: Candidate | None = None
    old: Candidate | None = None
    """The best so far."""
    problem: str = ""

    @staticmethod
    def of(subject: Subject, database: Database, target: Target) -> _State:
        known = database.entries.get(subject.key)
        if known is None:
            return _State(subject, Entry(subject.name, target.name, {}, 0.0, 0.0, compiler=compiler()), 1.0)
        if known.compiler == compiler():
            gain = known.seconds / known.analytic_seconds if known.analytic_seconds else 1.0
            return _State(subject, dataclasses.replace(known, tried=dict(known.tried)), gain)
        fresh = Entry(subject.name, target.name, known.parameters, 0.0, 0.0, compiler=compiler())
        return _State(subject, fresh, 1.0, stale=True)

    @property
    def open(self) -> bool:
        """Whether there is something left to try."""
        return not self.problem and not self.entry.complete and self.entry.analytic_seconds > 0

    def rate(self, amount: int | None) -> float:
        """Of so much a call, what is done a second."""
        return (amount or 0) / (self.entry.analytic_seconds * self.gain)

    @property
    def cost(self) -> float:
        return self.subject.calls * self.entry.analytic_seconds * self.gain

    def result(self) -> Tuned:
        return Tuned.of(self.subject.name, self.subject.calls, self.entry, self.problem)
