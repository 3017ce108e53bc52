"""A run that was suspended and goes on in another process takes up what was stored, for the same inputs alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orionflow import Flow, OrionClient, flow, resume_flow_run, suspend_flow_run, task
from orionflow.calls import Call
from orionflow.engine.invoke import call_flow_for_run
from orionflow.states import Completed, Pending, State
from tests.sdk.attempts import Attempts, upper


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


def test_a_resumed_run_continues_with_other_items():
    attempts = Attempts(["a", "b"], ["b", "c"])
    work = upper(attempts, persist_result=True)

    @flow
    def suspending() -> list[Any]:
        values = [work(x) for x in attempts.next()]
        suspend_flow_run()
        return values

    run = run_of_a_deployment(suspending)
    first = attempt(suspending, run)
    resume_flow_run(run)
    second = attempt(suspending, run)

    assert (first.name, second.result()) == ("Suspended", [("b", "B"), ("c", "C")])
    assert attempts.done == ["a", "b", "c"]


def test_a_stored_run_is_not_repeated_though_what_it_waited_for_is():
    charged: list[int] = []

    @task
    def load() -> list[int]:
        return [1, 2]

    @task(persist_result=True)
    def charge(rows: list[int]) -> str:
        charged.append(sum(rows))
        return "charged"

    @flow
    def suspending() -> str:
        answer = charge.submit(load.submit()).result()
        suspend_flow_run()
        return answer

    run = run_of_a_deployment(suspending)
    attempt(suspending, run)
    resume_flow_run(run)

    assert attempt(suspending, run).result() == "charged"
    assert charged == [3]


def test_a_subflow_whose_result_was_not_stored_runs_in_the_next_attempt():
    attempts = Attempts(1, 2)

    @flow
    def child() -> int:
        attempts.done.append("child")
        return 7

    @flow
    def suspending() -> int:
        value = child()
        suspend_flow_run()
        return value

    run = run_of_a_deployment(suspending)
    attempt(suspending, run)
    resume_flow_run(run)

    assert attempt(suspending, run).result() == 7
    assert attempts.done == ["child", "child"]


def test_a_state_that_the_program_made_stands_for_no_other_call():
    attempts = Attempts(1, 2)

    @task
    def made(x: int) -> Any:
        return Completed(data={"type": "literal", "value": True}) if x == 1 else x

    @flow
    def suspending() -> Any:
        value = made(attempts.next())
        suspend_flow_run()
        return value

    run = run_of_a_deployment(suspending)
    attempt(suspending, run)
    resume_flow_run(run)

    assert attempt(suspending, run).result() == 2
