"""`compile`, `dry_run` and `import_model`: the calls that users make."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neomlir import artifact, files
from neomlir.cache import KernelCache
from neomlir.codegen.link import link_shared
from neomlir.codegen.standalone import link_executable, link_object
from neomlir.emitted import Emitted
from neomlir.errors import CompileError, TargetError, TuningError
from neomlir.frontends import find, import_model, source_name
from neomlir.frontends.unsupported import explain_reproducer
from neomlir.pipeline import pipeline_for
from neomlir.runtime import Model, check_threads, load
from neomlir.staircase import LEVELS, Program, Staircase
from neomlir.targets import Target
from neomlir.tuned import Database, default_place
from neomlir.workers import WorkerDied, isolated

Progress = Callable[[str, int, int], None]
FORMS = ("neo", "exe", "obj")


@dataclass
class Coverage:
    """What a dry run found: operators without a lowering, and the kernels that the others form."""

    missing: list[tuple[str, list[str]]] = field(default_factory=list)
    """(operator, its nodes)."""
    kernels: list[dict] = field(default_factory=list)
    """`name`, `schedule`, `calls`, `flops` and `bytes` a call (None where extents are dynamic)."""
    weight_bytes: int = 0
    """The weights of the source; what is kept of them, and packed how, is known after a compile."""


def compile(
    model: Any,
    target: str | Target = "host",
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    pipeline: str | None = None,
    *,
    precision: str = "fp32",
    weights: str = "fp32",
    output: str | os.PathLike | None = None,
    threads: int | None = None,
    jobs: int | None = None,
    dump: str | os.PathLike | None = None,
    stop_at: str | None = None,
    cache: bool = True,
    isolate: bool = True,
    include_ir: bool = False,
    tuned: str | os.PathLike | bool = True,
    winograd: bool = True,
    emit: str = "neo",
    progress: Progress | None = None,
) -> Model | Emitted | str | None:
    """Compile a model for a target.

    Args:
        model: a path, bytes or `ModelProto` of ONNX; a PyTorch `nn.Module`, `ExportedProgram` or `.pt2` path; a model
            of XGBoost or LightGBM, or its file; a fitted estimator of trees of scikit-learn.
        target: the name of a target, or `host` for this machine.
        inputs: shapes by input name (`{"x": (1, 3, 640, 640)}`) or example arrays; a module needs examples. Dimensions
            left open stay dynamic.
        pipeline: a named pipeline: `cpu` (the default), `cpu-affine`, `cpu-scalar`. Braces set options of its passes,
            with spaces between several: `cpu{neo-pack-forest.strategy=loops}`.
        precision: what the factors of contractions are rounded to: `fp32`, which changes nothing, `bf16` or `fp16`. All
            sums are in fp32, and inputs and outputs keep their dtypes (docs/precision.md).
        weights: what the weights of matrix products are kept as in the program: `fp32`, `int8` (a scale a column),
            `int4` or `int4:64` (a scale a group of 32, or of 64); all arithmetic stays in fp32 (docs/quantization.md).
        output: where the `.neo` file goes; without it the model is held in memory. Where the executable or the object
            goes, which need a place, or the text of a level.
        threads: threads of the returned model.
        jobs: kernels compiled at a time; by default the number of cores.
        dump: a folder for each level as `NN-level.mlir` and the pipeline that leads to the next as `NN-level.pipeline`.
        stop_at: stop at this level and return its text.
        cache: use the kernel cache on disk.
        isolate: compile in a worker process, so that a crash in MLIR is an error here.
        include_ir: keep the `kernels` level in the file.
        tuned: a database that `neo-tune` wrote; True for that in its default place, if there is one; False for none.
        winograd: whether 3x3 convolutions may be done by Winograd's algorithm, where that is faster and the error to
            expect stays below 1e-5 of the largest result (docs/convolutions.md).
        emit: `neo`, a file for the runtime; `exe`, a static executable with the runtime in it; `obj`, a relocatable
            object for embedding, and its header beside it (docs/runtime.md).
        progress: called with (stage, done, total).

    Returns:
        The compiled model, ready to run if this machine can (None otherwise); what was written, for `exe` and `obj`; or
        the text of a level.

    Raises:
        ImportFailure, TargetError, PipelineError, PassFailure, CompileError, TuningError.
    """
    if stop_at is not None and stop_at not in LEVELS:
        raise CompileError(f"there is no level {stop_at!r}; the levels are {', '.join(LEVELS)}")
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise CompileError(f"jobs= is how many kernels are compiled at a time, at least 1, not {jobs!r}")
    if threads is not None:
        check_threads(threads)
    if emit not in FORMS:
        raise CompileError(f"nothing of the form {emit!r} is emitted; the forms are {', '.join(FORMS)}")
    without = {"dump=": dump is not None, "include_ir=": include_ir, f"emit={emit!r}": emit != "neo"}
    if stop_at is not None and any(without.values()):
        given = ", ".join(name for name, is_given in without.items() if is_given)
        raise CompileError(f"stop_at= makes no program: leave {given} out")
    if emit != "neo" and output is None:
        raise CompileError(f"emit={emit!r} needs output=, the path of the file to write")
    if output is not None:
        output = files.as_path(output, "output=", CompileError)
    if dump is not None:
        dump = files.as_path(dump, "dump=", CompileError)
        try:
            dump.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CompileError(f"the levels cannot be written to {dump}: {error.strerror}") from error
    chosen = _target(target)
    pipeline = pipeline_for(pipeline, chosen, precision, weights, winograd)
    if emit != "neo" and chosen.variants:
        raise CompileError(f"target {chosen.name} is for .neo files; emit={emit!r} takes one of {_one_of(chosen)}")
    model = find(model).hold(model)
    if output is not None and (why := files.why_not_writable(output)):
        raise CompileError(f"{output} cannot be written: {why}")
    with files.scratch_folder() as scratch:
        result = Path(scratch) / "model.neo"
        options = {
            "inputs": inputs,
            "pipeline": pipeline,
            "jobs": jobs or os.cpu_count() or 1,
            "dump": dump,
            "stop_at": stop_at,
            "cache": cache,
            "include_ir": include_ir,
            "tuned": tuned,
            "emit": emit,
            "name": output.stem if output is not None else "model",
        }
        answer = _in_worker(_compile, progress, isolate, scratch, model, chosen, result, options)
        if stop_at is not None:
            if output is not None:
                result.write_text(answer)
                _move(result, output)
            return answer
        if emit != "neo":
            return _place(answer, result, output, chosen)
        if output is not None:
            _move(result, output)
        # A device that was written to cannot be read again.
        place = output if output is not None and output.is_file() else result
        return load(place, threads=1 if threads is None else threads, report=answer) if chosen.runs_here() else None


def dry_run(
    model: Any,
    target: str | Target = "host",
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    pipeline: str | None = None,
    *,
    precision: str = "fp32",
    weights: str = "fp32",
    tuned: str | os.PathLike | bool = True,
    winograd: bool = True,
    isolate: bool = True,
    progress: Progress | None = None,
) -> Coverage:
    """Import a model and form its kernels, without compiling any: what would be missing, what each would take."""
    chosen = _target(target)
    pipeline = pipeline_for(pipeline, chosen, precision, weights, winograd)
    model = find(model).hold(model)
    with files.scratch_folder() as scratch:
        return _in_worker(_dry_run, progress, isolate, scratch, model, chosen, inputs, pipeline, tuned)


def _one_of(target: Target) -> str:
    return ", ".join((*target.variants, target.base))


def _target(target: Any) -> Target:
    if isinstance(target, Target):
        return target
    if not isinstance(target, str):
        raise TargetError(f"target= is a name or a Target, not {type(target).__name__}")
    return Target.named(target)


def _place(emitted: Emitted, result: Path, output: Path, target: Target) -> Emitted:
    """Put an executable, or an object and its header, where they are wanted."""
    files = [output] if emitted.form == "exe" else [output, output.with_suffix(".h")]
    if len({*files}) != len(files):
        raise CompileError(f"{output} is the name of the header; give the object another, such as {output.stem}.o")
    for place, suffix in reversed([*zip(files, ("", ".h"), strict=False)]):
        _move(result.with_name(result.name + suffix), place, 0o777 if emitted.form == "exe" else 0o666)
    return replace(emitted, files=tuple(files), runs=emitted.form == "exe" and target.runs_here())


def _move(source: Path, place: Path, mode: int = 0o666) -> None:
    """Put the finished file in its place in one step, also across file systems."""
    try:
        files.move(source, place, mode)
    except OSError as error:
        raise CompileError(f"{place} cannot be written: {error.strerror}") from error


def _in_worker(function: Callable, progress: Progress | None, isolate: bool, scratch: str, *arguments: Any) -> Any:
    last = ["input"]

    def on_event(event: tuple) -> None:
        last[0] = event[0]
        if progress:
            progress(*event)

    if not isolate:
        return function(on_event, Path(scratch), *arguments)
    try:
        return isolated(_within, function, Path(scratch), *arguments, on_event=on_event)
    except WorkerDied as error:
        if last[0] == "linalg":
            explained = explain_reproducer(Path(scratch) / "reproducer.mlir", source_name(arguments[0]))
            if explained is not None:
                raise explained from error
        kept = _keep_reproducer(Path(scratch))
        hint = f"; `neo-opt --run-reproducer {kept}` repeats it" if kept else ""
        raise CompileError(f"compiling stopped on the way to level {last[0]!r}: {error}{hint}") from error


def _within(emit: Callable, function: Callable, scratch: Path, *arguments: Any) -> Any:
    """Call `function` with every temporary file in `scratch`, which goes when the caller does, however this ends."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
    return function(emit, scratch, *arguments)


