"""Cancellations that nobody carries out: the worker that had the run is gone, and nobody asks in its place.

Runs of Orion's own agents have leases, which run out. Other clients' agents and workers hold a run without one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from deployments.dispatch.selectors.presence import served_queues
from deployments.models import WorkQueue
from orchestration.core.states import StateType, cancelled
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun

BATCH = 200
# Whoever is there looks for cancelled runs every few seconds, and gives their processes half a minute to end.
PATIENCE = timedelta(seconds=90)


def cancel_abandoned(now: datetime) -> int:
    """Cancel deployed runs that have been cancelling for a while and whose queues nobody serves; how many those are."""
    left = FlowRun.objects.in_state(StateType.CANCELLING).filter(
        lease__isnull=True, process__isnull=True, deployment_id__isnull=False, state_timestamp__lt=now - PATIENCE
    )
    waiting = dict(left.order_by("pk").values_list("pk", "work_queue_id")[:BATCH])
    queues = list(WorkQueue.objects.filter(pk__in={one for one in waiting.values() if one}))
    served = served_queues(queues, now)
    abandoned = [run_id for run_id, queue_id in waiting.items() if queue_id not in served]
    for run_id in abandoned:
        ended = cancelled("Nobody serves its work queue any more, so nobody was there to end it.")
        propose_flow_run_state(run_id=run_id, proposed=ended, now=now, author="cancellation clean-up")
    return len(abandoned)
