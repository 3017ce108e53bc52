"""Runs that take too long end as TimedOut: in the main thread, in threads, and on the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.engine import interruption
from orionflow.engine.time_limits import TimeUp, limited
from orionflow.errors import FlowTimedOut, TaskTimedOut
from orionflow.task_runners import ProcessTaskRunner
from orionflow.testing import assert_failed, flow_runs, states_of, task_runs_of
from tests.printed import PATIENCE_SECONDS
from tests.sdk.programs import Program


def busy(seconds: float) -> None:
    """Takes its time in Python, not in one call into C."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.005)


@task(timeout_seconds=0.1)
def slow() -> str:
    busy(60)
    return "ended"


def test_task_in_the_main_thread_is_interrupted_even_in_c():
    woke = threading.Event()

    @task(timeout_seconds=0.1)
    def sleeping() -> None:
        time.sleep(60)
        woke.set()

    @flow
    def outer() -> Any:
        return sleeping(return_state=True)

    state = outer(return_state=True)

    assert not woke.is_set()
    assert_failed(state)
    run = task_runs_of(state)[0]
    assert (run.state_name, states_of(run)) == ("TimedOut", ["Pending", "Running", "TimedOut"])
    with pytest.raises(TaskTimedOut, match=r"timeout_seconds=0\.1"):
        state.result()


def test_task_in_a_thread_is_interrupted():
    @flow
    def outer() -> Any:
        return slow.submit().wait().name

    assert outer() == "TimedOut"


async def test_async_task_is_interrupted():
    @task(timeout_seconds=0.1)
    async def sleeping() -> None:
        await asyncio.sleep(60)

    @flow
    async def outer() -> Any:
        return (await sleeping(return_state=True)).name

    assert await outer() == "TimedOut"


def test_time_limit_is_not_an_exception_that_code_catches_by_accident():
    @task(timeout_seconds=0.1)
    def stubborn() -> None:
        while True:
            try:
                time.sleep(60)
            except Exception:
                continue

    @flow
    def outer() -> Any:
        return stubborn(return_state=True).name

    assert outer() == "TimedOut"


def test_flow_is_interrupted():
    @flow(timeout_seconds=0.1)
    def outer() -> None:
        time.sleep(60)

    state = outer(return_state=True)

    assert_failed(state, "longer than its limit of 0.1 s")
    assert state.name == "TimedOut"
    with pytest.raises(FlowTimedOut):
        state.result()


def test_flow_in_a_thread_is_interrupted():
    found: list[str] = []

    @flow(timeout_seconds=0.1)
    def outer() -> None:
        busy(60)

    thread = threading.Thread(target=lambda: found.append(outer(return_state=True).name))
    thread.start()
    thread.join()

    assert found == ["TimedOut"]


async def test_async_flow_is_interrupted():
    @flow(timeout_seconds=0.1)
    async def outer() -> None:
        await asyncio.sleep(60)

    assert (await outer(return_state=True)).name == "TimedOut"


def test_flow_that_runs_out_of_time_in_a_task_leaves_no_task_running():
    @task
    def sleeping() -> None:
        time.sleep(60)

    @flow(timeout_seconds=0.2)
    def outer() -> None:
        sleeping()

    state = outer(return_state=True)

    assert state.name == "TimedOut"
    run = task_runs_of(state)[0]
    assert run.state_name == "Crashed"
    assert "ran out of time" in run.state.message


def test_flow_that_runs_out_of_time_does_not_wait_for_submitted_tasks():
    released, returned = threading.Event(), threading.Event()

    @task
    def held() -> None:
        released.wait(60)
        returned.set()

    @flow(timeout_seconds=0.2)
    def outer() -> None:
        future = held.submit()
        future.result()

    state = outer(return_state=True)
    went_on = not returned.is_set()
    released.set()

    assert went_on
    assert state.name == "TimedOut"
    assert [run.state_name for run in task_runs_of(state)] == ["Crashed"]


def test_limit_of_the_task_inside_of_the_flow_s():
    @flow(timeout_seconds=30)
    def outer() -> Any:
        return slow(return_state=True).name, slow.submit().wait().name

    assert outer() == ("TimedOut", "TimedOut")


def test_remaining_time_limits_affect_no_other_code():
    @task(timeout_seconds=0.1)
    def quick() -> int:
        return 1

    @flow(timeout_seconds=0.1)
    def brief() -> int:
        return 1

    @flow
    def outer() -> int:
        return quick() + quick.submit().result() + brief()

    value = outer()
    busy(0.2)

    assert value == 3


def test_ones_own_timeout_error_is_an_ordinary_failure():
    @task(timeout_seconds=5)
    def unlucky() -> None:
        raise TimeoutError("the database")

    @flow
    def outer() -> Any:
        return unlucky(return_state=True)

    state = outer(return_state=True)

    assert task_runs_of(state)[0].state_name == "Failed"


