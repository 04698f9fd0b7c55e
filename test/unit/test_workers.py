"""Worker processes are forked from whatever the caller's Python has become."""

import os
import signal
import subprocess
import sys

import pytest
from neomlir.errors import NeoError
from neomlir.workers import WorkerDied, parallel

AFTER_TORCH = """
import torch
import neomlir

torch.set_num_threads(2)
torch.randn(512, 512) @ torch.randn(512, 512)
torch.randn(1 << 20).exp()
model = torch.nn.Sequential(torch.nn.Conv2d(64, 256, 3, bias=False), torch.nn.BatchNorm2d(256)).eval()
print(neomlir.compile(model, inputs=[(1, 64, 8, 8)])(torch.zeros(1, 64, 8, 8)).shape)
"""


def test_a_worker_does_not_wait_for_the_threads_of_its_parent():
    pytest.importorskip("torch")
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", AFTER_TORCH], capture_output=True, text=True, timeout=240, env=environment
    )
    assert done.stdout == "(1, 256, 6, 6)\n", done.stderr


def _task(what):
    _task.before.append(what)
    if what == "die" or (what == "die after others" and len(_task.before) > 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "fail":
        raise NeoError("failed")
    return what, os.getpid()


_task.before = []


def test_a_process_takes_several_tasks():
    answers = dict(parallel(_task, [(number,) for number in range(40)], 2))
    assert {number: answer[0] for number, answer in answers.items()} == {number: number for number in range(40)}
    processes = {answer[1] for answer in answers.values()}
    assert os.getpid() not in processes
    assert 2 <= len(processes) <= 4


def test_a_process_that_dies_takes_no_other_task_with_it():
    tasks = ["a", "die", "b", "fail", "c"]
    answers = dict(parallel(_task, [(what,) for what in tasks], 1))
    assert [answers[number][0] for number in (0, 2, 4)] == ["a", "b", "c"]
    assert isinstance(answers[1], WorkerDied)
    assert answers[1].exitcode == -signal.SIGKILL
    assert str(answers[3]) == "failed"


def test_a_task_does_not_fail_of_what_another_left_behind():
    answers = dict(parallel(_task, [("a",), ("die after others",), ("b",)], 1))
    assert [answers[number][0] for number in range(3)] == ["a", "die after others", "b"]


HELD = """
from neomlir.workers import parallel
held = parallel(lambda task: task, [(number,) for number in range(9)], 2)
print(next(held))
"""


def test_python_ends_while_tasks_are_left():
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout in ("(0, 0)\n", "(1, 1)\n")
