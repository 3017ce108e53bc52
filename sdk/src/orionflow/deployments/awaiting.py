"""One way to write what is called from plain code and awaited in coroutines."""

from __future__ import annotations

from typing import Any, TypeVar

from orionflow.engine.drivers import drive, drive_async
from orionflow.engine.effects import Steps
from orionflow.engine.event_loops import running_loop

T = TypeVar("T")


def block_or_await(steps: Steps[T]) -> Any:
    """Run the steps and return their result; where an event loop runs, return a coroutine that does."""
    return drive(steps) if running_loop() is None else drive_async(steps)
