"""One call for plain code and for coroutines, inside of flows and outside: awaited or not, with the client at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from orionflow.client import OrionClient
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


@contextmanager
def client_here() -> Iterator[OrionClient]:
    """The client of the flow run that this code belongs to; one for this block where there is none."""
    context = FlowRunContext.get()
    if context is not None:
        yield context.client
        return
    client = OrionClient()
    try:
        yield client
    finally:
        client.close()
