"""The end of a run is the end of everything below it: submitted tasks, coroutines that nobody awaits, nested runs."""

from __future__ import annotations

import atexit
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orionflow.engine.interruption import Hold, Reason
from orionflow.engine.orders import CancelOrdered, Stopped

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext, Open

# How long what is interrupted may take to come to an end of its own, with its records.
PATIENCE_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.005


# Flow runs in other threads than the main one that no other run is around.
roots_elsewhere: dict[Open, Hold] = {}


def end_roots_elsewhere(reason: Reason) -> None:
    """End the runs of other threads, as the process is about to be ended by a signal."""
    _interrupt(roots_elsewhere, reason)
    _see_to_end(list(roots_elsewhere), reason, PATIENCE_SECONDS, roots_elsewhere)


# Threads that Python does not wait for end with it in the middle of whatever they do. The reporter is closed later.
atexit.register(lambda: end_roots_elsewhere(Reason("The program that it ran in ended.")))


def end_below(context: FlowRunContext, reason: Reason, patience: float = PATIENCE_SECONDS) -> list[str]:
    """End all that goes on in a flow run. Returns the names of what goes on nevertheless, as in a call into C.

    That is recorded as ended, and nothing that it reports later is.
    """
    if context.stopped_by is None:
        context.stopped_by = (CancelOrdered if reason.is_cancel else Stopped)(reason.message)
    _interrupt(context.open, reason)
    context.stop_task_runner(wait=False)
    left = _see_to_end(context.still_open, reason, patience, context.open)
    while context.called:
        # An interrupt may come between the making of a run and its first step, where nothing could report its end.
        context.called.pop().end_from_outside(reason)
    return left


def end_leftovers(context: FlowRunContext, reason: Reason) -> list[str]:
    """End the coroutines that a flow called and did not await. The flow itself came to its own end."""
    left = context.still_open
    for one in left:
        if (nested := one.inner_context) is not None:
            _interrupt(nested.open, reason)
        if (hold := context.open.get(one)) is not None:
            hold.interrupt(reason)
    _see_to_end(left, reason, PATIENCE_SECONDS, context.open)
    return [one.name for one in left]


def _interrupt(going_on: dict[Open, Hold], reason: Reason) -> None:
    """The innermost first: what is around it ends by what comes out of it."""
    for one, hold in list(going_on.items()):
        if (nested := one.inner_context) is not None:
            nested.stopped_by = nested.stopped_by or (CancelOrdered if reason.is_cancel else Stopped)(reason.message)
            _interrupt(nested.open, reason)
        hold.interrupt(reason)


def _see_to_end(left: Sequence[Open], reason: Reason, patience: float, going_on: dict[Open, Hold]) -> list[str]:
    until = time.monotonic() + patience
    for one in [one for one in left if one not in going_on]:
        # It has not begun, and never will.
        one.end_from_outside(reason)
    while (left := [one for one in left if one in going_on]) and time.monotonic() < until:
        time.sleep(LOOK_AGAIN_SECONDS)
    for one in left:
        one.end_from_outside(reason)
        going_on.pop(one, None)
    return [one.name for one in left]
