"""Ending user code that runs too long.

In the main thread an alarm interrupts whatever goes on. In other threads an exception is raised at the next line of
Python: one long call into C, such as `time.sleep(60)`, ends first. Coroutines are cancelled at their next `await`.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from orionflow.engine.interruption import RETRY_AFTER, Postponed


class TimeUp(BaseException):
    """The time of a run is up. Not an Exception, so that code which retries on every Exception ends as well."""


class LimitReached(TimeUp):
    """The time that was up is that of this very run, not of one around it."""


class _Limit:
    """One deadline in one thread. Limits of nested runs lie on top of each other."""

    __slots__ = ("active", "deadline", "expired", "postponed", "thread_id")

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.thread_id = threading.get_ident()
        self.active = True
        self.expired = False
        self.postponed = Postponed()


def limited(call: Callable[[], Any], seconds: float) -> Any:
    """The value of `call()`; raises LimitReached when it takes longer."""
    in_main_thread = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    watch: _Alarm | _Watcher = _alarm if in_main_thread else _watcher
    limit = _Limit(seconds)
    try:
        watch.start(limit)
        try:
            return call()
        finally:
            watch.stop(limit)
    except TimeUp as error:
        # The alarm may have rung in the very moment of being switched off.
        watch.stop(limit)
        if limit.expired:
            raise LimitReached from error
        raise


async def limited_async(call: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """The value of `await call()`; raises LimitReached when it takes longer."""
    try:
        async with asyncio.timeout(seconds) as scope:
            return await call()
    except TimeoutError as error:
        if scope.expired():
            raise LimitReached from error
        raise


class _Alarm:
    """Limits in the main thread, by the interval timer of the process."""

    def __init__(self) -> None:
        self._limits: list[_Limit] = []
        self._before: Any = None

    def start(self, limit: _Limit) -> None:
        if not self._limits:
            self._before = signal.signal(signal.SIGALRM, self._ring)
        self._limits.append(limit)
        self._set()

    def stop(self, limit: _Limit) -> None:
        if limit not in self._limits:
            return
        self._limits.remove(limit)
        self._set()
        if not self._limits:
            signal.signal(signal.SIGALRM, self._before)

    def _set(self) -> None:
        pending = [limit.deadline for limit in self._limits if not limit.expired]
        # Zero would switch the timer off.
        signal.setitimer(signal.ITIMER_REAL, max(min(pending) - time.monotonic(), 1e-6) if pending else 0)

    def _ring(self, _signal: int, frame: FrameType | None) -> None:
        limit = _first_due(self._limits, time.monotonic())
        if limit is None:
            self._set()
        elif limit.postponed.should_wait(frame):
            signal.setitimer(signal.ITIMER_REAL, RETRY_AFTER)
        else:
            limit.expired = True
            self._set()
            raise TimeUp


class _Watcher:
    """Limits in other threads, by one thread that watches the earliest deadline."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._limits: list[_Limit] = []
        self._thread: threading.Thread | None = None

    def start(self, limit: _Limit) -> None:
        with self._condition:
            self._limits.append(limit)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="orion-time-limits", daemon=True)
                self._thread.start()
            self._condition.notify()

    def stop(self, limit: _Limit) -> None:
        with self._condition:
            if not limit.active:
                return
            limit.active = False
            self._limits.remove(limit)
            around = any(one.expired for one in self._limits if one.thread_id == limit.thread_id)
            if limit.expired and not around:
                # It may not have been raised yet, and must not be raised in what comes after.
                _raise_in(limit.thread_id, None)

    def _watch(self) -> None:
        with self._condition:
            while True:
                self._condition.wait(self._expire_due())

    def _expire_due(self) -> float | None:
        """Raise in the threads whose time is up; returns how long there is nothing to do."""
        now = time.monotonic()
        for thread_id in {limit.thread_id for limit in self._limits}:
            limit = _first_due([one for one in self._limits if one.thread_id == thread_id], now)
            if limit is None:
                continue
            if limit.postponed.should_wait(sys._current_frames().get(thread_id)):
                return RETRY_AFTER
            limit.expired = True
            _raise_in(thread_id, TimeUp)
        pending = [limit.deadline for limit in self._limits if not limit.expired]
        return max(min(pending) - time.monotonic(), 0.0) if pending else None


def _first_due(limits: list[_Limit], now: float) -> _Limit | None:
    # The outermost one only: the run inside did not take too long, it was the one around it.
    return next((one for one in limits if one.deadline <= now and not one.expired), None)


def _raise_in(thread_id: int, error: type[BaseException] | None) -> None:
    wanted = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), wanted)


_alarm = _Alarm()
_watcher = _Watcher()
