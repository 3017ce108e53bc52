"""SIGTERM and SIGINT while a flow runs: they end the run, with a record, and then the program, within seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from orionflow.engine.crashes import SIGTERM_CAME, Terminated, note_keyboard
from orionflow.engine.interruption import RETRY_AFTER, Postponed, Reason
from orionflow.event_loops import is_held_up

# So long may a coroutine take to take notice that it is cancelled: sync code may keep its loop from telling it.
UNTIL_RAISED = 2.0
# So long may a run take to report its end.
UNTIL_KILLED = 7.0
TOLD_IN_VAIN = Reason("The process of the run was told to end, did not, and was killed.")


@contextmanager
def signals_as_exceptions(
    wanted: bool, is_async: bool, is_ending: Callable[[], bool], end_from_outside: Callable[[Reason], None]
) -> Iterator[None]:
    """In this block SIGTERM raises Terminated, or cancels the coroutine; both signals wait while a step is reported.

    After the block a SIGTERM that came is delivered again, so that the process ends as it was told to. A run that does
    not end is ended `from_outside`, and its process killed.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = _Signals(asyncio.current_task() if is_async else None, is_ending, end_from_outside)
    signals.install()
    try:
        yield
    finally:
        signals.restore()
        if signals.is_terminating:
            os.kill(os.getpid(), signal.SIGTERM)


_ending = 0


@contextmanager
def ending() -> Iterator[None]:
    """In this block a run sees to the end of something else before it ends itself, as it was told to."""
    global _ending
    _ending += 1
    try:
        yield
    finally:
        _ending -= 1


class _Signals:
    """The signal handlers of one root flow run."""

    def __init__(
        self,
        coroutine: asyncio.Task[Any] | None,
        is_ending: Callable[[], bool],
        end_from_outside: Callable[[Reason], None],
    ) -> None:
        self._coroutine = coroutine
        self._is_ending = is_ending
        self._end_from_outside = end_from_outside
        self._before: dict[int, Any] = {}
        self._postponed = Postponed()
        self._has_ended = threading.Event()
        self._insists: set[int] = set()
        self.is_terminating = False

    def install(self) -> None:
        # A program with handlers of its own has its reasons.
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._terminate)
        handler = signal.getsignal(signal.SIGINT)
        if handler is signal.default_int_handler or self._is_of_asyncio(handler):
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)

    def _is_of_asyncio(self, handler: Any) -> bool:
        """`asyncio.run` has one that cancels its main task, which does nothing while sync code holds the loop up."""
        return self._coroutine is not None and isinstance(
            getattr(getattr(handler, "func", None), "__self__", None), asyncio.Runner
        )

    def restore(self) -> None:
        self._has_ended.set()
        note_keyboard(False)
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        again, self.is_terminating = self.is_terminating, True
        coroutine = self._coroutine
        if coroutine is not None and not again:
            self._insist(number)
            if not is_held_up(coroutine.get_loop()):
                # An exception here would end the event loop, and with it everything that could report the end.
                coroutine.get_loop().call_soon_threadsafe(coroutine.cancel, SIGTERM_CAME)
                return
        self._insist(number)
        if not self._is_postponed(number, frame):
            raise Terminated

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        coroutine, of_asyncio = self._coroutine, self._before[signal.SIGINT]
        if coroutine is not None and of_asyncio is not signal.default_int_handler:
            again = number in self._insists
            self._insist(number)
            if not again and not is_held_up(coroutine.get_loop()):
                note_keyboard(True)
                of_asyncio(number, frame)
                return
        if not self._is_postponed(number, frame):
            raise KeyboardInterrupt

    def _is_postponed(self, number: int, frame: FrameType | None) -> bool:
        if self._postponed.should_wait(frame):
            threading.Timer(RETRY_AFTER, os.kill, (os.getpid(), number)).start()
            return True
        return False

    def _insist(self, number: int) -> None:
        """See to it that the run does end, from a thread that nothing holds up."""
        if number not in self._insists:
            self._insists.add(number)
            threading.Thread(target=self._look_after, args=(number,), name="orion-signals", daemon=True).start()

    def _look_after(self, number: int) -> None:
        if self._has_ended.wait(UNTIL_RAISED):
            return
        if not (self._is_ending() or _ending):
            os.kill(os.getpid(), number)
        if not self._has_ended.wait(UNTIL_KILLED - UNTIL_RAISED):
            # It took notice of nothing, as code may that catches every exception.
            if not self._is_ending():
                self._end_from_outside(TOLD_IN_VAIN)
            os.kill(os.getpid(), signal.SIGKILL)
