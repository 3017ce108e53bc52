"""The drivers, which perform the effects of a run one after another and pass the outcome of each to the run."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from orionflow.context import FlowRunContext
from orionflow.engine.effects import Steps
from orionflow.engine.event_loops import running_loop, set_aside
from orionflow.engine.exits import ExitRaised, is_closed, throwable
from orionflow.engine.loops import block_on
from orionflow.engine.time_limits import within_limits_around

T = TypeVar("T")


def drive(steps: Steps[T]) -> T:
    """Perform a run's effects in this thread, blocking. A loop that runs here is blocked and hidden meanwhile."""
    loop = running_loop()
    if loop is None:
        return drive_in_sight(steps)
    with set_aside(loop):
        value: T = within_limits_around(lambda: drive_in_sight(steps))
        return value


def drive_in_sight(steps: Steps[T]) -> T:
    """Perform effects in this thread, blocking, without hiding the thread's event loop."""
    answer: Any = None
    errors: list[BaseException] = []
    while True:
        try:
            effect = steps.throw(errors.pop()) if errors else steps.send(answer)
            answer = effect.block()
        except BaseException as raised:
            if _has_ended(steps):
                # The run itself ended, with a value or an exception.
                if isinstance(raised, StopIteration):
                    # Not stored in a variable: the traceback of an exception that a task raised holds this frame.
                    return cast(T, raised.value)
                if isinstance(raised, ExitRaised):
                    raise raised.exit from None
                raise
            # Also an exception of a signal that came between two effects.
            errors.append(throwable(raised))


def drive_or_await(steps: Steps[T]) -> Any:
    """Perform steps at once; where an event loop runs, return a coroutine that performs them.

    So the same function works in plain code and in coroutines, inside and outside of flows.
    """
    return drive(steps) if running_loop() is None else drive_async(steps)


async def drive_async(steps: Steps[T]) -> T:
    """Perform a run's effects in this coroutine, awaiting."""
    answer: Any = None
    errors: list[BaseException] = []
    while True:
        try:
            effect = steps.throw(errors.pop()) if errors else steps.send(answer)
            answer = await effect.wait()
        except BaseException as raised:
            if _has_ended(steps):
                if isinstance(raised, StopIteration):
                    # Not stored in a variable: the traceback of an exception that a task raised holds this frame.
                    return cast(T, raised.value)
                if isinstance(raised, ExitRaised):
                    raise raised.exit from None
                raise
            if is_closed(raised):
                # No more can be awaited.
                steps.close()
                raise
            errors.append(throwable(raised))


def _has_ended(steps: Any) -> bool:
    """Whether the generator itself returned or raised, and not an effect that it waits for."""
    return steps.gi_frame is None


def drive_on_loop(steps: Steps[T], flow_run: FlowRunContext | None) -> T:
    """Perform a coroutine's effects on a loop of another thread, and wait here until they have ended."""
    return block_on(drive_async(steps), flow_run)
