"""Offers: which task runs this server process has offered to processes that serve tasks, and which of them took which.

Only the event loop reads and writes them. Other servers know of the runs that were taken from the database
(`runs.background_tasks.services.hold_calls`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection
from uuid import UUID

# A process that took a run must make it pending within this time; otherwise the run is offered again.
OFFER_SECONDS = 30.0
# Runs remembered for each connection. Older ones have started long ago.
MOST_HELD = 10_000


class Offers:
    """The offers of one server process."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}
        self._held: dict[object, deque[UUID]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def make(self, run_id: UUID) -> bool:
        """Offer a run for OFFER_SECONDS. Return False if it is offered already."""
        now = time.monotonic()
        self._until = {one: until for one, until in self._until.items() if until > now}
        if run_id in self._until:
            return False
        self._until[run_id] = now + OFFER_SECONDS
        return True

    def withdraw(self, run_id: UUID) -> None:
        self._until.pop(run_id, None)

    def hold(self, holder: object, run_id: UUID) -> None:
        """Record that `holder` took the run, which it holds until it releases all its runs."""
        self._held.setdefault(holder, deque(maxlen=MOST_HELD)).append(run_id)

    def release(self, holder: object) -> None:
        self._held.pop(holder, None)

    def held_by(self, holder: object) -> set[UUID]:
        return set(self._held.get(holder, ()))

    def drop(self, holder: object, run_ids: Collection[UUID]) -> None:
        """Forget runs that `holder` has started."""
        if (held := self._held.get(holder)) is not None:
            self._held[holder] = deque((run_id for run_id in held if run_id not in run_ids), maxlen=MOST_HELD)


offers = Offers()
