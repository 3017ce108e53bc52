"""Backfills on the wire: a request, its preview, and a stored backfill with its progress."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.schedules import CalendarNames, Definition, LocalMoment
from orionflow.contract.wire import (
    Answer,
    Details,
    JSONObject,
    Name,
    Names,
    Natural,
    Stored,
    StrictWire,
    Text255,
)

AtOnce = Annotated[int, Field(gt=0, le=100)]
BackfillStatus = Literal["active", "paused", "cancelled", "done"]


class BackfillRequest(StrictWire):
    """The times are those of `schedule` or of a stored one; without either, of the deployment's only schedule.

    Moments without an offset are in the schedule's own zone. Calendars are those of the stored schedule, unless others
    are named.
    """

    deployment_id: UUID
    start: LocalMoment
    end: LocalMoment
    schedule: Definition | None = None
    schedule_id: UUID | None = None
    calendars: CalendarNames | None = None
    parameters: JSONObject = {}
    time_parameter: Text255 | None = None
    newest_first: bool = False
    at_once: AtOnce = 1
    again: bool = False
    work_queue_name: Name | None = None


class BackfillCreate(BackfillRequest):
    name: Name | None = None


class BackfillTime(Answer):
    """A time of a backfill, also in the zone of its schedule."""

    at: datetime
    local: datetime
    left_out_by: str | None = None


class BackfillPlan(Answer):
    """The outcome of a preview. At most a hundred times of each kind are listed, but all are counted."""

    runs: Natural
    times: list[BackfillTime]
    first_parameters: Details = {}
    left_out: Natural
    left_out_times: list[BackfillTime]
    completed: Natural
    completed_times: list[BackfillTime]


class Backfill(Stored):
    """Runs of a deployment for times that have passed. All of its runs have its tag."""

    name: str
    deployment_id: UUID
    status: BackfillStatus
    problem: str = ""
    start: datetime
    end: datetime
    schedule: Details
    calendars: Names = []
    parameters: Details = {}
    time_parameter: str | None = None
    newest_first: bool = False
    at_once: int = 1
    again: bool = False
    work_queue_name: str | None = None
    ended_at: datetime | None = None
    tag: str
    total: Natural
    made: Natural
    ended: Natural
    states: dict[str, int] = {}
