"""End what belongs to a run that ends: its submitted tasks, coroutines that nobody awaits, and nested runs."""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orionflow.engine.commands import CancelRequested, Stopped
from orionflow.engine.interruption import Hold, Reason

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext, Open

# How long interrupted code may take to end by itself, with its records.
GRACE_SECONDS = 2.0
POLL_SECONDS = 0.005
ENDED_BEFORE = Reason("The flow run that it belongs to ended before it.", is_cancel=True)


# Flow runs in threads beside the main one that are nested in no other run.
roots_in_threads: dict[Open, Hold] = {}


def end_roots_in_threads(reason: Reason) -> None:
    """End the runs of other threads, as a signal is about to end the process."""
    _interrupt(roots_in_threads, reason)
    _wait_or_abandon(list(roots_in_threads), reason, GRACE_SECONDS, roots_in_threads)


# Daemon threads are cut off with the interpreter in the middle of whatever they do. `atexit` calls the last function
# registered first, so the reporter, which registered before, is closed after this.
atexit.register(lambda: end_roots_in_threads(Reason("The program that it ran in ended.")))


def end_children(context: FlowRunContext, reason: Reason, grace: float = GRACE_SECONDS) -> list[str]:
    """End everything that goes on in a flow run. Returns the names of what goes on nevertheless, as in a call into C.

    Such a run is recorded as ended, and nothing that it reports later is recorded.
    """
    if context.stopped_by is None:
        context.stopped_by = (CancelRequested if reason.is_cancel else Stopped)(reason.message)
    _interrupt(context.open, reason)
    context.stop_task_runner(wait=False)
    left = _wait_or_abandon(context.still_open, reason, grace, context.open)
    while context.called:
        # An interrupt may come between the creation of a run and its first step, where nothing could report its end.
        context.called.pop().abandon(reason)
    return left


def end_unawaited(context: FlowRunContext) -> list[str]:
    """End the coroutines that a flow called and did not await; the flow itself has ended. Returns their names."""
    left = context.still_open
    for one in left:
        if (nested := one.inner_context) is not None:
            _interrupt(nested.open, ENDED_BEFORE)
        if (hold := context.open.get(one)) is not None:
            hold.interrupt(ENDED_BEFORE)
    _wait_or_abandon(left, ENDED_BEFORE, GRACE_SECONDS, context.open)
    return [one.name for one in left]


def refuse_late(context: FlowRunContext) -> None:
    """Cancel a coroutine that was called in a flow, not awaited, and begins when the flow is over."""
    if context.is_over:
        raise asyncio.CancelledError(ENDED_BEFORE)


def _interrupt(going_on: dict[Open, Hold], reason: Reason) -> None:
    # The innermost first: the run around it ends by the exception that comes out of it.
    for one, hold in list(going_on.items()):
        if (nested := one.inner_context) is not None:
            nested.stopped_by = nested.stopped_by or (CancelRequested if reason.is_cancel else Stopped)(reason.message)
            _interrupt(nested.open, reason)
        hold.interrupt(reason)


def _wait_or_abandon(left: Sequence[Open], reason: Reason, grace: float, going_on: dict[Open, Hold]) -> list[str]:
    until = time.monotonic() + grace
    for one in [one for one in left if one not in going_on]:
        # It has not begun, and never will.
        one.abandon(reason)
    # Polled: the runs end in threads and on loops of all kinds, which share nothing to wait on.
    while (left := [one for one in left if one in going_on]) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    for one in left:
        one.abandon(reason)
        going_on.pop(one, None)
    return [one.name for one in left]
