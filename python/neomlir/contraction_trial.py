"""One contraction with choices that are made before there are kernels: its program, and its time beside another's.

The program is the contraction alone, with made-up weights and no epilogue, taken down by the passes that a model's way
would take: so what is found holds wherever a contraction of the same `signature` stands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neomlir import artifact
from neomlir.cache import KernelCache
from neomlir.errors import TuningError
from neomlir.frontends.base import Imported, Spec
from neomlir.kernel_trial import Comparison, Elsewhere, agree, in_turn
from neomlir.mlir import ir
from neomlir.passes.base import find_pass
from neomlir.passes.constants import Constants
from neomlir.passes.contraction import Contraction
from neomlir.passes.functions import defined_functions, name_of
from neomlir.passes.pack_contractions import panel_choices
from neomlir.passes.structured import operations, retarget
from neomlir.passes.winograd import Convolution
from neomlir.pipeline import Pipeline, with_options
from neomlir.representative import BATCH, OPEN, Sizes, extents_of, kernel_sizes
from neomlir.run_costs import run_operands
from neomlir.runtime import load
from neomlir.schedules.winograd_plan import choices
from neomlir.targets import Target
from neomlir.tuned import CHOOSING, choice_options


@dataclass
class ContractionSubject:
    """A contraction of a model with choices to be made."""

    signature: str
    text: str
    """A module of level `linalg` with it alone."""
    calls: int
    work: int
    """Multiply-adds of a call."""
    shape: tuple[int, ...]
    """The size of its input when it is measured."""
    space: dict[str, tuple[int, ...]]
    """`winograd`, the m of F(m, 3) or 0, and `panel`, columns of a panel of weights; the analytic choice first."""
    passed: int = 0
    """Bytes of the weights of the whole model, which pass between two calls."""


def find_contractions(module: ir.Module, target: Target, rest: str, sizes: Sizes) -> list[ContractionSubject]:
    """The contractions of `main` with single-precision weights whose passes, in `rest`, leave something to choose."""
    passes = {s.name: find_pass(s.name).parse(s.options) for s in Pipeline(rest).steps if s.name in CHOOSING}
    if len(passes) < len(CHOOSING):
        return []
    free = passes["neo-winograd"].use == "auto"
    main = next((f for f in defined_functions(module.operation) if name_of(f) == "main"), None)
    if main is None or len(main.regions[0].blocks) != 1:
        return []
    constants, found = Constants.of(main), {}
    with module.context, ir.Location.unknown():
        for op, operands in run_operands(module, [extents or () for extents in kernel_sizes(main, sizes)]):
            c = Contraction.match(op)
            if c is None or not constants.weights(op.operands[c.b]) or not _in_singles(op):
                continue
            if c.signature in found:
                found[c.signature].calls += 1
                continue
            convolution = Convolution.match(op, constants) if free else None
            space = {"winograd": (0,) if convolution is None else choices(target, convolution.shape)}
            space["panel"] = panel_choices(c, target)
            text = _alone(c) if any(len(values) > 1 for values in space.values()) else None
            if text is not None:
                shape = _known(operands[c.a] or ())
                work = int(np.prod([extent or OPEN for extent in c.extents], dtype=np.float64))
                found[c.signature] = ContractionSubject(c.signature, text, 1, work, shape, space)
    return list(found.values())


def _in_singles(op: ir.Operation) -> bool:
    types = [value.type for value in op.operands]
    return all(isinstance(t, ir.RankedTensorType) and isinstance(t.element_type, ir.F32Type) for t in types)


def _known(extents: Sequence[int | None]) -> tuple[int, ...]:
    return tuple((OPEN if d else BATCH) if n is None else n for d, n in enumerate(extents))


def _alone(c: Contraction) -> str | None:
    """A module whose `main` is the contraction from zero; None where a dynamic extent is no dimension of its input."""
    source, weight, result = (ir.RankedTensorType(c.op.operands[number].type) for number in (c.a, c.b, 2))
    places = {e.position: d for d, e in enumerate(c.maps[c.a].results) if isinstance(e, ir.AffineDimExpr)}
    lines, sizes = [], []
    for d, e in enumerate(c.maps[2].results):
        if result.is_dynamic_dim(d):
            if not isinstance(e, ir.AffineDimExpr) or e.position not in places:
                return None
            lines += [f"%c{d} = arith.constant {places[e.position]} : index"]
            lines += [f"%d{d} = tensor.dim %x, %c{d} : {source}"]
            sizes.append(f"%d{d}")
    body = "\n".join(lines)
    module = ir.Module.parse(f"""
