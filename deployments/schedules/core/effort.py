"""How much is looked at to find the next times of a schedule: strangers' rules may ask for years of it."""

from __future__ import annotations

from deployments.schedules.core.errors import ScheduleError

MOST_STEPS = 300_000


class Effort:
    """What the rules of one schedule, or of one calendar, may spend together."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            why = "its rules take too long to follow; count fewer times, name fewer of them, or divide it"
            raise ScheduleError(f"No times can be found in bounded time: {why}.")
