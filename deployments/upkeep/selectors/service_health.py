"""How the services of Orion are doing, from what their tickers wrote down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from deployments.models import ServiceRecord

# Ticks in between are counted, but not written one by one.
SECONDS_BETWEEN_NOTES = 5.0
# One missed tick is a busy machine; three are a stuck thread.
MISSED_TICKS = 3


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A service's record, and by how many seconds its next tick is overdue."""

    record: ServiceRecord
    lag: float

    @property
    def verdict(self) -> Literal["well", "behind", "failing"]:
        """`failing` if its last tick went wrong, `behind` if nobody ticks it, else `well`."""
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
    """Seconds since the next tick was due. Ticks are written down every few seconds, and no lag is told of that."""
    if record.last_tick is None:
        return 0.0
    return max(0.0, (now - record.last_tick).total_seconds() - record.every_seconds - SECONDS_BETWEEN_NOTES)
