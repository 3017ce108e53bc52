"""Report last, before a signal ends the process: in bounded time, as the API or the reader of its log may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context

from orionflow.engine.children import GRACE_SECONDS, end_roots_in_threads
from orionflow.engine.crashes import Terminated, reason_of, seconds_for_reports
from orionflow.reporting.current import keep_reports

# Seconds in which the last reports may be delivered before the signal ends the process without code at exit.
KEEP_SECONDS = 1.0
# Seconds for writing to a file what was not delivered by then.
TO_WRITE = 0.5


def report_last() -> None:
    """End the runs of other threads, and deliver or keep what was reported."""
    reason = reason_of(Terminated())
    in_time(GRACE_SECONDS + seconds_for_reports(), lambda: end_roots_in_threads(reason))
    keep_in_time(KEEP_SECONDS)


def keep_in_time(seconds: float) -> None:
    """Deliver what was reported in these seconds, or write it to a file if that is possible in a moment."""
    in_time(seconds + TO_WRITE, lambda: keep_reports(seconds))


def in_time(seconds: float, function: Callable[[], None]) -> None:
    """Call a function in a thread, and wait for these seconds at most: it may log to a pipe that nobody reads."""
    calling = threading.Thread(target=copy_context().run, args=(function,), name="orion-last-reports", daemon=True)
    try:
        calling.start()
    except RuntimeError:
        # The process may not start threads at the moment.
        function()
    else:
        calling.join(seconds)
