"""The harm done, and the runs that had to suffer from it: all others must complete."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# Between the moment of a deed and what the parts have noticed of it.
SLACK = timedelta(seconds=2)
# No process waits longer than this for a processor unless the whole machine stands still.
STALL_SECONDS = 1.5
HELD = frozenset({"PENDING", "RUNNING", "PAUSED", "CANCELLING"})


@dataclass(frozen=True, slots=True)
class Harm:
    """Something that ends the processes of an agent, or takes its leases; without a name it is every agent's."""

    began: datetime
    ended: datetime
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt: from its claim until its run was in nobody's hands."""

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
        """How often the run with these states had to suffer."""
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
    """Notes when the machine itself stood still: then leases may run out without anybody's doing."""

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
