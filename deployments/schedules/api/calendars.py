"""Calendars: times at which the schedules that use them start nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.utils import timezone
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.filters import CalendarFilter
from deployments.models import Calendar
from deployments.schedules.services.calendars import create_calendar, delete_calendar, update_calendar
from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import Name, StrictWire
from runs.lists.filters.conditions import matched

Ics = Annotated[str, Field(max_length=1_000_000)]


class CalendarCreate(StrictWire):
    name: Name
    description: str = ""
    ics: Ics


class CalendarUpdate(StrictWire):
    """Only what is sent is changed."""

    name: Name | None = None
    description: str | None = None
    ics: Ics | None = None


class CalendarListing(Page):
    calendars: CalendarFilter | None = None


class CalendarOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    description: str
    ics: str


class CreateCalendar(Operation):
    """Store a calendar under a new name: an iCalendar document whose events are times to leave out."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {201: CalendarOut}

    def perform(self, body: CalendarCreate) -> Response:
        now = timezone.now()
        calendar = create_calendar(name=body.name, ics=body.ics, description=body.description, now=now)
        return Response(_out(calendar), status=201)


class ReadCalendar(Operation):
    """Read a calendar by its id."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: CalendarOut}

    def perform(self, id: UUID) -> CalendarOut:
        calendar = Calendar.objects.filter(pk=id).first()
        if calendar is None:
            raise Missing("Calendar")
        return _out(calendar)


class UpdateCalendar(Operation):
    """Change a calendar. Runs of the schedules that use it are planned again."""

    method = "PATCH"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID, body: CalendarUpdate) -> None:
        update_calendar(calendar_id=id, changes=body.model_dump(exclude_none=True), now=timezone.now())


class DeleteCalendar(Operation):
    """Delete a calendar that no schedule uses."""

    method = "DELETE"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_calendar(calendar_id=id)


class FilterCalendars(Operation):
    """List calendars by name."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[CalendarOut]}
    body_optional = True

    def perform(self, body: CalendarListing) -> list[CalendarOut]:
        found = Calendar.objects.filter(matched(body.calendars)).order_by("name", "pk")
        return [_out(calendar) for calendar in self.paginate_queryset(found)]


def _out(calendar: Calendar) -> CalendarOut:
    return {
        "id": calendar.id,
        "created": calendar.created,
        "updated": calendar.updated,
        "name": calendar.name,
        "description": calendar.description,
        "ics": calendar.ics,
    }
