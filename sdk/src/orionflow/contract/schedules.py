"""Schedules on the wire. In addition to Prefect's fields they have parameters, an end, misfires and calendars.

A kind of schedule is one definition here, in `Definition`; its times are computed in the server's
`deployments.schedules.core`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Discriminator, Field, Tag

from orionflow.contract.wire import (
    OWN,
    Answer,
    Details,
    JSONObject,
    MadeBy,
    Moment,
    Name,
    Names,
    Shown,
    Stored,
    StrictWire,
    Text255,
    Wire,
    in_utc,
)

Count = Annotated[int, Field(gt=0, lt=2**31)]
Window = Annotated[float, Field(gt=0, le=1e9)]
# In characters, by kind.
LONGEST_CRON, LONGEST_RRULE, LONGEST_ICS = 1_000, 6_500, 1_000_000
Misfire = Literal["all", "latest", "none"]
CalendarNames = Annotated[list[Name], Field(max_length=100)]


def _in_range(moment: datetime) -> datetime:
    return in_utc(moment) if moment.tzinfo else moment


# A moment without an offset is in the schedule's own zone.
LocalMoment = Annotated[datetime, AfterValidator(_in_range)]


class OfAllKinds(StrictWire):
    """With `spread`, runs start up to this many seconds later, by `spread_by`, which is constant for one deployment.

    The server computes that delay; a sent one is ignored.
    """

    spread: Annotated[float, Field(ge=1, le=86_400, description="Seconds.")] | None = None
    spread_by: Annotated[float, Field(ge=0, le=86_400)] | None = None


class IntervalDefinition(OfAllKinds):
    interval: Annotated[float, Field(gt=0, le=1e11, description="Seconds.")]
    anchor_date: LocalMoment | None = None
    timezone: Text255 | None = None


class CronDefinition(OfAllKinds):
    cron: Annotated[str, Field(max_length=LONGEST_CRON)]
    timezone: Text255 | None = None
    day_or: bool = True


class RRuleDefinition(OfAllKinds):
    rrule: Annotated[
        str,
        Field(max_length=LONGEST_RRULE),
        Shown(
            "Recurrence rule",
            "Such as FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=6;BYMINUTE=0;BYSECOND=0. DTSTART, RDATE, EXDATE and EXRULE stand "
            "on lines of their own.",
        ),
    ]
    timezone: Text255 | None = None


class IcsDefinition(OfAllKinds):
    """The events of an iCalendar document; runs are planned at their starts."""

    ics: Annotated[str, Field(max_length=LONGEST_ICS)]
    timezone: Text255 | None = None


# Each by the field that it alone has, so that a refusal is about the kind that was meant.
AnyDefinition = (
    Annotated[IntervalDefinition, Tag("interval")]
    | Annotated[CronDefinition, Tag("cron")]
    | Annotated[RRuleDefinition, Tag("rrule")]
    | Annotated[IcsDefinition, Tag("ics")]
)
_KINDS = ("interval", "cron", "rrule", "ics")


def _kind_of(definition: Any) -> str | None:
    """Return the kind of schedule that a definition is meant to be."""
    return next((kind for kind in _KINDS if kind in definition), None) if isinstance(definition, dict) else None


class Checks:
    """Checks that times can be computed from a definition, in addition to its form."""

    definition: Callable[[AnyDefinition], AnyDefinition] = staticmethod(lambda definition: definition)


Definition = Annotated[
    AnyDefinition,
    Discriminator(
        _kind_of,
        custom_error_type="schedule_kind",
        custom_error_message="A schedule has one of the fields interval, cron, rrule and ics",
    ),
    AfterValidator(lambda definition: Checks.definition(definition)),
]


class ScheduleLimits(StrictWire):
    """`catchup` is another name, used by other clients, for making up for all missed times."""

    catchup: bool | None = None
    misfire: Misfire | None = None
    max_active_runs: Count | None = None
    max_scheduled_runs: Annotated[int, Field(gt=0, le=50)] | None = None
    max_runs: Count | None = None
    ends_at: LocalMoment | None = None
    misfire_window: Window | None = None

    def asked_misfire(self) -> Misfire | None:
        """Return the policy for missed times, under whichever of its two names it was sent."""
        if self.misfire is None and self.catchup is not None:
            return "all" if self.catchup else "none"
        return self.misfire


class ScheduleCreate(ScheduleLimits):
    active: bool = True
    schedule: Definition
    parameters: JSONObject = {}
    calendars: CalendarNames = []


class ScheduleUpdate(ScheduleLimits):
    """Changes of a schedule. Only the fields that are sent are changed."""

    active: bool | None = None
    schedule: Definition | None = None
    parameters: JSONObject | None = None
    calendars: CalendarNames | None = None


class DeploymentSchedule(Stored):
    """A stored schedule. It includes the number of planned runs, which counts towards `max_runs`."""

    deployment_id: UUID | None = None
    schedule: dict[str, Any]
    active: bool = True
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    catchup: bool = False
    parameters: Annotated[Details, OWN] = {}
    max_runs: Annotated[int | None, OWN] = None
    runs_planned: Annotated[int | None, OWN] = None
    ends_at: Annotated[datetime | None, OWN] = None
    misfire: Annotated[Misfire, OWN] = "none"
    misfire_window: Annotated[float | None, OWN] = None
    calendars: Annotated[Names, OWN] = []
    created_by: Annotated[MadeBy | None, OWN] = None
    updated_by: Annotated[MadeBy | None, OWN] = None


class PreviewRequest(StrictWire):
    count: Annotated[int, Field(gt=0, le=1000)] = 10
    after: Moment | None = None


class DraftPreviewRequest(PreviewRequest):
    """A schedule that is not stored."""

    definition: Definition
    calendars: CalendarNames = []


class UpcomingTime(Answer):
    """A time of a schedule, also in its own zone, with remarks; a time that is left out gets no run."""

    at: datetime
    local: datetime
    note: str | None = None
    left_out: bool = False


Ics = Annotated[str, Field(max_length=1_000_000)]


class CalendarCreate(StrictWire):
    name: Name
    description: str = ""
    ics: Ics


class CalendarUpdate(StrictWire):
    """Changes of a calendar. Only the fields that are sent are changed."""

    name: Name | None = None
    description: str | None = None
    ics: Ics | None = None


class Calendar(Stored):
    """An iCalendar document whose events are times at which schedules that use it start nothing."""

    name: str
    description: str = ""
    ics: str


class CalendarDeletion(Wire):
    """Whether to remove a calendar from the schedules that use it."""

    force: bool = False
