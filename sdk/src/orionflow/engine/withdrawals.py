"""Calls that threads make for coroutines, and that are withdrawn if the coroutine is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from orionflow.engine.exits import reset

_withdrawn: ContextVar[threading.Event | None] = ContextVar("orion_withdrawn", default=None)


@contextmanager
def withdrawn_if_cancelled() -> Iterator[None]:
    """Tell threads that were started in this block if the coroutine is cancelled while it waits for them."""
    withdrawn = threading.Event()
    token = _withdrawn.set(withdrawn)
    try:
        yield
    except BaseException:
        # It was cancelled or, with its coroutine, closed.
        withdrawn.set()
        raise
    finally:
        reset(_withdrawn, token)


def is_withdrawn() -> bool:
    """Whether the coroutine for which this thread makes a call was cancelled."""
    withdrawn = _withdrawn.get()
    return withdrawn is not None and withdrawn.is_set()
