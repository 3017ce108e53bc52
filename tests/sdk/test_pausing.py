"""A flow run pauses until somebody resumes it, and fails when nobody does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from orionflow import OrionClient, flow, pause_flow_run, resume_flow_run, runtime, task
from orionflow.errors import MissingContext, OrchestrationRefused
from orionflow.states import Cancelled, Paused
from orionflow.testing import Isolated, flow_run_of, flow_runs, isolated, states_of, task_runs_of
from orionflow.wire import FlowRun


@task
def one(x: int = 1) -> int:
    return x


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def paused_run(name: str, message: str = "") -> FlowRun:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for run in flow_runs(name):
            if run.state_type == "PAUSED" and run.state is not None and message in (run.state.message or ""):
                return run
        time.sleep(0.02)
    raise AssertionError("nothing paused")


@pytest.fixture
def orion(server_here: None) -> Any:
    """An isolated SDK on real time, as the runs are resumed from other threads."""
    with isolated() as here:
        yield here


@flow
def approved(timeout: float = 20) -> int:
    first = one()
    one.submit(5)
    pause_flow_run(timeout=timeout, poll_interval=0.05)
    return first + one(2)


def test_paused_flow_continues_when_it_is_resumed(orion: Isolated):
    def resume() -> None:
        resume_flow_run(paused_run("approved").id)

    resuming = in_thread(resume)
    state = approved(return_state=True)
    resuming.join()

    assert state.result() == 3
    assert states_of(state) == ["Pending", "Running", "Paused", "Running", "Completed"]
    assert flow_run_of(state).empirical_policy["pause_keys"] == ["1"]
    assert [run.state_name for run in task_runs_of(state)] == ["Completed"] * 3


async def test_paused_async_flow_continues(orion: Isolated):
    @flow
    async def approved_later() -> str:
        await pause_flow_run(timeout=20, poll_interval=0.05)
        return "on"

    async def resume() -> None:
        run = await asyncio.to_thread(paused_run, "approved-later")
        await resume_flow_run(run.id)

    value, _ = await asyncio.gather(approved_later(), resume())

    assert value == "on"


def test_flow_can_pause_more_than_once(orion: Isolated):
    @flow
    def twice() -> str:
        pause_flow_run(timeout=20, poll_interval=0.05)
        pause_flow_run(timeout=20, poll_interval=0.05)
        return "on"

    def resume() -> None:
        for _ in range(2):
            resume_flow_run(paused_run("twice").id)

    resuming = in_thread(resume)
    state = twice(return_state=True)
    resuming.join()

    assert state.result() == "on"
    assert sorted(flow_run_of(state).empirical_policy["pause_keys"]) == ["1", "2"]


def test_a_pause_uses_up_no_retry(orion: Isolated):
    starts: list[int] = []

    @flow(retries=2)
    def unlucky() -> None:
        one(5)
        pause_flow_run(timeout=20, poll_interval=0.05)
        starts.append(runtime.flow_run.run_count)
        raise RuntimeError("not today")

    def resume() -> None:
        for _ in range(3):
            resume_flow_run(paused_run("unlucky").id)

    resuming = in_thread(resume)
    state = unlucky(return_state=True)
    resuming.join()

    attempt = ["Running", "Paused", "Running"]
    assert states_of(state) == ["Pending", *attempt, *["AwaitingRetry", *attempt] * 2, "Failed"]
    assert starts == [2, 4, 6]
    assert flow_run_of(state).run_count == 6
    # Clients in the mode of strict tests refuse fields that they do not know.
    assert "resumes" not in flow_run_of(state).empirical_policy


def test_a_flow_that_is_not_resumed_in_time_fails(orion: Isolated):
    state = approved(timeout=0.3, return_state=True)

    assert state.is_failed()
    assert states_of(state)[-2:] == ["Paused", "Failed"]
    assert flow_run_of(state).state.message == "The flow was paused and never resumed."


def test_cancelled_pause_ends_the_flow(orion: Isolated):
    def cancel() -> None:
        run = paused_run("approved")
        with OrionClient() as client:
            client.set_flow_run_state(run.id, Cancelled())

    cancelling = in_thread(cancel)
    state = approved(return_state=True)
    cancelling.join()

    assert state.is_cancelled()
    assert flow_run_of(state).state_type == "CANCELLED"


def test_another_program_can_pause_a_running_flow(orion: Isolated):
    reached, go_on = threading.Event(), threading.Event()

    @flow
    def long() -> int:
        one()
        reached.set()
        go_on.wait(10)
        one()
        time.sleep(0.2)
        return one(7)

    def pause_and_resume() -> None:
        reached.wait(10)
        run = flow_runs("long")[0]
        with OrionClient() as client:
            client.set_flow_run_state(run.id, Paused(timeout_seconds=60))
            go_on.set()
            time.sleep(0.4)
            client.resume_flow_run(run.id)

    other = in_thread(pause_and_resume)
    state = long(return_state=True)
    other.join()

    assert state.result() == 7
    assert flow_run_of(state).state_type == "COMPLETED"


def test_pausing_outside_of_flows_is_reported():
    with pytest.raises(MissingContext, match="call pause_flow_run"):
        pause_flow_run()


def test_tasks_cannot_pause_their_flow():
    @task
    def pausing() -> None:
        pause_flow_run()

    @flow
    def outer() -> None:
        pausing()

    with pytest.raises(MissingContext, match="in the flow itself"):
        outer()


def test_resuming_a_run_that_is_not_paused_is_reported():
    state = one_flow(return_state=True)

    with pytest.raises(OrchestrationRefused, match="cannot be resumed"):
        resume_flow_run(state.state_details.flow_run_id)


@flow
def one_flow() -> int:
    return one()
