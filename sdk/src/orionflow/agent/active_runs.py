"""The runs that an agent executes, from their claim until the API knows their end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from orionflow.contract.agents import ClaimedRun


class Stop(StrEnum):
    """The reason for which the agent ends a process."""

    CANCELLED = "cancelled"
    LOST = "lost"
    TOO_LONG = "too long"
    OUT_OF_TOUCH = "out of touch"
    DRAINED = "drained"
    LINGERING = "lingering"


@dataclass(frozen=True, slots=True)
class Limit:
    """The time limit of a process, and where it was set."""

    seconds: float
    source: str

    def __str__(self) -> str:
        return f"its limit of {self.seconds:g} s ({self.source})"


@dataclass(eq=False, slots=True)
class ActiveRun:
    """One attempt and its process."""

    claimed: ClaimedRun
    # By the agent's own monotonic clock: until this moment no other agent can have been given the run.
    trusted_until: float
    began: float = field(default_factory=time.monotonic)
    ends_by: float | None = None
    limit: Limit | None = None
    # A file in which the process reads why it is asked to end.
    note: Path | None = None
    pid: int | None = None
    report: Mapping[str, Any] | None = None
    stopped: Stop | None = None
    killed_at: float | None = None
    is_killed: bool = False
    # The moment since which its process is frozen, until the API says whether the run still belongs to this agent.
    frozen_at: float | None = None
    has_process: bool = True
    # Whether the API would restart the run elsewhere after a crash, so that two processes of it could overlap.
    is_tried_again: bool = False

    def __post_init__(self) -> None:
        self.is_tried_again = bool(self.claimed.flow_run.empirical_policy.get("crash_retries"))

    @property
    def id(self) -> UUID:
        return self.claimed.flow_run.id

    @property
    def epoch(self) -> int:
        return self.claimed.epoch

    @property
    def key(self) -> str:
        return f"{self.id}:{self.epoch}"

    @property
    def why_stopped(self) -> str | None:
        """The reason for which the agent ends the process, for the message of the run's last state."""
        match self.stopped:
            case Stop.TOO_LONG:
                return f"it took longer than {self.limit}"
            case Stop.DRAINED:
                return "its agent ended"
            case Stop.OUT_OF_TOUCH:
                return "its agent ended without an answer from the API for the time of its lease"
        return str(self.stopped) if self.stopped else None

    @property
    def title(self) -> str:
        return f"Flow run {self.claimed.flow_run.name!r} of flow {self.claimed.flow_name!r}"


class ActiveRuns:
    """All active runs, shared by the threads of the agent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, ActiveRun] = {}
        self._any = threading.Event()

    def add(self, run: ActiveRun) -> None:
        with self._lock:
            self._runs[run.key] = run
            self._any.set()

    def remove(self, run: ActiveRun) -> None:
        with self._lock:
            self._runs.pop(run.key, None)
            if not self._runs:
                # Under the lock: otherwise the event of a run that is added right now could be lost.
                self._any.clear()

    def wait_for_one(self, seconds: float) -> bool:
        """Wait for a run; return whether there is one."""
        return self._any.wait(seconds)

    def get(self, key: str) -> ActiveRun | None:
        return self._runs.get(key)

    def is_executing(self, flow_run_id: UUID) -> bool:
        return any(run.id == flow_run_id and run.has_process for run in self)

    def __iter__(self) -> Iterator[ActiveRun]:
        with self._lock:
            # A copy, as other threads add and remove runs during the iteration.
            return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
