"""Work in child processes, so that nothing in MLIR or LLVM can take the caller's Python down."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from typing import Any

from neomlir.errors import InternalError, NeoError

_PR_SET_PDEATHSIG = 1
_ENDINGS = (signal.SIGINT, signal.SIGTERM)
_MOST_TASKS = 32
"""How many tasks a process of `parallel` takes: a kernel leaves some 3 MB behind that nobody looks for."""


class WorkerDied(NeoError):
    """A worker process ended without an answer: killed by a signal, or out of memory."""

    exitcode: int | None = None
    """What it ended with; the number of a signal, negated."""


def die_with_the_parent() -> None:
    """Have Linux end this process when the one that waits for its answer ends; elsewhere it runs to its own end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


@contextlib.contextmanager
def no_signals() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM waiting: raised in what Python and libraries run around a fork, they would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle(quiet: bool) -> None:
    """Make a process that was just forked a worker."""
    # A worker ends with its answers: looking for garbage would only copy the parent's pages.
    gc.freeze()
    gc.disable()
    die_with_the_parent()
    # OpenMP's threads do not survive a fork: PyTorch would wait for them for ever.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
    if quiet:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _send_answer(connection: Connection, function: Callable, arguments: tuple) -> None:
    try:
        message = ("ok", function(*arguments))
    except NeoError as error:
        message = ("error", error)
    except BaseException as error:
        message = ("error", InternalError.of(error))
    with contextlib.suppress(BrokenPipeError):
        try:
            connection.send(message)
        except (pickle.PicklingError, TypeError, AttributeError):
            connection.send(("error", InternalError(f"the worker's answer cannot be sent: {message[1]!r}")))


def _leave(connection: Connection) -> None:
    connection.close()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Not sys.exit: the libraries' own clean-up at exit belongs to the parent.
    os._exit(0)


def _answer(connection: Connection, function: Callable, arguments: tuple, quiet: bool) -> None:
    _settle(quiet)
    _send_answer(connection, function, arguments)
    _leave(connection)


def _serve(connection: Connection, function: Callable, tasks: Sequence[tuple]) -> None:
    _settle(quiet=True)
    with contextlib.suppress(EOFError, OSError):
        while (number := connection.recv()) is not None:
            _send_answer(connection, function, tasks[number])
    _leave(connection)


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
        with no_signals():
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
        raise value

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
    with no_signals():
        job.process.start()
    send.close()
    return job.result(on_event)


class _Server:
    """A forked process that calls a function for one task after another."""

    def __init__(self, function: Callable, tasks: Sequence[tuple]) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, child = context.Pipe()
        self.process = context.Process(target=_serve, args=(child, function, tasks), daemon=False)
        with no_signals():
            self.process.start()
        child.close()
        # At exit Python waits for its processes; this one waits for tasks, where nobody came to end it.
        self.ending = util.Finalize(None, self.process.kill, exitpriority=0)
        self.taken = 0
        self.task = -1

    def take(self, number: int) -> None:
        """Start on a task."""
        self.taken += 1
        self.task = number
        # One that has died is noticed where its answer is received.
        with contextlib.suppress(OSError):
            self.connection.send(number)

    def answer(self) -> Any:
        """What the task gave: an exception where it failed. Raises WorkerDied."""
        try:
            return self.connection.recv()[1]
        except (EOFError, OSError):
            self._gone()
            died = WorkerDied(_describe(self.process.exitcode))
            died.exitcode = self.process.exitcode
            raise died from None

    def end(self) -> None:
        """Let the process go; it has no task."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self._gone()

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        self._gone()

    def _gone(self) -> None:
        self.process.join()
        self.connection.close()
        self.ending.cancel()


def parallel(function: Callable, tasks: Iterable[tuple], jobs: int) -> Iterator[tuple[int, Any]]:
    """Call `function(*task)` for each task, `jobs` at a time, in other processes.

    Yields (number of the task, answer) as they end; a task that failed or whose process died yields its exception.

    A process takes some tasks one after the other, for a fork of a large process costs more than a small kernel. Where
    one dies of a task that was not its first, that task is done again in a process of its own: none fails of what
    another left behind.
    """
    tasks = [*tasks]
    todo = [*range(len(tasks))][::-1]
    alone: list[int] = []
    busy: dict[Connection, _Server] = {}
    idle: list[_Server] = []
    try:
        while True:
            while len(busy) < jobs and (alone or todo):
                # A task that is done again has a process that did nothing before.
                server = _Server(function, tasks) if alone or not idle else idle.pop()
                server.take(alone.pop() if alone else todo.pop())
                busy[server.connection] = server
            if not busy:
                return
            for connection in wait(list(busy)):
                server = busy[connection]
                try:
                    answer = server.answer()
                except WorkerDied as error:
                    del busy[connection]
                    if server.taken > 1:
                        alone.append(server.task)
                        continue
                    answer = error
                else:
                    del busy[connection]
                    if server.taken < _MOST_TASKS and todo:
                        idle.append(server)
                    else:
                        server.end()
                yield server.task, answer
    finally:
        for server in busy.values():
            server.kill()
        for server in idle:
            server.end()
