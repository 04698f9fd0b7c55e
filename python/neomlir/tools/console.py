"""What the command-line tools share: exit codes, argument forms, progress and tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from neomlir.errors import InternalError, NeoError, PipelineError, TargetError
from neomlir.tools import take_interrupts
from neomlir.units import quantity, seconds

__all__ = [
    "pair_argument",
    "positive_argument",
    "print_json",
    "print_table",
    "progress",
    "quantity",
    "run_tool",
    "seconds",
    "shape_argument",
]

_DTYPES = {
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "i1": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "ui8": "uint8",
    "ui16": "uint16",
    "ui32": "uint32",
    "ui64": "uint64",
}


class UsageError(Exception):
    """Arguments that contradict each other, or name what does not exist."""


def run_tool(parser: argparse.ArgumentParser, body: Callable[[argparse.Namespace], int], argv=None) -> int:
    """Parse `argv` and run `body`; the exit code of the tool.

    Wrong arguments give 2 (by argparse, or a UsageError of `body`); a NeoError, an error of the operating system or a
    mistake of Neo's own one message on stderr and 1; Ctrl-C 130; being told to end (SIGTERM) 143, after tidying up.
    """
    arguments = parser.parse_args(argv)
    trace = ""
    try:
        with _ending_tidily():
            return body(arguments)
    except UsageError as error:
        parser.error(str(error))
    except NeoError as error:
        message, trace = str(error), getattr(error, "trace", "")
    except BrokenPipeError:
        # The reader of our output has gone; nothing can be told to it. Python must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        message = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except MemoryError:
        message = "there is not enough memory"
    except Exception as error:
        internal = InternalError.of(error)
        message, trace = str(internal), internal.trace
    if trace and os.environ.get("NEO_TRACEBACK"):
        print(trace, file=sys.stderr)
    print(f"{parser.prog}: error: {message}", file=sys.stderr)
    return 1


@contextlib.contextmanager
def _ending_tidily() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that temporary files and workers go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    take_interrupts()
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def shape_argument(text: str) -> tuple[str, tuple[int | None, ...], str | None]:
    """`NAME=1x3x?x640xf32` as (name, (1, 3, None, 640), "float32"); the data type may be left out."""
    name, equals, spec = text.partition("=")
    parts = spec.split("x") if spec else []
    dtype = _DTYPES.get(parts[-1]) if parts else None
    extents = parts[:-1] if dtype else parts
    valid = all(part == "?" or (part.isascii() and part.isdigit()) for part in extents)
    if not (name and equals and parts and valid):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=SHAPE, for example x=1x3x640x640xf32 (? for a dynamic dimension); "
            f"data types are {', '.join(_DTYPES)}"
        )
    return name, tuple(None if part == "?" else int(part) for part in extents), dtype


def target_argument(text: str) -> str:
    """The name or alias of a target."""
    from neomlir.targets import Target

    try:
        Target.named(text)
    except TargetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def pipeline_argument(text: str) -> str:
    """The name of a pipeline, maybe with options of its passes in braces."""
    from neomlir.pipeline import named_stages
    from neomlir.targets import Target

    try:
        named_stages(text, Target.named("host"))
    except PipelineError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def pair_argument(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as (name, value)."""
    name, _, value = text.partition("=")
    if not (name and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def positive_argument(text: str) -> int:
    """An integer of at least one."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


@contextlib.contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A `progress(stage, done, total)` callback that draws a bar a stage on stderr, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; a column whose name ends in a space is aligned left, the others right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.strip(), justify="left" if column.endswith(" ") else "right", overflow="fold", no_wrap=False
        )
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    _stdout().print(table)


def print_json(value: object) -> None:
    """One JSON document on stdout; numbers that JSON lacks become null."""
    print(json.dumps(_finite(value), indent=2, default=str))


def _plain(cell: object):
    from rich.text import Text

    return Text("" if cell is None else str(cell))


def _stdout():
    from rich.console import Console

    # A pipe has no width: lines are then as long as they need to be, so that scripts find whole words.
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
