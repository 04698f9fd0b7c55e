"""`neo-tune`: measure the schedules' parameters for a model's kernels, and keep the best for `neo-compile`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from neomlir.errors import ImportFailure
from neomlir.passes.set_parameters import describe
from neomlir.pipeline import pipeline_names
from neomlir.tools import console, sources
from neomlir.tuned import default_place
from neomlir.tuner import Progress, Tuned, tune


def main(argv: list[str] | None = None) -> int:
    """Run the tool on `argv` (the process's arguments if None); the exit code."""
    return console.run_tool(parser(), _body, argv)


def parser() -> argparse.ArgumentParser:
    """The command line; docs/tools has its options."""
    parser = argparse.ArgumentParser(
        "neo-tune",
        description="Measure other parameters than the schedules' own for the kernels of a model, and keep what is "
        "faster in a database that neo-compile reads. An interrupted search goes on where it stopped.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL|KERNEL.mlir", help=f"a file of level kernels, or {sources.MODEL_HELP}")
    add(
        "--target", default="host", metavar="T", help="whose code is measured; this machine must run it (default: host)"
    )
    add("--budget", type=seconds_argument, default=60.0, metavar="SECONDS", help="of measuring (default: 60)")
    add(
        "--database",
        metavar="FILE",
        help="the database to read and write (default: tuned.json in the cache folder, $NEO_CACHE_DIR or else "
        "~/.cache/neomlir, which neo-compile reads)",
    )
    sources.add_input_argument(parser)
    add(
        "--at",
        action="append",
        default=[],
        type=size_argument,
        metavar="NAME=1x128",
        help="the size at which an input with dynamic extents is measured, or, of a kernel that is a file, the "
        "argument of that number; repeat for more. By default a first extent that is open is 1, others are 128",
    )
    add("--pipeline", metavar="P", help=f"one of the pipelines {', '.join(pipeline_names())} (default: cpu)")
    sources.add_precision_argument(parser)
    sources.add_weights_argument(parser)
    sources.add_winograd_argument(parser)
    add("--json", action="store_true", help="print what was found as JSON")
    return parser


def size_argument(text: str) -> tuple[str, tuple[int, ...]]:
    """`NAME=1x128`."""
    name, equals, shape = text.partition("=")
    parts = shape.split("x")
    if not (name and equals and all(part.isdecimal() and 0 < int(part) < 1 << 31 for part in parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SHAPE with a number for every extent")
    return name, tuple(map(int, parts))


def seconds_argument(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def _body(arguments: argparse.Namespace) -> int:
    if Path(arguments.model).suffix == ".mlir":
        if not Path(arguments.model).is_file():
            raise ImportFailure(f"no such file: {arguments.model}")
        model, inputs = arguments.model, None
    else:
        source = sources.open_source(arguments.model)
        model, inputs = source.model, source.with_shapes(arguments.input)
    with _progress(arguments) as progress:
        found = tune(
            model,
            arguments.target,
            inputs,
            budget=arguments.budget,
            database=arguments.database,
            pipeline=arguments.pipeline,
            precision=arguments.precision,
            weights=arguments.weights,
            winograd=arguments.winograd,
            sizes=dict(arguments.at),
            progress=progress,
        )
    place = arguments.database or default_place()
    found = {kind: [tuned for tuned in found if tuned.kind == kind] for kind in ("contraction", "kernel")}
    if arguments.json:
        parts = {f"{kind}s": [dataclasses.asdict(tuned) for tuned in each] for kind, each in found.items()}
        console.print_json({"database": str(place), **parts})
        return 0
    for kind, each in found.items():
        columns = (f"{kind} ", "calls", "analytic", "best", "ratio", "parameters ", "tried", "search ")
        if each:
            console.print_table(f"{kind.capitalize()}s", columns, [_row(tuned) for tuned in each])
        before, after = (sum(getattr(t, name) * t.calls for t in each) for name in ("analytic_seconds", "seconds"))
        if before:
            ratio = f"{console.seconds(before)} analytic, {console.seconds(after)} tuned ({after / before:.2f})"
            print(f"all calls: {ratio}")
    print(f"in {place}")
    return 0


def _row(tuned: Tuned) -> tuple[str, ...]:
    if not tuned.analytic_seconds:
        return tuned.name, str(tuned.calls), "", "", "", "", "", tuned.problem or "not begun"
    return (
        tuned.name,
        str(tuned.calls),
        console.seconds(tuned.analytic_seconds),
        console.seconds(tuned.seconds),
        f"{tuned.seconds / tuned.analytic_seconds:.2f}",
        describe(tuned.parameters),
        str(tuned.tried),
        tuned.problem or ("complete" if tuned.complete else "unfinished"),
    )


@contextlib.contextmanager
def _progress(arguments: argparse.Namespace) -> Iterator[Progress | None]:
    """A bar of the seconds spent, with the kernel and what was found last, on stderr where that is a terminal."""
    if arguments.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} s")
    with Progress(*columns, TextColumn("{task.fields[found]}"), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=arguments.budget, found="")

        def report(kernel: str, spent: float, found: str) -> None:
            bars.update(task, description=kernel, completed=min(spent, arguments.budget), found=found)

        yield report


if __name__ == "__main__":
    raise SystemExit(main())
