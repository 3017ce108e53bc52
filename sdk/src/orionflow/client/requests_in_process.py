"""Requests that this process answers itself, and forks, which wait until there are none.

SQLite must not be open where a process forks. A child that is forked while another thread writes finds the file locked
for ever; if it is only open, the child believes to hold locks that the parent holds, and loses what it writes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# How long a fork waits for requests of other threads. After that it goes on, as the caller must not wait without end.
LONGEST_WAIT_SECONDS = 10.0
PAUSE_AFTER_FORK_SECONDS = 0.05


class ThreadConnections:
    """Kept in a thread's local storage; when the thread ends, it closes what the application opened for it."""

    __slots__ = ("__weakref__", "_close", "_ends_with_thread", "_process")

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._process = os.getpid()
        # The main thread's connections end with the process.
        self._ends_with_thread = threading.current_thread() is not threading.main_thread()

    def close(self) -> None:
        self._close()

    def __del__(self) -> None:
        # A forked child inherits this object, but must not close its parent's connections.
        if self._ends_with_thread and os.getpid() == self._process:
            self._close()


class RequestsInProcess:
    """Counts requests in progress, and knows the connections of the threads that made some."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may make a request while this thread begins one.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._running = 0
        self._of_thread = threading.local()
        self._opened: weakref.WeakSet[ThreadConnections] = weakref.WeakSet()
        # The thread that forks, or waits until it can.
        self._forking: int | None = None
        self._was_interrupted = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Let no other thread fork during this block."""
        mine = self._of_thread
        with self._lock:
            depth = getattr(mine, "depth", 0)
            if not depth:
                # Threads that make one request after another would otherwise keep a fork waiting.
                self._let_others_fork()
            self._running += 1
            mine.depth = depth + 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                mine.depth -= 1
                self._changed.notify_all()

    def knows_thread(self) -> bool:
        return hasattr(self._of_thread, "connections")

    def add_thread(self, close: Callable[[], None] | None) -> None:
        """Remember how to close the connections of this thread, if the application opens any."""
        self._of_thread.connections = None if close is None else ThreadConnections(close)
        if close is not None:
            self._opened.add(self._of_thread.connections)

    def before_fork(self) -> None:
        """Wait until no thread makes a request, close all connections, and let no request begin until after the fork.

        They are opened again by the next request. A thread that forks within a request cannot wait for itself.
        """
        if getattr(self._of_thread, "depth", 0):
            return
        until = time.monotonic() + LONGEST_WAIT_SECONDS
        has_lock = False
        while self._forking != threading.get_ident() or (self._running and time.monotonic() < until):
            # Python drops exceptions that are raised before a fork: Ctrl-C would be lost, and the fork would not wait.
            try:
                has_lock = has_lock or self._lock.acquire()
                self._let_others_fork()
                self._forking = threading.get_ident()
                if self._running:
                    self._changed.wait(max(until - time.monotonic(), 0))
            except KeyboardInterrupt:
                self._was_interrupted = True
        if not self._running:
            for one in list(self._opened):
                with suppress(Exception):
                    one.close()

    def after_fork(self) -> None:
        """Let requests begin again in the parent; a child has an object of its own."""
        if self._forking != threading.get_ident():
            return
        was_interrupted, self._was_interrupted = self._was_interrupted, False
        self._forking = None
        self._changed.notify_all()
        self._lock.release()
        if was_interrupted:
            # Not at once, as exceptions that are raised here are dropped as well.
            threading.Timer(PAUSE_AFTER_FORK_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()

    def _let_others_fork(self) -> None:
        while self._forking not in (None, threading.get_ident()):
            self._changed.wait()
