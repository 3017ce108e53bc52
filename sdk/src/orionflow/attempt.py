"""The attempt of a flow run for which an agent started this process, if one did.

All requests of such a process name its attempt, so that nothing is stored after another attempt took over.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

# Seconds by which the clocks of two machines may differ.
CLOCKS_DIFFER = 3.0
HEADERS = ("Orion-Run-Id", "Orion-Run-Epoch")


@dataclass(frozen=True, slots=True)
class Limit:
    """The time limit of an attempt in a container: in words, and as a moment by the clock of its agent."""

    words: str
    ends_at: float

    @classmethod
    def read(cls, sent: Mapping[str, Any] | None) -> Limit | None:
        return cls(sent["words"], sent["ends_at"]) if sent else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A flow run, and the number that the API gave to this start of it."""

    flow_run_id: UUID
    epoch: int
    api_url: str
    # The file in which the agent writes why it ends the process.
    note: Path | None = None
    # Agents write no such files in containers: the limit is known from the start, and other reasons are requested.
    limit: Limit | None = None
    ask_why: Callable[[], str | None] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        return dict(zip(HEADERS, (str(self.flow_run_id), str(self.epoch)), strict=True))


_current: Attempt | None = None
# The moment (of the monotonic clock) when the process last continued after it was frozen.
_woken_at = float("-inf")


def current_attempt() -> Attempt | None:
    return _current


def attempt_for_children() -> Attempt | None:
    """Return the attempt in a form that can be sent to processes which work for this one."""
    return None if _current is None else replace(_current, ask_why=None)


def begin_attempt(attempt: Attempt) -> None:
    """Let this process write as this attempt from now on."""
    global _current
    _current = attempt
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCONT, _wake)


def awake_since(moment: float) -> float:
    """Return `moment` or, if later, the last wake-up: waiting for the API counts from then (monotonic clock).

    An agent may have frozen this process; time in which it could not send requests says nothing about the API.
    """
    return max(moment, _woken_at)


def _wake(*_: object) -> None:
    global _woken_at
    _woken_at = time.monotonic()


def why_asked_to_end() -> str | None:
    """Return the agent's reason for the SIGTERM that it sent; None if another process sent it."""
    if _current is not None and _current.limit is not None and time.time() > _current.limit.ends_at - CLOCKS_DIFFER:
        return f"it took longer than {_current.limit.words}"
    if _current is not None and _current.ask_why is not None:
        return _current.ask_why()
    if _current is None or _current.note is None:
        return None
    try:
        return _current.note.read_text(encoding="utf-8") or None
    except OSError:
        return None


def headers_for(api_url: str) -> Mapping[str, str]:
    """Return the headers of the attempt for requests to this API; other APIs do not know the attempt."""
    if _current is None or _current.api_url.rstrip("/") != api_url.rstrip("/"):
        return {}
    return _current.headers
