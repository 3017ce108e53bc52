"""Calls about flow runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import contract, wire
from orionflow.calls import Call, Collection, body, names, present, selection
from orionflow.contract.ids import uuid7
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.contract.comparisons import Comparison, InCommon
    from orionflow.contract.explanations import Graph, HistoryBucket
    from orionflow.contract.limits import ReleasedRun
    from orionflow.contract.records import FlowRunInput
    from orionflow.contract.time_spent import FleetTime, TimeSpent
    from orionflow.wire import Dependency, FlowRun, OrchestrationResult, Why

FLOW_RUNS: Collection[FlowRun] = Collection("/flow_runs", lambda: wire.FlowRun)


def create_flow_run(
    flow_id: UUID,
    *,
    id: UUID | None = None,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    state: State[Any] | None = None,
    tags: Sequence[str] = (),
    flow_version: str | None = None,
    context: Mapping[str, Any] | None = None,
    empirical_policy: Mapping[str, Any] | None = None,
    parent_task_run_id: UUID | None = None,
    idempotency_key: str | None = None,
    deployment_id: UUID | None = None,
    process: str | None = None,
    environment_id: UUID | None = None,
) -> Call[FlowRun]:
    """Create a flow run, or read the one with this idempotency key. By default the call creates a key to be repeatable.

    `process` identifies the caller's process, if the caller executes the run itself (`orionflow.processes`).
    """
    body = present(
        id=id,
        flow_id=flow_id,
        name=name,
        parameters=parameters or {},
        state=state,
        tags=list(tags),
        flow_version=flow_version,
        context=context,
        empirical_policy=empirical_policy,
        parent_task_run_id=parent_task_run_id,
        idempotency_key=idempotency_key or str(uuid7()),
        deployment_id=deployment_id,
        process=process,
        environment_id=environment_id,
    )
    return FLOW_RUNS.create(body)


def read_flow_run(flow_run_id: UUID) -> Call[FlowRun]:
    """Read one flow run by its id."""
    return FLOW_RUNS.read(flow_run_id)


def update_flow_run(
    flow_run_id: UUID,
    *,
    name: str | None = None,
    flow_version: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    empirical_policy: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    infrastructure_pid: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
    environment_id: UUID | None = None,
    process: str | None = None,
) -> Call[None]:
    """Change the named fields of a flow run; only `set_flow_run_state` changes its state."""
    body = present(
        name=name,
        flow_version=flow_version,
        parameters=parameters,
        empirical_policy=empirical_policy,
        tags=names(tags),
        infrastructure_pid=infrastructure_pid,
        job_variables=job_variables,
        environment_id=environment_id,
        process=process,
    )
    return FLOW_RUNS.update(flow_run_id, body)


def delete_flow_run(flow_run_id: UUID) -> Call[None]:
    """Delete a flow run with its task runs and states."""
    return FLOW_RUNS.delete(flow_run_id)


def set_flow_run_state(
    flow_run_id: UUID, state: State[Any], *, force: bool = False, epoch: int | None = None
) -> Call[OrchestrationResult]:
    """Propose a state for a flow run and return the rules' verdict; the state's id makes the proposal repeatable."""
    return propose_state(FLOW_RUNS, flow_run_id, state, force=force, epoch=epoch)


def propose_state(
    runs: Collection[Any], run_id: UUID | str, state: State[Any] | Mapping[str, Any], *, force: bool,
    epoch: int | None = None,
) -> Call[OrchestrationResult]:  # fmt: skip
    """Propose a state for a run of either kind; a state in the form of a mapping gets a new id."""
    known_id = state.id if isinstance(state, State) else None
    sent = body(contract.runs.SetState, state=state, force=force)
    headers = {"Orion-Proposal-Id": str(known_id or uuid7())}
    if epoch is not None:
        headers["Orion-Run-Epoch"] = str(epoch)
    return Call("POST", f"{runs.one(run_id)}/set_state", sent, read=_result, headers=headers)


def resume_flow_run(
    flow_run_id: UUID | str, *, run_input: Mapping[str, Any] | None = None
) -> Call[OrchestrationResult]:
    """Let a paused flow run continue, with the input that it waits for."""
    sent = body(contract.runs.Resume, run_input=run_input)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/resume", sent, read=_result)


def cancel_flow_run(
    flow_run_id: UUID | str, *, message: str | None = None, detach: bool = False
) -> Call[OrchestrationResult]:
    """Cancel a flow run; with `detach`, nested runs of deployments continue as independent runs."""
    sent = body(contract.runs.Cancellation, message=message, detach=detach)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/cancel", sent, read=_result)


def release_flow_run(flow_run_id: UUID | str, *, message: str | None = None) -> Call[ReleasedRun]:
    """End the attempt of a flow run whose process has died, which frees its slots."""
    sent = body(contract.limits.ForcedRelease, message=message)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/release", sent, read=lambda: contract.limits.ReleasedRun)


def _result() -> Any:
    return wire.OrchestrationResult


def read_flow_runs(
    *, sort: str | None = None, limit: int | None = None, offset: int = 0, **criteria: Any
) -> Call[list[FlowRun]]:
    """List the flow runs that match the criteria (`flows=`, `flow_runs=`, `task_runs=`, `deployments=`)."""
    body = selection(sort=sort, limit=limit, offset=offset, **criteria)
    return FLOW_RUNS.find(body)


def count_flow_runs(**criteria: Any) -> Call[int]:
    """Count the flow runs that match the criteria."""
    return FLOW_RUNS.count(selection(**criteria))


def read_flow_run_history(
    *, start: datetime, end: datetime, interval: timedelta, **criteria: Any
) -> Call[list[HistoryBucket]]:
    """Read counts of flow runs by state, for each interval between two moments."""
    return read_history(FLOW_RUNS, start, end, interval, criteria)


def read_history(
    runs: Collection[Any], start: datetime, end: datetime, interval: timedelta, criteria: Mapping[str, Any]
) -> Call[list[HistoryBucket]]:
    window = body(
        contract.explanations.HistoryWindow,
        history_start=start,
        history_end=end,
        history_interval_seconds=interval.total_seconds(),
    )
    sent = {**window, **selection(**criteria)}
    return Call("POST", f"{runs.path}/history", sent, read=list[contract.explanations.HistoryBucket])


def read_flow_run_states(flow_run_id: UUID) -> Call[list[State[Any]]]:
    """Read the states of a flow run, oldest first."""
    return read_states("flow_run", flow_run_id)


def read_states(kind: str, run_id: UUID) -> Call[list[State[Any]]]:
    return Call("GET", f"/{kind}_states/", params={f"{kind}_id": run_id}, read=wire.StateList)


def explain_flow_run(flow_run_id: UUID | str) -> Call[Why]:
    """Explain why a flow run is in its state, and what would make it move."""
    return explain(FLOW_RUNS, flow_run_id)


def explain(runs: Collection[Any], run_id: UUID | str) -> Call[Why]:
    return Call("GET", f"{runs.one(run_id)}/why", read=lambda: wire.Why)


def diff_flow_runs(flow_run_id: UUID | str, *, base: UUID | str | None = None) -> Call[Comparison]:
    """Compare a flow run with an earlier one: `base`, or the last good run of its deployment or flow."""
    params = None if base is None else {"base": str(base)}
    return Call(
        "GET", f"{FLOW_RUNS.one(flow_run_id)}/diff", params=params, read=lambda: contract.comparisons.Comparison
    )


def find_what_is_common(**criteria: Any) -> Call[InCommon]:
    """Find what the flow runs that match the criteria have in common, unlike the other runs of their flows."""
    return Call(
        "POST", f"{FLOW_RUNS.path}/in_common", selection(**criteria), read=lambda: contract.comparisons.InCommon
    )


def read_time_of_flow_run(flow_run_id: UUID | str) -> Call[TimeSpent]:
    """Read how a flow run spent its time since it was due."""
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/time", read=lambda: contract.time_spent.TimeSpent)


def read_time_of_flow_runs(*, hours: float = 24) -> Call[FleetTime]:
    """Read how all finished flow runs of the last hours spent their time."""
    return Call("GET", f"{FLOW_RUNS.path}/time", params={"hours": hours}, read=lambda: contract.time_spent.FleetTime)


def read_flow_run_dependencies(flow_run_id: UUID) -> Call[list[Dependency]]:
    """Read the task runs of a flow run, with the task runs that their inputs came from."""
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/graph", read=list[wire.Dependency])


def read_flow_run_graph(flow_run_id: UUID, *, since: datetime | None = None) -> Call[Graph]:
    """Read the graph of a flow run: nodes with their edges, in order of time."""
    params = None if since is None else {"since": since.isoformat()}
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/graph-v2", params=params, read=contract.explanations.Graph)


def create_flow_run_input(flow_run_id: UUID, key: str, value: str, *, sender: str | None = None) -> Call[None]:
    """Send a value to a flow run from outside."""
    sent = body(contract.records.NewInput, key=key, value=value, sender=sender)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/input", sent, idempotent=False)


def read_flow_run_input(flow_run_id: UUID, key: str) -> Call[bytes]:
    """Read the value under one key, in its original bytes."""
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/input/{quote(key, safe='')}", read=bytes)


def read_flow_run_inputs(
    flow_run_id: UUID, prefix: str, *, limit: int = 1, exclude_keys: Sequence[str] = ()
) -> Call[list[FlowRunInput]]:
    """Read values under keys that start with a prefix."""
    sent = body(contract.records.InputQuestion, prefix=prefix, limit=limit, exclude_keys=list(exclude_keys))
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/input/filter", sent, read=list[contract.records.FlowRunInput])


def delete_flow_run_input(flow_run_id: UUID, key: str) -> Call[None]:
    """Delete the value under one key."""
    return Call("DELETE", f"{FLOW_RUNS.one(flow_run_id)}/input/{quote(key, safe='')}")


def export_flow_run(flow_run_id: UUID | str) -> Call[bytes]:
    """Export a flow run as one HTML file that needs no server."""
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/export", read=bytes)
