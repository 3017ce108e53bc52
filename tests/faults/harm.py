"""The harm that a test does to the cluster, and which runs it may have hit: all others must complete."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# The time that may pass between a fault and the moment when the parts of the cluster notice it.
SLACK = timedelta(seconds=2)
# No process waits longer than this for a processor unless the whole machine stands still.
STALL_SECONDS = 1.5
HELD = frozenset({"PENDING", "RUNNING", "PAUSED", "CANCELLING"})


@dataclass(frozen=True, slots=True)
class Harm:
    """A fault that ends the processes of an agent or costs it its leases; without `agent` it hits every agent."""

    began: datetime
    ended: datetime
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt on an agent: from the claim of the run until the agent no longer held it."""

    agent: str
    began: datetime
    ended: datetime

    def suffers(self, harm: Harm) -> bool:
        is_hit = harm.agent in (None, self.agent)
        return is_hit and harm.began - SLACK <= self.ended and self.began <= harm.ended + SLACK


class Chronicle:
    """All harm that was done."""

    def __init__(self) -> None:
        self.harms: list[Harm] = []
        self.cancelled: set[str] = set()

    @contextmanager
    def noted(self, *, agent: str | None) -> Iterator[None]:
        began = datetime.now(UTC)
        try:
            yield
        finally:
            self.harms.append(Harm(began, datetime.now(UTC), agent))

    def harms_of(self, history: list[dict[str, Any]]) -> int:
        """How many faults fell into an attempt of the run with these states."""
        holds = holds_in(history)
        return sum(any(hold.suffers(harm) for hold in holds) for harm in self.harms)


def holds_in(history: list[dict[str, Any]]) -> list[Hold]:
    holds, agent, since = [], None, None
    for state in history:
        at = datetime.fromisoformat(state["timestamp"].replace("Z", "+00:00"))
        taken = (state["message"] or "").partition("Taken by agent '")[2].partition("'")[0]
        if agent and since and (taken or state["type"] not in HELD):
            holds.append(Hold(agent, since, at))
            agent = None
        if taken:
            agent, since = taken, at
    return holds + ([Hold(agent, since, datetime.now(UTC))] if agent and since else [])


class StallWatch:
    """Notes when the machine itself stood still: then leases may run out although the test did no harm."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> StallWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(0.1):
            late = time.monotonic() - last
            if late > STALL_SECONDS:
                now = datetime.now(UTC)
                self._chronicle.harms.append(Harm(now - timedelta(seconds=late), now))
            last = time.monotonic()
