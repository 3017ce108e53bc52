"""Invocation of tasks and flows: a call from sync or async code becomes a run that a driver takes to its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.context import FlowRunContext
from orionflow.engine.children import refuse_late
from orionflow.engine.commands import checkpoint
from orionflow.engine.drivers import drive, drive_async, drive_on_loop
from orionflow.engine.event_loops import running_loop
from orionflow.engine.flow_run import run_flow
from orionflow.engine.interruption import Hold, Interrupted
from orionflow.engine.run_calls import FlowCall, TaskCall
from orionflow.engine.signals import follow_in_child
from orionflow.engine.submission import submit
from orionflow.engine.task_creation import create_at_call
from orionflow.engine.task_run import run_task
from orionflow.errors import UsageError
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.tasks import Task
    from orionflow.wire import FlowRun

Sources = Mapping[str, list[dict[str, Any]]]


def call_task(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    return_state: bool,
) -> Any:
    """Run a task where it is called. A call of an async task in an async flow returns a coroutine."""
    checkpoint(flow_run)
    call = _prepared(task, args, kwargs, flow_run, wait_for)
    if task.is_async and _is_awaited(flow_run):
        # Its record starts when it is awaited, so that a coroutine that is never awaited leaves none.
        return _named(_run_task_awaited(call, return_state), f"task {task.name}")
    flow_run.called.add(call)
    create_at_call(call)
    steps = run_task(call)
    if task.is_async:
        return drive_on_loop(steps, flow_run) if return_state else drive_on_loop(steps, flow_run).result()
    return drive(steps) if return_state else drive(steps).result()


def submit_task(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    return_state: bool = False,
    sources: Sources | None = None,
) -> Any:
    """Submit a task to the flow's runner."""
    checkpoint(flow_run)
    future = submit(_prepared(task, args, kwargs, flow_run, wait_for, sources))
    return future.wait() if return_state else future


def _prepared(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    sources: Sources | None = None,
) -> TaskCall:
    task.signature.check(args, kwargs)
    if flow_run.is_in_child:
        follow_in_child()
    return TaskCall(task, args, kwargs, flow_run, waited_for(wait_for), sources)


def waited_for(wait_for: Iterable[Any] | None) -> list[Any] | None:
    """Return the objects that a call waits for as a list; a single future may be passed alone."""
    if wait_for is None:
        return None
    return list(wait_for) if isinstance(wait_for, Iterable) else [wait_for]


def call_flow(
    flow: Flow[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Iterable[Any] | None,
    return_state: bool,
) -> Any:
    """Run a flow where it is called. A call of an async flow returns a coroutine, unless a sync flow makes it."""
    _refuse_in_starting_child(flow)
    flow.signature.check(args, kwargs)
    call = FlowCall(flow, args, kwargs, waited_for(wait_for))
    if call.parent is not None and call.parent.is_in_child:
        follow_in_child()
    if flow.is_async and (call.parent is None or _is_awaited(call.parent)):
        return _named(_flow_outcome(call, return_state), f"flow {flow.name}")
    steps = run_flow(call)
    if flow.is_async:
        return drive_on_loop(steps, call.parent) if return_state else drive_on_loop(steps, call.parent).result()
    return drive(steps) if return_state else drive(steps).result()


def _is_awaited(flow_run: FlowRunContext) -> bool:
    """Whether a coroutine called here will be awaited: in async flows, and if a loop runs in this thread."""
    return flow_run.flow.is_async or running_loop() is not None


def call_flow_for_run(
    flow: Flow[Any, Any], flow_run_id: UUID, parameters: dict[str, Any], known: FlowRun | None = None
) -> State[Any]:
    """Run the code of a flow for an existing run, and return its final state. `known` is the run, if already read."""
    call = FlowCall(flow, (), parameters, flow_run_id=flow_run_id)
    call.existing = known
    steps = run_flow(call)
    return asyncio.run(drive_async(steps)) if flow.is_async else drive(steps)


def _refuse_in_starting_child(flow: Flow[Any, Any]) -> None:
    """Raise UsageError in a child process that Python starts by running the main script again, with its flows."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise UsageError(
            f"Flow {flow.name!r} was called while a child process of this script began; "
            'call it under `if __name__ == "__main__":`.'
        )


async def _run_task_awaited(call: TaskCall, return_state: bool) -> Any:
    flow_run = call.flow_run
    refuse_late(flow_run)
    flow_run.called.add(call)
    create_at_call(call)
    flow_run.open[call] = Hold(asyncio.current_task())
    steps = drive_async(run_task(call))
    try:
        # Not stored in a variable: the traceback of an exception of the task holds this frame, and that would hold the
        # state.
        return (await steps) if return_state else (await steps).result()
    finally:
        flow_run.open.pop(call, None)


async def _flow_outcome(call: FlowCall, return_state: bool) -> Any:
    steps = _flow_state(call)
    return (await steps) if return_state else (await steps).result()


async def _flow_state(call: FlowCall) -> State[Any]:
    try:
        return await drive_async(run_flow(call))
    except Interrupted as error:
        if not call.is_outermost:
            raise
        # Sync code in it was interrupted. The program around it gets a cancelled coroutine, as asyncio expects.
        raise asyncio.CancelledError(error.reason) from error


def _named(coroutine: Coroutine[Any, Any, Any], name: str) -> Coroutine[Any, Any, Any]:
    # The name is shown in Python's warning about a coroutine that was never awaited.
    coroutine.__qualname__ = name  # type: ignore[attr-defined]
    return coroutine
