"""Ends work that belongs to an ending run: its submitted tasks, coroutines that were not awaited, and nested runs."""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orionflow.engine.commands import CancelRequested, Stopped
from orionflow.engine.effects import Do, Effect, Steps
from orionflow.engine.interruption import Hold, Reason
from orionflow.engine.loops import loops

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext, Open

# Seconds in which interrupted code may end by itself and report its end.
GRACE_SECONDS = 2.0
POLL_SECONDS = 0.005
ENDED_BEFORE = Reason("The flow run that it belongs to ended before it.", is_cancel=True)


# Flow runs in threads other than the main one that are not nested in another run.
roots_in_threads: dict[Open, Hold] = {}


def end_roots_in_threads(reason: Reason) -> None:
    """End the runs of other threads before a signal ends the process."""
    _interrupt(roots_in_threads, reason)
    left = list(roots_in_threads)
    Gone(left, roots_in_threads, GRACE_SECONDS).block()
    _abandon(left, roots_in_threads, reason)


def _end_at_exit() -> None:
    end_roots_in_threads(Reason("The program that it ran in ended."))
    # Not before: the coroutines of these runs are cancelled on them.
    loops().close()


# The interpreter stops daemon threads at any point when it exits. `atexit` calls the last registered function first, so
# this runs before the reporter, which was registered earlier, is closed.
atexit.register(_end_at_exit)

if hasattr(os, "register_at_fork"):
    # The threads stay with the parent, and a forked process that exits must not end their runs.
    os.register_at_fork(after_in_child=roots_in_threads.clear)


class Gone(Effect):
    """Wait until these calls are not open any more, or for some seconds.

    A coroutine must not wait for them in a thread: they need these threads to report their ends, and there are few.
    """

    __slots__ = ("calls", "open", "seconds")

    def __init__(self, calls: Sequence[Open], going_on: Mapping[Open, Hold], seconds: float) -> None:
        self.calls = calls
        self.open = going_on
        self.seconds = seconds

    def block(self) -> None:
        for pause in self._pauses():
            time.sleep(pause)

    async def wait(self) -> None:
        for pause in self._pauses():
            await asyncio.sleep(pause)

    def _pauses(self) -> Iterator[float]:
        # Polled, because the runs end in threads and on event loops that share nothing to wait on.
        until = time.monotonic() + self.seconds
        while any(one in self.open for one in self.calls) and time.monotonic() < until:
            yield POLL_SECONDS


def end_children(context: FlowRunContext, reason: Reason, grace: float = GRACE_SECONDS) -> Steps[list[str]]:
    """End everything that is running in a flow run. Return the names of those that continue, as in a call into C.

    A run that continues is recorded as ended, and its later reports are dropped. `grace` is in seconds.
    """
    left = yield Do(_interrupt_children, context, reason)
    if left:
        yield Gone(left, context.open, grace)
    if left or context.called:
        left = yield Do(_abandon_children, context, left, reason)
    return [one.name for one in left]


def abandon_children(context: FlowRunContext, reason: Reason) -> None:
    """End everything that is running in a flow run, and wait for nothing."""
    _abandon_children(context, _interrupt_children(context, reason), reason)


def end_unawaited(context: FlowRunContext) -> Steps[list[str]]:
    """End the coroutines that a flow called and did not await, once the flow itself has ended. Return their names."""
    unawaited = context.still_open
    started = yield Do(_interrupt_unawaited, context, unawaited)
    yield Gone(started, context.open, GRACE_SECONDS)
    yield Do(_abandon, started, context.open, ENDED_BEFORE)
    return [one.name for one in unawaited]


def _interrupt_children(context: FlowRunContext, reason: Reason) -> list[Open]:
    if context.stopped_by is None:
        context.stopped_by = (CancelRequested if reason.is_cancel else Stopped)(reason.message)
    _interrupt(context.open, reason)
    context.stop_task_runner(wait=False)
    return _started(context.still_open, context, reason)


def _abandon_children(context: FlowRunContext, left: Sequence[Open], reason: Reason) -> list[Open]:
    continuing = _abandon(left, context.open, reason)
    while context.called:
        # An interrupt may come between the creation of a run and its first step, where the run cannot report its end.
        context.called.pop().abandon(reason)
    return continuing


def _interrupt_unawaited(context: FlowRunContext, unawaited: Sequence[Open]) -> list[Open]:
    for one in unawaited:
        if (nested := one.inner_context) is not None:
            _interrupt(nested.open, ENDED_BEFORE)
        if (hold := context.open.get(one)) is not None:
            hold.interrupt(ENDED_BEFORE)
    return _started(unawaited, context, ENDED_BEFORE)


def _started(calls: Sequence[Open], context: FlowRunContext, reason: Reason) -> list[Open]:
    """Return the calls that have started, and record the end of the others, which will not start any more."""
    started: list[Open] = []
    others: list[Open] = []
    for one in calls:
        (started if one in context.open else others).append(one)
    for one in others:
        one.abandon(reason)
    return started


def _abandon(calls: Sequence[Open], going_on: dict[Open, Hold], reason: Reason) -> list[Open]:
    """Record the end of the calls that continue although they were interrupted. Return these."""
    continuing = [one for one in calls if one in going_on]
    for one in continuing:
        one.abandon(reason)
        going_on.pop(one, None)
    return continuing


def refuse_late(context: FlowRunContext) -> None:
    """Cancel a coroutine that a flow called and that starts only after the flow has ended."""
    if context.is_over:
        raise asyncio.CancelledError(ENDED_BEFORE)


def _interrupt(going_on: dict[Open, Hold], reason: Reason) -> None:
    # Interrupt the innermost runs first: the exception that they raise ends the run around them.
    for one, hold in list(going_on.items()):
        if (nested := one.inner_context) is not None:
            nested.stopped_by = nested.stopped_by or (CancelRequested if reason.is_cancel else Stopped)(reason.message)
            _interrupt(nested.open, reason)
        hold.interrupt(reason)
