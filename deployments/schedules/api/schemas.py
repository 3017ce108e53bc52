"""Schedules on the wire.

Beside what other clients know, a schedule may have parameters, an end, a policy for missed times and calendars.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from django.utils import timezone
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from deployments.models import Schedule
from deployments.schedules.core import ScheduleError, moment_in
from deployments.schedules.core.comparing import completed
from deployments.schedules.core.hopes import refuse_hopeless
from deployments.schedules.services.schedules import NewSchedule
from orchestration.api.states import with_offset
from orionflow.contract.wire import JSONObject, Name, StrictWire, Text255, in_utc

Count = Annotated[int, Field(gt=0, lt=2**31)]
Window = Annotated[float, Field(gt=0, le=1e9)]
Misfire = Literal["all", "latest", "none"]


def in_range(moment: datetime) -> datetime:
    return in_utc(moment) if moment.tzinfo else moment


# Without an offset it is a time of the schedule's own zone.
LocalMoment = Annotated[datetime, AfterValidator(in_range)]


class IntervalDefinition(StrictWire):
    interval: Annotated[float, Field(gt=0, le=1e11, description="Seconds.")]
    anchor_date: LocalMoment | None = None
    timezone: Text255 | None = None


class CronDefinition(StrictWire):
    cron: Annotated[str, Field(max_length=1000)]
    timezone: Text255 | None = None
    day_or: bool = True


class RRuleDefinition(StrictWire):
    rrule: Annotated[str, Field(max_length=6500)]
    timezone: Text255 | None = None


class IcsDefinition(StrictWire):
    """The events of an iCalendar document; runs are planned at their beginnings."""

    ics: Annotated[str, Field(max_length=1_000_000)]
    timezone: Text255 | None = None


def readable(definition: IntervalDefinition | CronDefinition | RRuleDefinition | IcsDefinition) -> Any:
    """The definition itself, if times can be computed from it."""
    try:
        refuse_hopeless(completed(definition_of(definition), now := timezone.now()), now)
    except ScheduleError as error:
        raise PydanticCustomError("bad_schedule", "{reason}", {"reason": str(error)}) from None
    return definition


Definition = Annotated[IntervalDefinition | CronDefinition | RRuleDefinition | IcsDefinition, AfterValidator(readable)]


def definition_of(sent: IntervalDefinition | CronDefinition | RRuleDefinition | IcsDefinition) -> dict[str, Any]:
    """As it was sent, with UTC for no zone. A calendar may say in which zone it is, and a cron
    expression keeps the null that its sender will compare with."""
    definition = sent.model_dump(mode="json")
    if definition["timezone"] is None and not _may_name_no_zone(sent):
        definition["timezone"] = "UTC"
    if isinstance(sent, IntervalDefinition) and sent.anchor_date is not None and sent.anchor_date.tzinfo is None:
        definition["anchor_date"] = moment_in(definition, sent.anchor_date).isoformat()
    return definition


def _may_name_no_zone(sent: IntervalDefinition | CronDefinition | RRuleDefinition | IcsDefinition) -> bool:
    said_null = isinstance(sent, CronDefinition) and "timezone" in sent.model_fields_set
    return said_null or isinstance(sent, IcsDefinition)


class Catchup(StrictWire):
    """`catchup` is what others call making up for all missed times."""

    catchup: bool | None = None
    misfire: Misfire | None = None

    def missed(self) -> Misfire | None:
        if self.misfire is None and self.catchup is not None:
            return "all" if self.catchup else "none"
        return self.misfire


class ScheduleLimits(Catchup):
    max_active_runs: Count | None = None
    max_scheduled_runs: Annotated[int, Field(gt=0, le=50)] | None = None
    max_runs: Count | None = None
    ends_at: LocalMoment | None = None
    misfire_window: Window | None = None


class ScheduleCreate(ScheduleLimits):
    active: bool = True
    schedule: Definition
    parameters: JSONObject = {}
    calendars: Annotated[list[Name], Field(max_length=100)] = []


class ScheduleUpdate(ScheduleLimits):
    """Only what is sent is changed."""

    active: bool | None = None
    schedule: Definition | None = None
    parameters: JSONObject | None = None
    calendars: Annotated[list[Name], Field(max_length=100)] | None = None


class OwnScheduleOut(TypedDict, total=False):
    """What only Orion knows. It is told where it is not at its default: clients of Prefect 2 may refuse what is new.

    How many runs were planned is told beside the `max_runs` that they are counted against.
    """

    parameters: dict[str, Any]
    max_runs: int
    runs_planned: int
    ends_at: datetime
    misfire: Misfire
    misfire_window: float
    calendars: list[str]


class ScheduleOut(OwnScheduleOut):
    id: UUID
    created: datetime
    updated: datetime
    deployment_id: UUID
    schedule: dict[str, Any]
    active: bool
    max_active_runs: int | None
    max_scheduled_runs: int | None
    catchup: bool


def new_schedule(sent: ScheduleCreate) -> NewSchedule:
    return NewSchedule(
        definition=definition_of(sent.schedule),
        active=sent.active,
        parameters=sent.parameters,
        max_active_runs=sent.max_active_runs,
        max_scheduled_runs=sent.max_scheduled_runs,
        max_runs=sent.max_runs,
        ends_at=sent.ends_at,
        misfire=sent.missed() or "none",
        misfire_window=_window(sent.misfire_window),
        calendars=sent.calendars,
    )


MAY_BE_EMPTIED = frozenset({"max_active_runs", "max_scheduled_runs", "max_runs", "ends_at", "misfire_window"})
_NOT_COLUMNS = frozenset({"schedule", "calendars", "catchup", "misfire"})


def changes_of(sent: ScheduleUpdate) -> dict[str, Any]:
    given = {name: getattr(sent, name) for name in sent.model_fields_set - _NOT_COLUMNS}
    changes = {name: value for name, value in given.items() if value is not None or name in MAY_BE_EMPTIED}
    if "misfire_window" in changes:
        changes["misfire_window"] = _window(changes["misfire_window"])
    if sent.schedule is not None:
        changes["definition"] = definition_of(sent.schedule)
    if (missed := sent.missed()) is not None:
        changes["misfire"] = missed
    return changes


def _window(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _definition_out(definition: dict[str, Any]) -> dict[str, Any]:
    return {name: with_offset(value) if name == "anchor_date" else value for name, value in definition.items()}


def schedule_out(schedule: Schedule, calendars: Sequence[str]) -> ScheduleOut:
    return {
        "id": schedule.id,
        "created": schedule.created,
        "updated": schedule.updated,
        "deployment_id": schedule.deployment_id,
        "schedule": _definition_out(schedule.definition),
        "active": schedule.active,
        "max_active_runs": schedule.max_active_runs,
        "max_scheduled_runs": schedule.max_scheduled_runs,
        "catchup": schedule.misfire == "all",
        **_own_out(schedule, calendars),
    }


def _own_out(schedule: Schedule, calendars: Sequence[str]) -> OwnScheduleOut:
    window = schedule.misfire_window
    told = {
        "parameters": schedule.parameters or None,
        "max_runs": schedule.max_runs,
        "runs_planned": schedule.runs_planned if schedule.max_runs is not None else None,
        "ends_at": schedule.ends_at,
        "misfire": schedule.misfire if schedule.misfire != "none" else None,
        "misfire_window": window.total_seconds() if window is not None else None,
        "calendars": list(calendars) or None,
    }
    return cast(OwnScheduleOut, {name: value for name, value in told.items() if value is not None})
