"""Plan the next runs of each schedule that is due for planning, in batches.

Any number of processes may do this at the same time. On PostgreSQL, schedules that another process has locked are
skipped; on SQLite there is one writer at a time. The keys of runs prevent a second run for the same moment.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce, Least

from deployments.definitions.services.runs import refuse_misfits
from deployments.models import Deployment, Schedule
from deployments.schedules.core import ScheduleError, Timetable, read_definition
from deployments.schedules.core.horizon import Horizon, Plan, decide_missed, look_ahead, missed_times, plan
from deployments.schedules.selectors import ExclusionsBySchedule, exclusions_of, left_out_of
from deployments.schedules.services.changes import Changes, Plans, reconcile
from deployments.schedules.services.planned_runs import Planned, skipped_times, store_planned, taken_times
from orchestration.one_by_one import FirstError
from orchestration.tables import dialect
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun
from runs.querysets import is_holding

# Runs in one transaction, roughly, so that other writers get their turn. The first batch has few schedules, because
# each of them may have to create or delete a hundred runs.
RUNS_AT_ONCE = 2_000
AT_ONCE = 50
MOST_AT_ONCE = 200
HORIZON = Horizon()
# The value of `plan_at` for schedules with a changed calendar: runs may have to be deleted before planning.
CALENDAR_MOVED = datetime(1970, 1, 1, tzinfo=UTC)
# Schedules that a request to change a calendar plans itself.
MOVED_AT_ONCE = 20
# A planner that is not later than this is on time.
LATE_AT_MOST = timedelta(minutes=1)
UNREADABLE_WAIT = timedelta(hours=1)
# Columns of a deployment that decide whether the parameters of its runs are valid.
PARAMETER_COLUMNS = ("parameters", "parameter_openapi_schema", "enforce_parameter_schema")

Misfire = Literal["all", "latest", "none"]

logger = logging.getLogger("orion.planning")


def plan_due_schedules(now: datetime, most: int = 100_000) -> int:
    """Plan the runs of every schedule that is due for planning, and return the number of new runs.

    An error with one deployment's changed calendars does not stop the planning; the first one is raised at the end.
    """
    # Check without a lock first: on SQLite a transaction blocks every writer, and usually nothing is due.
    if not Schedule.objects.filter(plan_at__lte=now).exists():
        return 0
    first = FirstError()
    looked_at, planned = _replan_moved(now, most, first)
    at_once = AT_ONCE
    while looked_at < most:
        schedules, runs = _plan_batch(now, min(at_once, most - looked_at))
        planned, looked_at = planned + runs, looked_at + schedules
        if not schedules:
            break
        at_once = min(max(RUNS_AT_ONCE * schedules // max(runs, 1), 1), MOST_AT_ONCE)
    first.raise_any()
    return planned


@repeated_on_conflict
def _plan_batch(now: datetime, most: int) -> tuple[int, int]:
    with write_transaction():
        due = Schedule.objects.filter(plan_at__gt=CALENDAR_MOVED, plan_at__lte=now)
        due = due.select_for_update(skip_locked=True, no_key=True)
        schedules = list(due.order_by("plan_at", "pk")[:most])
        return len(schedules), plan_schedules(schedules, now)


def _replan_moved(now: datetime, most: int, first: FirstError) -> tuple[int, int]:
    """Replan schedules with changed calendars, one deployment at a time. Return how many schedules and runs."""
    moved = Schedule.objects.filter(plan_at=CALENDAR_MOVED).order_by("deployment_id")
    replanned = planned = 0
    for deployment_id in moved.values_list("deployment_id", flat=True).distinct()[:most]:
        if replanned >= most:
            break
        with first.of_one(f"The schedules of deployment {deployment_id} with changed calendars"):
            schedules, runs = _replan_deployment(deployment_id, now)
            replanned, planned = replanned + schedules, planned + runs
    return replanned, planned


@repeated_on_conflict
def _replan_deployment(deployment_id: UUID, now: datetime) -> tuple[int, int]:
    with write_transaction():
        held = Deployment.objects.select_related("work_queue").select_for_update(
            of=("self",), skip_locked=True, no_key=True
        )
        deployment = held.filter(pk=deployment_id).first()
        if deployment is None:
            return 0, 0
        plans = Plans.of(deployment)
        moved = frozenset(pk for pk, one in plans.schedules.items() if one.plan_at == CALENDAR_MOVED)
        changes = Changes.between(plans, plans, moved)
        reconcile(plans, plans, changes, now)
        return len(moved), plan_schedules(list(Schedule.objects.filter(pk__in=moved).order_by("pk")), now)


def earlier_of(column: str, now: datetime) -> Least:
    """Return an expression for UPDATE: the moment in a column, or `now` if that is earlier or the column is null."""
    return Least(Coalesce(column, Value(now)), Value(now))


def replan(before: Plans, deployment: Deployment, now: datetime) -> None:
    """Adapt planned runs to a deployment, which the caller has locked and changed, and to its schedules."""
    after = Plans.of(deployment)
    changes = Changes.between(before, after)
    _refuse_invalid_parameters(before, after, changes)
    reconcile(before, after, changes, now)
    old = Schedule.objects.filter(pk__in=changes.started & before.schedules.keys())
    old.update(planned_until=now, plan_at=now)
    # A schedule with nothing left to plan continues from now: times that passed meanwhile were not missed.
    limited = Schedule.objects.filter(pk__in=changes.limited)
    limited.filter(plan_at__isnull=True).update(planned_until=now, plan_at=now)
    # Times that passed without planning are still decided by the policy of the schedule.
    limited.update(planned_until=earlier_of("planned_until", now), plan_at=earlier_of("plan_at", now))
    # Leave the rest to the planner, so that a request does not block other writers.
    to_plan = sorted(changes.started | changes.limited)[:AT_ONCE]
    plan_schedules(list(Schedule.objects.filter(pk__in=to_plan).order_by("created", "pk")), now)


def _refuse_invalid_parameters(before: Plans, after: Plans, changes: Changes) -> None:
    """Raise ParametersMisfit if a schedule would plan runs whose parameters do not fit their schema."""
    deployment = after.deployment
    if not deployment.enforce_parameter_schema:
        return
    check_all = any(getattr(before.deployment, name) != getattr(deployment, name) for name in PARAMETER_COLUMNS)
    held = [pk for pk in after.schedules if after.planned(pk)]
    checked: list[object] = []
    for pk in held if check_all else changes.started | changes.other_parameters:
        _, parameters = after.parameters_of(after.schedules[pk])
        if parameters not in checked:
            refuse_misfits(deployment.name, parameters, deployment.parameter_openapi_schema)
            checked.append(parameters)


def plan_schedules(schedules: Sequence[Schedule], now: datetime) -> int:
    """Plan these schedules, which the caller has locked, and return the number of new runs."""
    if not schedules:
        return 0
    # Read after the lock, to see the last change of the schedules.
    sources = _sources(schedules, now)
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
    """Everything that planning must know besides the schedules, read at once for all of them."""

    deployments: Mapping[UUID, Deployment]
    exclusions: ExclusionsBySchedule
    unfinished: Mapping[UUID, int]
    decided: Mapping[UUID, set[datetime]]

    def is_planned(self, schedule: Schedule) -> bool:
        deployment = self.deployments.get(schedule.deployment_id)
        return schedule.active and deployment is not None and not deployment.paused


def _sources(schedules: Sequence[Schedule], now: datetime) -> Sources:
    deployments = Deployment.objects.select_related("work_queue").in_bulk({one.deployment_id for one in schedules})
    decided = skipped_times(schedules)
    # Without a limit it does not matter which times have a run: they do not get a second one.
    limited = [one for one in schedules if one.max_runs is not None or one.max_active_runs is not None]
    if limited:
        since = min(one.planned_until or now for one in limited)
        for pk, times in taken_times(limited, since).items():
            decided[pk] = decided.get(pk, set()) | times
    return Sources(deployments, exclusions_of(schedules), _unfinished(schedules), decided)


def _unfinished(schedules: Sequence[Schedule]) -> dict[UUID, int]:
    limited = {one.pk: one.deployment_id for one in schedules if one.max_active_runs is not None}
    if not limited:
        return {}
    found: Counter[UUID] = Counter()
    # Use the index of each kind of open runs: an index by deployment also contains all runs that have ended.
    of_deployments = Q(deployment_id__in=set(limited.values()))
    for kind in (is_holding() & of_deployments, Q(state_type="SCHEDULED") & of_deployments, Q(state_type="PAUSED")):
        runs = FlowRun.objects.filter(kind, schedule_id__in=limited).order_by()
        found.update(dict(runs.values_list("schedule_id").annotate(Count("pk"))))
    return found


def _plan_or_wait(schedule: Schedule, sources: Sources, now: datetime) -> Plan:
    """Plan a schedule. If that fails, log the error and try again later, so that the rest of the batch is planned."""
    try:
        return plan_of(schedule, sources, now)
    except ScheduleError as error:
        logger.error("Schedule %s cannot be planned: %s", schedule.pk, error)
    except Exception:
        logger.exception("Schedule %s cannot be planned.", schedule.pk)
    return Plan([], schedule.planned_until or now, now + UNREADABLE_WAIT)


def plan_of(schedule: Schedule, sources: Sources, now: datetime) -> Plan:
    """Decide which runs the schedule gets now."""
    timetable = read_definition(schedule.definition)
    since, horizon = schedule.planned_until or now, horizon_of(schedule)
    left_out = left_out_of(timetable, sources.exclusions.of(schedule))
    ahead = look_ahead(timetable, now, horizon, ends_at=schedule.ends_at, left_out=left_out)
    missed = _missed(schedule, timetable, since, now, left_out)
    runs_left = None if schedule.max_runs is None else max(schedule.max_runs - schedule.runs_planned, 0)
    slots = None
    if schedule.max_active_runs is not None:
        slots = max(schedule.max_active_runs - sources.unfinished.get(schedule.pk, 0), 0)
    return plan(
        ahead,
        missed,
        since=since,
        now=now,
        horizon=horizon,
        runs_left=runs_left,
        slots=slots,
        decided=sources.decided.get(schedule.pk, ()),
    )


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
    """Return the times that passed without planning and for which the misfire policy still creates runs."""
    if since >= now:
        return []
    passed = [
        moment
        for moment in missed_times(timetable, since, now)
        if (left_out is None or not left_out(moment)) and (schedule.ends_at is None or moment <= schedule.ends_at)
    ]
    # If the planner is only slightly late, the times that passed do not count as missed.
    if schedule.plan_at is not None and now - schedule.plan_at <= LATE_AT_MOST:
        return passed
    return decide_missed(passed, cast(Misfire, schedule.misfire), schedule.misfire_window, now)


def _advance(decided: Iterable[tuple[Schedule, Plan, int]]) -> None:
    """Advance the cursors of schedules, unless another process has done so. Schedules without a plan are no longer due.

    Each row gets its own values and is compared with its own old one, so this is one prepared statement for all of
    them.
    """
    db = dialect()
    rows = [
        (
            db.moment(plan.planned_until),
            db.moment(plan.plan_at) if plan.plan_at else None,
            stored,
            db.uuid(schedule.pk),
            db.moment(schedule.plan_at) if schedule.plan_at else None,
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
