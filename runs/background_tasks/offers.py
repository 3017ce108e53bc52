"""Which task runs this process has offered to the processes that serve their tasks, and who took which.

Written by the event loop alone. Services read it from their threads: what is held by somebody who is still connected
is not abandoned.
"""

from __future__ import annotations

import time
from collections import deque
from uuid import UUID

# Whoever took a run makes it pending within this time; otherwise it is offered again.
OFFER_SECONDS = 30.0
# Of each connection. What it took before those has long begun.
MOST_HELD = 10_000


class Offers:
    """The offers of one server process."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}
        self._held: dict[object, deque[UUID]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def make(self, run_id: UUID) -> bool:
        """Whether it may be offered now."""
        now = time.monotonic()
        self._until = {one: until for one, until in self._until.items() if until > now}
        if run_id in self._until:
            return False
        self._until[run_id] = now + OFFER_SECONDS
        return True

    def take_back(self, run_id: UUID) -> None:
        self._until.pop(run_id, None)

    def hold(self, holder: object, run_id: UUID) -> None:
        """It was taken by `holder`, who is there until it lets go."""
        self._held.setdefault(holder, deque(maxlen=MOST_HELD)).append(run_id)

    def let_go(self, holder: object) -> None:
        self._held.pop(holder, None)

    def held(self) -> set[UUID]:
        return {run_id for runs in list(self._held.values()) for run_id in list(runs)}


offers = Offers()
