"""Work in child processes, so that nothing in MLIR or LLVM can take the caller's Python down."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from neomlir.errors import NeoError


class WorkerDied(NeoError):
    """A worker process ended without an answer: killed by a signal, or out of memory."""

    exitcode: int | None = None
    """What it ended with; the number of a signal, negated."""


def _answer(connection: Connection, function: Callable, arguments: tuple, quiet: bool) -> None:
    gc.freeze()
    # OpenMP's threads do not survive a fork: PyTorch would wait for them for ever.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if quiet:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        message = ("ok", function(*arguments))
    except NeoError as error:
        message = ("error", error)
    except BaseException as error:
        message = ("bug", f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    with contextlib.suppress(BrokenPipeError):
        try:
            connection.send(message)
        except (pickle.PicklingError, TypeError, AttributeError):
            connection.send(("bug", f"the worker's answer cannot be sent: {message[1]!r}"))
    connection.close()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Not sys.exit: the libraries' own clean-up at exit belongs to the parent.
    os._exit(0)


def _describe(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"the worker was killed by {signal.Signals(-exitcode).name}"
    return f"the worker ended with exit code {exitcode}"


class Job:
    """One call of a function in a forked process."""

    def __init__(self, function: Callable, arguments: tuple, *, quiet: bool = False) -> None:
        """Start the process at once."""
        context = multiprocessing.get_context("fork")
        self.connection, child = context.Pipe(duplex=False)
        self.process = context.Process(target=_answer, args=(child, function, arguments, quiet), daemon=False)
        self.process.start()
        child.close()

    def result(self, on_event: Callable[[Any], None] | None = None) -> Any:
        """Wait for the answer. Raises the function's own NeoError, or WorkerDied."""
        try:
            while True:
                kind, value = self.connection.recv()
                if kind != "event":
                    break
                if on_event:
                    on_event(value)
        except EOFError:
            self.process.join()
            died = WorkerDied(_describe(self.process.exitcode))
            died.exitcode = self.process.exitcode
            raise died from None
        except BaseException:
            self.kill()
            raise
        self.process.join()
        if kind == "ok":
            return value
        if kind == "error":
            raise value
        raise NeoError(value)

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.join()


def isolated(function: Callable, *arguments: Any, on_event: Callable[[Any], None] | None = None) -> Any:
    """Call `function(emit, *arguments)` in a child process; `emit(value)` there calls `on_event(value)` here."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def run(*args: Any) -> Any:
        return function(lambda value: send.send(("event", value)), *args)

    job = Job.__new__(Job)
    job.connection = receive
    job.process = context.Process(target=_answer, args=(send, run, arguments, False), daemon=False)
    job.process.start()
    send.close()
    return job.result(on_event)


def parallel(function: Callable, tasks: Iterable[tuple], jobs: int) -> Iterator[tuple[int, Any]]:
    """Call `function(*task)` for each task, `jobs` at a time, each in a process of its own.

    Yields (number of the task, answer) as they end; a task that failed or whose process died yields its exception.
    """
    running: dict[Connection, tuple[int, Job]] = {}
    todo = enumerate(tasks)
    try:
        while True:
            while len(running) < jobs and (task := next(todo, None)) is not None:
                job = Job(function, task[1], quiet=True)
                running[job.connection] = (task[0], job)
            if not running:
                return
            for connection in wait(list(running)):
                number, job = running.pop(connection)
                try:
                    yield number, job.result()
                except NeoError as error:
                    yield number, error
    finally:
        for _, job in running.values():
            job.kill()