def _keep_reproducer(scratch: Path) -> Path | None:
    source = scratch / "reproducer.mlir"
    if not source.exists():
        return None
    kept = Path(tempfile.mkdtemp(prefix="neo-reproducer-")) / "reproducer.mlir"
    shutil.copy(source, kept)
    return kept


def _staircase(
    emit: Callable, scratch: Path, model: Any, target: Target, inputs: Any, pipeline: str, **more: Any
) -> Staircase:
    from neomlir.dialects import context

    emit(("input", 0, 1))
    imported = import_model(model, inputs, context())
    emit(("input", 1, 1))
    return Staircase(
        imported, target, pipeline, progress=lambda *event: emit(event), reproducer=scratch / "reproducer.mlir", **more
    )


def _database(tuned: str | os.PathLike | bool) -> Database | None:
    """The database that was asked for; None where there is nothing to read. Raises TuningError."""
    if tuned is False:
        return None
    if tuned is True:
        return Database() if default_place().exists() else None
    tuned = files.as_path(tuned, "tuned=", TuningError)
    if not tuned.exists():
        raise TuningError(f"there is no database {tuned}; neo-tune --database {tuned} makes it")
    return Database(tuned)


def _compile(emit: Callable, scratch: Path, model: Any, target: Target, result: Path, options: dict) -> Any:
    inputs, pipeline, stop_at = options["inputs"], options["pipeline"], options["stop_at"]
    cache = KernelCache() if options["cache"] else None
    if stop_at is not None:
        database = _database(options["tuned"])
        stairs = _staircase(emit, scratch, model, target, inputs, pipeline, database=database)
        stairs.run_whole(stop_at)
        return str(stairs.module)
    more = {"jobs": options["jobs"], "cache": cache, "database": _database(options["tuned"])}
    stairs = _staircase(emit, scratch, model, target, inputs, pipeline, **more)
    program = stairs.run()
    if options["emit"] != "neo":
        answer = _emit_standalone(stairs, program, target, result, options)
    else:
        write_program(stairs, program, result, options["include_ir"])
        answer = program.report
    if options["dump"] is not None:
        rungs = {k["name"]: k["rung"] for k in program.report["kernels"] if k["rung"]}
        _dump(emit, scratch, model, target, inputs, pipeline, options["dump"], rungs, stairs)
    return answer


