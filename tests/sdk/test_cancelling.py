"""Orders from others end a running flow at its next step, and what they did is recorded."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from orionflow import OrionClient, flow, runtime, task
from orionflow.errors import CancelledRun
from orionflow.states import Cancelled, Cancelling
from orionflow.testing import Isolated, flow_run_of, flow_runs, isolated, states_of, task_runs_of


@pytest.fixture
def orion(server_here: None) -> Any:
    """Real time: the orders come while the flow runs."""
    with isolated() as here:
        yield here


@task
def tick() -> None:
    time.sleep(0.01)


def cancel_when_running(name: str) -> threading.Thread:
    def cancel() -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            run = next(iter(flow_runs(name)), None)
            if run is not None and run.state_type == "RUNNING" and task_runs_of(run):
                with OrionClient() as client:
                    client.set_flow_run_state(run.id, Cancelling())
                return
            time.sleep(0.02)

    thread = threading.Thread(target=cancel)
    thread.start()
    return thread


def test_endless_flow_ends_when_it_is_cancelled(orion: Isolated):
    @flow
    def endless() -> None:
        while True:
            try:
                tick()
            except Exception:
                continue

    cancelling = cancel_when_running("endless")
    state = endless(return_state=True)
    cancelling.join()

    assert state.is_cancelled()
    assert states_of(state) == ["Pending", "Running", "Cancelling", "Cancelled"]
    assert {run.state_type for run in task_runs_of(state)} <= {"COMPLETED", "CANCELLED", "CRASHED"}
    with pytest.raises(CancelledRun):
        state.result()


def test_cancelled_flow_that_maps_ends_too(orion: Isolated):
    @flow
    def mapping() -> None:
        while True:
            futures = [tick.submit() for _ in range(5)]
            for future in futures:
                future.wait()

    cancelling = cancel_when_running("mapping")
    state = mapping(return_state=True)
    cancelling.join()

    assert state.is_cancelled()


async def test_async_flow_ends_when_it_is_cancelled(orion: Isolated):
    @task
    async def later() -> None:
        await asyncio.sleep(0.01)

    @flow
    async def endless_async() -> None:
        while True:
            await later()

    cancelling = cancel_when_running("endless-async")
    state = await endless_async(return_state=True)
    cancelling.join()

    assert state.is_cancelled()


def test_cancelled_parent_takes_its_subflow_along(orion: Isolated):
    @flow
    def inner() -> None:
        while True:
            tick()

    @flow
    def parent() -> None:
        tick()
        inner()

    def cancel() -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until and not flow_runs("inner"):
            time.sleep(0.02)
        with OrionClient() as client:
            client.set_flow_run_state(flow_runs("parent")[0].id, Cancelling())
            client.set_flow_run_state(flow_runs("inner")[0].id, Cancelling())

    thread = threading.Thread(target=cancel)
    thread.start()
    state = parent(return_state=True)
    thread.join()

    assert state.is_cancelled()
    assert flow_runs("inner")[0].state_type == "CANCELLED"


def test_run_that_was_ended_by_force_stops(orion: Isolated):
    @flow
    def forced() -> None:
        while True:
            tick()

    def end() -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            run = next(iter(flow_runs("forced")), None)
            if run is not None and run.state_type == "RUNNING":
                with OrionClient() as client:
                    client.set_flow_run_state(run.id, Cancelled(), force=True)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=end)
    thread.start()
    state = forced(return_state=True)
    thread.join()

    assert state.is_cancelled()
    assert flow_run_of(state).state_type == "CANCELLED"


def test_cancelling_a_flow_ends_the_flow_that_runs_inside(orion: Isolated):
    @flow
    def inner() -> None:
        while True:
            tick()

    @flow
    def middle() -> None:
        inner()

    @flow
    def outer() -> None:
        tick()
        middle()

    cancelling = cancel_when_running("outer")
    state = outer(return_state=True)
    cancelling.join()

    assert state.is_cancelled()
    assert [run.state_name for run in flow_runs()] == ["Cancelled"] * 3


def cancel_this_run() -> str:
    with OrionClient() as client:
        client.set_flow_run_state(runtime.flow_run.id, Cancelling())
    return "named"


def test_flow_that_is_cancelled_before_it_began_never_begins(orion: Isolated):
    begun: list[int] = []

    @flow(flow_run_name=cancel_this_run)
    def cancelled_early() -> None:
        begun.append(1)

    state = cancelled_early(return_state=True)

    assert state.is_cancelled()
    assert states_of(state) == ["Pending", "Cancelling", "Cancelled"]
    assert not begun


def test_flow_that_is_cancelled_while_it_waits_for_its_retry_is_not_tried_again(orion: Isolated):
    tries: list[int] = []

    @flow(retries=5, retry_delay_seconds=0.5)
    def failing() -> None:
        tries.append(1)
        threading.Timer(0.1, cancel_waiting, ["failing"]).start()
        raise ValueError("no")

    state = failing(return_state=True)

    assert state.is_cancelled()
    assert states_of(state)[-2:] == ["AwaitingRetry", "Cancelled"]
    assert len(tries) == 1


def cancel_waiting(name: str) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        run = flow_runs(name)[0]
        if run.state_name == "AwaitingRetry":
            with OrionClient() as client:
                client.set_flow_run_state(run.id, Cancelling())
            return
        time.sleep(0.02)
