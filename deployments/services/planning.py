"""From schedules to runs: each schedule that is due for planning gets its next runs, in batches.

Any number of processes may do this at once. A schedule that another one holds is passed over on PostgreSQL, on SQLite
there is one writer at a time, and the runs' keys let no moment get two runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q

from deployments.core.calendars import Exclusions
from deployments.core.horizon import Horizon, Plan, look_ahead, missed_times, plan
from deployments.core.misfires import decide_missed
from deployments.core.schedules import ScheduleError, Timetable, read_definition
from deployments.models import Calendar, Deployment, Schedule
from deployments.services.planned_runs import Planned, future_runs_of, store_planned, take_back
from orchestration.columns import spelling
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import UNFINISHED_TYPES, FlowRun

# Other writers get their turn between two transactions: none makes many more runs than these. A schedule may have a
# hundred of them to get or to lose, so that a few schedules are taken where nobody knows how many runs each has.
RUNS_AT_ONCE = 2_000
AT_ONCE = 50
MOST_AT_ONCE = 200
HORIZON = Horizon()
# A schedule that is to be planned at this time is to lose its future runs before: its calendar has changed.
ANEW = datetime(1970, 1, 1, tzinfo=UTC)
NOT_MISSED = timedelta(minutes=1)
# Each of these has runs to lose as well.
ANEW_AT_ONCE = 20
UNREADABLE_WAIT = timedelta(hours=1)

Misfire = Literal["all", "latest", "none"]

logger = logging.getLogger("orion.planning")


def plan_due_schedules(now: datetime, most: int = 100_000) -> int:
    """Plan the runs of every schedule whose time to be planned has come; how many runs that were."""
    planned, looked_at, at_once = 0, 0, AT_ONCE
    while looked_at < most:
        schedules, runs = _plan_batch(now, min(at_once, most - looked_at))
        planned, looked_at = planned + runs, looked_at + schedules
        if not schedules:
            break
        at_once = min(max(RUNS_AT_ONCE * schedules // max(runs, 1), 1), MOST_AT_ONCE)
    return planned


@repeated_on_conflict
def _plan_batch(now: datetime, most: int) -> tuple[int, int]:
    with write_transaction():
        due = Schedule.objects.filter(plan_at__lte=now).select_for_update(skip_locked=True, no_key=True)
        schedules = list(due.order_by("plan_at", "pk")[:most])
        if outdated := [one for one in schedules if one.plan_at == ANEW]:
            schedules = _without_future(outdated[:ANEW_AT_ONCE], now)
        return len(schedules), plan_schedules(schedules, now)


def _without_future(schedules: Sequence[Schedule], now: datetime) -> list[Schedule]:
    """The same schedules after their future runs were taken back, which they do not count any more."""
    ids = [one.pk for one in schedules]
    for deployment_id in sorted({one.deployment_id for one in schedules}):
        take_back(future_runs_of(Q(schedule_id__in=ids), deployment_id, now))
    return list(Schedule.objects.filter(pk__in=ids).order_by("pk"))


def plan_schedules(schedules: Sequence[Schedule], now: datetime) -> int:
    """Plan these schedules, which the caller has locked; how many runs that made."""
    if not schedules:
        return 0
    # After the lock: what is read here is what the schedules' last change left.
    sources = _sources(schedules)
    plans = {one.pk: _plan_or_wait(one, sources, now) for one in schedules if sources.is_planned(one)}
    stored = store_planned(
        [
            Planned(sources.deployments[one.deployment_id], one, plans[one.pk].times)
            for one in schedules
            if one.pk in plans
        ],
        now,
    )
    _advance([(one, plans.get(one.pk, Plan([], now, None)), stored[one.pk]) for one in schedules])
    return stored.total()


@dataclass(frozen=True, slots=True)
class Sources:
    """What planning must know beside the schedules themselves."""

    deployments: Mapping[UUID, Deployment]
    exclusions: Mapping[UUID, Exclusions]
    unfinished: Mapping[UUID, int]

    def is_planned(self, schedule: Schedule) -> bool:
        deployment = self.deployments.get(schedule.deployment_id)
        return schedule.active and deployment is not None and not deployment.paused


def _sources(schedules: Sequence[Schedule]) -> Sources:
    deployments = Deployment.objects.select_related("work_queue").in_bulk({one.deployment_id for one in schedules})
    return Sources(deployments, exclusions_of(schedules), _unfinished(schedules))


def exclusions_of(schedules: Sequence[Schedule]) -> dict[UUID, Exclusions]:
    """By schedule, what its calendars leave out. A calendar that many of them heed is read once."""
    links = Schedule.calendars.through.objects.filter(schedule__in=[one.pk for one in schedules])
    heeded: dict[UUID, list[UUID]] = {}
    for schedule_id, calendar_id in links.order_by("calendar_id").values_list("schedule_id", "calendar_id"):
        heeded.setdefault(schedule_id, []).append(calendar_id)
    if not heeded:
        return {}
    texts = dict(Calendar.objects.filter(pk__in={pk for ids in heeded.values() for pk in ids}).values_list("pk", "ics"))
    # One that is not there was deleted in this moment.
    read = {
        ids: Exclusions.from_ics([texts[pk] for pk in ids if pk in texts])
        for ids in {tuple(ids) for ids in heeded.values()}
    }
    return {schedule_id: read[tuple(ids)] for schedule_id, ids in heeded.items()}


def _unfinished(schedules: Sequence[Schedule]) -> dict[UUID, int]:
    limited = {one.pk: one.deployment_id for one in schedules if one.max_active_runs is not None}
    if not limited:
        return {}
    runs = FlowRun.objects.filter(
        deployment_id__in=set(limited.values()), schedule_id__in=limited, state_type__in=UNFINISHED_TYPES
    )
    return dict(runs.order_by().values_list("schedule_id").annotate(Count("pk")))


def _plan_or_wait(schedule: Schedule, sources: Sources, now: datetime) -> Plan:
    """One that cannot be planned is told in the log and tried again later: the others of its batch have their turn."""
    try:
        return plan_of(schedule, sources, now)
    except ScheduleError as error:
        logger.error("Schedule %s cannot be planned: %s", schedule.pk, error)
    except Exception:
        logger.exception("Schedule %s cannot be planned.", schedule.pk)
    return Plan([], schedule.planned_until or now, now + UNREADABLE_WAIT)


def plan_of(schedule: Schedule, sources: Sources, now: datetime) -> Plan:
    """Which runs the schedule gets now."""
    timetable = read_definition(schedule.definition)
    since, horizon = schedule.planned_until or now, horizon_of(schedule)
    left_out = left_out_of(timetable, sources.exclusions.get(schedule.pk))
    ahead = look_ahead(timetable, now, horizon, ends_at=schedule.ends_at, left_out=left_out)
    missed = _missed(schedule, timetable, since, now, left_out)
    runs_left = None if schedule.max_runs is None else max(schedule.max_runs - schedule.runs_planned, 0)
    places = None
    if schedule.max_active_runs is not None:
        places = max(schedule.max_active_runs - sources.unfinished.get(schedule.pk, 0), 0)
    return plan(ahead, missed, since=since, now=now, horizon=horizon, runs_left=runs_left, places=places)


def left_out_of(timetable: Timetable, exclusions: Exclusions | None) -> Callable[[datetime], bool] | None:
    """A holiday is a whole day of the schedule's own zone."""
    return exclusions.seen_from(timetable.zone).covers if exclusions else None