ml_program.global private @w(#ml_program.extern) : {weight}
func.func @main(%x: {source} {{neo.name = "x"}}) -> ({result} {{neo.name = "y"}}) {{
  %w = ml_program.global_load_const @w : {weight}
  {body}
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty({", ".join(sizes)}) : {result}
  %start = linalg.fill ins(%zero : f32) outs(%empty : {result}) -> {result}
  return %start : {result}
}}""")
    main = defined_functions(module.operation)[0]
    *_, last = ops = operations(main)
    load_ = next(op for op in ops if op.name == "ml_program.global_load_const")
    copy = c.op.clone(ip=ir.InsertionPoint(last))
    mapping = {c.op.operands[c.a]: main.regions[0].blocks[0].arguments[0], c.op.operands[c.b]: load_.results[0]}
    retarget(copy, {**mapping, c.op.operands[2]: last.operands[0]})
    last.operands[0] = copy.results[0]
    return str(module)


def contraction_program(
    subject: ContractionSubject,
    told: Mapping[str, int],
    rest: str,
    stages: Mapping[str, str],
    target: Target,
    place: Path,
) -> Path:
    """Compile a contraction with choices into a `.neo` file; for a worker process. Raises CompileError, PassFailure."""
    from neomlir.api import write_program
    from neomlir.dialects import context
    from neomlir.staircase import Staircase

    with context():
        module = ir.Module.parse(subject.text)
        source, result = (
            ir.RankedTensorType(type_)
            for types in [
                ir.FunctionType(ir.TypeAttr(defined_functions(module.operation)[0].attributes["function_type"]).value)
            ]
            for type_ in (types.inputs[0], types.results[0])
        )
        weight = next(op.operation for op in module.body.operations if op.operation.name == "ml_program.global")
        extents = ir.RankedTensorType(ir.TypeAttr(weight.attributes["type"]).value).shape
        values = np.random.default_rng(0).standard_normal(list(extents), np.float32)
        ends = [[Spec(name, "float32", tuple(extents_of(type_)))] for name, type_ in (("x", source), ("y", result))]
        imported = Imported(module, {"w": values}, "builtin.module()", *ends, subject.signature)
        stairs = Staircase(imported, target, jobs=1, cache=KernelCache())
        chosen = with_options(rest, choice_options({subject.signature: told}))
        stairs.stages = {"linalg": imported.pipeline, **stages, "global": chosen}
        write_program(stairs, stairs.run(), place)
    return place


def compare_programs(
    _emit: Any, new: Path, old: Path, subject: ContractionSubject, target: Target, core: int
) -> Comparison:
    """Run both on the same random input, in turn; for a worker process.

    Weights come from behind the second-level cache, or from memory where the model has so many, as they do in a network
    whose other weights went through the caches, and the input is near. What counts is the time of the kernels that do
    arithmetic: copies into padded buffers are made by whatever comes before. Raises TuningError where results differ.
    """
    os.sched_setaffinity(0, {core})
    x = np.random.default_rng(1).standard_normal(subject.shape, np.float32)
    elsewhere = Elsewhere(max(2 * target.cache.l2, subject.passed))
    both = [_timed(place, x, elsewhere) for place in (new, old)]
    if not agree(*[result for result, _ in both]):
        raise TuningError("its result is another one")
    return in_turn(*[call for _, call in both])


def _timed(place: Path, x: np.ndarray, elsewhere: Elsewhere) -> tuple[np.ndarray, Callable[[], float]]:
    """The result on an input, and a call that gives the seconds of the arithmetic."""
    report = artifact.read(place).manifest
    counts = np.array([report["kernels"][step].get("flops") != 0 for step in report["steps"]])
    model = load(place, threads=1)

    def call() -> float:
        elsewhere.visit()
        np.multiply(x, 1, out=x)
        events = model.trace({"x": x})[1][counts]
        return float((events[:, 1] - events[:, 0]).sum()) * 1e-9

    return np.array(model.trace({"x": x})[0]["y"]), call