def test_timed_out_task_is_tried_again():
    calls: list[int] = []

    @task(timeout_seconds=0.1, retries=1)
    def second_time_lucky() -> str:
        calls.append(1)
        if len(calls) == 1:
            busy(60)
        return "ended"

    @flow
    def outer() -> str:
        return second_time_lucky()

    assert outer() == "ended"


def test_flow_is_limited_with_what_it_submitted():
    released = threading.Event()

    @task
    def held() -> None:
        released.wait(30)

    @flow(timeout_seconds=0.3)
    def outer() -> str:
        for _ in range(3):
            held.submit()
        return "submitted"

    state = outer(return_state=True)
    still_held = not released.is_set()
    released.set()

    assert still_held
    assert state.name == "TimedOut"
    assert_failed(state, "Could not be interrupted, and may continue for a while: held-0, held-1, held-2.")
    assert [run.state_name for run in task_runs_of(state)] == ["Crashed"] * 3


async def test_async_flow_is_limited_with_what_it_submitted():
    @task
    async def waits() -> None:
        await asyncio.sleep(30)

    @flow(timeout_seconds=0.3)
    async def outer() -> str:
        waits.submit()
        return "submitted"

    state = await outer(return_state=True)

    assert state.name == "TimedOut"
    assert "interrupted" not in (state.message or "")
    assert [run.state_name for run in task_runs_of(state)] == ["Crashed"]


def test_flow_that_ends_in_time_is_not_disturbed_by_what_it_submitted():
    @task
    def quick() -> int:
        return 1

    @flow(timeout_seconds=30)
    def outer() -> Any:
        return [quick.submit() for _ in range(3)]

    assert outer(return_state=True).is_completed()


async def test_coroutine_that_blocks_its_loop_past_its_limit_has_timed_out():
    @task(timeout_seconds=0.1)
    async def blocking_task() -> str:
        time.sleep(0.3)
        return "ended"

    @flow(timeout_seconds=0.1)
    async def blocking_flow() -> str:
        time.sleep(0.3)
        return "ended"

    @flow
    async def outer() -> Any:
        return (await blocking_task(return_state=True)).name, (await blocking_flow(return_state=True)).name

    assert await outer() == ("TimedOut", "TimedOut")


def test_flow_that_runs_out_of_time_ends_the_flows_below():
    ended: list[str] = []

    @flow
    async def waits() -> None:
        await asyncio.sleep(30)

    @flow(timeout_seconds=30)
    def blocks() -> None:
        waits()

    @task
    def calls() -> None:
        blocks()

    # Long enough for all of it to begin, also on a busy machine.
    @flow(timeout_seconds=4)
    def outer() -> None:
        calls.submit()
        blocks()
        ended.append("outer")

    state = outer(return_state=True)

    assert (state.name, ended) == ("TimedOut", [])
    runs = {run.name: run.state_name for run in flow_runs() if run.id != state.state_details.flow_run_id}
    assert set(runs.values()) == {"Crashed"}
    assert len(runs) == 4


def test_flow_in_a_thread_is_interrupted_while_it_waits():
    found: list[str] = []

    @task
    async def waits() -> None:
        await asyncio.sleep(30)

    @flow(timeout_seconds=0.3)
    def outer() -> None:
        waits.submit().result()

    @flow(timeout_seconds=0.3)
    def calling() -> None:
        waits()

    def both() -> None:
        found.extend([outer(return_state=True).name, calling(return_state=True).name])

    thread = threading.Thread(target=both)
    thread.start()
    thread.join(20)

    assert found == ["TimedOut", "TimedOut"]


@task(timeout_seconds=0.2)
def slow_in_a_process() -> None:
    time.sleep(30)


@task(timeout_seconds=0.2)
async def slow_coroutine_in_a_process() -> None:
    await asyncio.sleep(30)


def test_limits_hold_in_processes():
    @flow(task_runner=ProcessTaskRunner(1))
    def outer() -> Any:
        return slow_in_a_process.submit().wait().name, slow_coroutine_in_a_process.submit().wait().name

    assert outer() == ("TimedOut", "TimedOut")


@contextmanager
def alarm(seconds: float, interval: float = 0.0) -> Iterator[list[int]]:
    """A timer of the program's own."""
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, interval)
    try:
        yield rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def test_timer_of_the_program_continues_after_a_limit():
    @task(timeout_seconds=20)
    def quick() -> int:
        return 1

    @flow(timeout_seconds=20)
    def outer() -> int:
        return quick()

    with alarm(30, 5):
        handler = signal.getsignal(signal.SIGALRM)
        outer()
        left, interval = signal.getitimer(signal.ITIMER_REAL)

        assert 0 < left <= 30
        assert interval == 5
        assert signal.getsignal(signal.SIGALRM) is handler


