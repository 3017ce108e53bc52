"""Plan runs of one deployment on request, as far ahead as the request says, whatever the planner has planned."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from deployments.models import Deployment, Schedule
from deployments.schedules.core import read_definition
from deployments.schedules.core.horizon import Horizon, look_ahead
from deployments.schedules.selectors import exclusions_of, left_out_of
from deployments.schedules.services.planned_runs import Planned, store_planned
from orchestration.transactions import repeated_on_conflict, write_transaction

TICK = timedelta(microseconds=1)


@repeated_on_conflict
def plan_deployment(*, deployment_id: UUID, start: datetime, horizon: Horizon, now: datetime) -> int:
    """Plan runs of every active schedule from `start` on, and return the number of new ones.

    The planner's cursor does not move; when it plans these times later, it finds their runs.
    """
    with write_transaction():
        deployment = Deployment.objects.select_related("work_queue").filter(pk=deployment_id, paused=False).first()
        if deployment is None or not horizon.most:
            return 0
        held = Schedule.objects.select_for_update().filter(deployment=deployment, active=True)
        schedules = list(held.order_by("pk"))
        exclusions = exclusions_of(schedules)
        horizon = replace(horizon, farthest=horizon.farthest + TICK)
        planned = []
        for schedule in schedules:
            timetable = read_definition(schedule.definition)
            left_out = left_out_of(timetable, exclusions.of(schedule))
            # Include a time exactly at `start`.
            times = look_ahead(timetable, start - TICK, horizon, ends_at=schedule.ends_at, left_out=left_out).times
            left = None if schedule.max_runs is None else max(schedule.max_runs - schedule.runs_planned, 0)
            planned.append(Planned(deployment, schedule, times[:left]))
        stored = store_planned(planned, now)
        for schedule_id, number in stored.items():
            Schedule.objects.filter(pk=schedule_id).update(runs_planned=F("runs_planned") + number)
        return stored.total()
