"""Which event loops this thread works for, and how sync code is kept apart from them.

A sync flow or task that is called in a coroutine blocks the loop anyway. While it goes on, its thread has no running
loop: `asyncio.run` works in it, libraries that refuse to block a loop do not refuse, and whoever asks whether it is
called by a coroutine gets the right answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _SetAside(threading.local):
    def __init__(self) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []


_set_aside = _SetAside()
# For all threads: any of them may ask whether a loop is held up.
_held_up: set[asyncio.AbstractEventLoop] = set()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if any; None in sync code that a coroutine called."""
    return asyncio._get_running_loop()


def is_blocked_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether that loop stands still until this thread returns to it."""
    return loop is asyncio._get_running_loop() or loop in _set_aside.loops


def is_held_up(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether sync code that a coroutine called keeps that loop, of whatever thread, from going on."""
    return loop in _held_up


@contextmanager
def set_aside(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """In this block the loop that runs in this thread is out of sight."""
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio._leave_task(loop, task)
    asyncio._set_running_loop(None)
    _set_aside.loops.append(loop)
    _held_up.add(loop)
    try:
        yield
    finally:
        _held_up.discard(loop)
        _set_aside.loops.pop()
        asyncio._set_running_loop(loop)
        if task is not None:
            asyncio._enter_task(loop, task)
