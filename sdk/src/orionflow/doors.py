"""One call for plain code and for coroutines: where the code is awaited, it gets a coroutine."""

from __future__ import annotations

from typing import Any, TypeVar

from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.engine.drivers import drive, drive_async, running_loop
from orionflow.engine.effects import Steps

T = TypeVar("T")


def perform(steps: Steps[T]) -> Any:
    """What the steps come to; in coroutines, a coroutine that does."""
    return drive_async(steps) if _is_awaited() else drive(steps)


def _is_awaited() -> bool:
    loop = running_loop()
    if loop is None:
        return False
    # A sync flow or task may have been called in a thread that runs a loop.
    if (task_run := TaskRunContext.get()) is not None:
        return task_run.task.is_async
    flow_run = FlowRunContext.get()
    return flow_run is None or flow_run.loop is loop
