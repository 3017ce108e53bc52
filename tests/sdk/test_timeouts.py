"""Runs that take too long end as TimedOut: in the main thread, in threads, and on the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.errors import FlowTimedOut, TaskTimedOut
from orionflow.testing import assert_failed, states_of, task_runs_of


def busy(seconds: float) -> None:
    """Takes its time in Python, not in one call into C."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.005)


@task(timeout_seconds=0.1)
def slow() -> str:
    busy(5)
    return "ended"


def test_task_in_the_main_thread_is_interrupted_even_in_c():
    @task(timeout_seconds=0.1)
    def sleeping() -> None:
        time.sleep(5)

    @flow
    def outer() -> Any:
        return sleeping(return_state=True)

    began = time.monotonic()
    state = outer(return_state=True)

    assert time.monotonic() - began < 3
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
        await asyncio.sleep(5)

    @flow
    async def outer() -> Any:
        return (await sleeping(return_state=True)).name

    assert await outer() == "TimedOut"


def test_time_limit_is_no_exception_that_code_catches_by_accident():
    @task(timeout_seconds=0.1)
    def stubborn() -> None:
        while True:
            try:
                time.sleep(5)
            except Exception:
                continue

    @flow
    def outer() -> Any:
        return stubborn(return_state=True).name

    assert outer() == "TimedOut"


def test_flow_is_interrupted():
    @flow(timeout_seconds=0.1)
    def outer() -> None:
        time.sleep(5)

    state = outer(return_state=True)

    assert_failed(state, "longer than its limit of 0.1 s")
    assert state.name == "TimedOut"
    with pytest.raises(FlowTimedOut):
        state.result()


def test_flow_in_a_thread_is_interrupted():
    found: list[str] = []

    @flow(timeout_seconds=0.1)
    def outer() -> None:
        busy(5)

    thread = threading.Thread(target=lambda: found.append(outer(return_state=True).name))
    thread.start()
    thread.join()

    assert found == ["TimedOut"]


async def test_async_flow_is_interrupted():
    @flow(timeout_seconds=0.1)
    async def outer() -> None:
        await asyncio.sleep(5)

    assert (await outer(return_state=True)).name == "TimedOut"


def test_flow_that_runs_out_of_time_in_a_task_leaves_no_task_running():
    @task
    def sleeping() -> None:
        time.sleep(5)

    @flow(timeout_seconds=0.2)
    def outer() -> None:
        sleeping()

    state = outer(return_state=True)

    assert state.name == "TimedOut"
    run = task_runs_of(state)[0]
    assert run.state_name == "Crashed"
    assert "ran out of time" in run.state.message


def test_flow_that_runs_out_of_time_does_not_wait_for_submitted_tasks():
    released = threading.Event()

    @task
    def held() -> None:
        released.wait(10)

    @flow(timeout_seconds=0.2)
    def outer() -> None:
        future = held.submit()
        future.result()

    began = time.monotonic()
    state = outer(return_state=True)
    took = time.monotonic() - began
    released.set()

    assert took < 3
    assert state.name == "TimedOut"
    assert [run.state_name for run in task_runs_of(state)] == ["Crashed"]


def test_limit_of_the_task_inside_of_the_flow_s():
    @flow(timeout_seconds=30)
    def outer() -> Any:
        return slow(return_state=True).name, slow.submit().wait().name

    assert outer() == ("TimedOut", "TimedOut")


def test_time_left_over_disturbs_nobody():
    @task(timeout_seconds=0.1)
    def quick() -> int:
        return 1

    @flow(timeout_seconds=0.3)
    def outer() -> int:
        return quick() + quick.submit().result()

    value = outer()
    busy(0.4)

    assert value == 2


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
            busy(5)
        return "ended"

    @flow
    def outer() -> str:
        return second_time_lucky()

    assert outer() == "ended"