def write_program(stairs: Staircase, program: Program, place: Path, include_ir: bool = False) -> None:
    """Link what a way down gave, and write it as a `.neo` file."""
    code = link_shared(program.objects, stairs.target, ["neo_main"])
    variants = {
        name: link_shared(objects, Target.named(name), ["neo_main"]) for name, objects in program.variants.items()
    }
    program.report["code_bytes"] = len(code) + sum(map(len, variants.values()))
    manifest = artifact.manifest(
        inputs=stairs.imported.inputs,
        outputs=stairs.imported.outputs,
        target=stairs.target,
        arena_bytes=program.arena_bytes,
        entry="neo_main",
        report=program.report["kernels"],
        steps=program.report["steps"],
        buffers=program.report["buffers"],
        pipelines=program.report["pipelines"] if include_ir else None,
        labels=stairs.imported.labels,
        precision=program.report["precision"],
    )
    ir_parts = {"kernels.mlir": program.kernels_level} if include_ir else None
    artifact.write(place, manifest, code, program.weights, program.weight_bytes, ir_parts, variants)


def _emit_standalone(stairs: Staircase, program: Any, target: Target, result: Path, options: dict) -> Emitted:
    inputs, outputs = stairs.imported.inputs, stairs.imported.outputs
    if options["emit"] == "exe":
        result.write_bytes(link_executable(program, target, inputs, outputs))
    else:
        data, text = link_object(program, target, inputs, outputs, options["name"])
        result.write_bytes(data)
        result.with_name(f"{result.name}.h").write_text(text)
    program.report["code_bytes"] = result.stat().st_size - program.weight_bytes
    specs = ([artifact.Spec(s.name, str(s.dtype), tuple(s.shape)) for s in side] for side in (inputs, outputs))
    return Emitted(options["emit"], (), *specs, program.report)


