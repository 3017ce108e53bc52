"""Ends of runs that the user's code did not choose, and how they are described."""

from __future__ import annotations

import asyncio
import errno
import math
import signal
import time

from orionflow.attempt import why_asked_to_end
from orionflow.engine.commands import CancelRequested, Stopped
from orionflow.engine.exits import is_closed
from orionflow.engine.interruption import Interrupted, Reason
from orionflow.engine.time_limits import TimeUp
from orionflow.recordable import as_text

# Sent when the terminal of a program is closed, and twice if a shell forwards it; `nohup` makes programs ignore it.
HUNG_UP: int | None = getattr(signal, "SIGHUP", None)
END_SIGNALS: tuple[int, ...] = (signal.SIGTERM, *([] if HUNG_UP is None else [HUNG_UP]))
SIGTERM_CAME = "SIGTERM came"
TERMINAL_CLOSED = "SIGHUP: its terminal was closed"

CTRL_C = Reason("The run was interrupted from the keyboard (Ctrl-C).")
_from_keyboard = False


def note_keyboard(came: bool) -> None:
    """Remember Ctrl-C: under `asyncio.run` it arrives as a cancelled coroutine, which does not say so."""
    global _from_keyboard
    _from_keyboard = came


# Seconds. Nested runs that a signal ends wait for an absent API one after the other, and the program must end in ten.
FOR_REPORTS = 5.0
LEAST_FOR_REPORTS = 0.5
ENDS_IN = 10.0
_asked_at = -math.inf


def note_request() -> None:
    """Remember when the program was asked to end, by any signal; repetitions extend nothing."""
    global _asked_at
    if time.monotonic() - _asked_at >= ENDS_IN:
        _asked_at = time.monotonic()


def ends_by_signal() -> bool:
    """Whether a signal has just asked the program to end, which is killed if it does not."""
    return time.monotonic() - _asked_at < ENDS_IN


def seconds_for_reports() -> float:
    """Return for how long a crashed run may wait until its records are delivered: runs share the time after a signal.

    What is not delivered by then is kept in the spool, as is the end of the run.
    """
    return max(FOR_REPORTS - (time.monotonic() - _asked_at), LEAST_FOR_REPORTS) if ends_by_signal() else FOR_REPORTS


_signal = "SIGTERM"
_has_arrived = _follows_terminal = False
# Seconds: writing to a closed terminal fails before the signal arrives, which a shell may have to forward.
SIGNAL_DELAY_SECONDS = 1.0
POLL_SECONDS = 0.005


def note_signal(name: str) -> None:
    """Remember which signal asked the process to end, as a cancelled coroutine does not say so."""
    global _signal, _has_arrived
    _signal, _has_arrived = TERMINAL_CLOSED if name == "SIGHUP" else name, True
    note_request()


def note_handlers(follows_terminal: bool) -> None:
    """Note that signal handlers were installed or removed, and that no signal has arrived yet."""
    global _follows_terminal, _has_arrived
    _follows_terminal, _has_arrived = follows_terminal, False


def is_asked_to_end(error: Exception) -> bool:
    """Whether a run that fails by this error does so because its process was asked to end."""
    if isinstance(error, OSError) and error.errno == errno.EIO and _follows_terminal:
        until = time.monotonic() + SIGNAL_DELAY_SECONDS
        while not _has_arrived and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
    return _has_arrived


class Terminated(BaseException):
    """The process was asked to end, by SIGTERM or because its terminal was closed."""


def reason_of(error: BaseException) -> Reason:
    """Return why the run was ended from outside, as a text for users, and whether it was cancelled."""
    match error:
        case Interrupted() | asyncio.CancelledError(args=(Reason(),)):
            reason: Reason = error.reason if isinstance(error, Interrupted) else error.args[0]
            return reason
        case KeyboardInterrupt():
            return CTRL_C
        case Terminated() | asyncio.CancelledError(args=("SIGTERM came",)):
            return _asked_to_end()
        case SystemExit():
            return Reason(
                f"The process of the run exited with code {0 if error.code is None else as_text(error.code)}."
            )
        case asyncio.CancelledError() if _from_keyboard:
            return CTRL_C
        case asyncio.CancelledError():
            return Reason("The coroutine of the run was cancelled by the program around it.")
        case GeneratorExit() if is_closed(error):
            return Reason("The coroutine of the run was closed before it ended.")
        case TimeUp():
            return Reason("The flow run that it belongs to ran out of time.")
        case Stopped():
            return Reason(str(error), is_cancel=isinstance(error, CancelRequested))
    return Reason(f"The run broke: {type(error).__name__}: {as_text(error)}")


def _asked_to_end() -> Reason:
    why = why_asked_to_end()
    if why == "cancelled":
        return Reason("The flow run was cancelled.", is_cancel=True)
    return Reason(f"The process of the run was asked to end ({_signal})" + (f": {why}." if why else "."))
