"""Events on the wire: reported, queried, listed and counted. Labels, names and their numbers are bounded."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from orionflow.contract.kinds import EVENTS_PER_PAGE, RESOURCE_ID, RESOURCE_ROLE
from orionflow.contract.names import control_in
from orionflow.contract.wire import Answer, Details, JSONObject, Moment, StrictWire, Text255, Text1024, Wire

Label = Annotated[str, Field(min_length=1, max_length=255, pattern=r'^[^"\\\x00-\x1f]+$')]
Labels = Annotated[dict[Label, Text1024], Field(max_length=100)]
# Each pattern becomes a condition, and SQLite refuses expressions that are nested a thousand deep.
Texts = Annotated[list[Text1024], Field(max_length=100)]
Specification = Annotated[dict[Label, Text1024 | Texts], Field(max_length=20)]


def _identified(labels: dict[str, str]) -> dict[str, str]:
    if not labels.get(RESOURCE_ID):
        raise PydanticCustomError("resource_without_id", "A resource needs the label prefect.resource.id")
    return labels


def _in_a_role(labels: dict[str, str]) -> dict[str, str]:
    if not labels.get(RESOURCE_ROLE):
        raise PydanticCustomError("resource_without_role", "A related resource needs the label prefect.resource.role")
    return _identified(labels)


Resource = Annotated[Labels, AfterValidator(_identified)]
RelatedResource = Annotated[Labels, AfterValidator(_in_a_role)]


def _without_controls(name: str) -> str:
    if fault := control_in(name, "The name of an event"):
        raise PydanticCustomError("control_character", "{fault}", {"fault": fault})
    return name


class EventCreate(Wire):
    """An event of a resource; related resources have a role each."""

    occurred: Moment
    event: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_without_controls)]
    resource: Resource
    related: Annotated[list[RelatedResource], Field(max_length=100)] = []
    payload: JSONObject = {}
    id: UUID
    follows: UUID | None = None


class Occurred(StrictWire):
    since: Moment | None = None
    until: Moment | None = None


class EventName(StrictWire):
    prefix: Texts | None = None
    exclude_prefix: Texts | None = None
    name: Texts | None = None
    exclude_name: Texts | None = None


class AnyResource(StrictWire):
    id: Texts | None = None
    id_prefix: Texts | None = None
    labels: Specification | None = None


class OwnResource(AnyResource):
    distinct: bool = False


Role = Annotated[list[Text255], Field(min_length=2, max_length=2)]


class Related(StrictWire):
    id: Texts | None = None
    role: Texts | None = None
    resources_in_roles: Annotated[list[Role], Field(max_length=50)] | None = None
    labels: Specification | None = None


class EventId(StrictWire):
    id: Annotated[list[UUID], Field(max_length=500)] | None = None


class EventOrder(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class EventFilter(StrictWire):
    """Criteria that must all match."""

    occurred: Occurred | None = None
    event: EventName | None = None
    any_resource: AnyResource | None = None
    resource: OwnResource | None = None
    related: Related | None = None
    id: EventId | None = None
    order: EventOrder = EventOrder.DESC


class EventListing(Wire):
    filter: EventFilter | None = None
    limit: Annotated[int, Field(ge=0, le=EVENTS_PER_PAGE)] = EVENTS_PER_PAGE


class NextPage(Wire):
    """The query of the next page: the token in the address that the previous page contained."""

    page_token: Annotated[str, Field(alias="page-token", max_length=100_000)]


class TimeUnit(StrEnum):
    week = "week"
    day = "day"
    hour = "hour"
    minute = "minute"
    second = "second"


class Countable(StrEnum):
    day = "day"
    time = "time"
    event = "event"
    resource = "resource"


class EventCounting(Wire):
    filter: EventFilter
    time_unit: TimeUnit = TimeUnit.day
    time_interval: Annotated[float, Field(ge=0.01, le=1e6)] = 1.0


class Event(Answer):
    """A stored event; `received` is when the server received it."""

    id: UUID
    occurred: datetime
    received: datetime
    event: str
    resource: dict[str, str]
    related: list[dict[str, str]] = []
    payload: Details = {}
    follows: UUID | None = None


class EventPage(Answer):
    """One page of events, the total number, and the address of the next page."""

    events: list[Event]
    total: int
    next_page: str | None = None


class EventCount(Answer):
    value: str
    label: str
    count: int
    start_time: datetime
    end_time: datetime
