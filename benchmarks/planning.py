"""Planning by one tick for 10,000 deployments with a schedule each, and a tick that finds nothing to plan."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from benchmarks.measuring import QUICK, on_database, report
from benchmarks.postgresql import postgresql

DEPLOYMENTS = 1_000 if QUICK else 10_000
# One for each minute, so that the runs are not all planned for the same time.
DEFINITIONS = [{"cron": f"{number % 60} * * * *", "timezone": "Europe/Berlin", "day_or": True} for number in range(60)]


def measure(database: str) -> None:
    from orion_site.bootstrap import ephemeral_application

    ephemeral_application()
    from django.utils import timezone

    from deployments.schedules.services.planning import plan_due_schedules

    now = timezone.now()
    prepare(now)
    first = timed(plan_due_schedules, now)
    again = timed(plan_due_schedules, now)
    hour_later = timed(plan_due_schedules, now + timedelta(hours=1))
    figures = {"runs": first[0], "seconds": first[1], "again_seconds": again[1]}
    later = {"hour_later_runs": hour_later[0], "hour_later_seconds": hour_later[1]}
    report("planning", who="orion", database=database, deployments=DEPLOYMENTS, **figures, **later)


def prepare(now: datetime) -> None:
    from deployments.models import Deployment, Schedule
    from runs.models import Flow

    flow = Flow.objects.create(name="planned")
    deployments = [Deployment(flow=flow, name=f"planned-{number}", tags=["a"]) for number in range(DEPLOYMENTS)]
    Deployment.objects.bulk_create(deployments, batch_size=500)
    schedules = [
        Schedule(deployment=one, definition=DEFINITIONS[number % 60], planned_until=now, plan_at=now)
        for number, one in enumerate(deployments)
    ]
    Schedule.objects.bulk_create(schedules, batch_size=500)


def timed(plan: Callable[[datetime], int], now: datetime) -> tuple[int, float]:
    started = time.perf_counter()
    planned = plan(now)
    return planned, round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--on", choices=["sqlite", "postgresql"])
    asked = parser.parse_args()
    if asked.on:
        measure(asked.on)
    else:
        on_database("benchmarks.planning", "sqlite")
        with postgresql() as url:
            on_database("benchmarks.planning", "postgresql", ORION_DATABASE_URL=url)
