"""`neo-bench`: how long a compiled model takes, beside other frameworks in the same process."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import neomlir
from neomlir import peers, report, timing
from neomlir.checking import compare, index_bounds
from neomlir.errors import CompileError, NeoError
from neomlir.quanta import output_quanta
from neomlir.samples import Sampler
from neomlir.tools import console, sources


def main(argv: list[str] | None = None) -> int:
    """Run the tool on `argv` (the process's arguments if None); the exit code."""
    with timing.unpinned_afterwards():
        return console.run_tool(parser(), _body, argv)


def parser() -> argparse.ArgumentParser:
    """The command line; docs/tools has its options."""
    parser = argparse.ArgumentParser(
        "neo-bench",
        description="Time a model: the process is kept on as many cores as there are threads, everything is warmed up, "
        "and Neo and its peers take turns, call by call. Times are medians.",
    )
    add = parser.add_argument
    add("model", metavar="OUT.neo|MODEL", help=f"a compiled program, or {sources.MODEL_HELP}")
    add("--threads", type=console.positive_argument, default=1, metavar="N", help="threads and cores (default: 1)")
    add("--runs", type=console.positive_argument, default=30, metavar="N", help="calls of each (default: 30)")
    add("--against", default="", metavar="PEERS", help=f"any of {','.join(peers.names())}, with commas between")
    sources.add_input_argument(parser)
    add(
        "--target",
        type=console.target_argument,
        default="host",
        metavar="T",
        help="what to compile a MODEL for (default: host)",
    )
    add("--pipeline", type=console.pipeline_argument, metavar="P", help="the pipeline to compile a MODEL with")
    sources.add_precision_argument(parser)
    sources.add_tuned_arguments(parser)
    add("--profile", action="store_true", help="time every kernel inside the runs, beside what the machine can do")
    add("--html", metavar="REPORT.html", help="write the profile as one HTML page that needs no network")
    add("--json", action="store_true", help="print times and ratios, or the profile, as JSON")
    return parser


def _body(arguments: argparse.Namespace) -> int:
    profiled = arguments.profile or arguments.html
    wanted = [name.strip() for name in arguments.against.split(",") if name.strip()]
    is_program = Path(arguments.model).suffix == ".neo"
    if wanted and is_program:
        raise console.UsageError(
            "--against needs the source model, which a .neo file does not hold: give the model itself"
        )
    if wanted and profiled:
        raise console.UsageError("--profile times the kernels of Neo; leave --against out, or run both in turn")
    if arguments.html:
        report.require()
    if arguments.html and not Path(arguments.html).parent.is_dir():
        raise CompileError(f"{arguments.html} cannot be written: there is no folder {Path(arguments.html).parent}")
    for name in wanted:
        if name not in peers.names():
            raise console.UsageError(f"unknown peer {name!r}; choose from {', '.join(peers.names())}")
    shapes = {name: shape for name, shape, _ in arguments.input}
    source = None if is_program else sources.open_source(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(arguments.model)
        if source is not None:
            program = Path(folder) / "model.neo"
            _compile(arguments, source).save(program)
        # Compiled on every core, loaded on the pinned ones: threads stay where they are made.
        timing.pin(arguments.threads)
        model = neomlir.load(program, threads=arguments.threads)
    sizes = {name: shape for name, shape in shapes.items() if None not in shape}
    inputs = Sampler(model.inputs, sizes=sizes).draw()
    if source is not None:
        inputs = Sampler(model.inputs, index_bounds(source.model, inputs), sizes).draw()
    if profiled:
        return _profile(arguments, model, inputs)
    precision = model.report.get("precision", "fp32")
    result = measure(
        model, source and source.model, inputs, wanted, arguments.threads, arguments.runs, precision=precision
    )
    _print(arguments, result, precision)
    return 1 if result.missing else 0


def _profile(arguments, model, inputs) -> int:
    from neomlir.profiling import profile
    from neomlir.tools import bench_profile

    title = f"{Path(arguments.model).name}, {model.report.get('precision', 'fp32')}"
    has_ir = "pipelines" in model.report
    result = profile(model, inputs, runs=arguments.runs, ir=bool(arguments.html) and has_ir)
    if arguments.html:
        if not has_ir:
            print("neo-bench: the program holds no IR; neo-compile --include-ir keeps it", file=sys.stderr)
        bench_profile.write_page(Path(arguments.html), title, result)
    if arguments.json:
        console.print_json({"model": arguments.model, **result.as_dict()})
    else:
        bench_profile.print_profile(title, result)
        if arguments.html:
            print(f"wrote {arguments.html}")
    return 0


class Measured(NamedTuple):
    """Times by contestant (`neo` first), how far each peer's outputs are from Neo's, and why a peer is missing."""

    times: dict[str, timing.Timing]
    errors: dict[str, float]
    missing: dict[str, str]
    quanta: dict[str, float]
    """Of a quantised model, how many steps of its outputs' quantisation an element is off at most, by contestant: off
    what the model says as it is written (`peers.reference`)."""


def measure(
    model, source, inputs: dict, wanted: Sequence[str], threads: int, runs: int, precision: str = "fp32"
) -> Measured:
    """Time `model.run(inputs)` beside the peers `wanted` on its `source`, in turn; in `precision` those that can."""
    calls, errors, missing = {"neo": lambda: model.run(inputs)}, {}, {}
    outputs = model.run(inputs)
    results = {"neo": list(outputs.values())}
    for name in wanted:
        try:
            peer = peers.make(name, source, inputs, threads, precision)
            results[name] = peer(inputs)
            pairs = zip(outputs.items(), results[name], strict=True)
            errors[name] = max(compare(label, ours, theirs).error for (label, ours), theirs in pairs)
        except NeoError as error:
            missing[name] = str(error)
            continue
        calls[name] = lambda peer=peer: peer(inputs)
    quanta = _quanta(source, inputs, list(outputs), {name: results[name] for name in calls})
    return Measured(timing.interleave(calls, runs), errors, missing, quanta)


def _quanta(source, inputs: dict, names: list[str], results: dict[str, list]) -> dict[str, float]:
    """How many quanta each of `results` is off at most; empty where nothing is quantised, or no reference runs."""
    steps = output_quanta(source)
    try:
        written = peers.reference(source, inputs)(inputs) if steps else []
    except NeoError:
        return {}

    def off(arrays: list) -> float:
        found = [compare(*pair, steps) for pair in zip(names, arrays, written, strict=True)]
        return max(a.largest / a.quantum if a.quantum else 0.0 for a in found)

    return {name: off(arrays) for name, arrays in results.items()} if steps else {}


def _compile(arguments, source):
    with console.progress(arguments.json) as progress:
        return neomlir.compile(
            source.model,
            target=arguments.target,
            inputs=source.with_shapes(arguments.input),
            pipeline=arguments.pipeline,
            precision=arguments.precision,
            include_ir=bool(arguments.profile or arguments.html),
            tuned=sources.tuned(arguments),
            progress=progress,
        )


def _print(arguments, result: Measured, precision: str) -> None:
    times, errors, missing, quanta = result
    neo = times["neo"].median
    if arguments.json:
        results = {
            name: {
                **dataclasses.asdict(time),
                "ratio": neo / time.median,
                "difference": errors.get(name, 0.0),
                **({"quanta": quanta[name]} if name in quanta else {}),
            }
            for name, time in times.items()
        }
        document = {"threads": arguments.threads, "precision": precision, "results": results, "missing": missing}
        console.print_json(document)
    else:
        rows = [
            (
                name,
                console.seconds(time.median),
                f"{console.seconds(time.low)} to {console.seconds(time.high)}",
                f"{neo / time.median:.2f}",
                f"{errors[name]:.1e}" if name in errors else "",
                *([f"{quanta[name]:.2f}" if name in quanta else ""] if quanta else []),
            )
            for name, time in times.items()
        ]
        title = f"{arguments.model}: {precision}, {arguments.threads} thread(s), median of {arguments.runs}"
        columns = ["framework ", "median", "10 % to 90 %", "Neo / it", "‖neo-it‖/‖it‖"]
        console.print_table(title, (*columns, *(["quanta off"] if quanta else [])), rows)
    for name, why in missing.items():
        print(f"neo-bench: error: no times of {name}: {why}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
