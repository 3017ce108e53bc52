"""Plan a backfill without storing it: its times, and which of them are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.backfills.core.times import NamedTime, times_between, value_of
from deployments.backfills.selectors import completed_times
from deployments.blocks.selectors import filled_in
from deployments.definitions.services.runs import refuse_misfits
from deployments.errors import BadBackfill, ScheduleNotFound
from deployments.models import Deployment, Schedule
from deployments.schedules.core import ScheduleError, moment_in
from deployments.schedules.core.calendars import Exclusions
from deployments.schedules.core.definitions import completed
from deployments.schedules.selectors import with_calendars
from deployments.schedules.services.schedules import calendars_named

MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackfill:
    """A backfill as it was requested. Times without an offset are in the schedule's zone."""

    start: datetime
    end: datetime
    definition: dict[str, Any]
    calendars: Sequence[str] = ()
    name: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    time_parameter: str | None = None
    newest_first: bool = False
    at_once: int = 1
    again: bool = False
    work_queue_name: str | None = None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """The times that get a run, in the order of the runs, and the times that do not."""

    start: datetime
    end: datetime
    definition: dict[str, Any]
    times: Sequence[NamedTime]
    left_out: Sequence[NamedTime]
    completed: Sequence[NamedTime]
    first_parameters: Mapping[str, Any]


def schedule_to_follow(deployment_id: UUID, schedule_id: UUID | None) -> Schedule:
    """Return the stored schedule that gives the times: the named one, or the deployment's only one.

    Raises ScheduleNotFound and BadBackfill.
    """
    found = list(with_calendars(Schedule.objects.filter(deployment=deployment_id)))
    if schedule_id is not None:
        named = [one for one in found if one.pk == schedule_id]
        if not named:
            raise ScheduleNotFound(id=schedule_id)
        return named[0]
    if len(found) != 1:
        has = "no schedule" if not found else f"{len(found)} schedules"
        raise BadBackfill(reason=f"The deployment has {has}; say which times are meant.")
    return found[0]


def planned_backfill(deployment: Deployment, new: NewBackfill, now: datetime) -> BackfillPlan:
    """Return the plan of a backfill. Raises BadBackfill, CalendarNotFound, BadTemplate and ParametersMisfit."""
    definition = _definition(new)
    try:
        start, end = moment_in(definition, new.start), min(moment_in(definition, new.end), now)
        if start > end:
            reason = "after the end" if moment_in(definition, new.end) < start else "in the future"
            raise BadBackfill(reason=f"The start lies {reason}; a backfill is for times that have passed.")
        texts = [calendar.ics for calendar in calendars_named(set(new.calendars))]
        named = times_between(completed(definition, start), start, end, Exclusions.from_ics(texts) if texts else None)
    except ScheduleError as error:
        raise BadBackfill(reason=str(error)) from None
    done = set() if new.again else completed_times(deployment.pk, start, end)
    left_out = [one for one in named if one.left_out_by is not None]
    wanted = [one for one in named if one.left_out_by is None]
    times = [one for one in wanted if one.at not in done]
    if new.newest_first:
        times.reverse()
    first = parameters_of(deployment, new.parameters, new.time_parameter, times[0]) if times else {}
    if times:
        _refuse_odd(deployment, new, first)
    skipped = [one for one in wanted if one.at in done]
    return BackfillPlan(start, end, definition, times, left_out, skipped, first)


def parameters_of(
    deployment: Deployment, parameters: Mapping[str, Any], time_parameter: str | None, time: NamedTime
) -> dict[str, Any]:
    """Return the parameters of the run for this time, besides those of the deployment."""
    if time_parameter is None:
        return dict(parameters)
    return {**parameters, time_parameter: value_of(time, deployment.parameter_openapi_schema, time_parameter)}


def _definition(new: NewBackfill) -> dict[str, Any]:
    """Return the definition. An interval without an anchor counts from the start, which is then its first time."""
    definition = new.definition
    try:
        if "interval" in definition and definition.get("anchor_date") is None:
            return {**definition, "anchor_date": moment_in(definition, new.start).isoformat()}
    except ScheduleError as error:
        raise BadBackfill(reason=str(error)) from None
    return definition


def _refuse_odd(deployment: Deployment, new: NewBackfill, first: Mapping[str, Any]) -> None:
    schema = deployment.parameter_openapi_schema or {}
    known = schema.get("properties") or {}
    if new.time_parameter and known and new.time_parameter not in known:
        raise BadBackfill(reason=f"The flow has no parameter {new.time_parameter!r}; it takes {', '.join(known)}.")
    filled = filled_in({**deployment.parameters, **first})
    if deployment.enforce_parameter_schema:
        refuse_misfits(deployment.name, filled, deployment.parameter_openapi_schema)
