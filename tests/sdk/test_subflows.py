"""Subflows are runs of their own, with a task run that stands for them in the parent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.errors import UpstreamFailed
from orionflow.states import Failed, State
from orionflow.testing import assert_completed, assert_failed, flow_run_of, flow_runs, states_of, task_runs_of


@task
def one() -> int:
    return 1


@flow
def child(x: int = 1) -> int:
    return x + one()


def test_subflow_has_its_own_run_under_a_task_run():
    @flow
    def parent() -> int:
        return child(child(1))

    state = parent(return_state=True)

    assert state.result() == 3
    placeholders = task_runs_of(state)
    children = flow_runs("child")
    assert [run.parent_task_run_id for run in children] == [run.id for run in placeholders]
    assert [run.name for run in placeholders] == ["child-0", "child-1"]
    assert [run.state.state_details.child_flow_run_id for run in placeholders] == [run.id for run in children]
    assert states_of(placeholders[0]) == ["Pending", "Running", "Completed"]


def test_failed_subflow_raises_in_its_parent():
    @flow
    def failing() -> None:
        raise ValueError("child broke")

    @flow
    def parent() -> None:
        failing()

    state = parent(return_state=True)

    assert_failed(state, "child broke")
    assert task_runs_of(state)[0].state_type == "FAILED"


def test_parent_can_continue_after_a_failed_subflow():
    @flow
    def failing() -> None:
        raise ValueError("child broke")

    @flow
    def parent() -> str:
        return failing(return_state=True).name

    assert parent() == "Failed"


def test_invalid_parameters_of_a_subflow_fail_only_the_subflow():
    @flow
    def parent() -> str:
        return child("x", return_state=True).name

    state = parent(return_state=True)

    assert_completed(state)
    assert state.result() == "Failed"
    assert flow_runs("child")[0].state_type == "FAILED"
    assert task_runs_of(state)[0].state_type == "FAILED"


def test_subflow_does_not_start_when_its_input_failed():
    @task
    def bad() -> int:
        raise ValueError

    @flow
    def parent() -> int:
        return child(bad.submit())

    with pytest.raises(UpstreamFailed):
        parent()

    assert flow_runs("child") == []


@pytest.mark.parametrize("given", ["argument", "wait_for"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_subflow_whose_input_failed_is_not_ready(kind: str, given: str):
    states: list[State[Any]] = []

    @task
    def bad() -> int:
        raise ValueError

    @flow
    async def async_child(x: int = 1) -> int:
        return x

    @flow
    def parent() -> None:
        failed = bad.submit()
        called: Any = child if kind == "sync" else async_child
        if given == "argument":
            states.append(called(failed, return_state=True))
        else:
            states.append(called(wait_for=[failed], return_state=True))

    parent(return_state=True)

    assert [(state.type, state.name) for state in states] == [("PENDING", "NotReady")]
    with pytest.raises(UpstreamFailed, match="bad-0"):
        states[0].result()
    assert [run.name for run in flow_runs("child") + flow_runs("async-child")] == []


def test_flow_that_returns_nothing_fails_when_a_subflow_never_started():
    @flow
    def parent() -> None:
        child(Failed(message="before"), return_state=True)

    state = parent(return_state=True)

    assert_failed(state, "1/1 runs did not finish.")


def test_subflow_waits_for_others():
    order: list[str] = []

    @task
    def first() -> None:
        import time

        time.sleep(0.1)
        order.append("first")

    @flow
    def second() -> None:
        order.append("second")

    @flow
    def parent() -> None:
        second(wait_for=[first.submit()])

    parent()

    assert order == ["first", "second"]


async def test_async_subflows_overlap():
    both = asyncio.Barrier(2)

    @flow
    async def meeting() -> int:
        await both.wait()
        return 1

    @flow
    async def parent() -> int:
        return sum(await asyncio.gather(meeting(), meeting()))

    assert await parent() == 2


async def test_sync_subflow_in_an_async_flow():
    @flow
    async def parent() -> int:
        return child(1)

    assert await parent() == 2


def test_subflows_inherit_prints_but_no_task_context():
    @flow
    def deepest() -> str:
        return "deep"

    def nest(inner: Any) -> Any:
        @flow(name=f"over-{inner.name}")
        def over() -> Any:
            return inner()

        return over

    nested = deepest
    for _ in range(4):
        nested = nest(nested)

    state = nested(return_state=True)

    assert state.result() == "deep"
    run = flow_run_of(state)
    names = [run.name for run in flow_runs()]
    assert len(names) == 5
    assert run.parent_task_run_id is None


def test_flow_called_inside_of_a_task_is_a_subflow():
    @task
    def calling() -> int:
        return child(1)

    @flow
    def parent() -> int:
        return calling()

    state = parent(return_state=True)

    assert state.result() == 2
    assert flow_runs("child")[0].parent_task_run_id is not None
