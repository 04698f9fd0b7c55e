"""What the benchmarks of whole models share: a process for each model, a table, and the numbers as JSON."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def parser(description: str, models: tuple[str, ...], peers: str) -> argparse.ArgumentParser:
    """A parser of what every benchmark of whole models takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("models", nargs="*", default=models, metavar="MODEL", help=f"default: {' '.join(models)}")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--runs", type=int, default=30)
    made.add_argument("--against", default=peers, help=f"default: {peers}")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    made.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return made


def in_a_process(script: str, name: str, arguments: argparse.Namespace, option: str) -> dict:
    """The result of one model, measured by `script --one` in a child process; a failure is a row too.

    `option`: the name of the script's own argument.
    """
    command = [sys.executable, script, name, "--one"]
    for given in (option, "threads", "runs", "against"):
        command += [f"--{given}", str(getattr(arguments, given))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        return {"model": name, "failed": f"exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def beside(times: dict[str, float], peers: list[str], absent: str) -> list[str]:
    """A cell a peer: its time in ms and the ratio of Neo to it, or `absent`."""
    return [f"{times[name]:.2f} ms ({times['neo'] / times[name]:.2f})" if name in times else absent for name in peers]


def measure_all(
    script: str,
    arguments: argparse.Namespace,
    option: str,
    columns: list[str],
    row: Callable[[dict, list[str]], list[str]],
) -> None:
    """Measure each model in a process of its own, print the table, and write the file that was asked for."""
    from rich.console import Console
    from rich.table import Table

    peers = [name for name in arguments.against.split(",") if name]
    table = Table("model", "Neo", *(f"{name} (Neo / it)" for name in peers), *columns, "compiled in")
    results = []
    for name in arguments.models:
        results.append(in_a_process(script, name, arguments, option))
        table.add_row(*row(results[-1], peers))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    if arguments.json:
        document = {"machine": platform.processor() or platform.machine(), option: getattr(arguments, option)}
        document |= {"threads": arguments.threads, "runs": arguments.runs, "results": results}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
