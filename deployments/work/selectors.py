"""Whether the runs of a queue are started in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from deployments.dispatch.selectors.liveness import SILENCE, is_recent, served_queues
from deployments.limits.selectors.capacity import chosen_by
from deployments.models import WorkQueue
from runs.models import FlowRun


@dataclass(frozen=True, slots=True)
class Health:
    """A queue is healthy while somebody serves it and none of its runs is late."""

    late_runs: int
    last_polled: datetime | None
    is_served: bool
    most_late_runs: int = 0
    longest_silence_seconds: int = int(SILENCE.total_seconds())

    @property
    def is_healthy(self) -> bool:
        return self.is_served and self.late_runs <= self.most_late_runs


def health_of(queue: WorkQueue, now: datetime) -> Health:
    late = FlowRun.objects.filter(chosen_by(queue), state_type="SCHEDULED", state_name="Late")
    served = is_recent(queue.last_polled, now) or queue.pk in served_queues([queue], now)
    return Health(late.count(), queue.last_polled, served)
