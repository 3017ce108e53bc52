"""Interrupting a thread from outside, except while it reports or creates a run, which must not stop half-way."""

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

# Modules by their import names; while a frame of one of them is active, an interrupt is postponed.
DELICATE = ("orionflow.reporting", "orionflow.engine.creation")
# Seconds after which a postponed interrupt is raised anyway, as the thread may wait for an absent API for minutes.
LONGEST_DELAY = 1.0
# Exception to that limit: if the server works in this process, its locks and transactions would stay held.
# And in the module that sets signal handlers, an exception could leave a wrong one; it does so in moments.
INVIOLABLE = ("orionflow.client.ephemeral", "orionflow.engine.signals")
# Functions of `threading` that take or release a lock. An exception in one of them could leave it locked for ever.
# Those of locks written in C, and `Condition.wait`, in which threads wait for long, are safe.
OF_LOCKS = frozenset(
    {
        "Condition.__enter__",
        "Condition.__exit__",
        "Condition._release_save",
        "Condition._acquire_restore",
        "Condition.notify",
        "Semaphore.acquire",
        "Semaphore.release",
        "Semaphore.__exit__",
        "BoundedSemaphore.release",
    }
)
# Threads that call the functions which were registered for a fork, of any module. Python drops an exception in them,
# and what they had to do, as to release the lock of `logging`, stays undone.
forking: set[int] = set()
RETRY_AFTER = 0.005
# Python looks for an exception from outside at each iteration.
SURE_TO_RAISE = 8
# Seconds. Outside of the main thread, an exception from outside is only raised between two lines of Python.
LONGEST_BLOCK = 0.1
_THREADING = vars(threading)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is ended from outside."""

    message: str
    is_cancel: bool = False


class Interrupted(BaseException):
    """The run that this thread works for was ended from elsewhere."""

    def __init__(self) -> None:
        # Python raises this class without arguments; the reason was stored for the thread before.
        self.reason = _reasons.pop(threading.get_ident(), Reason("The run around it ended."))
        super().__init__(self.reason.message)


_reasons: dict[int, Reason] = {}


def interruption(reason: Reason) -> Interrupted:
    """Return the exception that ends this thread's run."""
    _reasons[threading.get_ident()] = reason
    return Interrupted()


def interrupt_thread(thread_id: int, reason: Reason) -> None:
    """Raise Interrupted in a thread at its next line of Python, once it is not in a delicate module."""
    postponed = Postponed()
    while postponed.should_wait(sys._current_frames().get(thread_id), thread_id):
        time.sleep(RETRY_AFTER)
    _reasons[thread_id] = reason
    raise_in_thread(thread_id, Interrupted)


def raise_in_thread(thread_id: int, error: type[BaseException] | None) -> None:
    """Raise the exception in a thread at its next line of Python, replacing one that was not raised yet.

    None only removes that one; Python still looks for it.
    """
    what = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), what)


class _Withdrawn(BaseException):
    """Replaces an exception that must not be raised any more."""


def withdraw_here() -> None:
    """Withdraw an exception that another thread asked to raise in this one.

    Python only forgets a pending exception by raising one. While one is pending, Python 3.11 checks for it at every
    call, and makes no progress under a profiler, debugger or coverage.
    """
    own = threading.get_ident()
    try:
        while True:
            raise_in_thread(own, _Withdrawn)
            for _ in range(SURE_TO_RAISE):
                pass
            # Before Python 3.12, a thread that was started with `_thread` has this id until it is scheduled. It got the
            # exception, which is removed there.
            raise_in_thread(own, None)
            time.sleep(0)
    except _Withdrawn:
        return


def wait_for(future: Future[T], timeout: float | None = None) -> T:
    """Wait for a future and return its outcome; interrupts reach this thread meanwhile."""
    if threading.current_thread() is threading.main_thread():
        # Signals interrupt the main thread.
        return future.result(timeout)
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LONGEST_BLOCK if until is None else min(until - time.monotonic(), LONGEST_BLOCK)
        try:
            return future.result(max(left, 0))
        except NotYet:
            if future.done():
                # The outcome of the future may itself be an error of this type.
                return future.result()
            if until is not None and time.monotonic() >= until:
                raise


def next_of(items: queue.SimpleQueue[T], until: float | None = None) -> T:
    """Return the next item of a queue; interrupts reach this thread meanwhile. Raise `queue.Empty` at `until`."""
    while True:
        left = LONGEST_BLOCK if until is None else min(until - time.monotonic(), LONGEST_BLOCK)
        try:
            return items.get(timeout=max(left, 0))
        except queue.Empty:
            if until is not None and time.monotonic() >= until:
                raise


class Hold:
    """The thread or coroutine in which a run executes, so that it can be ended from elsewhere."""

    __slots__ = ("_lock", "_task", "_thread_id", "_was_used")

    def __init__(self, task: asyncio.Task[Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = threading.get_ident()
        self._task = task
        self._was_used = False

    @property
    def is_here(self) -> bool:
        """Whether this is the current thread, which cannot be interrupted from here."""
        return self._task is None and self._thread_id == threading.get_ident()

    def interrupt(self, reason: Reason) -> None:
        """Interrupt the work once, unless it has already ended."""
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
        """End the interruptible part: afterwards no exception from outside is raised here."""
        while True:
            try:
                with self._lock:
                    in_thread, self._thread_id = self._thread_id is not None and self._task is None, None
                    if in_thread and self._was_used:
                        # The exception may be pending and not raised yet.
                        withdraw_here()
                return
            except Interrupted:
                # It was raised at this very moment.
                continue


class Postponed:
    """The time since which an interrupt has waited for the thread to leave a delicate module."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def should_wait(self, frame: FrameType | None, thread_id: int) -> bool:
        now = time.monotonic()
        self._since = self._since or now
        if thread_id in forking or is_within(INVIOLABLE, frame) or waits_for_new_thread(frame):
            return True
        is_delicate = is_within(DELICATE, frame) or changes_lock(frame)
        if is_delicate and now - self._since < LONGEST_DELAY:
            return True
        self._since = None
        return False


def waits_for_new_thread(frame: FrameType | None) -> bool:
    """Whether this frame, or a frame that called it, waits for a thread that it starts and that was not scheduled yet.

    Before Python 3.12, such a thread still has the id of its parent. An exception for the parent would be raised in the
    new thread and end it before it says that it has started; the parent would wait for that for ever.
    """
    while frame is not None:
        # Found by name: debuggers and tracers replace the method `Thread.start`, and call the one of Python.
        if frame.f_globals is _THREADING and frame.f_code.co_name == "start" and frame.f_locals["self"].ident is None:
            return True
        frame = frame.f_back
    return False


def changes_lock(frame: FrameType | None) -> bool:
    """Whether this frame takes or releases a lock of `threading` that is not written in C."""
    return frame is not None and frame.f_globals is _THREADING and frame.f_code.co_qualname in OF_LOCKS


def is_within(modules: tuple[str, ...], frame: FrameType | None) -> bool:
    """Whether this frame, or a frame that called it, belongs to these modules."""
    while frame is not None:
        module: Any = frame.f_globals.get("__name__", "")
        if module.startswith(modules):
            return True
        frame = frame.f_back
    return False
