"""A suspended run in its process, without an agent; with one: tests/agents/test_suspending.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, field_validator

from orionflow import Flow, OrionClient, flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from orionflow.calls import Call
from orionflow.engine.invoke import call_flow_for_run
from orionflow.errors import MissingContext, OrchestrationRefused
from orionflow.reporting.current import close_reporters, get_reporter
from orionflow.settings import override_settings
from orionflow.states import Pending, State

Deployed = Callable[[Flow[Any, Any]], UUID]


def send(path: str, body: dict[str, Any]) -> Any:
    with OrionClient() as client:
        return client.send(Call("POST", path, body, read=dict[str, Any]))


def run_of_a_deployment(fn: Flow[Any, Any]) -> UUID:
    stored = send("/flows/", {"name": fn.name})
    deployment = send("/deployments/", {"name": "here", "flow_id": stored["id"]})
    return UUID(send(f"/deployments/{deployment['id']}/create_flow_run", {})["id"])


def attempt(fn: Flow[Any, Any], run: UUID) -> State[Any]:
    """Execute a run as a process of an agent does."""
    with OrionClient() as client:
        client.set_flow_run_state(run, Pending())
    return call_flow_for_run(fn, run, {})


def test_a_suspended_flow_ends_here_and_passes_the_suspension_in_its_next_attempt():
    reached = []

    @task(persist_result=True)
    def once() -> int:
        reached.append("task")
        return 1

    @flow
    def suspending() -> Any:
        answer = once() + suspend_flow_run(wait_for_input=int)
        reached.append("end")
        return answer

    run = run_of_a_deployment(suspending)
    first = attempt(suspending, run)
    resumed = resume_flow_run(run, run_input=4)
    second = attempt(suspending, run)

    assert (first.name, resumed.name) == ("Suspended", "Resuming")
    assert second.result() == 5
    assert reached == ["task", "end"]


@pytest.mark.parametrize("resumed_before_it_is_noticed", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_a_flow_suspended_from_outside_waits_for_started_tasks(resumed_before_it_is_noticed: bool, strict: bool):
    suspended, tries = threading.Event(), []

    @task
    def slow() -> str:
        suspended.wait(10)
        return "slow"

    @task
    def next_step() -> None: ...

    @flow(strict=strict)
    def working() -> str:
        tries.append(1)
        submitted = slow.submit()
        if len(tries) == 1:
            next_step()
            suspend_flow_run(flow_run_id=run)
            if resumed_before_it_is_noticed:
                resume_flow_run(run)
            suspended.set()
            submitted.wait()
            for _ in range(2000):
                # What the API wants comes with its answers to what is reported.
                time.sleep(0.005)
                next_step()
        return submitted.result()

    run = run_of_a_deployment(working)
    first = attempt(working, run)
    if not resumed_before_it_is_noticed:
        resume_flow_run(run)
    second = attempt(working, run)

    assert not first.is_final()
    assert second.result() == "slow"
    with OrionClient() as client:
        assert "Crashed" not in {state.name for state in client.read_flow_run_states(run)}


def test_an_attempt_that_is_suspended_leaves_nothing_to_report():
    """Later steps would be judged by the state of the next attempt, and their refusal would end that one."""

    @task
    def step() -> None: ...

    @flow(strict=False)
    def working() -> None:
        step()
        suspend_flow_run(flow_run_id=run)
        for _ in range(2000):
            step()
            time.sleep(0.005)

    run = run_of_a_deployment(working)
    close_reporters()
    with override_settings(reporting_interval_ms=500):
        first = attempt(working, run)
        left = get_reporter().waiting
    close_reporters()

    assert first.name == "Suspended"
    assert left == 0


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _is_even(cls, number: int) -> int:
        assert number % 2 == 0, "it is odd"
        return number


def test_a_flow_is_suspended_again_until_an_answer_comes_that_fits():
    @flow
    def suspending() -> int:
        return suspend_flow_run(wait_for_input=Even, key="even").number + suspend_flow_run(wait_for_input=int)

    run = run_of_a_deployment(suspending)
    states = [attempt(suspending, run)]
    for given in ({"number": 3}, {"number": 5}, {"number": 6}, 1):
        resume_flow_run(run, run_input=given)
        states.append(attempt(suspending, run))

    assert [state.name for state in states] == ["Suspended"] * 4 + ["Completed"]
    assert ["it is odd" in (state.message or "") for state in states[:4]] == [False, True, True, False]
    assert states[-1].result() == 7


def test_a_run_without_a_deployment_cannot_be_suspended():
    @flow
    def alone() -> None:
        suspend_flow_run()

    with pytest.raises(OrchestrationRefused, match=r"cannot be suspended: .*deployment"):
        alone()


def test_a_nested_run_cannot_be_suspended():
    @flow
    def inner() -> None:
        suspend_flow_run()

    @flow
    def outer() -> None:
        inner()

    run = run_of_a_deployment(outer)

    with pytest.raises(OrchestrationRefused, match="suspend"):
        attempt(outer, run).result()


def test_pauses_and_suspensions_are_counted_together():
    @flow
    def both() -> str:
        pause_flow_run(timeout=0.01, key="early")
        return "never"

    @flow
    def twice() -> list[Any]:
        return [suspend_flow_run(wait_for_input=int), suspend_flow_run(wait_for_input=int)]

    run = run_of_a_deployment(twice)
    for number in (1, 2):
        assert attempt(twice, run).name == "Suspended"
        resume_flow_run(run, run_input=number)

    assert attempt(twice, run).result() == [1, 2]
    assert both(return_state=True).is_failed()


def test_suspending_outside_of_flows_is_reported():
    with pytest.raises(MissingContext, match="call suspend_flow_run"):
        suspend_flow_run()


async def test_async_code_awaits_it():
    @flow
    async def suspending_later() -> str:
        await suspend_flow_run()
        return "on"

    import asyncio

    run = await asyncio.to_thread(run_of_a_deployment, suspending_later)
    first = await asyncio.to_thread(attempt, suspending_later, run)
    await resume_flow_run(run)
    second = await asyncio.to_thread(attempt, suspending_later, run)

    assert (first.name, second.result()) == ("Suspended", "on")


async def test_a_plain_flow_in_a_thread_with_a_loop_resumes_without_waiting_for_it():
    import asyncio

    @flow
    def suspending_first() -> None:
        suspend_flow_run()

    @flow
    def resuming(run: UUID) -> Any:
        return resume_flow_run(run).name

    run = await asyncio.to_thread(run_of_a_deployment, suspending_first)
    await asyncio.to_thread(attempt, suspending_first, run)

    assert resuming(run) == "Resuming"
