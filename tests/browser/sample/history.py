"""The past of the sample: thirty runs of each deployment, written straight into the tables with their times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from django.utils import timezone

from deployments.models import Deployment
from tests.web.rows import make_run

# By flow: hours between runs, minutes that one takes, how much slower the newest ten are, and who failed, newest first.
PAST: dict[str, tuple[float, float, float, Sequence[int]]] = {
    "etl": (1, 4, 1, (3, 17)),
    "thumbnails": (0.25, 0.05, 1, ()),
    "report": (24, 0.025, 1.7, ()),
    "rates": (1 / 6, 0.03, 1, (9, 10, 22)),
    "backup": (24, 52, 1, (12,)),
    "train": (24, 95, 1, ()),
    "purchase": (60, 30, 1, ()),
}
MESSAGE = "The flow raised TimeoutError: warehouse.example:5432 did not answer within 30 s"


def write() -> None:
    random = Random(7)
    now = timezone.now()
    for deployment in Deployment.objects.select_related("flow"):
        hours, minutes, slower, failed = PAST[deployment.flow.name]
        for back in range(29):
            at = now - timedelta(hours=hours * (back + 1))
            took = timedelta(minutes=minutes * random.uniform(0.85, 1.15) * (slower if back < 10 else 1))
            is_bad = back in failed
            make_run(
                f"{deployment.flow.name}-{at:%d-%H%M}",
                flow=deployment.flow,
                deployment_id=deployment.pk,
                work_queue_id=deployment.work_queue_id,
                tags=deployment.tags,
                state="FAILED" if is_bad else "COMPLETED",
                message=MESSAGE if is_bad else "All states completed.",
                at=at,
                end_time=at + took,
                total_run_time=took,
            )
        if deployment.flow.name == "train":
            _add_late(deployment, now - timedelta(minutes=40))


def _add_late(deployment: Deployment, at: datetime) -> None:
    make_run(
        "patient-crane",
        flow=deployment.flow,
        deployment_id=deployment.pk,
        work_queue_id=deployment.work_queue_id,
        tags=deployment.tags,
        state="SCHEDULED",
        state_name="Late",
        at=at,
        next_scheduled_start_time=at,
    )