def horizon_of(schedule: Schedule) -> Horizon:
    if schedule.max_scheduled_runs is None:
        return HORIZON
    return replace(HORIZON, most=max(min(schedule.max_scheduled_runs, HORIZON.most), 1))


def _missed(
    schedule: Schedule,
    timetable: Timetable,
    since: datetime,
    now: datetime,
    left_out: Callable[[datetime], bool] | None,
) -> list[datetime]:
    """The times that passed while nobody planned, as far as the schedule wants them made up for."""
    if since >= now:
        return []
    passed = [
        moment
        for moment in missed_times(timetable, since, now)
        if (left_out is None or not left_out(moment)) and (schedule.ends_at is None or moment <= schedule.ends_at)
    ]
    # What passed a moment ago was not missed: the planner was only a little behind.
    late = [moment for moment in passed if moment < now - NOT_MISSED]
    return [*decide_missed(late, cast(Misfire, schedule.misfire), schedule.misfire_window, now), *passed[len(late) :]]


def _advance(decided: Iterable[tuple[Schedule, Plan, int]]) -> None:
    """Move the cursors on, where nobody else has. A schedule that is not to be planned loses its turn."""
    spell = spelling()
    rows = [
        (
            spell.moment(plan.planned_until),
            spell.moment(plan.plan_at) if plan.plan_at else None,
            stored,
            spell.uuid(schedule.pk),
            spell.moment(schedule.plan_at) if schedule.plan_at else None,
        )
        for schedule, plan, stored in decided
    ]
    same = "IS" if connection.vendor == "sqlite" else "IS NOT DISTINCT FROM"
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE deployments_schedule SET planned_until = %s, plan_at = %s, runs_planned = runs_planned + %s "
            f"WHERE id = %s AND plan_at {same} %s",
            rows,
        )
