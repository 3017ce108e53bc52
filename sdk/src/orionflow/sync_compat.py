"""One call for plain code and for coroutines, inside of flows and outside: awaited or not, with the client at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from orionflow.client import OrionClient
from orionflow.context import FlowRunContext
from orionflow.engine.drivers import drive, drive_async
from orionflow.engine.effects import Steps
from orionflow.engine.event_loops import running_loop

T = TypeVar("T")


def perform(steps: Steps[T]) -> Any:
    """Run the steps and return their result; in coroutines, return a coroutine that does."""
    return drive(steps) if running_loop() is None else drive_async(steps)


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
