"""Interrupting a thread from elsewhere, anywhere but in the middle of reporting or of making a run, where an exception
would leave half a step behind."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

# Modules, by the names that they have for Python: a frame of one of them postpones the interrupt.
DELICATE = ("orionflow.reporting", "orionflow.engine.creation")
# The API may be away for minutes while a thread waits in there: an interrupt that came so long ago is raised anyway.
LONGEST_DELAY = 1.0
# Except where the server works in this process: its locks and transactions, which would stay held, bound the wait.
INVIOLABLE = ("orionflow.client.ephemeral",)
RETRY_AFTER = 0.005
# In other threads than the main one an exception from elsewhere is only raised between two lines of Python.
LONGEST_BLOCK = 0.1


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run ends that did not come to its own end."""

    message: str
    is_cancel: bool = False


class Interrupted(BaseException):
    """The run that this thread works for was ended from elsewhere."""

    def __init__(self) -> None:
        # Raised by its class alone: the reason lies ready for the thread.
        self.reason = _reasons.pop(threading.get_ident(), Reason("The run around it ended."))
        super().__init__(self.reason.message)


_reasons: dict[int, Reason] = {}


def interruption(reason: Reason) -> Interrupted:
    """Return the exception that ends this thread's run."""
    _reasons[threading.get_ident()] = reason
    return Interrupted()


def interrupt_thread(thread_id: int, reason: Reason) -> None:
    """Have Interrupted raised in a thread at its next line of Python, as soon as it does nothing delicate."""
    postponed = Postponed()
    while postponed.should_wait(sys._current_frames().get(thread_id)):
        time.sleep(RETRY_AFTER)
    _reasons[thread_id] = reason
    raise_in_thread(thread_id, Interrupted)


def raise_in_thread(thread_id: int, error: type[BaseException]) -> None:
    """Have the exception raised there at the next line of Python, instead of one that was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(error))


class _Withdrawn(BaseException):
    """Takes the place of an exception that must not be raised any more."""


def withdraw_here() -> None:
    """Have no exception raised in this thread any more that another one asked for.

    Only raising one makes Python forget that one is pending. As long as it does not, Python 3.11 looks for it at every
    call, and under a profiler, debugger or coverage it does nothing else.
    """
    try:
        raise_in_thread(threading.get_ident(), _Withdrawn)
        while True:
            pass
    except _Withdrawn:
        return


def wait_for(future: Future[T], timeout: float | None = None) -> T:
    """The outcome of a future, waited for in a way that interrupts get through."""
    if threading.current_thread() is threading.main_thread():
        # Signals do.
        return future.result(timeout)
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LONGEST_BLOCK if until is None else min(until - time.monotonic(), LONGEST_BLOCK)
        try:
            return future.result(max(left, 0))
        except NotYet:
            if future.done():
                # Its own outcome may be such an error.
                return future.result()
            if until is not None and time.monotonic() >= until:
                raise


def next_of(items: queue.SimpleQueue[T], until: float | None = None) -> T:
    """The next item of a queue, waited for in a way that interrupts get through; raises `queue.Empty` at that time."""
    while True:
        left = LONGEST_BLOCK if until is None else min(until - time.monotonic(), LONGEST_BLOCK)
        try:
            return items.get(timeout=max(left, 0))
        except queue.Empty:
            if until is not None and time.monotonic() >= until:
                raise


class Hold:
    """Where a run goes on, a thread or a coroutine, so that it can be ended from elsewhere."""

    __slots__ = ("_lock", "_task", "_thread_id", "_was_used")

    def __init__(self, task: asyncio.Task[Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = threading.get_ident()
        self._task = task
        self._was_used = False

    @property
    def is_here(self) -> bool:
        """Whether that is this thread, and so it cannot be interrupted from here."""
        return self._task is None and self._thread_id == threading.get_ident()

    def interrupt(self, reason: Reason) -> None:
        """End what goes on there, once, unless it has come to its end by itself."""
        with self._lock:
            if self._thread_id is None or self._was_used or self.is_here:
                return
            self._was_used = True
            if self._task is None:
                interrupt_thread(self._thread_id, reason)
            else:
                self._task.get_loop().call_soon_threadsafe(self._cancel, reason)

    def _cancel(self, reason: Reason) -> None:
        if self._task is not None and self._thread_id is not None:
            self._task.cancel(reason)

    def close(self) -> None:
        """End the work that may be interrupted: no exception is raised here any more."""
        while True:
            try:
                with self._lock:
                    in_thread, self._thread_id = self._thread_id is not None and self._task is None, None
                    if in_thread and self._was_used:
                        # It may not have been raised yet.
                        withdraw_here()
                return
            except Interrupted:
                # It came in this very moment.
                continue


class Postponed:
    """Since when an interrupt waits for the thread to leave what is delicate."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def should_wait(self, frame: FrameType | None) -> bool:
        now = time.monotonic()
        self._since = self._since or now
        if is_within(INVIOLABLE, frame) or (now - self._since < LONGEST_DELAY and is_within(DELICATE, frame)):
            return True
        self._since = None
        return False


def is_within(modules: tuple[str, ...], frame: FrameType | None) -> bool:
    """Whether this frame, or one that called it, belongs to these modules."""
    while frame is not None:
        module: Any = frame.f_globals.get("__name__", "")
        if module.startswith(modules):
            return True
        frame = frame.f_back
    return False
