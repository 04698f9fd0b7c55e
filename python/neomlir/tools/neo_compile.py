"""`neo-compile`: a model file in, a `.neo` file out."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import neomlir
from neomlir import artifact, files, quanta
from neomlir.api import FORMS
from neomlir.emitted import Emitted
from neomlir.errors import CompileError, ImportFailure
from neomlir.frontends.base import Spec
from neomlir.pipeline import pipeline_names, weight_bits
from neomlir.samples import format_shape, numpy_dtype
from neomlir.tools import console, sources

LEVELS = ("input", "linalg", "global", "kernels", "vector", "memref", "llvm")
TOLERANCE = 1e-4
ROUNDED = {"fp32": TOLERANCE, "fp16": 1e-2, "bf16": 5e-2}
"""What a precision may differ by: some units in its last place, which add up from layer to layer."""
# Below it a difference is what single precision leaves of numbers around one: frameworks approximate sigmoid and
# softmax to about that much, which is a large part of an output that is next to nothing everywhere.
NOISE = 1e-7
WEIGHTS = {0: TOLERANCE, 8: 2e-2, 4: 0.25}
"""What weights of so many bits may make of the relative error: a model of random weights has nothing to spare."""
_LONGEST_TABLE = 40


def main(argv: list[str] | None = None) -> int:
    """Run the tool on `argv` (the process's arguments if None); the exit code."""
    return console.run_tool(parser(), _body, argv)


def parser() -> argparse.ArgumentParser:
    """The command line; docs/tools has its options."""
    parser = argparse.ArgumentParser(
        "neo-compile",
        description="Compile a model to a native program in a .neo file.",
        epilog="Exit codes: 0 done; 1 the model can't be compiled, or --check found a difference; 2 wrong arguments; "
        "130 interrupted. No output file is left unless the compile succeeded.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help=sources.MODEL_HELP)
    add("-o", "--output", metavar="OUT", help="the file to write (default: MODEL's name with .neo, in this folder)")
    add(
        "--emit",
        choices=FORMS,
        default="neo",
        help="neo: a file for the runtime; exe: a static executable that reads and writes .npy files; "
        "obj: an object file and a header for embedding (default: neo)",
    )
    add(
        "--target",
        type=console.target_argument,
        default="host",
        metavar="T",
        help="the machine that will run it: host (the default), or the name or alias of a target",
    )
    add(
        "--pipeline",
        type=console.pipeline_argument,
        metavar="P",
        help=f"one of the pipelines {', '.join(pipeline_names())} (default: cpu); braces set options of its passes: "
        "'cpu{neo-pack-forest.strategy=loops}'",
    )
    add(
        "--input",
        action="append",
        default=[],
        type=console.shape_argument,
        metavar="NAME=1x3x640x640xf32",
        help="the shape of an input, ? for a dimension that stays dynamic; repeat for more inputs. The data type may "
        "be left out; if given, it must be the model's",
    )
    sources.add_precision_argument(parser)
    sources.add_weights_argument(parser)
    sources.add_winograd_argument(parser)
    add("--dump", metavar="DIR", help="write every level as NN-level.mlir, with the pipeline that leads to the next")
    add(
        "--stop-at",
        choices=LEVELS,
        metavar="LEVEL",
        help=f"go no further than a level ({', '.join(LEVELS)}), whose IR goes to the file of -o, or to stdout",
    )
    add(
        "--check",
        action="store_true",
        help="run the program and the source framework on the same fresh random inputs; a relative difference above "
        f"{TOLERANCE:g} ({ROUNDED['fp16']:g} in fp16, {ROUNDED['bf16']:g} in bf16), and above {NOISE:g} on the average "
        f"element, is an error, and nothing is written; a quantised model may differ by up to {quanta.LARGEST:g} steps "
        f"of its output's quantisation in one element, and {quanta.AVERAGE:g} on the average; "
        f"--weights int8 by {WEIGHTS[8]:g}, int4 by {WEIGHTS[4]:g}",
    )
    add(
        "--dry-run",
        action="store_true",
        help="import and form kernels only, and report every operator without a lowering, and every kernel with the "
        "schedule it would take, its arithmetic and its memory; exit code 1 if an operator has no lowering",
    )
    add(
        "-j",
        dest="jobs",
        type=console.positive_argument,
        metavar="N",
        help="kernels compiled at the same time (default: one a core)",
    )
    add("--json", action="store_true", help="print the report as one JSON document")
    add("--no-cache", action="store_true", help="compile every kernel anew, and keep none")
    sources.add_tuned_arguments(parser)
    add("--include-ir", action="store_true", help="keep the IR of the model in the .neo file")
    return parser


# What a run that makes no program leaves no room for.
_NO_PROGRAM = ("check", "dump", "include_ir")


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Raise UsageError where flags contradict each other."""
    alone = "--dry-run" if arguments.dry_run else "--stop-at" if arguments.stop_at else ""
    others = [*_NO_PROGRAM, "output", "stop_at"] if arguments.dry_run else _NO_PROGRAM
    given = [f"--{name.replace('_', '-')}" for name in others if getattr(arguments, name)]
    if arguments.emit != "neo":
        given.append(f"--emit {arguments.emit}")
    if alone and given:
        raise console.UsageError(f"{alone} makes no program: leave {', '.join(given)} out")


def _body(arguments: argparse.Namespace) -> int:
    _check_arguments(arguments)
    source = sources.open_source(arguments.model)
    inputs = source.with_shapes(arguments.input)
    if arguments.dry_run:
        return _dry_run(arguments, source.model, inputs)
    suffix = {"neo": ".neo", "exe": "", "obj": ".o"}[arguments.emit]
    output = Path(arguments.output or Path(arguments.model.rpartition(":")[0] or arguments.model).stem + suffix)
    settings = {
        "target": arguments.target,
        "inputs": inputs,
        "pipeline": arguments.pipeline,
        "jobs": arguments.jobs,
        "dump": arguments.dump,
        "cache": not arguments.no_cache,
        "include_ir": arguments.include_ir,
        "tuned": sources.tuned(arguments),
        "precision": arguments.precision,
        "weights": arguments.weights,
        "winograd": arguments.winograd,
        "emit": arguments.emit,
    }
    if arguments.stop_at:
        with console.progress(arguments.json) as progress:
            text = neomlir.compile(
                source.model, output=arguments.output, stop_at=arguments.stop_at, progress=progress, **settings
            )
        return _write_level(arguments, text)
    if why := files.why_not_writable(output):
        raise CompileError(f"{output} cannot be written: {why}")
    # The program is moved to its place only when everything asked for has been found in order.
    with tempfile.TemporaryDirectory(prefix="neo-compile-") as folder:
        program = Path(folder) / output.name
        with console.progress(arguments.json) as progress:
            compiled = neomlir.compile(source.model, output=program, progress=progress, **settings)
        compiled = compiled or _Foreign.of(program)
        _check_dtypes(arguments, compiled)
        agreements = _check(arguments, source.model, compiled)
        # A header that goes with it stands there first.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file == program):
            files.move(file, output.with_name(file.name), file.stat().st_mode & 0o777)
    _report(arguments, compiled, output, agreements)
    return 0


class _Foreign(NamedTuple):
    """What a program for another machine says of itself."""

    inputs: list[Spec]
    outputs: list[Spec]
    report: dict

    @classmethod
    def of(cls, program: Path) -> _Foreign:
        file = artifact.read(program)
        tensors = (
            [Spec(s["name"], s["dtype"], tuple(s["shape"])) for s in file.manifest[k]] for k in ("inputs", "outputs")
        )
        report = {
            "kernels": file.manifest["kernels"],
            "precision": file.manifest.get("precision", "fp32"),
            "arena_bytes": file.manifest["arena_bytes"],
            "weight_bytes": len(file.part("weights.bin")),
            "code_bytes": len(file.part("code.so")),
        }
        return cls(*tensors, report)


def _write_level(arguments, text: str) -> int:
    if arguments.json:
        console.print_json({"level": arguments.stop_at, "output": arguments.output, "ir": text})
    elif not arguments.output:
        print(text)
    return 0


def _check_dtypes(arguments, compiled) -> None:
    specs = {spec.name: spec for spec in compiled.inputs}
    for name, _, dtype in arguments.input:
        if dtype and name in specs and numpy_dtype(specs[name].dtype) != numpy_dtype(dtype):
            raise ImportFailure(f"input {name!r} is {specs[name].dtype} in the model, not {dtype}")


def _check(arguments, model, compiled) -> list | None:
    if not arguments.check:
        return None
    if isinstance(compiled, Emitted) and compiled.form == "obj":
        raise CompileError("--check runs the program, and an object file alone is none; check it as --emit exe")
    if isinstance(compiled, _Foreign) or (isinstance(compiled, Emitted) and not compiled.runs):
        raise CompileError(f"--check runs the program, and this machine can't run one for {arguments.target}")
    agreements = neomlir.check(model, compiled)
    tolerance = max(ROUNDED[arguments.precision], WEIGHTS[weight_bits(arguments.weights)[0]])
    bad = [a for a in agreements if not a.within(tolerance, NOISE)]
    if bad:
        found = "\n".join(f"  {a}" for a in bad)
        raise CompileError(
            f"the compiled model differs from its source by more than {tolerance:g}:\n{found}\n"
            "Nothing was written. Try --pipeline cpu-scalar to see whether a schedule is at fault, and report it."
        )
    return agreements


def _report(arguments, compiled, output: Path, agreements) -> None:
    report = compiled.report
    size = output.stat().st_size
    if arguments.json:
        console.print_json(
            {
                "output": str(output),
                "file_bytes": size,
                "target": arguments.target,
                "inputs": _specs(compiled.inputs),
                "outputs": _specs(compiled.outputs),
                **report,
                "check": None if agreements is None else [a._asdict() for a in agreements],
            }
        )
        return
    if "levels" in report:
        rows = [(stage["name"], console.seconds(stage["seconds"])) for stage in report["levels"]]
        console.print_table("Time", ("stage ", "time"), [*rows, ("total", console.seconds(report["total_seconds"]))])
    print_kernels(report["kernels"])
    rows = [
        ("arena", console.quantity(report["arena_bytes"], "B")),
        ("weights", console.quantity(report["weight_bytes"], "B")),
        ("code", console.quantity(report["code_bytes"], "B")),
    ]
    if report.get("precision", "fp32") != "fp32":
        rows.append(("precision", report["precision"]))
    if "cache_hits" in report:
        rows.append(("kernels from the cache", f"{report['cache_hits']} of {len(report['kernels'])}"))
    console.print_table("Program", ("part ", "size"), rows)
    if agreements is not None:
        rows = [(a.name, f"{a.error:.2e}", f"{a.distance:.2e}", f"{a.argmax:.2%}") for a in agreements]
        columns = ("output ", "‖out-ref‖/‖ref‖", "rms(out-ref)", "same argmax")
        if any(a.quantum for a in agreements):
            # Behind integers a relative error says little; how many steps of the output's own quantisation does.
            columns = (*columns, "quantum", "largest, in quanta", "rms, in quanta")
            steps = [
                (f"{a.quantum:.3g}", f"{a.largest / a.quantum:.2f}", f"{a.distance / a.quantum:.2f}")
                if a.quantum
                else ("", "", "")
                for a in agreements
            ]
            rows = [(*row, *more) for row, more in zip(rows, steps, strict=True)]
        console.print_table("Check against the source framework", columns, rows)
    print(f"wrote {output} ({console.quantity(size, 'B')})")


def print_kernels(kernels: list[dict]) -> None:
    """Two tables: what each schedule took, and the kernels with the most arithmetic first."""
    running = [kernel for kernel in kernels if _runs(kernel)]
    count = Counter(kernel["schedule"] for kernel in kernels)
    flops: Counter = Counter()
    for kernel in running:
        flops[kernel["schedule"]] += _work(kernel)
    total = sum(flops.values()) or 1
    dynamic = {kernel["schedule"] for kernel in running if kernel.get("flops") is None}
    rows = [
        (
            name,
            count[name],
            _at_least(flops[name], name in dynamic, "FLOP"),
            "" if dynamic else f"{flops[name] / total:.1%}",
        )
        for name in sorted(count, key=lambda name: (-flops[name], name))
    ]
    console.print_table("Schedules", ("schedule ", "kernels", "arithmetic a run", "share"), rows)
    ranked = sorted(kernels, key=lambda kernel: (-_work(kernel), kernel["name"]))
    rows = [
        (
            kernel["name"],
            kernel["schedule"],
            "a run" if _runs(kernel) else "compiling",
            kernel["calls"],
            _or_dynamic(kernel.get("flops"), "FLOP"),
            _or_dynamic(kernel.get("bytes"), "B"),
            kernel.get("fallback") or "",
        )
        for kernel in ranked[:_LONGEST_TABLE]
    ]
    if len(ranked) > _LONGEST_TABLE:
        rows.append((f"… and {len(ranked) - _LONGEST_TABLE} more (--json has all)", "", "", "", "", ""))
    columns = ("kernel ", "schedule ", "in ", "calls", "arithmetic a call", "memory a call", "why not a faster one ")
    console.print_table("Kernels", columns, rows)


def _print_needs(coverage) -> None:
    """What the kernels of a run ask of a machine, in all."""
    running = [kernel for kernel in coverage.kernels if _runs(kernel)]
    rows = []
    for what, key, unit in (("arithmetic a run", "flops", "FLOP"), ("memory a run", "bytes", "B")):
        known = sum((kernel[key] or 0) * kernel["calls"] for kernel in running)
        rows.append((what, _at_least(known, any(kernel[key] is None for kernel in running), unit)))
    rows.append(("weights of the source", console.quantity(coverage.weight_bytes, "B")))
    console.print_table("Needs", ("what ", "how much"), rows)


def _runs(kernel: dict) -> bool:
    """Whether a kernel runs at every call, and not only while compiling."""
    return "main" in kernel.get("in", ["main"])


def _at_least(known: float, more: bool, unit: str) -> str:
    """A sum of which a part may depend on dynamic extents."""
    if more:
        return f"≥ {console.quantity(known, unit)}" if known else "dynamic"
    return console.quantity(known, unit)


def _work(kernel: dict) -> float:
    return (kernel.get("flops") or 0) * kernel["calls"]


def _or_dynamic(value: float | None, unit: str) -> str:
    return "dynamic" if value is None else console.quantity(value, unit)


def _specs(specs) -> list[dict]:
    return [{"name": s.name, "dtype": str(s.dtype), "shape": format_shape(s.shape)} for s in specs]


def _dry_run(arguments, model, inputs) -> int:
    with console.progress(arguments.json) as progress:
        tuned = sources.tuned(arguments)
        coverage = neomlir.dry_run(
            model,
            arguments.target,
            inputs,
            arguments.pipeline,
            tuned=tuned,
            precision=arguments.precision,
            weights=arguments.weights,
            winograd=arguments.winograd,
            progress=progress,
        )
    if arguments.json:
        missing = [{"op": op, "count": len(nodes), "nodes": nodes} for op, nodes in coverage.missing]
        document = {"missing": missing, "kernels": coverage.kernels, "weight_bytes": coverage.weight_bytes}
        console.print_json(document)
    elif coverage.missing:
        rows = [(op, len(nodes), ", ".join(nodes)) for op, nodes in coverage.missing]
        console.print_table("Operators without a lowering", ("operator ", "count", "nodes "), rows)
    else:
        print_kernels(coverage.kernels)
        _print_needs(coverage)
    if coverage.missing:
        count = len(coverage.missing)
        have = "operator has" if count == 1 else "operators have"
        print(f"neo-compile: error: {count} {have} no lowering", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
