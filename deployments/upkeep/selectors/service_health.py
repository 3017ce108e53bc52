"""The health of Orion's services, from the records that their tickers write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from deployments.models import ServiceRecord

# Ticks are counted in memory, and written to the database at this interval.
SECONDS_BETWEEN_NOTES = 5.0
# One missed tick is a busy machine; three are a blocked thread.
MISSED_TICKS = 3


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A service's record, and by how many seconds its next tick is overdue."""

    record: ServiceRecord
    lag: float

    @property
    def verdict(self) -> Literal["well", "behind", "failing"]:
        """Return `failing` if its last tick failed, `behind` if it does not tick, or else `well`."""
        if self.is_failing:
            return "failing"
        return "behind" if self.lag > MISSED_TICKS * self.record.every_seconds else "well"

    @property
    def is_failing(self) -> bool:
        failed, succeeded = self.record.last_error_at, self.record.last_success
        return failed is not None and (succeeded is None or succeeded < failed)


def services_and_health(*, now: datetime) -> Sequence[ServiceHealth]:
    return [ServiceHealth(record, lag(record, now)) for record in ServiceRecord.objects.all()]


def lag(record: ServiceRecord, now: datetime) -> float:
    """Return the seconds since the next tick was due, minus the interval at which ticks are written."""
    if record.last_tick is None:
        return 0.0
    return max(0.0, (now - record.last_tick).total_seconds() - record.every_seconds - SECONDS_BETWEEN_NOTES)
