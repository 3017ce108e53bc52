"""Time limits for user code.

In the main thread an alarm interrupts whatever runs. In other threads an exception is raised at the next line of
Python: a long call into C, such as `time.sleep(60)`, ends first. Coroutines are cancelled at their next `await`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any

from orionflow.engine.exits import reset
from orionflow.engine.interruption import RETRY_AFTER, Postponed, raise_in_thread, withdraw_here

RING_AGAIN_AFTER = 0.1
# The earliest deadline of the coroutines around this code, by the monotonic clock.
_deadline: ContextVar[float | None] = ContextVar("orion_deadline", default=None)


class TimeUp(BaseException):
    """The time of a run is up. Not an Exception, so that code which retries on every Exception ends as well."""


class LimitReached(TimeUp):
    """The time limit that was reached is that of this very run, not of a run around it."""


class _Limit:
    """One deadline in one thread. Limits of nested runs are stacked."""

    __slots__ = ("deadline", "expired", "postponed", "thread_id")

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.thread_id = threading.get_ident()
        self.expired = False
        self.postponed = Postponed()

    def check(self) -> None:
        """Raise LimitReached if the time is up: code that could not be interrupted has still ended too late."""
        if self.is_over:
            raise LimitReached

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def is_of_this_thread(self) -> bool:
        return self.thread_id == threading.get_ident()


def limited(call: Callable[[], Any], seconds: float) -> Any:
    """Return the value of `call()`; raise LimitReached if it takes longer."""
    in_main_thread = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    watch: _Alarm | _Watcher = _alarm if in_main_thread else _watcher
    limit = _Limit(seconds)
    try:
        watch.start(limit)
        try:
            value = call()
        finally:
            watch.stop(limit)
    except BaseException as error:
        # An exception from outside may have come at the moment when the limit was switched on or off.
        watch.stop(limit)
        if limit.expired and isinstance(error, TimeUp):
            raise LimitReached from error
        raise
    limit.check()
    return value


async def limited_async(call: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """Return the value of `await call()`; raise LimitReached if it takes longer."""
    limit = _Limit(seconds)
    around = _deadline.get()
    token = _deadline.set(limit.deadline if around is None else min(around, limit.deadline))
    try:
        async with asyncio.timeout(seconds) as scope:
            value = await call()
    except (TimeoutError, TimeUp) as error:
        if scope.expired() or (isinstance(error, TimeUp) and limit.is_over):
            raise LimitReached from error
        raise
    finally:
        reset(_deadline, token)
    # The loop only checks its timeouts when a coroutine yields control.
    limit.check()
    return value


def within_limits_around(call: Callable[[], Any]) -> Any:
    """Return the value of sync code that blocks a loop; raise TimeUp when the time of a coroutine around it is up.

    The loop cannot cancel that coroutine while it is blocked.
    """
    deadline = _deadline.get()
    if deadline is None:
        return call()
    try:
        return limited(call, max(deadline - time.monotonic(), 0.001))
    except LimitReached as reached:
        raise TimeUp from reached


class _Alarm:
    """Limits in the main thread, by the interval timer of the process, which the program may use as well."""

    def __init__(self) -> None:
        self._limits: list[_Limit] = []
        self._program = _ProgramsTimer()

    def start(self, limit: _Limit) -> None:
        if not self._limits:
            self._program.set_aside(self._ring)
        self._limits.append(limit)
        self._set()

    def stop(self, limit: _Limit) -> None:
        if limit not in self._limits:
            return
        self._limits.remove(limit)
        if self._limits:
            self._set()
        else:
            self._program.put_back()

    def forget_in_child(self) -> None:
        """Forget the limits of the parent's main thread in a process that another thread forked."""
        if self._limits and not self._limits[0].is_of_this_thread:
            self._limits.clear()
            # A child has none of its parent's timers.
            self._program.due = None
            self._program.put_back()

    def _set(self) -> None:
        pending = [limit.deadline for limit in self._limits if not limit.expired]
        if self._program.due is not None:
            pending.append(self._program.due)
        # Zero would switch the timer off. It repeats, because a signal is lost that arrives as the thread starts to
        # sleep.
        left = max(min(pending) - time.monotonic(), 1e-6) if pending else 0
        signal.setitimer(signal.ITIMER_REAL, left, RING_AGAIN_AFTER if pending else 0)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._program.is_due:
            try:
                self._program.ring(number, frame)
            finally:
                self._set()
        limit = _first_due(self._limits, time.monotonic())
        if limit is None:
            self._set()
        elif limit.postponed.should_wait(frame, threading.get_ident()):
            signal.setitimer(signal.ITIMER_REAL, RETRY_AFTER, RING_AGAIN_AFTER)
        else:
            limit.expired = True
            self._set()
            raise TimeUp


