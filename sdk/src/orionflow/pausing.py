"""Pausing flow runs until somebody resumes them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from orionflow.calls.flow_runs import resume_flow_run as resume
from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.client import OrionClient
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.engine.drivers import drive, drive_async, running_loop
from orionflow.engine.effects import Do, Sleep, Steps, WaitFor, send
from orionflow.engine.final_state import futures_in
from orionflow.engine.orders import wait_until_resumed
from orionflow.errors import MissingContext, OrchestrationRefused
from orionflow.ids import uuid7
from orionflow.logging import flow_run_logger
from orionflow.states import Paused, State


def pause_flow_run(
    timeout: float | None = 3600, poll_interval: float = 10, key: str | None = None, wait_for: Any = None
) -> Any:
    """Pause the flow run that this code belongs to, until it is resumed on its page, by `orion` or by a program.

    The process stays and asks every `poll_interval` seconds. Task runs that were submitted end first. When nobody
    resumes it within `timeout` seconds, the flow run fails. In async flows: `await pause_flow_run()`.
    """
    context = FlowRunContext.get()
    if context is None:
        raise MissingContext(
            "There is no flow run to pause here; call pause_flow_run() in a function decorated with @flow."
        )
    if TaskRunContext.get() is not None:
        raise MissingContext("A task cannot pause its flow run; call pause_flow_run() in the flow itself.")
    steps = _paused(context, timeout, poll_interval, key, wait_for)
    if context.loop is not None and running_loop() is context.loop:
        return drive_async(steps)
    drive(steps)
    return None


def _paused(
    context: FlowRunContext, timeout: float | None, poll_interval: float, key: str | None, wait_for: Any
) -> Steps[None]:
    futures = [*context.unfinished, *futures_in(wait_for)]
    if futures:
        yield WaitFor(futures)
    yield Do(context.reporter.drain, context.id)
    state = Paused(timeout_seconds=timeout, pause_key=key or context.next_pause_key(), id=uuid7())
    result = yield send(context.client, set_flow_run_state(context.id, state))
    if result.status != "ACCEPT":
        # The run was paused under this key before, in an earlier attempt: it goes on.
        if result.status == "REJECT" and result.state is not None and result.state.is_running():
            return
        raise OrchestrationRefused(f"The flow run cannot be paused: {result.reason}.")
    _tell(context, timeout)
    yield Sleep(min(poll_interval, timeout) if timeout else poll_interval)
    yield from wait_until_resumed(context, poll_interval)


def _tell(context: FlowRunContext, timeout: float | None) -> None:
    until = f" within {timeout:g} s" if timeout else ""
    flow_run_logger(context).info(
        "Paused; resume it%s, as with `orion flow-run resume %s`.", until, context.flow_run.name
    )


def resume_flow_run(flow_run_id: UUID | str, run_input: dict[str, Any] | None = None) -> Any:
    """Let a paused flow run go on; returns its state. Raises OrchestrationRefused when it is not paused.

    In coroutines: `await resume_flow_run(id)`.
    """
    if running_loop() is not None:
        return _resume_async(UUID(str(flow_run_id)), run_input)
    return _resume(UUID(str(flow_run_id)), run_input)


def _resume(flow_run_id: UUID, run_input: dict[str, Any] | None) -> State[Any] | None:
    with OrionClient() as client:
        result = client.send(resume(flow_run_id, run_input=run_input))
    if result.status != "ACCEPT":
        raise OrchestrationRefused(f"Flow run {flow_run_id} cannot be resumed: {result.reason or 'it is not paused'}.")
    return result.state


def _resume_async(flow_run_id: UUID, run_input: dict[str, Any] | None) -> Coroutine[Any, Any, State[Any] | None]:
    return asyncio.to_thread(_resume, flow_run_id, run_input)
