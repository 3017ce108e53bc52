"""Schedules of a deployment: added, changed, replaced and deleted. Their planned runs follow.

A change locks the deployment first, and then its schedules. The planner locks only schedules, so runs that it planned
from the old values exist when the change is reconciled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from deployments.blocks.selectors import filled_in
from deployments.errors import BadSchedule, CalendarNotFound, DeploymentNotFound, ScheduleNotFound
from deployments.models import Calendar, Deployment, Schedule
from deployments.schedules.core import ScheduleError, moment_in
from deployments.schedules.core.definitions import completed, first_after, is_same, key_of_times
from deployments.schedules.core.spread import spread_for
from deployments.schedules.services.changes import Plans
from deployments.schedules.services.planning import replan
from orchestration.authors import asking_user, made_by, refused_among
from orchestration.new_ids import refuse_made
from orchestration.sight import acts_in_part
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7
from orionflow.contract.kinds import FINDER_ENTRYPOINT
from runs.errors import CodeInParameters

# Columns that decide whether a schedule has future times.
TIMING = frozenset({"definition", "ends_at", "active"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule for a deployment, as it was requested."""

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
    id: UUID | None = None


@repeated_on_conflict
def add_schedules(*, deployment_id: UUID, new: Sequence[NewSchedule], now: datetime) -> list[Schedule]:
    """Add schedules, and plan their first runs. Earlier planned runs stay.

    Raises MadeAlready, DeploymentNotFound, BadSchedule, CalendarNotFound, BadTemplate, ParametersMisfit, and
    CodeInParameters for the deployment that finds flows.
    """
    with write_transaction():
        for one in new:
            refuse_made(Schedule, one.id, "a schedule")
        deployment = held_deployment(deployment_id)
        before = Plans.of(deployment)
        schedules = store_schedules(deployment, new, now)
        replan(before, deployment, now)
        return schedules


@repeated_on_conflict
def update_schedule(
    *,
    deployment_id: UUID,
    schedule_id: UUID,
    changes: Mapping[str, Any],
    calendars: Sequence[str] | None = None,
    now: datetime,
) -> None:
    """Change columns of a schedule. A definition that means the same as the stored one keeps its anchor.

    Raises DeploymentNotFound, ScheduleNotFound, and the errors of `add_schedules`.
    """
    with write_transaction():
        deployment = held_deployment(deployment_id)
        before = Plans.of(deployment)
        schedule = before.schedules.get(schedule_id)
        if schedule is None:
            raise ScheduleNotFound(id=schedule_id)
        if calendars is not None or changes != {"active": False}:
            _refuse_schedules_of_finder(deployment)
        if "parameters" in changes:
            changes = {**changes, "parameters": filled_in(changes["parameters"])}
        if "definition" in changes:
            changes = {**changes, "definition": _definition(changes["definition"], schedule, now)}
        if changes.get("ends_at"):
            ends_at = moment_in(changes.get("definition", schedule.definition), changes["ends_at"])
            changes = {**changes, "ends_at": ends_at}
        changed = {name: changes[name] for name in TIMING & changes.keys() if changes[name] != getattr(schedule, name)}
        if changed:
            _refuse_ended(**{name: changes.get(name, getattr(schedule, name)) for name in TIMING}, now=now)
        Schedule.objects.filter(pk=schedule_id).update(**changes, updated=now, updated_by=made_by())
        if calendars is not None:
            schedule.calendars.set(calendars_named(calendars))
        replan(before, deployment, now)


@repeated_on_conflict
def delete_schedule(*, deployment_id: UUID, schedule_id: UUID, now: datetime) -> None:
    """Delete a schedule, and those of its planned runs whose time no other schedule of the deployment names.

    Raises DeploymentNotFound and ScheduleNotFound.
    """
    with write_transaction():
        deployment = held_deployment(deployment_id)
        before = Plans.of(deployment)
        if schedule_id not in before.schedules:
            raise ScheduleNotFound(id=schedule_id)
        Schedule.objects.filter(pk=schedule_id).delete()
        replan(before, deployment, now)


def replace_schedules(deployment: Deployment, before: Plans, wanted: Sequence[NewSchedule], now: datetime) -> None:
    """Replace the schedules of a deployment that the caller has locked.

    A schedule that already exists keeps its id, its anchor and its number of runs. The caller then plans the runs.
    """
    if wanted:
        _refuse_schedules_of_finder(deployment)
    # Before schedules are deleted: a user with rights on named objects may use the calendars that they use.
    calendars = _calendars_of(wanted)
    twins = _twins(list(before.schedules.values()), wanted, now)
    Schedule.objects.filter(pk__in=before.schedules.keys() - {one.pk for one in twins.values()}).delete()
    for number, schedule in twins.items():
        _bring_to(schedule, wanted[number], before, calendars, now)
    _insert(deployment, [one for number, one in enumerate(wanted) if number not in twins], calendars, now)


def _twins(stored: Sequence[Schedule], wanted: Sequence[NewSchedule], now: datetime) -> dict[int, Schedule]:
    """Return stored schedules that match requested ones, by the index of the request; identical schedules first."""
    alike: dict[str, list[Schedule]] = {}
    for schedule in stored:
        alike.setdefault(key_of_times(schedule.definition), []).append(schedule)
    twins: dict[int, Schedule] = {}
    for equal in (True, False):
        for number, one in enumerate(wanted):
            candidates = alike.get(key_of_times(one.definition), [])
            if number in twins or not candidates:
                continue
            columns = _columns(one) if equal else {}
            for schedule in candidates:
                if is_same(one.definition, schedule.definition, now) and not _differences(columns, schedule):
                    twins[number] = schedule
                    candidates.remove(schedule)
                    break
    return twins


