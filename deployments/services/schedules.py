"""Schedules of a deployment: added, changed, taken away; their future runs go and come with them.

Whoever changes a deployment or its schedules holds the deployment first and its schedules then. The planner holds
schedules only, so what it planned from the old values is there to be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from deployments.models import Calendar, Deployment, Schedule
from deployments.services.planned_runs import future_runs_of, take_back
from deployments.services.planning import ANEW, AT_ONCE, plan_schedules
from deployments.services.runs_of_deployments import filled_in
from orchestration.errors import CalendarNotFound, DeploymentNotFound, ScheduleNotFound
from orchestration.transactions import repeated_on_conflict, write_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """When runs of a deployment are to be planned, as somebody asks for it."""

    definition: dict[str, Any]
    active: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    max_runs: int | None = None
    ends_at: datetime | None = None
    misfire: str = "none"
    misfire_window: timedelta | None = None
    calendars: Sequence[str] = ()


@repeated_on_conflict
def add_schedules(*, deployment_id: UUID, new: Sequence[NewSchedule], now: datetime) -> list[Schedule]:
    """The schedules, with their first runs planned. What was planned before stays."""
    with write_transaction():
        deployment = held_deployment(deployment_id)
        return store_schedules(deployment, new, now)


@repeated_on_conflict
def update_schedule(
    *,
    deployment_id: UUID,
    schedule_id: UUID,
    changes: Mapping[str, Any],
    calendars: Sequence[str] | None = None,
    now: datetime,
) -> None:
    with write_transaction():
        held_deployment(deployment_id)
        schedule = _held_schedule(deployment_id, schedule_id)
        if "parameters" in changes:
            changes = {**changes, "parameters": filled_in(changes["parameters"])}
        Schedule.objects.filter(pk=schedule.pk).update(**changes, updated=now)
        if calendars is not None:
            schedule.calendars.set(calendars_named(calendars))
        plan_anew(Q(pk=schedule.pk), now)


@repeated_on_conflict
def delete_schedule(*, deployment_id: UUID, schedule_id: UUID, now: datetime) -> None:
    with write_transaction():
        held_deployment(deployment_id)
        schedule = _held_schedule(deployment_id, schedule_id)
        take_back(future_runs_of(Q(schedule_id=schedule.pk), deployment_id, now))
        schedule.delete()


def held_deployment(deployment_id: UUID) -> Deployment:
    """The deployment, locked until the end of the transaction."""
    deployment = Deployment.objects.select_for_update(no_key=True).filter(pk=deployment_id).first()
    if deployment is None:
        raise DeploymentNotFound(id=deployment_id)
    return deployment


def _held_schedule(deployment_id: UUID, schedule_id: UUID) -> Schedule:
    found = Schedule.objects.select_for_update().filter(pk=schedule_id, deployment=deployment_id).first()
    if found is None:
        raise ScheduleNotFound(id=schedule_id)
    return found


def store_schedules(deployment: Deployment, new: Sequence[NewSchedule], now: datetime) -> list[Schedule]:
    """Insert the schedules of a deployment that the caller holds, and plan them."""
    if not new:
        return []
    schedules = [_row(deployment, one, now) for one in new]
    Schedule.objects.bulk_create(schedules)
    named = {name for one in new for name in one.calendars}
    calendars = {calendar.name: calendar for calendar in calendars_named(named)}
    through = Schedule.calendars.through
    through.objects.bulk_create(
        [
            through(schedule_id=schedule.pk, calendar_id=calendars[name].pk)
            for schedule, one in zip(schedules, new, strict=True)
            for name in dict.fromkeys(one.calendars)
        ]
    )
    # The planner takes the rest: a request is not to hold the others up.
    plan_schedules(schedules[:AT_ONCE], now)
    return schedules


def _row(deployment: Deployment, new: NewSchedule, now: datetime) -> Schedule:
    return Schedule(
        deployment=deployment,
        definition=new.definition,
        active=new.active,
        parameters=filled_in(new.parameters),
        max_active_runs=new.max_active_runs,
        max_scheduled_runs=new.max_scheduled_runs,
        max_runs=new.max_runs,
        ends_at=new.ends_at,
        misfire=new.misfire,
        misfire_window=new.misfire_window,
        created=now,
        planned_until=now,
        plan_at=now,
    )


def calendars_named(names: Sequence[str] | set[str]) -> list[Calendar]:
    if not names:
        return []
    found = list(Calendar.objects.filter(name__in=names))
    if missing := set(names) - {calendar.name for calendar in found}:
        raise CalendarNotFound(name=min(missing))
    return found


def plan_anew(which: Q, now: datetime, *, due_runs_too: bool = False) -> None:
    """Take back the future runs of these schedules and plan them from now on, as their deployments say now.

    Runs whose time has come stay, because nobody would plan them again; a pause takes them too.
    """
    schedules = list(Schedule.objects.select_for_update(of=("self",)).filter(which).order_by("pk"))
    if not schedules:
        return
    ids = [schedule.pk for schedule in schedules]
    for deployment_id in sorted({schedule.deployment_id for schedule in schedules}):
        take_back(future_runs_of(Q(schedule_id__in=ids), deployment_id, None if due_runs_too else now))
    Schedule.objects.filter(pk__in=ids).update(planned_until=now, plan_at=now)
    plan_schedules(list(Schedule.objects.filter(pk__in=ids[:AT_ONCE]).order_by("pk")), now)


def have_planned_anew(which: Q, now: datetime) -> None:
    """The same in steps, which the planner takes: these schedules may be thousands."""
    Schedule.objects.filter(which).update(planned_until=now, plan_at=ANEW)
