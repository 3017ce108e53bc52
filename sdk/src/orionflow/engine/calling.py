"""The doors of the engine: a call of a task or a flow, from sync or async code, becomes a driven run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.context import FlowRunContext
from orionflow.engine.calls import FlowCall, TaskCall
from orionflow.engine.drivers import drive, drive_async, drive_on_loop_thread
from orionflow.engine.effects import Steps
from orionflow.engine.flow_run import run_flow
from orionflow.engine.orders import checkpoint
from orionflow.engine.submission import submit
from orionflow.engine.task_run import run_task, start
from orionflow.errors import UsageError
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.tasks import Task

Sources = Mapping[str, list[dict[str, Any]]]


def call_task(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    return_state: bool,
) -> Any:
    """Run a task where it is called. An async one in an async flow gives a coroutine."""
    checkpoint(flow_run)
    call = _prepared(task, args, kwargs, flow_run, wait_for)
    start(call)
    steps = run_task(call)
    if task.is_async:
        return _driven_async(steps, flow_run.loop is not None, return_state, f"task {task.name}")
    state = drive(steps)
    return state if return_state else state.result()


def submit_task(
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    return_state: bool = False,
    sources: Sources | None = None,
) -> Any:
    """Hand a task to the flow's runner."""
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
    return TaskCall(task, args, kwargs, flow_run, waited_for(wait_for), sources)


def waited_for(wait_for: Iterable[Any] | None) -> list[Any] | None:
    """What to wait for as a list; one future alone is no list yet."""
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
    """Run a flow where it is called. An async one gives a coroutine, unless it is called by a sync flow."""
    _refuse_in_starting_child(flow)
    flow.signature.check(args, kwargs)
    call = FlowCall(flow, args, kwargs, waited_for(wait_for))
    steps = run_flow(call)
    if flow.is_async:
        may_await = call.parent is None or call.parent.loop is not None
        return _driven_async(steps, may_await, return_state, f"flow {flow.name}")
    state = drive(steps)
    return state if return_state else state.result()


def call_flow_for_run(flow: Flow[Any, Any], flow_run_id: UUID, parameters: dict[str, Any]) -> State[Any]:
    """Run the code of a flow for a run that exists already, and wait for its final state."""
    steps = run_flow(FlowCall(flow, (), parameters, flow_run_id=flow_run_id))
    return asyncio.run(drive_async(steps)) if flow.is_async else drive(steps)


def _refuse_in_starting_child(flow: Flow[Any, Any]) -> None:
    """Python runs the main script once more in each process that it starts; flows shall not run once more."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise UsageError(
            f"Flow {flow.name!r} was called while a child process of this script began; "
            'call it under `if __name__ == "__main__":`.'
        )


def _driven_async(steps: Steps[State[Any]], may_await: bool, return_state: bool, name: str) -> Any:
    if may_await:
        return _outcome(steps, return_state, name)
    state = drive_on_loop_thread(steps)
    return state if return_state else state.result()


def _outcome(steps: Steps[State[Any]], return_state: bool, name: str) -> Coroutine[Any, Any, Any]:
    async def outcome() -> Any:
        state = await drive_async(steps)
        return state if return_state else state.result()

    coroutine = outcome()
    # Python names it when it was never awaited.
    coroutine.__qualname__ = name  # type: ignore[attr-defined]
    return coroutine
