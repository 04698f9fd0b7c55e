"""The first search of `neo-tune`: choices that are made for a contraction before there are kernels.

Which convolutions are Winograd's comes first, for all of them, since that is worth most; and then, for those that are
direct, the width of panels of weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from neomlir.cache import compiler
from neomlir.contraction_trial import ContractionSubject, compare_programs, contraction_program
from neomlir.errors import NeoError, first_line
from neomlir.passes.set_parameters import describe
from neomlir.targets import Target
from neomlir.tuned import Database, Entry, contraction_key
from neomlir.tuning import GAIN, Progress, Tuned
from neomlir.workers import isolated, parallel

_ROUNDS = ("winograd", "panel")
"""The choices, those of all contractions before the next."""


@dataclass
class _State:
    subject: ContractionSubject
    entry: Entry
    gain: float = 1.0
    """The best one's time over that of the analytic choice."""
    problem: str = ""
    place: Path = Path()
    """Where its programs are written: how their names begin."""
    best: Path | None = None
    """The program of the best so far."""

    @property
    def work(self) -> int:
        """Multiply-adds of a run."""
        return self.subject.work * self.subject.calls


class ContractionSearch:
    """The search over all contractions within a budget; what is measured is in the database at once."""

    def __init__(
        self,
        database: Database,
        target: Target,
        stages: Mapping[str, str],
        rest: str,
        progress: Progress,
        core: int,
        others: list[int],
    ) -> None:
        """`rest` are the passes of the stage `global` from those on that make the choices."""
        self.database, self.target, self.stages, self.rest = database, target, stages, rest
        self.progress, self.core, self.others = progress, core, others
        self.began = time.monotonic()

    def run(self, subjects: list[ContractionSubject], budget: float, scratch: Path) -> list[Tuned]:
        """What was found, those with most work first."""
        self.began = time.monotonic()
        end = self.began + budget
        states = sorted(map(self._state, subjects), key=lambda s: -s.work)
        for number, state in enumerate(states):
            state.place = scratch / f"contraction{number}"
        for name in _ROUNDS:
            todo = [state for state in states if self._untried(state, name)]
            for number, state in enumerate(todo):
                left = end - time.monotonic()
                if left > 0:
                    share = state.work / (sum(s.work for s in todo[number:]) or 1)
                    self._search(state, name, time.monotonic() + left * share)
        return [self._result(state) for state in states]

    def _state(self, subject: ContractionSubject) -> _State:
        known = self.database.entries.get(contraction_key(subject.signature, self.target))
        if known is not None and known.compiler == compiler():
            gain = known.seconds / known.analytic_seconds if known.analytic_seconds else 1.0
            return _State(subject, replace(known, tried=dict(known.tried)), gain)
        # What another compiler found is tried again with everything else, and stays until then.
        before = {} if known is None else known.parameters
        return _State(subject, Entry(subject.signature, self.target.name, before, 0.0, 0.0, compiler=compiler()))

    def _untried(self, state: _State, name: str) -> list[dict[str, int | str]]:
        """The values of one choice that are left to try beside the best."""
        if state.entry.complete or state.problem:
            return []
        return [told for told in self._alternatives(state, name) if describe(told) not in state.entry.tried]

    def _search(self, state: _State, name: str, deadline: float) -> None:
        state.best = state.best or self._first(state)
        if state.best is None:
            return
        for told, answer in self._compile(state, self._untried(state, name)):
            if time.monotonic() > deadline:
                return
            if self._measure(state, told, answer, state.best):
                state.best = answer
        if not any(self._untried(state, each) for each in _ROUNDS):
            state.entry.complete = True
            self._keep(state)

    def _first(self, state: _State) -> Path | None:
        """The program of what is to be beaten, with the analytic choice measured and an earlier best beside it."""
        told = [{}, *([state.entry.parameters] if state.entry.parameters else [])]
        made = dict(self._indexed(state, told))
        analytic, old = made[0], made.get(1, made[0])
        if isinstance(analytic, NeoError):
            state.problem = first_line(analytic)
            return None
        try:
            if not state.entry.analytic_seconds:
                state.entry.analytic_seconds = self._compare(state, analytic, analytic).seconds
                if isinstance(old, NeoError):
                    raise old
                state.gain = self._compare(state, old, analytic).ratio if old != analytic else 1.0
                if state.gain >= GAIN:
                    state.entry.parameters, state.gain, old = {}, 1.0, analytic
                self._keep(state)
        except NeoError as error:
            if not state.entry.analytic_seconds:
                state.problem = first_line(error)
                return None
            state.entry.parameters, state.gain, old = {}, 1.0, analytic
        return analytic if isinstance(old, NeoError) else old

    def _alternatives(self, state: _State, name: str) -> Iterator[dict[str, int | str]]:
        best, values = state.entry.parameters, state.subject.space[name]
        if name == "panel" and best.get("winograd", state.subject.space["winograd"][0]):
            return
        for value in values[1:]:
            yield {**({} if name == "winograd" else best), name: value}

    def _compile(self, state: _State, all_told: list[dict]) -> Iterator[tuple[dict, Path | NeoError]]:
        for number, answer in self._indexed(state, all_told):
            yield all_told[number], answer

    def _indexed(self, state: _State, all_told: list[dict]) -> Iterator[tuple[int, Path | NeoError]]:
        tasks = [
            (
                state.subject,
                told,
                self.rest,
                self.stages,
                self.target,
                state.place.with_name(f"{state.place.name}-{describe(told)}.neo"),
            )
            for told in all_told
        ]
        return parallel(contraction_program, tasks, len(self.others))

    def _compare(self, state: _State, new: Path, old: Path):
        return isolated(compare_programs, new, old, state.subject, self.target, self.core)

    def _measure(self, state: _State, told: dict, answer: Path | NeoError, best: Path) -> bool:
        """Compare a candidate with the best so far; whether it takes its place."""
        ratio = None
        if not isinstance(answer, NeoError):
            try:
                ratio = self._compare(state, answer, best).ratio
            except NeoError:
                ratio = None
        relative = None if ratio is None else round(ratio * state.gain, 4)
        state.entry.tried[describe(told)] = relative
        faster = ratio is not None and ratio < GAIN
        if faster:
            state.gain, state.entry.parameters = ratio * state.gain, told
        self._keep(state)
        found = "refused" if relative is None else f"{relative:.2f}x"
        spent = time.monotonic() - self.began
        self.progress(state.subject.signature, spent, f"{describe(told)}: {found}")
        return faster

    def _keep(self, state: _State) -> None:
        state.entry.seconds = state.entry.analytic_seconds * state.gain
        self.database.put(contraction_key(state.subject.signature, self.target), state.entry)

    def _result(self, state: _State) -> Tuned:
        return Tuned.of(state.subject.signature, state.subject.calls, state.entry, state.problem, "contraction")
