"""SIGTERM, SIGHUP and SIGINT while a flow runs: they end the run, recorded, and then the program, in seconds.

SIGTERM and SIGHUP go through these steps, each only as far as the one before did not end the runs:

1. The handler cancels the coroutines of async runs. For a sync run, or an async one that blocks its event loop, it
   raises Terminated in the main thread.
2. Where an exception would do harm, as in the middle of a report, it is postponed: nothing is raised, and a timer sends
   the signal again, until the main thread has left that code.
3. A thread of its own insists: `UNTIL_RAISED` seconds after the exception it sends the signal again, which now raises
   Terminated in async runs as well. It does not while a run reports its end.
4. `UNTIL_KILLED` seconds after the signal, that thread reports the ends of the runs itself and kills the process.

When the last run has ended, the earlier handlers are restored, its reports are delivered or kept in a file, and the
signal is sent once more, with its default action. A second SIGTERM from outside raises at once; a second SIGHUP is
ignored, because shells forward it to programs that got it from the terminal. So the signals of steps 2 and 3 must be
distinguishable from others.

SIGINT raises KeyboardInterrupt, and step 2 is the same. Under `asyncio.run`, which cancels its main task instead, steps
3 and 4 follow. If it is still postponed when the runs have ended, the program gets it then.

Three neighbours complete this: `lost_signals` sends a signal again that Python noted as the main thread began to block,
`thread_signals` ends runs in other threads, from which no handler can be set, and `signals_at_forks` keeps signals
during a fork and sets the handlers of the child.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from orionflow.engine.crashes import (
    CTRL_C,
    END_SIGNALS,
    HUNG_UP,
    SIGTERM_CAME,
    Terminated,
    note_handlers,
    note_keyboard,
    note_request,
    note_signal,
)
from orionflow.engine.event_loops import is_held_up
from orionflow.engine.interruption import RETRY_AFTER, Postponed, Reason, interruption, is_within
from orionflow.engine.last_reports import in_time, keep_in_time, report_last
from orionflow.engine.signals_at_forks import SignalsAtForks
from orionflow.engine.thread_signals import thread_signals
from orionflow.reporting.current import has_reported

# Seconds in which a coroutine may notice that it is cancelled: sync code may block its event loop.
UNTIL_RAISED = 2.0
# Seconds in which a run may report its end.
UNTIL_KILLED = 7.0
# Seconds in which the thread that kills the process may report the ends of its runs, and then what else waits.
UNTIL_ABANDONED = 2.0
UNTIL_KEPT = 0.5
ASKED_IN_VAIN = Reason("The process of the run was asked to end, did not, and was killed.")


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """A flow run of the main thread that is not nested in another one."""

    # The coroutine to cancel, if the run is one.
    coroutine: asyncio.Task[Any] | None
    is_ending: Callable[[], bool]
    abandon: Callable[[Reason], None]

    @property
    def is_held_up(self) -> bool:
        return self.coroutine is not None and is_held_up(self.coroutine.get_loop())


@contextmanager
def signals_as_exceptions(root: Root) -> Iterator[None]:
    """Let SIGTERM raise Terminated in this block, or cancel the coroutine; signals wait while a step is reported.

    After the last such block, a signal that arrived is delivered again, so that the process ends by it. If a run
    does not end by then, its end is reported from another thread, and the process is killed.
    """
    try:
        _signals.begin(root)
        yield
    finally:
        _signals.end(root)


def follow_in_child() -> None:
    """Let SIGTERM and SIGHUP end the runs that this process records, if user code forked it in a run."""
    _signals.forks.follow_in_child()


_ending = 0


@contextmanager
def ending() -> Iterator[None]:
    """Mark that a run in this block ends other work because of a signal, or reports its end, as one in another may."""
    global _ending
    _ending += 1
    try:
        yield
    finally:
        _ending -= 1


class _Signals:
    """The signal handlers that are installed while flow runs execute in the main thread."""

    def __init__(self) -> None:
        self._roots: list[Root] = []
        self._before: dict[int, Any] = {}
        self._delay = Postponed()
        self._have_ended = threading.Event()
        # The signal that asked the process to end, if one did.
        self._ended_by: int | None = None
        # Postponed signals that a timer will send. Empty while one is on its way from the timer to the handler.
        self._timed: set[int] = set()
        # Signals whose Terminated is still to be raised: from the first time that it is postponed until it is raised.
        self._unraised: set[int] = set()
        # Signals that this process sent itself and that have not arrived yet.
        self._own: set[int] = set()
        # Signals with a thread that insists on them.
        self._insisted: set[int] = set()
        handlers: dict[int, Callable[..., Any]] = dict.fromkeys(END_SIGNALS, self._terminate)
        handlers[signal.SIGINT] = self._interrupt
        self.forks = SignalsAtForks(handlers, self._send_after_fork)
        # In a forked process, the runs of its parent in which it was forked.
        self._inherited: list[Root] = []

    def before_fork(self) -> None:
        self.forks.before(blocks=bool(self._before))

    def forget_in_child(self) -> None:
        global _ending
        _ending = 0
        self._inherited = list(self._roots)
        self.forks.in_child()

    def _send_after_fork(self, kept: set[int]) -> None:
        self._timed |= kept
        self._in_a_thread(threading.Thread(target=self._send_kept, args=(kept,), name="orion-kept-signals"), kept)

    def _send_kept(self, kept: set[int]) -> None:
        # The main thread leaves this module before it returns from the fork.
        while is_within((__name__,), sys._current_frames().get(threading.main_thread().ident or 0)):
            time.sleep(RETRY_AFTER)
        for number in kept:
            self._send_postponed(number)

    def begin(self, root: Root) -> None:
        self.forks.follow_in_child()
        self._roots.append(root)
        if len(self._roots) > 1:
            return
        self._have_ended.clear()
        with thread_signals().set_aside():
            # A program that installed handlers of its own keeps them.
            for number in END_SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._before[number] = signal.SIG_DFL
                    signal.signal(number, self._terminate)
        handler = signal.getsignal(signal.SIGINT)
        if handler is signal.default_int_handler or _is_of_asyncio(handler):
            self._before[signal.SIGINT] = handler
            signal.signal(signal.SIGINT, self._interrupt)
        note_handlers(follows_terminal=HUNG_UP in self._before)
        if self._before:
            self.forks.lost.listen()

    def end(self, root: Root) -> None:
        if root in self._roots:
            self._roots.remove(root)
        if self._roots:
            return
        self._have_ended.set()
        note_keyboard(False)
        self._unraised.clear()
        self._own.clear()
        self.forks.lost.stop()
        with thread_signals().set_aside():
            for number in END_SIGNALS:
                if number in self._before:
                    # A repeated SIGHUP must not interrupt the ends of other runs.
                    waits = self._ended_by is not None and number == HUNG_UP
                    self._put_back(number, signal.SIG_IGN if waits else signal.SIG_DFL)
        # Only now: a signal may have come while the handlers were still those of Orion.
        self._insisted.clear()
        ended_by, self._ended_by = self._ended_by, None
        if ended_by is not None:
            self._end_program(ended_by)
        note_handlers(follows_terminal=False)
        # Last, as KeyboardInterrupt would leave the rest undone.
        if signal.SIGINT in self._before:
            self._put_back(signal.SIGINT, self._before[signal.SIGINT])
        # The program receives the signal now, as if it had arrived after the run.
        self._send_postponed(signal.SIGINT)

    def _put_back(self, number: int, handler: Any) -> None:
        try:
            signal.signal(number, handler)
        finally:
            # Not earlier: until then, the handlers of Orion may be called. KeyboardInterrupt may come right after it.
            del self._before[number]

    def _end_program(self, number: int) -> None:
        try:
            report_last()
        finally:
            # The default action, as before the runs.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.forks.lost.handled(number)
        if self._inherited and self._roots == self._inherited and not has_reported():
            # Nothing is to be recorded. Programs terminate their processes, as a pool of multiprocessing does at its
            # end, and an exception would be printed and change the exit code.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        again = self._ended_by is not None
        is_own = number in self._own
        self._own.discard(number)
        if again and number == HUNG_UP and not is_own:
            return
        self._ended_by = number
        note_signal(signal.Signals(number).name)
        if not self._roots:
            # `end` has not restored the handlers yet, and sends the signal then.
            return
        self._insist(number)
        raises = again
        for root in self._roots:
            if root.coroutine is None or root.is_held_up:
                raises = True
            elif not again:
                # An exception here would end the event loop, and with it everything that could report the end.
                root.coroutine.get_loop().call_soon_threadsafe(root.coroutine.cancel, SIGTERM_CAME)
        if raises and self._postpone(number, frame):
            self._unraised.add(number)
        elif raises:
            self._unraised.discard(number)
            raise Terminated

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.forks.lost.handled(number)
        if not self._roots:
            # `end` has not restored the handlers yet, and sends the signal then.
            self._timed.add(number)
            return
        before = self._before[signal.SIGINT]
        if before is signal.default_int_handler or number in self._insisted:
            by_asyncio = False
        else:
            by_asyncio = all(root.coroutine is not None for root in self._roots)
        is_held_up = any(root.is_held_up for root in self._roots)
        if (is_held_up or not by_asyncio) and self._postpone(number, frame):
            return
        note_request()
        if not by_asyncio:
            raise KeyboardInterrupt
        self._insist(number)
        note_keyboard(True)
        # The main task is cancelled as soon as its loop is free.
        before(number, frame)
        if is_held_up:
            # A KeyboardInterrupt would end the loop before its other coroutines could report their ends.
            raise interruption(CTRL_C)

    def _postpone(self, number: int, frame: FrameType | None) -> bool:
        """Send the signal again after a moment, if an exception would do harm at the main thread's position."""
        if not self._delay.should_wait(frame, threading.get_ident()):
            return False
        self._timed.add(number)
        self._in_a_thread(threading.Timer(RETRY_AFTER, self._send_postponed, (number,)), {number})
        return True

    def _in_a_thread(self, sending: threading.Thread, numbers: set[int]) -> None:
        """Start a thread that sends these postponed signals, or let that of `lost_signals` do it."""
        try:
            sending.start()
        except RuntimeError:
            # The process may not start threads at the moment.
            for number in numbers:
                if self.forks.lost.send_again(number):
                    self._timed.discard(number)
                    self._own.add(number)

    def _send_postponed(self, number: int) -> None:
        # Both the timer and the end of the run may get here.
        with suppress(KeyError):
            self._timed.remove(number)
            self._own.add(number)
            os.kill(os.getpid(), number)

    def _insist(self, number: int) -> None:
        """Make sure that the runs end, from a thread that nothing can block."""
        if number not in self._insisted:
            self._insisted.add(number)
            try:
                threading.Thread(target=self._look_after, args=(number,), name="orion-signals", daemon=True).start()
            except RuntimeError:
                # The process may not start threads at the moment. The next signal tries again.
                self._insisted.discard(number)

    def _look_after(self, number: int) -> None:
        began = time.monotonic()
        # The run's time starts when the exception is raised: a second one would hit the run while it begins to end.
        while number in self._unraised and time.monotonic() - began < UNTIL_KILLED - UNTIL_RAISED:
            if self._have_ended.wait(RETRY_AFTER):
                return
        if self._have_ended.wait(UNTIL_RAISED):
            return
        # Not if a run reports its end: an exception in the loop would cut that off, and the other runs with it.
        if not _ending and not any(root.is_ending() for root in list(self._roots)):
            self._own.add(number)
            os.kill(os.getpid(), number)
        if not self._have_ended.wait(began + UNTIL_KILLED - time.monotonic()):
            self._kill()

    def _kill(self) -> None:
        """Kill the process: its runs ignored the signal, as code may that catches every exception."""
        try:
            in_time(UNTIL_ABANDONED, self._abandon_roots)
            keep_in_time(UNTIL_KEPT)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)

    def _abandon_roots(self) -> None:
        for root in list(self._roots):
            # Those that a forked process inherited go on in its parent.
            if root not in self._inherited:
                root.abandon(ASKED_IN_VAIN)


def _is_of_asyncio(handler: Any) -> bool:
    """Whether the handler is that of `asyncio.run`, which has no effect while sync code blocks the loop."""
    return isinstance(getattr(getattr(handler, "func", None), "__self__", None), asyncio.Runner)


_signals = _Signals()

if hasattr(os, "register_at_fork"):
    # Registered after those of modules imported above, so called before and after theirs.
    os.register_at_fork(
        before=_signals.before_fork, after_in_parent=_signals.forks.in_parent, after_in_child=_signals.forget_in_child
    )