def _differences(columns: Mapping[str, Any], stored: Schedule) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if getattr(stored, name) != value}


def _bring_to(
    schedule: Schedule, wanted: NewSchedule, before: Plans, calendars: Mapping[str, Calendar], now: datetime
) -> None:
    columns = {**_columns(wanted), "definition": _definition(wanted.definition, schedule, now)}
    if changes := _differences(columns, schedule):
        Schedule.objects.filter(pk=schedule.pk).update(**changes, updated=now, updated_by=made_by())
    own = [calendars[name] for name in set(wanted.calendars)]
    if {one.pk for one in own} != before.calendars.get(schedule.pk, frozenset()):
        schedule.calendars.set(own)


def _definition(wanted: Mapping[str, Any], stored: Schedule, now: datetime) -> dict[str, Any]:
    """Return the definition to store: with the schedule's anchor, unless the user chose another one."""
    if not is_same(wanted, stored.definition, now):
        return spread_for(completed(wanted, now), stored.deployment_id)
    anchor = {"anchor_date": stored.definition["anchor_date"]} if "anchor_date" in stored.definition else {}
    return spread_for({**wanted, **anchor}, stored.deployment_id)


def held_deployment(deployment_id: UUID) -> Deployment:
    """Return the deployment, locked until the end of the transaction."""
    held = Deployment.objects.select_related("work_queue").select_for_update(of=("self",), no_key=True)
    deployment = held.filter(pk=deployment_id).first()
    if deployment is None:
        raise DeploymentNotFound(id=deployment_id)
    return deployment


def store_schedules(deployment: Deployment, new: Sequence[NewSchedule], now: datetime) -> list[Schedule]:
    """Insert the schedules of a deployment that the caller has locked. The caller then plans their runs."""
    if not new:
        return []
    _refuse_schedules_of_finder(deployment)
    return _insert(deployment, new, _calendars_of(new), now)


def _insert(
    deployment: Deployment, new: Sequence[NewSchedule], calendars: Mapping[str, Calendar], now: datetime
) -> list[Schedule]:
    schedules = [_row(deployment, one, now) for one in new]
    for schedule in schedules:
        _refuse_ended(schedule.definition, schedule.ends_at, schedule.active, now)
    Schedule.objects.bulk_create(schedules)
    through = Schedule.calendars.through
    through.objects.bulk_create(
        [
            through(schedule_id=schedule.pk, calendar_id=calendars[name].pk)
            for schedule, one in zip(schedules, new, strict=True)
            for name in dict.fromkeys(one.calendars)
        ]
    )
    return schedules


def _refuse_schedules_of_finder(deployment: Deployment) -> None:
    """Refuse schedules of the deployment that finds flows: their parameters would name code.

    Earlier versions allowed them; those may be paused and deleted.
    """
    if deployment.entrypoint == FINDER_ENTRYPOINT:
        raise CodeInParameters


def _refuse_ended(definition: Mapping[str, Any], ends_at: datetime | None, active: bool, now: datetime) -> None:
    """Refuse to create or activate a schedule without future times."""
    try:
        has_ended = active and first_after(definition, now, ends_at) is None
    except ScheduleError as error:
        raise BadSchedule(reason=str(error)) from None
    if has_ended:
        raise BadSchedule(reason=f"The schedule would never run: it names no time after {now:%Y-%m-%d %H:%M} UTC.")


def _row(deployment: Deployment, new: NewSchedule, now: datetime) -> Schedule:
    return Schedule(
        id=new.id or uuid7(),
        deployment=deployment,
        definition=spread_for(completed(new.definition, now), deployment.pk),
        **_columns(new),
        created=now,
        created_by=made_by(),
        updated_by=made_by(),
        planned_until=now,
        plan_at=now,
    )


def _columns(new: NewSchedule) -> dict[str, Any]:
    """Return all requested columns except times and calendars."""
    return {
        "active": new.active,
        "parameters": filled_in(new.parameters),
        "max_active_runs": new.max_active_runs,
        "max_scheduled_runs": new.max_scheduled_runs,
        "max_runs": new.max_runs,
        "ends_at": new.ends_at and moment_in(new.definition, new.ends_at),
        "misfire": new.misfire,
        "misfire_window": new.misfire_window,
    }


def _calendars_of(new: Sequence[NewSchedule]) -> dict[str, Calendar]:
    return {calendar.name: calendar for calendar in calendars_named({name for one in new for name in one.calendars})}


def calendars_named(names: Sequence[str] | set[str]) -> list[Calendar]:
    """Return the calendars with these names. Raises CalendarNotFound, also for one that the user may not read."""
    if not names:
        return []
    found = list(Calendar.objects.filter(name__in=names))
    if acts_in_part():
        # A user who names a calendar can read it afterwards.
        ids = [calendar.pk for calendar in found]
        hidden = refused_among(asking_user(), "deployments.read", Calendar._meta.db_table, ids)
        found = [calendar for calendar in found if calendar.pk not in hidden]
    if missing := set(names) - {calendar.name for calendar in found}:
        raise CalendarNotFound(name=min(missing))
    return found
