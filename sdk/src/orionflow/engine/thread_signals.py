"""SIGTERM and SIGHUP while flows run in threads other than the main one, which may be asleep and has no handler.

Only the main thread can set Python's signal handlers. `faulthandler` can set one from any thread: it writes to a file,
here a socket. A thread that reads from the socket ends the runs and then the process.

A program's own `faulthandler.register` for these signals is replaced.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import selectors
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from orionflow.engine.crashes import END_SIGNALS, ENDS_IN, note_signal
from orionflow.engine.last_reports import report_last


class ThreadSignals:
    """Watches for signals while flow runs execute in threads, unless the program has handlers of its own."""

    def __init__(self) -> None:
        # The garbage collector may close a run's coroutine in a thread that holds the lock.
        self._lock = threading.RLock()
        self._runs: set[object] = set()
        # Signals whose handlers were set; the program may have replaced them since.
        self._armed: set[int] = set()
        # The sockets to which the handlers write, while a thread reads from them.
        self._bells: dict[int, socket.socket] = {}
        # The reading thread, from when it read a signal until it has sent it again.
        self._answering: threading.Thread | None = None
        # The signals that the forking thread blocked itself.
        self._blocked: set[int | signal.Signals] | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let a signal end the runs before the process, in this block and until the last such block ends."""
        run = object()
        try:
            with self._lock:
                self._runs.add(run)
                self._arm()
            yield
        finally:
            with self._lock:
                self._runs.discard(run)
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
        if not hasattr(faulthandler, "register") or not self._listen():
            return
        for number in END_SIGNALS:
            # A program that installed handlers of its own keeps them.
            if signal.getsignal(number) is signal.SIG_DFL:
                # If the program has set a handler and reset it, only this makes `register` set it again.
                faulthandler.unregister(number)
                # Not of all threads: reading the frames of threads that run can crash the process. So nothing is
                # written for a signal that reaches a thread of a C library, as where the main thread blocks it.
                faulthandler.register(number, self._bells[number].fileno(), all_threads=False)
                self._armed.add(number)

    def _disarm(self) -> None:
        for number in list(self._armed):
            # If it differs, the program has set a handler since then, which must stay.
            if signal.getsignal(number) is signal.SIG_DFL:
                faulthandler.unregister(number)
                self._armed.discard(number)

    def _listen(self) -> bool:
        """Start the reading thread. Return False if the process may not open files or start threads at the moment."""
        if self._bells:
            return True
        bells = {}
        with ExitStack() as opened:
            try:
                selector = opened.enter_context(selectors.DefaultSelector())
                for number in END_SIGNALS:
                    bells[number], ear = socket.socketpair()
                    opened.enter_context(bells[number])
                    opened.enter_context(ear)
                    bells[number].setblocking(False)
                    selector.register(ear, selectors.EVENT_READ, number)
                threading.Thread(
                    target=self._look_after, args=(selector,), name="orion-thread-signals", daemon=True
                ).start()
            except (OSError, RuntimeError):
                return False
            opened.pop_all()
        self._bells = bells
        return True

    def _look_after(self, selector: selectors.BaseSelector) -> None:
        number = None
        try:
            (key, _), *_ = selector.select()
            number = key.data
            self._answering = threading.current_thread()
            note_signal(signal.Signals(number).name)
            report_last()
        finally:
            with self._lock:
                self._disarm()
                # The program may have a handler by now and continue; its next run starts another reading thread.
                self._bells = {}
                if number is not None:
                    # Not after the lock was released: a run that begins there would catch the signal, unread.
                    os.kill(os.getpid(), number)

    def wait_for_answer(self) -> None:
        """Wait until a signal that was read has been sent again, before the interpreter stops the thread that does it.

        The program may exit as soon as its last run has ended, and would do so with the exit code 0.
        """
        if (answering := self._answering) is not None:
            answering.join(ENDS_IN)

    def before_fork(self) -> None:
        """Block the signals, because one that is sent to the child would be reported here."""
        self._lock.acquire()
        if self._armed:
            self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            signal.pthread_sigmask(signal.SIG_BLOCK, self._armed)

    def in_parent(self) -> None:
        try:
            self._restore_mask()
        finally:
            self._lock.release()

    def in_child(self) -> None:
        """Restore the handlers in the child, which has neither the runs nor the reading thread."""
        self._disarm()
        self._restore_mask()

    def _restore_mask(self) -> None:
        blocked, self._blocked = self._blocked, None
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


_thread_signals = ThreadSignals()


def thread_signals() -> ThreadSignals:
    """Return the signal watcher of this process."""
    return _thread_signals


# Called before the runs that still execute are ended because the program exits, and before the reporter is closed.
atexit.register(lambda: _thread_signals.wait_for_answer())


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
