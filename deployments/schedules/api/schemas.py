"""Schedules between the wire and the services. The contract defines their fields."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone
from pydantic_core import PydanticCustomError

from deployments.models import Schedule
from deployments.schedules.core import ScheduleError, moment_in
from deployments.schedules.core.definitions import completed, refuse_without_times
from deployments.schedules.services.schedules import NewSchedule
from orchestration.api.answers import as_answer
from orchestration.api.states import with_offset
from orionflow.contract.schedules import (
    AnyDefinition,
    Checks,
    CronDefinition,
    DeploymentSchedule,
    IcsDefinition,
    IntervalDefinition,
    ScheduleCreate,
    ScheduleUpdate,
)


def readable(definition: AnyDefinition) -> AnyDefinition:
    """Return the definition itself, if times can be computed from it."""
    try:
        refuse_without_times(completed(definition_of(definition), now := timezone.now()), now)
    except ScheduleError as error:
        raise PydanticCustomError("bad_schedule", "{reason}", {"reason": str(error)}) from None
    return definition


Checks.definition = readable


def definition_of(sent: AnyDefinition) -> dict[str, Any]:
    """Return a definition as it was sent, with UTC if it has no time zone.

    A calendar may state its own zone, and a cron expression keeps null, because its client compares it with the answer.
    """
    definition = sent.model_dump(mode="json", exclude={"spread_by"} if sent.spread else {"spread", "spread_by"})
    if definition["timezone"] is None and not _may_name_no_zone(sent):
        definition["timezone"] = "UTC"
    if isinstance(sent, IntervalDefinition) and sent.anchor_date is not None and sent.anchor_date.tzinfo is None:
        definition["anchor_date"] = moment_in(definition, sent.anchor_date).isoformat()
    return definition


def _may_name_no_zone(sent: AnyDefinition) -> bool:
    is_null_given = isinstance(sent, CronDefinition) and "timezone" in sent.model_fields_set
    return is_null_given or isinstance(sent, IcsDefinition)


_UNLIKE_COLUMNS = frozenset({"schedule", "catchup", "misfire", "misfire_window"})


def new_schedule(sent: ScheduleCreate) -> NewSchedule:
    alike = {name: getattr(sent, name) for name in type(sent).model_fields if name not in _UNLIKE_COLUMNS}
    return NewSchedule(
        **alike,
        definition=definition_of(sent.schedule),
        misfire=sent.asked_misfire() or "none",
        misfire_window=_window(sent.misfire_window),
    )


def changes_of(sent: ScheduleUpdate) -> dict[str, Any]:
    """Return the sent fields by column. Null empties a column that may be empty, and is ignored for others."""
    changes = {
        name: value
        for name in sent.model_fields_set - _UNLIKE_COLUMNS - {"calendars"}
        if (value := getattr(sent, name)) is not None or Schedule._meta.get_field(name).null
    }
    if "misfire_window" in sent.model_fields_set:
        changes["misfire_window"] = _window(sent.misfire_window)
    if sent.schedule is not None:
        changes["definition"] = definition_of(sent.schedule)
    if (misfire := sent.asked_misfire()) is not None:
        changes["misfire"] = misfire
    return changes


def _window(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def schedule_out(schedule: Schedule, calendars: Sequence[str]) -> dict[str, Any]:
    return as_answer(
        DeploymentSchedule,
        schedule,
        schedule={
            name: with_offset(value) if name == "anchor_date" else value for name, value in schedule.definition.items()
        },
        catchup=schedule.misfire == "all",
        runs_planned=schedule.runs_planned if schedule.max_runs is not None else None,
        calendars=list(calendars),
    )
