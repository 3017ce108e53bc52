"""Runs of deployments that programs start: in another process, now or later, with or without waiting."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow import tracing
from orionflow.caching import hash_of
from orionflow.calls import Call
from orionflow.calls.deployments import create_flow_run_from_deployment, read_deployment, read_deployment_by_name
from orionflow.calls.flow_runs import read_flow_run, set_flow_run_state
from orionflow.client import OrionClient
from orionflow.clock import current_clock
from orionflow.context import FlowRunContext, current_tags
from orionflow.contract.deployments import Deployment
from orionflow.contract.ids import uuid7
from orionflow.engine.commands import checkpoint, read_commands
from orionflow.engine.crashes import reason_of
from orionflow.engine.creation import Create
from orionflow.engine.drivers import drive_or_await
from orionflow.engine.effects import Sleep, Steps, WaitFor, send, surely
from orionflow.engine.inputs import Found, resolved
from orionflow.engine.placeholders import Subflow, completed_before, ending_placeholder, placeholder_for, recorded_for
from orionflow.engine.signals import ending
from orionflow.errors import ApiError, NotFound, UnserializableError, UsageError
from orionflow.logging import flow_run_logger
from orionflow.options.checks import checked_tags
from orionflow.options.parameters import as_json
from orionflow.reporting.items import Answer
from orionflow.states import Cancelling, Scheduled, State
from orionflow.wire import FlowRun

# Seconds that a cancelled flow run waits for the end of a run elsewhere that is cancelled with it.
CHILD_SECONDS = 4.0
CHILD_POLL_SECONDS = 0.1


def run_deployment(
    name: str | UUID,
    *,
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    timeout: float | None = None,
    poll_interval: float = 2,
    idempotency_key: str | None = None,
    tags: Iterable[str] | None = None,
    flow_run_name: str | None = None,
    work_queue_name: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
    as_subflow: bool = True,
) -> FlowRun:
    """Start a run of a deployment and return the flow run. In coroutines, await it.

    - `name`: `"flow/deployment"`, or its id.
    - `parameters`: arguments of the run, over the defaults of the deployment.
    - `scheduled_time`: when it starts, with a time zone (default: now).
    - `timeout`: how many seconds to wait until it has ended. By default there is no limit; 0 does not wait.
    - `poll_interval`: how often to ask for its state, in seconds (default: 2).
    - `idempotency_key`: a text; a second request with the same key returns the first run.
    - `tags`, `flow_run_name`: tags in addition to those of the deployment, and the name of the run.
    - `work_queue_name`, `job_variables`: in place of those of the deployment.
    - `as_subflow`: in a flow, the run is represented by a task run and cancelled with the flow run (default: `True`).

    The returned run is the last known one; its `state` says how it ended.

    Raises `UsageError` for a time without a zone, `ParameterError` for parameters that JSON cannot express, `NotFound`
    if there is no such deployment, and `InvalidRequest` if the parameters do not fit its schema.
    """
    if scheduled_time is not None and scheduled_time.tzinfo is None:
        raise UsageError(f"scheduled_time={scheduled_time} has no time zone; write datetime(…, tzinfo=UTC).")
    wanted = _Wanted(
        name=name,
        parameters=dict(parameters or {}),
        state=Scheduled(scheduled_time=scheduled_time or current_clock().now()),
        idempotency_key=idempotency_key,
        tags=sorted(checked_tags(tags) | current_tags()),
        options={"name": flow_run_name, "work_queue_name": work_queue_name, "job_variables": job_variables},
        timeout=timeout,
        poll_interval=poll_interval,
    )
    parent = FlowRunContext.known() if as_subflow else None
    run: FlowRun = drive_or_await(_within(wanted, parent) if parent else _alone(wanted))
    return run


@dataclass(slots=True, kw_only=True)
class _Wanted:
    """The arguments of one call. Futures among the parameters are replaced by their values."""

    name: str | UUID
    parameters: dict[str, Any]
    state: State[Any]
    idempotency_key: str | None
    tags: list[str]
    options: dict[str, Any]
    timeout: float | None
    poll_interval: float

    def digest(self) -> str | None:
        """Return the digest of the run's inputs, by which the calling flow run's next attempt finds this run."""
        try:
            return hash_of(self.parameters, self.idempotency_key, self.options["job_variables"])
        except UnserializableError:
            # A run cannot be created from such parameters either, and its creation reports the error.
            return None

    def as_call(self, deployment: Deployment, parent_task_run_id: UUID | None, key: str | None) -> Call[FlowRun]:
        return create_flow_run_from_deployment(
            deployment.id,
            state=self.state,
            parameters=as_json(self.parameters),
            tags=self.tags,
            idempotency_key=self.idempotency_key or key,
            parent_task_run_id=parent_task_run_id,
            context=tracing.carried(),
            **self.options,
        )


def _alone(wanted: _Wanted) -> Steps[FlowRun]:
    client = OrionClient()
    try:
        wanted.parameters = resolved(wanted.parameters)
        deployment = yield from _found(client, wanted.name)
        run = yield send(client, wanted.as_call(deployment, None, None))
        return (yield from _waited_for(wanted, client, run, None))
    finally:
        client.close()


def _within(wanted: _Wanted, parent: FlowRunContext) -> Steps[FlowRun]:
    checkpoint(parent)
    found = yield from _take_inputs(wanted, parent)
    client = parent.client
    deployment = yield from _found(client, wanted.name)
    key = f"deployment-{deployment.name}-{str(deployment.id)[:8]}"
    answer: Answer
    subflow = Subflow(key, deployment.name, deployment.version, found.sources, wanted.digest())
    with ending_placeholder(parent, subflow):
        answer, task_run_id = yield from placeholder_for(parent, subflow)
        found_before = yield from recorded_for(parent, subflow, answer)
        before = completed_before(parent, answer) if found_before is None else found_before
        if isinstance(before, State) and before.state_details.child_flow_run_id is not None:
            done: FlowRun = yield send(client, read_flow_run(before.state_details.child_flow_run_id))
            return done
        # Repeated requests of one attempt of the parent mean the same run; the next attempt starts another.
        call = wanted.as_call(deployment, task_run_id, f"{task_run_id}-{parent.flow_run.run_count}")
        run = yield Create(subflow.created, client.send, call)
    return (yield from _waited_for(wanted, client, run, parent))


def _take_inputs(wanted: _Wanted, parent: FlowRunContext) -> Steps[Found]:
    found = Found(parent.lineage)
    for name, value in wanted.parameters.items():
        found.look_through(name, value)
    if found.pending:
        yield WaitFor(found.pending)
    wanted.parameters = resolved(wanted.parameters)
    return found


def _waited_for(wanted: _Wanted, client: OrionClient, run: FlowRun, parent: FlowRunContext | None) -> Steps[FlowRun]:
    clock = current_clock()
    until = None if wanted.timeout is None else clock.monotonic() + wanted.timeout
    try:
        while not (run.state is not None and run.state.is_final()):
            left = None if until is None else until - clock.monotonic()
            if left is not None and left <= 0:
                break
            yield Sleep(wanted.poll_interval if left is None else min(wanted.poll_interval, left))
            if parent is not None:
                # Nothing is reported meanwhile whose answer could carry commands.
                yield from read_commands(parent)
            run = yield send(client, read_flow_run(run.id))
    except BaseException as error:
        if parent is not None and reason_of(error).is_cancel:
            yield from surely(_cancelled_with_parent(client, run.id, parent))
        raise
    return run


def _cancelled_with_parent(client: OrionClient, run_id: UUID, parent: FlowRunContext) -> Steps[None]:
    """Cancel the run too, and wait for its end unless that takes long: it may continue in another process."""
    state: State[Any] = Cancelling(message="The flow run that it belongs to was cancelled.", id=uuid7())
    until = time.monotonic() + CHILD_SECONDS
    with ending():
        try:
            yield send(client, set_flow_run_state(run_id, state))
            while time.monotonic() < until:
                run = yield send(client, read_flow_run(run_id))
                if run.state is None or run.state.is_final():
                    return
                yield Sleep(CHILD_POLL_SECONDS)
        except ApiError as error:
            flow_run_logger(parent).warning("The run %s could not be cancelled with this one: %s", run_id, error)


def _found(client: OrionClient, name: str | UUID) -> Steps[Deployment]:
    try:
        deployment: Deployment = yield send(client, _reading(name))
    except NotFound as error:
        raise NotFound(
            f"There is no deployment {str(name)!r}; `orion deployment ls` lists those that you may see.",
            status=error.status,
            detail=error.detail,
        ) from None
    return deployment


def _reading(name: str | UUID) -> Call[Deployment]:
    if isinstance(name, UUID):
        return read_deployment(name)
    if "/" in name:
        return read_deployment_by_name(name)
    try:
        return read_deployment(UUID(name))
    except ValueError:
        raise UsageError(f"{name!r} names no deployment; write 'flow/deployment' or its id.") from None
