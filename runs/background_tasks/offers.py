"""Offers: which task runs this server process has offered to processes that serve tasks, and which of them took which.

Only the event loop reads and writes them. Other servers know of them from the database
(`runs.background_tasks.services.reserve_call`).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import cached_property
from uuid import UUID, uuid4

# A process that took a run must make it pending within this time; otherwise the run is offered again.
OFFER_SECONDS = 30.0
# Runs remembered. Older ones have started long ago.
MOST_HELD = 100_000


class Offers:
    """The offers of one server process."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}
        self._holders: dict[UUID, object] = {}

    @cached_property
    def server(self) -> UUID:
        """The id of the server process, chosen at the first use: servers with several processes are forked."""
        return uuid4()

    def __len__(self) -> int:
        return len(self._until)

    def make(self, run_id: UUID) -> bool:
        """Offer a run for OFFER_SECONDS. Return False if it is offered already."""
        now = time.monotonic()
        self._until = {one: until for one, until in self._until.items() if until > now}
        if run_id in self._until:
            return False
        self._until[run_id] = now + OFFER_SECONDS
        # The process that took it before has not claimed it, or has finished an attempt.
        self._holders.pop(run_id, None)
        return True

    def withdraw(self, run_id: UUID) -> None:
        self._until.pop(run_id, None)

    def hold(self, holder: object, run_id: UUID) -> None:
        """Record that `holder` took the run. It holds it until another one does, or until it releases all its runs."""
        self._holders[run_id] = holder
        if len(self._holders) > MOST_HELD:
            del self._holders[next(iter(self._holders))]

    def release(self, holder: object) -> None:
        self.drop(holder, self.held_by(holder))

    def held_by(self, holder: object) -> set[UUID]:
        return {run_id for run_id, one in self._holders.items() if one is holder}

    def drop(self, holder: object, run_ids: Collection[UUID]) -> None:
        """Forget runs that `holder` has started, or that another server has offered since."""
        for run_id in run_ids:
            if self._holders.get(run_id) is holder:
                del self._holders[run_id]


offers = Offers()