def _dump(
    emit: Callable,
    scratch: Path,
    model: Any,
    target: Target,
    inputs: Any,
    pipeline: str,
    folder: Path,
    rungs: dict,
    done: Staircase,
) -> None:
    # One folder a variant; what is in the folder itself is the way for the target's own facts.
    places = [*((folder / name, name) for name in target.variants), (folder, target.base)]
    for place, variant in places:
        place.mkdir(parents=True, exist_ok=True)
        stairs = _staircase(emit, scratch, model, target, inputs, pipeline)
        stairs.limit(rungs)
        stairs.choose(done.choices)
        stairs.tell(done.parameters)
        if target.variants:
            stairs = stairs.for_variant(variant)

        def on_level(level: str, text: str, following: str | None, place: Path = place) -> None:
            name = f"{LEVELS.index(level):02}-{level}"
            (place / f"{name}.mlir").write_text(text)
            if following is not None:
                (place / f"{name}.pipeline").write_text(following + "\n")

        stairs.run_whole("llvm", on_level)


def _dry_run(
    emit: Callable, scratch: Path, model: Any, target: Target, inputs: Any, pipeline: str, tuned: Any
) -> Coverage:
    from neomlir.errors import ImportFailure

    try:
        stairs = _staircase(emit, scratch, model, target, inputs, pipeline, database=_database(tuned))
        kernels = stairs.to_kernels()
    except ImportFailure as error:
        missing = getattr(error, "missing", None)
        if not missing:
            raise
        return Coverage(missing=missing)
    weights = sum(array.nbytes for array in stairs.imported.weights.values())
    return Coverage(kernels=stairs.plan_schedules(kernels), weight_bytes=weights)
