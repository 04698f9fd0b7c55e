"""The threads of a model: loops that are shared, thread counts, how long they wait awake, callers, forks."""

import multiprocessing
import os
import threading
import time

import numpy as np
import programs
import pytest
from neomlir.artifact import Spec
from neomlir.errors import ModelError
from neomlir.runtime import load
from programs import CALL_PARALLEL_FOR, COUNT, field, item, main

NESTED = main(
    CALL_PARALLEL_FOR + field("outputs") + item("outputs", 0, "y")
    + """
  store i64 0, ptr %y
  %data = alloca [3 x ptr]
  store ptr %parallel_for, ptr %data
  %d1 = getelementptr ptr, ptr %data, i64 1
  store ptr %runtime, ptr %d1
  %d2 = getelementptr ptr, ptr %data, i64 2
  store ptr %y, ptr %d2
  call void %parallel_for(ptr %runtime, i64 64, ptr @outer, ptr %data)
  ret i32 0""",
    """
define void @inner(i64 %lo, i64 %hi, ptr %y) {
  %n = sub i64 %hi, %lo
  %old = atomicrmw add ptr %y, i64 %n seq_cst
  ret void
}
define void @outer(i64 %lo, i64 %hi, ptr %data) {
entry:
  %parallel_for = load ptr, ptr %data
  %d1 = getelementptr ptr, ptr %data, i64 1
  %runtime = load ptr, ptr %d1
  %d2 = getelementptr ptr, ptr %data, i64 2
  %y = load ptr, ptr %d2
  br label %loop
loop:
  %i = phi i64 [%lo, %entry], [%next, %loop]
  call void %parallel_for(ptr %runtime, i64 100, ptr @inner, ptr %y)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %hi
  br i1 %more, label %loop, label %end
end:
  ret void
}""",
)  # fmt: skip
"""Counts 64 times 100 in y[0], in loops within a loop."""


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_parallel_for_does_each_item_once(parallel, threads):
    parallel.threads = threads
    assert parallel.threads == threads
    x = np.arange(COUNT) * 7
    expected = x + np.arange(COUNT) + 1
    expected[0] += 1
    for _ in range(300):
        assert np.array_equal(parallel(x), expected)


def test_parallel_for_after_sleep(parallel):
    x = np.zeros(COUNT, np.int64)
    for pause in (0, 1e-4, 2e-4, 1e-3, 1e-2) * 4:
        time.sleep(pause)
        assert parallel(x)[-1] == COUNT


@pytest.mark.parametrize("spin", [0, 1e-3, 0.2])
def test_threads_that_wait_burn_little(parallel, spin):
    """Whatever a thread may wait awake, it sleeps soon after a call that came alone."""
    parallel.threads, parallel.spin, x = 2, spin, np.zeros(COUNT, np.int64)
    assert parallel.spin == pytest.approx(spin)
    for _ in range(20):
        parallel(x)
    time.sleep(spin + 0.1)
    parallel(x)
    before = time.process_time()
    time.sleep(0.4)
    assert time.process_time() - before < 0.1


@pytest.mark.parametrize("spin", [-1, "1", None, True, float("nan"), 1e9])
def test_spins_that_cannot_be(add, spin):
    with pytest.raises(ModelError, match="awake"):
        add.spin = spin


def test_nested_loops_run_inline(tmp_path):
    path = programs.write(tmp_path / "n.neo", NESTED, [Spec("x", "float32", ())], [Spec("y", "int64", (1,))])
    model = load(path, threads=4)
    for _ in range(50):
        assert model(np.float32(0)) == 6400


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2", 100_000])
def test_thread_counts_that_cannot_be(tmp_path, add, threads):
    with pytest.raises(ModelError, match="threads"):
        add.threads = threads
    with pytest.raises(ModelError, match="threads"):
        load(tmp_path / "add.neo", threads=threads)


def test_calls_from_many_threads(parallel, dynamic):
    wrong = []

    def work(number: int) -> None:
        x = np.full(COUNT, number, np.int64)
        z = np.full(10 + number, number, np.float32)
        for _ in range(100):
            if parallel(x)[-1] != number + COUNT:
                wrong.append(number)
            if dynamic(z)[1].tolist() != [z.tolist()] * 2:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_a_fork(parallel):
    x = np.zeros(COUNT, np.int64)
    parallel(x)

    def child() -> None:
        ok = all(parallel(x)[-1] == COUNT for _ in range(20)) and parallel.threads == 3
        parallel.close()
        os._exit(0 if ok else 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert parallel(x)[-1] == COUNT