def test_timer_of_the_program_rings_within_a_limit():
    @task(timeout_seconds=20)
    def busily() -> int:
        busy(0.5)
        return len(rung)

    @flow
    def outer() -> Any:
        return busily(), slow(return_state=True).name

    with alarm(0.05, 0.05) as rung:
        rings, name = outer()

    assert rings > 1
    assert name == "TimedOut"


@pytest.mark.parametrize("place", ["main thread", "thread of a loop"])
def test_limit_of_a_coroutine_holds_while_a_sync_flow_holds_its_loop_up(place: str):
    @task
    async def waits() -> None:
        await asyncio.sleep(30)

    @flow
    def blocks() -> None:
        waits()

    @flow(timeout_seconds=0.5)
    async def limited() -> None:
        blocks()

    @flow
    def outer() -> Any:
        return limited(return_state=True).name

    name = asyncio.run(limited(return_state=True)).name if place == "main thread" else outer()

    assert name == "TimedOut"
    assert flow_runs("blocks")[0].state_name == "Crashed"


def test_limits_of_coroutines_end_what_took_too_long_and_not_what_is_around_it():
    @task
    async def waits() -> None:
        await asyncio.sleep(30)

    @flow(timeout_seconds=0.3)
    async def limited() -> None:
        waits_in_sync()

    @flow(timeout_seconds=20)
    def waits_in_sync() -> None:
        waits()

    @flow(timeout_seconds=25)
    async def outer() -> Any:
        return (await limited(return_state=True)).name

    assert asyncio.run(outer()) == "TimedOut"


# The time limit of a task run in a thread, and that of the flow around it, which ends it as well.
LIMITED = {"task": ("@task(timeout_seconds=0.1)", "@flow"), "flow": ("@task", "@flow(timeout_seconds=0.3)")}


@pytest.mark.parametrize("limited", LIMITED)
def test_program_can_be_profiled_after_a_run_was_interrupted(limited: str, tmp_path: Path):
    """Python 3.11 calls a traced function for ever while it believes that an exception is pending in some thread."""
    task_decorator, flow_decorator = LIMITED[limited]
    program = Program(
        tmp_path,
        f"""
        import cProfile
        import time

        from orionflow import flow, task

        {task_decorator}
        def slow():
            until = time.monotonic() + 60
            while time.monotonic() < until:
                time.sleep(0.005)

        {flow_decorator}
        def outer():
            slow.submit().wait()

        outer(return_state=True)
        profile = cProfile.Profile()
        profile.enable()
        (lambda: None)()
        profile.disable()
        print("profiled")
        """,
    )

    ended = program.run(timeout=30)

    assert ended.stdout == "profiled\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not Linux")
def test_limits_reach_tasks_that_start_threads(tmp_path: Path):
    """Before Python 3.12, an exception for a thread can end one that it starts and waits for."""
    program = Program(
        tmp_path,
        """
        import os
        import threading

        from orionflow import flow, task

        # The new threads wait for a processor.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

        @task(timeout_seconds=0.02)
        def starts_threads():
            while True:
                threading.Thread(target=int).start()

        @flow
        def outer():
            for future in [starts_threads.submit() for _ in range(40)]:
                future.wait()

        outer(return_state=True)
        """,
    )

    program.run(timeout=30)

    assert [state for _, state in program.task_runs()] == ["TimedOut"] * 40


# Debuggers and tracers replace it by a function that takes anything, or by an object that is no function.
STARTS = {
    "function": "threading.Thread.start = start",
    "object": "threading.Thread.start = property(lambda thread: functools.partial(start, thread))",
}


@pytest.mark.parametrize("where", ["main thread", "thread"])
@pytest.mark.parametrize("start", STARTS)
def test_limits_are_kept_in_programs_that_replace_the_start_of_threads(start: str, where: str, tmp_path: Path):
    call = "waits()" if where == "main thread" else "waits.submit().wait()"
    program = Program(
        tmp_path,
        f"""
        import functools
        import threading
        import time

        from orionflow import flow, task

        original = threading.Thread.start
        is_slow = False

        def start(*args):
            while is_slow:
                time.sleep(0.005)
            return original(*args)

        {STARTS[start]}

        @task(timeout_seconds=0.1)
        def waits():
            global is_slow
            is_slow = True
            try:
                threading.Thread(target=int).start()
            finally:
                is_slow = False

        @flow
        def outer():
            {call}

        outer(return_state=True)
        """,
    )

    program.run(timeout=30)

    assert [state for _, state in program.task_runs()] == ["TimedOut"]


