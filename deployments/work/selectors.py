"""The health of a queue: whether its runs start in time."""

from __future__ import annotations

from datetime import datetime

from deployments.dispatch.selectors.liveness import SILENCE, is_recent, served_queues
from deployments.limits.selectors.capacity import chosen_by
from deployments.models import WorkQueue
from orionflow.contract.states import LATE
from orionflow.contract.work import HealthPolicy, WorkQueueStatus
from runs.models import FlowRun

POLICY = HealthPolicy(maximum_late_runs=0, maximum_seconds_since_last_polled=int(SILENCE.total_seconds()))


def health_of(queue: WorkQueue, now: datetime) -> WorkQueueStatus:
    """Return the health of a queue: healthy while it is served, and none of its runs is late."""
    late = FlowRun.objects.filter(chosen_by(queue), state_type="SCHEDULED", state_name=LATE).count()
    served = is_recent(queue.last_polled, now) or queue.pk in served_queues([queue], now)
    return WorkQueueStatus(
        healthy=served and late <= POLICY.maximum_late_runs,
        late_runs_count=late,
        last_polled=queue.last_polled,
        health_check_policy=POLICY,
    )
