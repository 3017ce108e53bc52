"""Events: reported by programs, listed in pages, and counted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, F, Max, Min, QuerySet, TextField, Window
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, RowNumber, Trunc
from pydantic import Field, ValidationError, field_validator

from events.models import Event
from events.recording.core import LENGTHS, Span, Spans, TooManySpans, objects_among, unit_within
from events.recording.selectors import events_matching
from events.recording.services import store_events
from orchestration.api.answers import as_answer
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orchestration.api.pagination import FARTHEST
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import events as contract
from orionflow.contract.events import EventCreate, EventFilter, Occurred
from orionflow.contract.kinds import EVENTS_PER_PAGE
from orionflow.contract.wire import Wire

# The period of a listing or count for which the client gives none.
USUAL_SPAN = timedelta(days=180)
MOST_COUNTED = 500
Reported = Annotated[list[EventCreate], Field(max_length=1000)]


class PageToken(Wire):
    filter: EventFilter
    limit: Annotated[int, Field(ge=1, le=EVENTS_PER_PAGE)]
    offset: Annotated[int, Field(ge=0, le=FARTHEST)]

    @field_validator("filter")
    @classmethod
    def _is_bounded(cls, asked: EventFilter) -> EventFilter:
        if asked.occurred is None or asked.occurred.since is None or asked.occurred.until is None:
            raise ValueError("The filter of a later page has both limits of time.")
        return asked


class ReportEvents(Operation):
    """Report events. An event whose id is already stored is not stored again."""

    method = "POST"
    action_required = Action.REPORT_EVENTS
    masks_secrets = True
    reports = True
    answers = {204: None}

    def named_rows(self, body: list[EventCreate]) -> Iterable[tuple[str, UUID | None]]:
        # Automations act on the run or deployment that an event names, so the reporter must be allowed to name it.
        for event in body:
            yield from objects_among([event.resource, *event.related])

    def perform(self, body: Reported) -> None:
        store_events(events=body, now=current_time())


class FilterEvents(Operation):
    """List events, newest first by default."""

    method = "POST"
    action_required = Action.READ_EVENTS
    may_lag = True
    answers = {200: contract.EventPage}
    body_optional = True

    def perform(self, body: contract.EventListing) -> dict[str, Any]:
        return page_of(self, bounded(body.filter or EventFilter(), current_time()), body.limit, 0)


class ReadNextEvents(Operation):
    """Return the next page of an earlier request."""

    method = "GET"
    action_required = Action.READ_EVENTS
    may_lag = True
    answers = {200: contract.EventPage, 403: dict[str, str]}

    def perform(self, query: contract.NextPage) -> dict[str, Any]:
        token = read_token(query.page_token)
        return page_of(self, token.filter, token.limit, token.offset)


class CountEvents(Operation):
    """Count events by day, by other periods, by name or by resource."""

    method = "POST"
    action_required = Action.READ_EVENTS
    may_lag = True
    answers = {200: list[contract.EventCount]}

    def perform(self, countable: contract.Countable, body: contract.EventCounting) -> list[dict[str, Any]]:
        asked = bounded(body.filter, current_time())
        events = _matching(asked).order_by()
        match countable:
            case contract.Countable.time:
                return _by_time(events, asked, LENGTHS[body.time_unit] * body.time_interval)
            case contract.Countable.day:
                return _by_time(events, asked, LENGTHS[contract.TimeUnit.day])
            case contract.Countable.event:
                return _by_value(events, "event")
        return _by_resource(events)


def bounded(asked: EventFilter, now: datetime) -> EventFilter:
    """Return the filter with both of its limits set, so that later pages belong to the same list."""
    given = asked.occurred or Occurred()
    whole = Occurred(since=given.since or now - USUAL_SPAN, until=given.until or now)
    return asked.model_copy(update={"occurred": whole})


def _matching(asked: EventFilter) -> QuerySet[Event]:
    ends = _ends(asked)
    return events_matching(asked, since=ends[0], until=ends[1])


def _ends(asked: EventFilter) -> tuple[datetime, datetime]:
    occurred = asked.occurred
    assert occurred is not None
    assert occurred.since is not None
    assert occurred.until is not None
    return occurred.since, occurred.until


def page_of(operation: Operation, asked: EventFilter, limit: int, offset: int) -> dict[str, Any]:
    events = _matching(asked)
    total = events.count()
    rows = list(events[offset : offset + limit]) if limit else []
    following = offset + limit
    address = None
    if limit and following < total:
        token = write_token(PageToken(filter=asked, limit=limit, offset=following))
        path = operation.request.path.partition("/events/filter")[0] + "/events/filter/next"
        address = f"{operation.request.build_absolute_uri(path)}?{urlencode({'page-token': token})}"
    return {"events": [event_out(row) for row in rows], "total": total, "next_page": address}


def write_token(token: PageToken) -> str:
    return base64.urlsafe_b64encode(token.model_dump_json(exclude_none=True).encode()).decode()


def read_token(text: str) -> PageToken:
    try:
        return PageToken.model_validate_json(base64.urlsafe_b64decode(text))
    except (ValidationError, binascii.Error, ValueError):
        raise Refused("This page token is not one that the server gave; ask again from the beginning.", 403) from None


def event_out(event: Event) -> dict[str, Any]:
    return as_answer(contract.Event, event)


def _by_time(events: QuerySet[Event], asked: EventFilter, length: timedelta) -> list[dict[str, Any]]:
    try:
        # Refuse before reading: the events of half a year are too many to count by the second.
        spans = Spans.between(*_ends_to_count(events, asked), length)
        return [_span_out(*one) for one in enumerate(spans.counted(_times(events, length)))]
    except (TooManySpans, OverflowError) as error:
        raise Refused(str(error)) from None


def _ends_to_count(events: QuerySet[Event], asked: EventFilter) -> tuple[datetime, datetime]:
    """Return the limits without the future, except for events that were reported for it."""
    (begin, end), now = _ends(asked), current_time()
    if end <= now:
        return begin, max(begin, end)
    latest = events.aggregate(latest=Max("occurred"))["latest"]
    return begin, max(begin, min(end, max(now, latest or now)))


def _times(events: QuerySet[Event], length: timedelta) -> Iterator[tuple[datetime, int]]:
    """Yield times with the number of events, grouped as coarsely as periods of this length permit."""
    if length < timedelta(seconds=1):
        return ((one, 1) for one in events.values_list("occurred", flat=True).iterator())
    moment = Trunc("occurred", unit_within(length) or "second", tzinfo=UTC)
    groups = events.annotate(moment=moment).values_list("moment").annotate(found=Count("pk"))
    return groups.values_list("moment", "found").iterator()


def _span_out(position: int, span: Span) -> dict[str, Any]:
    label = span.begin.isoformat()
    return {"value": str(position), "label": label, "count": span.count, "start_time": span.begin, "end_time": span.end}


_NAME_OF_RESOURCE = Coalesce(
    KeyTextTransform("prefect.resource.name", "resource"),
    KeyTextTransform("prefect.name", "resource"),
    F("resource_id"),
    output_field=TextField(),
)


def _by_value(events: QuerySet[Event], column: str) -> list[dict[str, Any]]:
    """Return the most frequent values first."""
    groups = events.values_list(column).annotate(found=Count("pk"), first=Min("occurred"), last=Max("occurred"))
    return [
        {"value": value, "label": value, "count": count, "start_time": first, "end_time": last}
        for value, count, first, last in groups.order_by("-found", column)[:MOST_COUNTED]
    ]


def _by_resource(events: QuerySet[Event]) -> list[dict[str, Any]]:
    """Return the most frequent resources first, each under the name that it had last."""
    found = _by_value(events, "resource_id")
    newest_first = Window(RowNumber(), partition_by="resource_id", order_by=[F("occurred").desc(), F("id").desc()])
    listed = events.filter(resource_id__in=[one["value"] for one in found])
    # First the ids alone: otherwise the database would read the labels of all these events, and sort them.
    newest = list(listed.annotate(rank=newest_first).filter(rank=1).values_list("pk", flat=True))
    names = dict(Event.objects.filter(pk__in=newest).values_list("resource_id", _NAME_OF_RESOURCE))
    named = [{**one, "label": names.get(one["value"], one["label"])} for one in found]
    return sorted(named, key=lambda one: (-one["count"], one["label"]))
