"""Ends work that belongs to an ending run: its submitted tasks, coroutines that were not awaited, and nested runs."""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orionflow.engine.commands import CancelRequested, Stopped
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
    _wait_or_abandon(list(roots_in_threads), reason, GRACE_SECONDS, roots_in_threads)


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


def end_children(context: FlowRunContext, reason: Reason, grace: float = GRACE_SECONDS) -> list[str]:
    """End everything that is running in a flow run. Return the names of those that continue, as in a call into C.

    A run that continues is recorded as ended, and its later reports are dropped.
    """
    if context.stopped_by is None:
        context.stopped_by = (CancelRequested if reason.is_cancel else Stopped)(reason.message)
    _interrupt(context.open, reason)
    context.stop_task_runner(wait=False)
    left = _wait_or_abandon(context.still_open, reason, grace, context.open)
    while context.called:
        # An interrupt may come between the creation of a run and its first step, where the run cannot report its end.
        context.called.pop().abandon(reason)
    return left


def end_unawaited(context: FlowRunContext) -> list[str]:
    """End the coroutines that a flow called and did not await, once the flow itself has ended. Return their names."""
    left = context.still_open
    for one in left:
        if (nested := one.inner_context) is not None:
            _interrupt(nested.open, ENDED_BEFORE)
        if (hold := context.open.get(one)) is not None:
            hold.interrupt(ENDED_BEFORE)
    _wait_or_abandon(left, ENDED_BEFORE, GRACE_SECONDS, context.open)
    return [one.name for one in left]


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


def _wait_or_abandon(left: Sequence[Open], reason: Reason, grace: float, going_on: dict[Open, Hold]) -> list[str]:
    until = time.monotonic() + grace
    for one in [one for one in left if one not in going_on]:
        # It has not started, and will not.
        one.abandon(reason)
    # Polled, because the runs end in threads and on event loops that share nothing to wait on.
    while (left := [one for one in left if one in going_on]) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    for one in left:
        one.abandon(reason)
        going_on.pop(one, None)
    return [one.name for one in left]