@pytest.mark.long
def test_limits_hold_though_nested_ones_end_at_the_same_moments(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import threading
        import time

        from orionflow.engine.time_limits import TimeUp, limited

        def busy():
            until = time.monotonic() + 0.002
            while time.monotonic() < until:
                pass

        def work():
            for _ in range(600):
                try:
                    limited(lambda: limited(busy, 5), 0.002)
                except TimeUp:
                    pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("ended")
        """,
    )

    ended = program.run(timeout=PATIENCE_SECONDS)

    assert ended.stdout == "ended\n", ended.stderr


def test_limit_leaves_no_lock_locked_that_its_thread_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interruption, "LONGEST_DELAY", 60.0)
    lock = threading.Lock()
    condition = threading.Condition(lock)

    def enter() -> None:
        with condition:
            busy(60)

    def work() -> None:
        with pytest.raises(TimeUp):
            limited(enter, 0.05)

    with lock:
        thread = threading.Thread(target=work)
        thread.start()
        # The time is up while the thread waits.
        time.sleep(0.3)
    thread.join()

    assert not lock.locked()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not Linux")
def test_task_that_starts_a_thread_without_threading_as_it_is_interrupted_ends(tmp_path: Path):
    """Before Python 3.12, such a thread has the id of the one that starts it until it is scheduled."""
    program = Program(
        tmp_path,
        """
        import _thread
        import os

        from orionflow import flow, task

        # The new threads wait for a processor.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

        @task(timeout_seconds=0.05)
        def loops():
            try:
                while True:
                    pass
            finally:
                _thread.start_new_thread(int, ())

        @flow
        def outer():
            for future in [loops.submit() for _ in range(5)]:
                future.wait()

        outer(return_state=True)
        """,
    )

    program.run(timeout=PATIENCE_SECONDS)

    assert [state for _, state in program.task_runs()] == ["TimedOut"] * 5


FORKING = """
import os, threading, time
from orionflow.engine.time_limits import TimeUp, limited

def sleep_for(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)

def end_too_late():
    try:
        limited(lambda: sleep_for(60), 0.5)
    except TimeUp:
        pass

def in_turn(function):
    try:
        function()
        said = "ended"
    except BaseException as error:
        said = repr(error)
    # At once, because other threads print their lines now.
    print(said + "\\n", end="", flush=True)

def all_in_threads(*functions):
    threads = [threading.Thread(target=in_turn, args=(one,)) for one in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def fork():
    time.sleep(0.1)
    if not (child := os.fork()):
        {code}
        os._exit(0)
    os.waitpid(child, 0)
"""
FORKING_BESIDE_THREADS = """
for _ in range(3):
    threading.Thread(target=end_too_late).start()
forking = threading.Thread(target=fork)
forking.start()
forking.join()
"""
FORKING_BESIDE_MAIN_THREAD = """
forking = threading.Thread(target=fork)
forking.start()
end_too_late()
forking.join()
"""


@pytest.mark.parametrize(
    ("code", "beside", "lines"),
    [
        # Some of the new threads have the ids of the parent's.
        (
            "all_in_threads(lambda: limited(lambda: sleep_for(0.1), 60), *[lambda: sleep_for(1)] * 3)",
            FORKING_BESIDE_THREADS,
            4,
        ),
        ("in_turn(lambda: limited(lambda: sleep_for(1), 60))", FORKING_BESIDE_MAIN_THREAD, 1),
    ],
    ids=["threads", "main thread"],
)
def test_limits_of_other_threads_end_nothing_in_a_forked_process(tmp_path: Path, code: str, beside: str, lines: int):
    program = Program(tmp_path, FORKING.format(code=code) + beside)

    ended = program.run(timeout=PATIENCE_SECONDS)

    assert ended.stdout.splitlines() == ["ended"] * lines, ended.stderr


LIMIT_IN_A_FORK = """
import os, sys, threading, time

def busy(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass

def after_fork():
    # Called before the functions of Orion, as those of `logging` are.
    if forks.pop():
        busy(0.8)
        released.set()

forks, released = [False] * 100, threading.Event()
os.register_at_fork(after_in_parent=after_fork)
from orionflow import flow, task

@task(timeout_seconds=0.5)
def forking():
    forks.append(True)
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)
    busy(5)

@flow
def outer():
    state = forking.submit().wait() if sys.argv[1] == "thread" else forking(return_state=True)
    print(state.name, released.is_set(), flush=True)

outer()
"""


@pytest.mark.turns
@pytest.mark.parametrize("where", ["main", "thread"])
def test_limit_that_is_reached_during_a_fork_ends_the_task_after_it(where: str, tmp_path: Path):
    program = Program(tmp_path, LIMIT_IN_A_FORK)

    done = program.run(PATIENCE_SECONDS, (where,), cold=True)

    assert done.stdout == "TimedOut True\n", done.stderr
