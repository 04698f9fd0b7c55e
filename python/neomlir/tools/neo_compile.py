"""`neo-compile`: a model file in, a `.neo` file out."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import neomlir
from neomlir import artifact
from neomlir.api import FORMS
from neomlir.emitted import Emitted
from neomlir.errors import CompileError, ImportFailure
from neomlir.frontends.base import Spec
from neomlir.pipeline import pipeline_names
from neomlir.samples import format_shape, numpy_dtype
from neomlir.tools import console, sources

LEVELS = ("input", "linalg", "global", "kernels", "vector", "memref", "llvm")
TOLERANCE = 1e-4
# Below it a difference is what single precision leaves of numbers around one: frameworks approximate sigmoid and
# softmax to about that much, which is a large part of an output that is next to nothing everywhere.
NOISE = 1e-7
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
        default="host",
        metavar="T",
        help="the machine that will run it: host (the default), or the name or alias of a target",
    )
    add("--pipeline", metavar="P", help=f"one of the pipelines {', '.join(pipeline_names())} (default: cpu)")
    add(
        "--input",
        action="append",
        default=[],
        type=console.shape_argument,
        metavar="NAME=1x3x640x640xf32",
        help="the shape of an input, ? for a dimension that stays dynamic; repeat for more inputs. The data type may "
        "be left out; if given, it must be the model's",
    )
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
        f"{TOLERANCE:g} (and above {NOISE:g} on the average element) is an error, and nothing is written",
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


def _body(arguments: argparse.Namespace) -> int:
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
        "emit": arguments.emit,
    }
    if arguments.stop_at:
        with console.progress(arguments.json) as progress:
            text = neomlir.compile(source.model, stop_at=arguments.stop_at, progress=progress, **settings)
        return _write_level(arguments, text)
    if not output.parent.is_dir():
        raise CompileError(f"{output} can't be written: there is no folder {output.parent}")
    # The program is moved to its place only when everything asked for has been found in order.
    with tempfile.TemporaryDirectory(prefix=".neo-compile-", dir=output.parent) as folder:
        program = Path(folder) / output.name
        with console.progress(arguments.json) as progress:
            compiled = neomlir.compile(source.model, output=program, progress=progress, **settings)
        compiled = compiled or _Foreign.of(program)
        _check_dtypes(arguments, compiled)
        agreements = _check(arguments, source.model, compiled)
        # A header that goes with it stands there first.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file == program):
            file.replace(output.with_name(file.name))
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
            "arena_bytes": file.manifest["arena_bytes"],
            "weight_bytes": len(file.part("weights.bin")),
            "code_bytes": len(file.part("code.so")),
        }
        return cls(*tensors, report)


def _write_level(arguments, text: str) -> int:
    if not arguments.output:
        print(text)
    else:
        Path(arguments.output).write_text(text)
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
    bad = [a for a in agreements if not (a.error <= TOLERANCE or a.distance <= NOISE)]
    if bad:
        found = "\n".join(f"  {a.name}  ‖out-ref‖/‖ref‖ = {a.error:.2e}" for a in bad)
        raise CompileError(
            f"the compiled model differs from its source by more than {TOLERANCE:g}:\n{found}\n"
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
    if "cache_hits" in report:
        rows.append(("kernels from the cache", f"{report['cache_hits']} of {len(report['kernels'])}"))
    console.print_table("Program", ("part ", "size"), rows)
    if agreements is not None:
        rows = [(a.name, f"{a.error:.2e}", f"{a.distance:.2e}", f"{a.argmax:.2%}") for a in agreements]
        columns = ("output ", "‖out-ref‖/‖ref‖", "rms(out-ref)", "same argmax")
        console.print_table("Check against the source framework", columns, rows)
    print(f"wrote {output} ({console.quantity(size, 'B')})")


def print_kernels(kernels: list[dict]) -> None:
    """Two tables: what each schedule took, and the kernels with the most arithmetic first."""
    count, flops = Counter(), Counter()
    for kernel in kernels:
        count[kernel["schedule"]] += 1
        flops[kernel["schedule"]] += _work(kernel)
    total = sum(flops.values()) or 1
    rows = [
        (name, count[name], console.quantity(flops[name], "FLOP"), f"{flops[name] / total:.1%}")
        for name in sorted(count, key=lambda name: (-flops[name], name))
    ]
    console.print_table("Schedules", ("schedule ", "kernels", "arithmetic", "share"), rows)
    ranked = sorted(kernels, key=lambda kernel: (-_work(kernel), kernel["name"]))
    rows = [
        (
            kernel["name"],
            kernel["schedule"],
            "a run" if "main" in kernel.get("in", ["main"]) else "compiling",
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


def _work(kernel: dict) -> float:
    return (kernel.get("flops") or 0) * kernel["calls"]


def _or_dynamic(value: float | None, unit: str) -> str:
    return "dynamic" if value is None else console.quantity(value, unit)


def _specs(specs) -> list[dict]:
    return [{"name": s.name, "dtype": str(s.dtype), "shape": format_shape(s.shape)} for s in specs]


def _dry_run(arguments, model, inputs) -> int:
    with console.progress(arguments.json) as progress:
        tuned = sources.tuned(arguments)
        coverage = neomlir.dry_run(model, arguments.target, inputs, arguments.pipeline, tuned=tuned, progress=progress)
    if arguments.json:
        missing = [{"op": op, "count": len(nodes), "nodes": nodes} for op, nodes in coverage.missing]
        console.print_json({"missing": missing, "kernels": coverage.kernels})
    elif coverage.missing:
        rows = [(op, len(nodes), ", ".join(nodes)) for op, nodes in coverage.missing]
        console.print_table("Operators without a lowering", ("operator ", "count", "nodes "), rows)
    else:
        print_kernels(coverage.kernels)
    if coverage.missing:
        print(f"neo-compile: error: {len(coverage.missing)} operator(s) have no lowering", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
