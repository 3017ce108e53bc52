"""SIGTERM and SIGHUP while flows run in threads other than the main one, which may be asleep and has no handler.

Only the main thread can set Python's signal handlers. `faulthandler` can set one from any thread: it writes to a file,
here a socket. A thread that reads from the socket ends the runs and then the process.
"""

from __future__ import annotations

import faulthandler
import os
import selectors
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orionflow.engine.children import end_roots_in_threads
from orionflow.engine.crashes import TOLD_TO_END, Terminated, note_signal, reason_of


class ThreadSignals:
    """Watches for signals while flow runs execute in threads, unless the program has handlers of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._armed: set[int] = set()
        # The sockets to which the handlers write.
        self._bells: dict[int, socket.socket] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let a signal end the runs before the process, in this block and until the last such block ends."""
        with self._lock:
            self._runs += 1
            self._arm()
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if not self._runs:
                    self._disarm()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Let the main thread change handlers in this block; otherwise each side would restore those of the other."""
        with self._lock:
            self._disarm()
            try:
                yield
            finally:
                if self._runs:
                    self._arm()

    def _arm(self) -> None:
        # Windows does not support this.
        if not hasattr(faulthandler, "register"):
            return
        self._listen()
        for number in TOLD_TO_END:
            # A program that installed handlers of its own keeps them.
            if number not in self._armed and signal.getsignal(number) is signal.SIG_DFL:
                faulthandler.register(number, self._bells[number].fileno(), all_threads=False)
                self._armed.add(number)

    def _disarm(self) -> None:
        for number in list(self._armed):
            # If it differs, the program has set a handler since then, which must stay.
            if signal.getsignal(number) is signal.SIG_DFL:
                faulthandler.unregister(number)
                self._armed.discard(number)

    def _listen(self) -> None:
        if self._bells:
            return
        ears = {}
        for number in TOLD_TO_END:
            self._bells[number], ears[number] = socket.socketpair()
            self._bells[number].setblocking(False)
        threading.Thread(target=self._look_after, args=(ears,), name="orion-thread-signals", daemon=True).start()

    def _look_after(self, ears: dict[int, socket.socket]) -> None:
        with selectors.DefaultSelector() as selector:
            for number, ear in ears.items():
                selector.register(ear, selectors.EVENT_READ, number)
            (key, _), *_ = selector.select()
        number = key.data
        note_signal(signal.Signals(number).name)
        end_roots_in_threads(reason_of(Terminated()))
        with self._lock:
            self._disarm()
        os.kill(os.getpid(), number)

    def before_fork(self) -> None:
        """Block the signals, because one that is sent to the child would be reported here."""
        self._lock.acquire()
        if self._armed:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._armed)

    def in_parent(self) -> None:
        if self._armed:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._armed)
        self._lock.release()

    def in_child(self) -> None:
        """Restore the handlers in the child, which has neither the runs nor the reading thread."""
        armed = set(self._armed)
        self._disarm()
        if armed:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, armed)


_thread_signals = ThreadSignals()


def thread_signals() -> ThreadSignals:
    """Return the signal watcher of this process."""
    return _thread_signals


def _forget_in_child() -> None:
    global _thread_signals
    before, _thread_signals = _thread_signals, ThreadSignals()
    before.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _thread_signals.before_fork(),
        after_in_parent=lambda: _thread_signals.in_parent(),
        after_in_child=_forget_in_child,
    )