class _ProgramsTimer:
    """The timer and the handler that the program had set, which stay in effect meanwhile and afterwards."""

    def __init__(self) -> None:
        self._handler: Any = signal.SIG_DFL
        self._interval = 0.0
        self.due: float | None = None

    @property
    def is_due(self) -> bool:
        return self.due is not None and self.due <= time.monotonic()

    def set_aside(self, ours: Callable[[int, FrameType | None], None]) -> None:
        left, self._interval = signal.setitimer(signal.ITIMER_REAL, 0)
        self.due = time.monotonic() + left if left else None
        before = signal.signal(signal.SIGALRM, ours)
        # None stands for a handler that was not installed from Python, and cannot be restored.
        self._handler = signal.SIG_DFL if before is None else before

    def put_back(self) -> None:
        signal.signal(signal.SIGALRM, self._handler)
        left = 0.0 if self.due is None else max(self.due - time.monotonic(), 1e-6)
        signal.setitimer(signal.ITIMER_REAL, left, self._interval if left else 0.0)
        self.due = None

    def ring(self, number: int, frame: FrameType | None) -> None:
        self.due = time.monotonic() + self._interval if self._interval else None
        if callable(self._handler):
            self._handler(number, frame)
        elif self._handler == signal.SIG_DFL:
            # The alarm that the program had set ends it, as it would without Orion.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.raise_signal(number)


class _Watcher:
    """Limits in other threads, enforced by one thread that watches the earliest deadline.

    Exceptions from outside reach the threads that use this, so it has nothing that they could leave locked: the lock
    and the queue are written in C.
    """

    def __init__(self) -> None:
        # Reentrant: the garbage collector may call code that has a limit.
        self._lock = threading.RLock()
        # Has an item if there may be an earlier deadline.
        self._changes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._limits: list[_Limit] = []
        self._thread: threading.Thread | None = None

    def start(self, limit: _Limit) -> None:
        with self._lock:
            self._limits.append(limit)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="orion-time-limits", daemon=True)
                self._thread.start()
        self._changes.put(None)

    def stop(self, limit: _Limit) -> None:
        with self._lock:
            if limit not in self._limits:
                return
            self._limits.remove(limit)
            around = any(one.expired for one in self._limits if one.thread_id == limit.thread_id)
            if limit.expired and not around:
                # The exception may be pending, and must not be raised in the code that follows.
                withdraw_here()

    def forget_in_child(self) -> None:
        """Keep the limits of the thread that forked: new threads may have the ids of others, which are gone."""
        self._lock, self._changes, self._thread = threading.RLock(), queue.SimpleQueue(), None
        self._limits = [limit for limit in self._limits if limit.is_of_this_thread]

    def _watch(self) -> None:
        while True:
            with self._lock:
                pause = self._expire_due()
            with suppress(queue.Empty):
                self._changes.get(timeout=pause)
                while True:
                    self._changes.get_nowait()

    def _expire_due(self) -> float | None:
        """Raise in the threads whose time is up; return the seconds until the next deadline."""
        now = time.monotonic()
        is_postponed = False
        for thread_id in {limit.thread_id for limit in self._limits}:
            limit = _first_due([one for one in self._limits if one.thread_id == thread_id], now)
            if limit is None:
                continue
            if limit.postponed.should_wait(sys._current_frames().get(thread_id), thread_id):
                is_postponed = True
                continue
            limit.expired = True
            raise_in_thread(thread_id, TimeUp)
        if is_postponed:
            return RETRY_AFTER
        pending = [limit.deadline for limit in self._limits if not limit.expired]
        return max(min(pending) - time.monotonic(), 0.0) if pending else None


def _first_due(limits: list[_Limit], now: float) -> _Limit | None:
    # Only the outermost of the expired limits counts: the run around took too long, not the one in it.
    return next((one for one in limits if one.deadline <= now and not one.expired), None)


_alarm = _Alarm()
_watcher = _Watcher()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watcher.forget_in_child)
    os.register_at_fork(after_in_child=_alarm.forget_in_child)
