"""Which event loops this thread serves, and how they are hidden from sync code.

A sync flow or task that is called in a coroutine blocks the loop anyway. Meanwhile its thread has no running loop:
`asyncio.run` works in it, libraries that refuse to block a loop do not refuse, and code that asks whether a coroutine
calls it gets the right answer.
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
# Shared by all threads, as any of them may ask whether a loop is blocked.
_held_up: set[asyncio.AbstractEventLoop] = set()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if any; None in sync code that a coroutine called."""
    return asyncio._get_running_loop()


def is_blocked_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop is blocked until this thread returns to it."""
    return loop is asyncio._get_running_loop() or loop in _set_aside.loops


def is_held_up(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether sync code that a coroutine called blocks the loop, in whatever thread."""
    return loop in _held_up


@contextmanager
def set_aside(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Hide the loop that runs in this thread during this block."""
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
