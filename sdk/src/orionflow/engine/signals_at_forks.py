"""Signals while user code forks in a run, and in its child, which ends by them as usual until it records anything.

`interruption` finds this module, like `signals`, by the beginning of its name.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from orionflow.engine.crashes import END_SIGNALS
from orionflow.engine.interruption import forking
from orionflow.engine.lost_signals import LostSignals


class SignalsAtForks:
    """Keeps signals until after a fork, and sets the handlers of a child.

    - `handlers`: the handlers of Orion, by signal.
    - `send_again`: sends the signals that were kept, in a moment.
    """

    def __init__(self, handlers: Mapping[int, Callable[..., Any]], send_again: Callable[[set[int]], None]) -> None:
        self._handlers = handlers
        self._send_again = send_again
        self.lost = LostSignals(handlers, self._keep)
        # In a child, the signals whose handlers are installed when it first records anything.
        self._resting: set[int] = set()
        # During a fork, the handlers that `_keep` stands for, and the signals that came, by the process that got them.
        self._set_aside: dict[int, Any] = {}
        self._kept: dict[int, set[int]] = {}
        # The signals that a forking thread blocked before.
        self._masks = threading.local()

    def before(self, *, blocks: bool) -> None:
        """Keep signals until after the fork; `blocks` if the handlers are installed.

        Python drops exceptions that are raised in functions which it calls around a fork. Some of them wait, as for
        what other threads write to SQLite.
        """
        forking.add(threading.get_ident())
        if threading.current_thread() is threading.main_thread():
            for number in self._handlers:
                if signal.getsignal(number) in (signal.default_int_handler, *self._handlers.values()):
                    self._set_aside[number] = signal.signal(number, self._keep)
        if blocks:
            # One that is sent to the child would come here as well: the child has the socket of `lost_signals`.
            self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, self._handlers)

    def _unblock(self) -> None:
        before = self._masks.__dict__.pop("before", None)
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def in_parent(self) -> None:
        """Send the signals that came again, in a moment: an exception that is raised here is dropped as well."""
        try:
            self._unblock()
            if threading.current_thread() is threading.main_thread():
                self._restore()
                self._follow_kept()
        finally:
            forking.discard(threading.get_ident())

    def in_child(self) -> None:
        """Forget the parent's listener and signals, as the child has no listening thread."""
        try:
            self.lost.stop()
            self.lost = LostSignals(self._handlers, self._keep)
            self._restore()
            self._rest_in_child()
            self._unblock()
            self._follow_kept()
        finally:
            forking.clear()

    def _follow_kept(self) -> None:
        # A child also has those of its parent, which are not its own.
        kept = self._kept.pop(os.getpid(), None)
        self._kept.clear()
        if kept:
            self._send_again(kept)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.lost.handled(number)
        self._kept.setdefault(os.getpid(), set()).add(number)

    def _restore(self) -> None:
        while self._set_aside:
            signal.signal(*self._set_aside.popitem())

    def _rest_in_child(self) -> None:
        """Restore the default actions in a forked child, until it records anything itself.

        Programs terminate their processes, as a pool does with its workers. A handler is not called while the main
        thread waits for a lock, and this needs a thread that sends the signal again, which a child that becomes a
        daemon or enters a namespace must not have.
        """
        for number in END_SIGNALS:
            if signal.getsignal(number) == self._handlers[number]:
                signal.signal(number, signal.SIG_DFL)
                self._resting.add(number)

    def follow_in_child(self) -> None:
        """Install the handlers in a forked child that begins to record. Only its main thread can."""
        if not self._resting or threading.current_thread() is not threading.main_thread():
            return
        for number in self._resting:
            # The program of the child may have installed a handler of its own.
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._handlers[number])
        self._resting.clear()
        self.lost.listen()
