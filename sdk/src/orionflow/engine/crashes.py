"""Ends that the user's code did not choose: interrupts, exits, signals, cancelled coroutines."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from orionflow.attempt import why_told_to_end
from orionflow.engine.interruption import RETRY_AFTER, Postponed
from orionflow.engine.orders import Stopped
from orionflow.engine.time_limits import TimeUp
from orionflow.recordable import as_text

SIGTERM_CAME = "SIGTERM came"


class Terminated(BaseException):
    """The process was asked to end by SIGTERM."""


def crash_message(error: BaseException) -> str:
    """Why the run is CRASHED, for people."""
    match error:
        case KeyboardInterrupt():
            return "The run was interrupted from the keyboard (Ctrl-C)."
        case Terminated():
            return _told_to_end()
        case SystemExit():
            return f"The process of the run exited with code {0 if error.code is None else as_text(error.code)}."
        case asyncio.CancelledError(args=(message,)) if message == SIGTERM_CAME:
            return _told_to_end()
        case asyncio.CancelledError():
            return "The coroutine of the run was cancelled by the program around it."
        case GeneratorExit():
            return "The coroutine of the run was closed before it ended."
        case TimeUp():
            return "The flow run that it belongs to ran out of time."
        case Stopped():
            return str(error)
    return f"The run broke: {type(error).__name__}: {as_text(error)}"


def _told_to_end() -> str:
    why = why_told_to_end()
    return "The process of the run was told to end (SIGTERM)" + (f": {why}." if why else ".")


@contextmanager
def signals_as_exceptions(wanted: bool, is_async: bool = False) -> Iterator[None]:
    """In this block SIGTERM raises Terminated, or cancels the coroutine; SIGINT waits while a step is being reported.

    After the block a SIGTERM that came is delivered again, so that the process ends as it was told to.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts = _Interrupts(asyncio.current_task() if is_async else None)
    interrupts.install()
    try:
        yield
    finally:
        interrupts.restore()
        if interrupts.is_terminating:
            os.kill(os.getpid(), signal.SIGTERM)


class _Interrupts:
    """The signal handlers of one root flow run."""

    def __init__(self, coroutine: asyncio.Task[Any] | None) -> None:
        self._coroutine = coroutine
        self._before: dict[int, Any] = {}
        self._postponed = Postponed()
        self.is_terminating = False

    def install(self) -> None:
        # A program with handlers of its own has its reasons.
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._terminate)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)

    def restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        again, self.is_terminating = self.is_terminating, True
        if self._coroutine is not None and not again:
            # An exception here would end the event loop, and with it everything that could report the end.
            self._coroutine.get_loop().call_soon_threadsafe(self._coroutine.cancel, SIGTERM_CAME)
        elif not self._is_postponed(number, frame):
            raise Terminated

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._is_postponed(number, frame):
            raise KeyboardInterrupt

    def _is_postponed(self, number: int, frame: FrameType | None) -> bool:
        if self._postponed.should_wait(frame):
            threading.Timer(RETRY_AFTER, os.kill, (os.getpid(), number)).start()
            return True
        return False
