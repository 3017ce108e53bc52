"""Queries and assertions about recorded runs, answered by the API; runs are named by a state, a run or an id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orionflow.client import OrionClient
from orionflow.contract.logs import Log
from orionflow.states import State, StateType
from orionflow.wire import FlowRun, Run, TaskRun

AnyRun = State[Any] | Run | UUID | str


def flow_runs(name: str | None = None) -> list[FlowRun]:
    """Return all flow runs, in the order of their expected start times (at most 200).

    - `name`: only runs of the flow with this name.
    """
    flows = {"name": {"any_": [name]}} if name else None
    with OrionClient() as client:
        return client.read_flow_runs(flows=flows, sort="EXPECTED_START_TIME_ASC", limit=200)


def flow_run_of(run: AnyRun) -> FlowRun:
    """Return the flow run as it is recorded.

    - `run`: the run, its id, or a state of it.
    """
    with OrionClient() as client:
        return client.read_flow_run(_flow_run_id(run))


def task_runs_of(run: AnyRun) -> list[TaskRun]:
    """Return the task runs of a flow run, in the order of their creation (at most 200).

    - `run`: the run, its id, or a state of it.
    """
    with OrionClient() as client:
        found = client.read_task_runs(flow_runs={"id": {"any_": [str(_flow_run_id(run))]}}, limit=200)
    return sorted(found, key=lambda one: one.id)


def states_of(run: AnyRun) -> list[str]:
    """Return the names of the states that a run went through, oldest first.

    - `run`: the run, its id, or a state of it.
    """
    with OrionClient() as client:
        if isinstance(run, TaskRun):
            states = client.read_task_run_states(run.id)
        elif isinstance(run, State) and run.state_details.flow_run_id is None and run.state_details.task_run_id:
            states = client.read_task_run_states(run.state_details.task_run_id)
        else:
            states = client.read_flow_run_states(_flow_run_id(run))
    return [state.name for state in states]


def logs_of(run: AnyRun) -> list[Log]:
    """Return the log lines of a flow run with its task runs, oldest first (at most 200).

    - `run`: the run, its id, or a state of it.
    """
    from orionflow.reporting import get_reporter

    get_reporter().drain()
    with OrionClient() as client:
        return client.read_logs(
            logs={"flow_run_id": {"any_": [str(_flow_run_id(run))]}}, sort="TIMESTAMP_ASC", limit=200
        )


def assert_completed(run: AnyRun) -> None:
    """Assert that the flow run is recorded as COMPLETED.

    - `run`: the run, its id, or a state of it.

    Raises `AssertionError` if it is not.
    """
    _assert_type(run, StateType.COMPLETED)


def assert_failed(run: AnyRun, message: str = "") -> None:
    """Assert that the flow run is recorded as FAILED.

    - `run`: the run, its id, or a state of it.
    - `message`: a text that must be in its message.

    Raises `AssertionError` if it is not.
    """
    _assert_type(run, StateType.FAILED, message)


def assert_crashed(run: AnyRun, message: str = "") -> None:
    """Assert that the flow run is recorded as CRASHED.

    - `run`: the run, its id, or a state of it.
    - `message`: a text that must be in its message.

    Raises `AssertionError` if it is not.
    """
    _assert_type(run, StateType.CRASHED, message)


def assert_cancelled(run: AnyRun) -> None:
    """Assert that the flow run is recorded as CANCELLED.

    - `run`: the run, its id, or a state of it.

    Raises `AssertionError` if it is not.
    """
    _assert_type(run, StateType.CANCELLED)


def _assert_type(run: AnyRun, expected: StateType, message: str = "") -> None:
    recorded = flow_run_of(run)
    problem = f"Flow run {recorded.name!r} is recorded as {recorded.state!r}, not as {expected.value}."
    assert recorded.state_type is expected, problem
    recorded_message = (recorded.state.message if recorded.state else None) or ""
    assert message in recorded_message, f"Flow run {recorded.name!r} says {recorded_message!r}, not {message!r}."


def _flow_run_id(run: AnyRun) -> UUID:
    if isinstance(run, State):
        found = run.state_details.flow_run_id
        assert found is not None, f"{run!r} is not the state of a flow run; call the flow with return_state=True."
        return found
    if isinstance(run, TaskRun):
        assert run.flow_run_id is not None
        return run.flow_run_id
    return run.id if isinstance(run, Run) else UUID(str(run))
