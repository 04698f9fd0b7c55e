"""What `neo-tune` works on: the contractions of a model, and its kernels; read in worker processes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neomlir.contraction_trial import ContractionSubject, find_contractions
from neomlir.costs import kernel_costs
from neomlir.errors import ImportFailure
from neomlir.kernel_trial import Around
from neomlir.pipeline import Pipeline, with_options
from neomlir.representative import Sizes, call_sizes, kernel_sizes
from neomlir.targets import Target
from neomlir.tuned import Database, kernel_key


@dataclass
class Subject:
    """A kernel to be tuned."""

    name: str
    text: str
    """Its nested module at level `kernels`."""
    key: str
    calls: int
    given: list[Any] | None = None
    """The extents or the number of each argument in a call of representative size, where some are dynamic."""
    around: Around | None = None
    """Where its arguments are before a call."""
    flops: int | None = None
    bytes: int | None = None
    """Arithmetic and memory of a call; None where extents are dynamic."""


@dataclass
class Start:
    """A model before choices are made for its contractions."""

    text: str
    rest: str
    """The passes of the stage `global` from the first that makes such a choice on."""
    subjects: list[ContractionSubject] = field(default_factory=list)
    weight_bytes: int = 0
    """Of the model's weights, as they are in the source."""


def is_kernel_file(model: Any) -> bool:
    """Whether a model is the path of a `.mlir` file."""
    return isinstance(model, str | os.PathLike) and Path(model).suffix == ".mlir"


def contractions_of(
    _emit: Any, scratch: Path, model: Any, target: Target, inputs: Any, pipeline: str, sizes: Sizes
) -> Start:
    """Import a model and take it to where choices are made. Raises what importing does, and TuningError."""
    from neomlir.dialects import context
    from neomlir.frontends import import_model
    from neomlir.staircase import Staircase

    with context() as made:
        imported = import_model(model, inputs, made)
        stairs = Staircase(imported, target, pipeline, reproducer=scratch / "reproducer.mlir")
        rest = stairs.to_contractions()
        size = sum(array.nbytes for array in imported.weights.values())
        subjects = find_contractions(stairs.module, target, rest, sizes)
        for subject in subjects:
            subject.passed = size
        return Start(str(stairs.module), rest, subjects, size)


def kernels_of_start(
    _emit: Any, start: Start, database: Database, target: Target, stage: str, sizes: Sizes
) -> list[Subject]:
    """The kernels of a model's runs, by their first call, under the choices of the database; `stage` forms them."""
    from neomlir.dialects import context
    from neomlir.mlir import ir

    with context():
        module = ir.Module.parse(start.text)
        choices = database.choices(module, target)
        for text in (with_options(start.rest, choices), stage):
            Pipeline(text).run(module, isolate=False)
        return _subjects(module, target, sizes, passed=start.weight_bytes)


def kernels_of_file(_emit: Any, path: Path, target: Target, sizes: Sizes) -> list[Subject]:
    """The kernels of a file that its function `main` calls; without one, all of them. Raises ImportFailure."""
    from neomlir.dialects import context

    with context():
        return _subjects(_read(path), target, sizes, path)


def _subjects(module: Any, target: Target, sizes: Sizes, path: Path | None = None, passed: int = 0) -> list[Subject]:
    from neomlir.mlir import ir
    from neomlir.passes.functions import functions, kernel_modules, name_of

    calls = _calls(module.operation)
    given = {} if calls is None else call_sizes(module, sizes)
    weights = {} if calls is None else _weights(module.operation)
    subjects = []
    for nested in kernel_modules(module.operation) or [module.operation]:
        for function in functions(nested)[:1]:
            if calls is not None and name_of(function) not in calls:
                continue
            if path is not None:
                _expect_level(function, path)
            nested.attributes["neo.kernel"] = ir.UnitAttr.get(nested.context)
            count = 1 if calls is None else calls[name_of(function)]
            arguments = kernel_sizes(function, sizes) if calls is None else given.get(name_of(function))
            key = kernel_key(nested, target)
            around = Around(passed, weights.get(name_of(function), ()))
            subjects.append(
                Subject(name_of(function), str(nested), key, count, arguments, around, *kernel_costs(nested))
            )
    return subjects


def _calls(module: Any) -> dict[str, int] | None:
    """How often `main` calls each kernel; None where the module holds kernels alone."""
    from neomlir.passes.functions import calls_of, kernel_modules, main_of

    main = main_of(module)
    if main is None or not kernel_modules(module):
        return None
    return dict(Counter(callee for callee, _ in calls_of(main)))


def _weights(module: Any) -> dict[str, tuple[int, ...]]:
    """Which arguments of each kernel are weights in its first call by `main`."""
    from neomlir.passes.constants import Constants
    from neomlir.passes.functions import calls_of, main_of

    main = main_of(module)
    constants, found = Constants.of(main), {}
    for callee, op in calls_of(main):
        found.setdefault(callee, tuple(i for i, value in enumerate(op.operands) if constants.weights(value)))
    return found


def _expect_level(function: Any, path: str | os.PathLike) -> None:
    """Raise ImportFailure unless a function of a file is a kernel of level `kernels`."""
    from neomlir.mlir import ir
    from neomlir.passes.functions import name_of

    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    scalars = (ir.IndexType, ir.IntegerType, ir.FloatType)
    fits = all(isinstance(t, (ir.RankedTensorType, *scalars)) for t in type_.inputs)
    destinations = type_.inputs[-len(type_.results) :] if type_.results else []
    if not fits or not destinations or destinations != type_.results or "neo.schedule" in function.attributes:
        raise ImportFailure(
            f"{os.fspath(path)}: @{name_of(function)} is no kernel of level `kernels`, linalg on tensors whose last "
            "arguments are the destinations of its results; `neo-compile --stop-at kernels` makes such a file"
        )


def _read(path: Path) -> Any:
    from neomlir.mlir import ir

    try:
        return ir.Module.parse(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ImportFailure(f"{path} cannot be read: {error}") from error
    except ir.MLIRError as error:
        raise ImportFailure(f"{path} is no MLIR: {error}") from error
