"""Compare a compiled model with the model it was made from, in that model's own framework."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from neomlir import peers, quanta, rounding
from neomlir.errors import ModelError
from neomlir.frontends import find
from neomlir.samples import Sampler, onnx_bounds, torch_bounds

# Two entries this close to each other, relative to the largest, may change places by rounding alone.
_TIE = 1e-4


class Agreement(NamedTuple):
    """How far one output is from the reference, the worst of all runs."""

    name: str
    error: float
    """‖out - ref‖ / ‖ref‖ in double precision; infinite where one is finite and the other is not."""
    argmax: float
    """Share of rows along the last axis whose largest entry is the same one, near ties forgiven."""
    distance: float
    """The root of the mean square of out - ref: what to look at where a reference is next to nothing."""
    quantum: float = 0.0
    """The step of the output of a quantised model (see `neomlir.quanta`); 0 where there is nothing quantised."""
    largest: float = 0.0
    """The largest |out - ref|."""
    allowed: tuple[float, float] = (0.0, 0.0)
    """What `largest` and `distance` may be by rounding alone, where quantised, in the run that was least within it."""
    near: bool = True
    """Whether rounding alone can make the differences of every run, where quantised."""

    def within(self, tolerance: float, noise: float) -> bool:
        """Whether the relative error is at most `tolerance`, or the distance `noise`; or few quanta, where quantised.

        Few are `quanta.LARGEST` for one element and `quanta.AVERAGE` for the root of the mean square; more where
        rounding inside the model makes more (see `neomlir.rounding`).
        """
        return self.error <= tolerance or self.distance <= noise or (self.quantum > 0 and self.near)

    def __str__(self) -> str:
        """Name and distance, as messages have it."""
        text = f"{self.name}  ‖out-ref‖/‖ref‖ = {self.error:.2e}"
        if not self.quantum:
            return text
        return (
            f"{text}; one element is {self.largest / self.quantum:.1f} quanta of {self.quantum:.3g} off (up to "
            f"{self.allowed[0] / self.quantum:.3g} may be rounding), the average {self.distance / self.quantum:.2f} "
            f"(up to {self.allowed[1] / self.quantum:.3g})"
        )


def check(
    model_source: object,
    compiled,
    runs: int = 1,
    seed: int = 0,
    sizes: Mapping[str, Sequence[int]] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> list[Agreement]:
    """Run `model_source` and `compiled` on the same fresh random inputs; one `Agreement` an output of `compiled`.

    `model_source` is what `neomlir.compile` was given; its frontend says in which framework it runs.
    Floating-point inputs are standard normal, masks zeros and ones, indices below the size of the table they index.
    Each run draws new inputs, and other sizes for dynamic dimensions; `sizes` gives shapes by name instead.
    `inputs` are arrays by name to use in place of random ones, in one run.
    Raises PeerUnavailable where the framework is not installed, ModelError where a model refuses the inputs or the
    two have different outputs.
    """
    model_source = peers.opened(model_source)
    example = inputs or Sampler(compiled.inputs, sizes=sizes, seed=seed).draw()
    reference = peers.reference(model_source, example)
    if inputs:
        batches = [inputs]
    else:
        sampler = Sampler(compiled.inputs, index_bounds(model_source, example), sizes, seed)
        batches = (sampler.draw(run) for run in range(runs))
    steps = quanta.output_quanta(model_source)
    worst: dict[str, Agreement] = {}
    for batch in batches:
        expected = reference(batch)
        outputs = compiled.run(batch)
        if len(expected) != len(outputs):
            raise ModelError(f"the compiled model has {len(outputs)} outputs, its source {len(expected)}")
        found = [compare(*pair, wanted, steps) for pair, wanted in zip(outputs.items(), expected, strict=True)]
        if any(got.quantum and not got.near for got in found):
            spreads = rounding.spread(model_source, batch, expected)
            found = [_allow(got, spread) for got, spread in zip(found, spreads, strict=True)]
        for got in found:
            worst[got.name] = _worse(worst.get(got.name, got), got)
    return list(worst.values())


def _worse(old: Agreement, got: Agreement) -> Agreement:
    """The worst of two runs."""
    return Agreement(
        old.name,
        max(old.error, got.error),
        min(old.argmax, got.argmax),
        max(old.distance, got.distance),
        min(old.quantum, got.quantum),
        max(old.largest, got.largest),
        min(old, got, key=_room).allowed,
        old.near and got.near,
    )


def _room(found: Agreement) -> float:
    """What is left of the difference that rounding may make; below 0 where there is more."""
    return min(found.allowed[0] - found.largest, found.allowed[1] - found.distance)


def _allow(got: Agreement, allowed: tuple[float, float]) -> Agreement:
    """The agreement, with at least these differences made by rounding."""
    got = got._replace(allowed=(max(got.allowed[0], allowed[0]), max(got.allowed[1], allowed[1])))
    return got._replace(near=_room(got) >= 0)


def _quantum(step: float | None, reference: np.ndarray) -> float:
    """The step of an output; that of an 8-bit range as wide as the reference where it has none of its own."""
    if step is not None:
        return step
    wide = np.abs(reference.astype(np.float64))
    return float(wide.max(initial=0.0, where=np.isfinite(wide))) / quanta.STEPS


def index_bounds(model_source: object, example: Mapping[str, np.ndarray]) -> dict[str, int]:
    """What integer inputs of a source model may index, by name; `example` are arrays of valid shapes."""
    peer = find(model_source).peer
    if peer == "torch":
        model_source = peers.opened(model_source)
        module = peers.torch_module(model_source)

        def call(tensors):
            positional, keyword = peers.torch_arguments(model_source, tensors)
            module(*positional, **keyword)

        return torch_bounds(call, example)
    if peer != "onnxruntime":
        return {}
    import onnx

    if isinstance(model_source, (str, os.PathLike)):
        return onnx_bounds(onnx.load(model_source, load_external_data=False))
    return onnx_bounds(onnx.load_from_string(model_source) if isinstance(model_source, bytes) else model_source)


def compare(
    name: str, output: np.ndarray, reference: np.ndarray, steps: Mapping[str, float | None] | None = None
) -> Agreement:
    """The agreement of two arrays of one shape; ModelError where the shapes differ.

    `steps` are those of the outputs of a quantised model, by name (`quanta.output_quanta`).
    """
    if output.shape != reference.shape:
        raise ModelError(f"output {name!r} has shape {output.shape}, its reference {reference.shape}")
    a, b = output.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return Agreement(name, float("inf"), 0.0, float("inf"), 0.0, float("inf"), near=False)
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    norm = np.linalg.norm(b)
    apart = np.linalg.norm(a - b)
    error = apart / (norm if norm else 1.0)
    argmax = 1.0
    if b.ndim and b.size and b.shape[-1] > 1:
        chosen = np.take_along_axis(b, a.argmax(-1)[..., None], -1)[..., 0]
        argmax = float(np.mean(chosen >= b.max(-1) - _TIE * np.abs(b).max(initial=0.0)))
    largest = float(np.abs(a - b).max(initial=0.0))
    quantum = _quantum(steps.get(name), reference) if steps else 0.0
    found = Agreement(name, float(error), argmax, float(apart / max(1, b.size) ** 0.5), quantum, largest)
    return _allow(found, (quanta.LARGEST * quantum, quanta.AVERAGE * quantum))
