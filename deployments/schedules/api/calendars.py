"""Calendars: times at which the schedules that use them start no runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.response import Response

from deployments.filters import CalendarFilter
from deployments.models import Calendar
from deployments.schedules.services.calendars import (
    create_calendar,
    delete_calendar,
    delete_calendar_with_uses,
    update_calendar,
)
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import schedules as contract
from runs.lists.filters.conditions import matched


class CalendarListing(Page):
    calendars: CalendarFilter | None = None


class CreateCalendar(Operation):
    """Create a calendar from an iCalendar document, whose events are times to leave out."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {201: contract.Calendar}

    def perform(self, body: contract.CalendarCreate) -> Response:
        calendar = create_calendar(**body.model_dump(), now=current_time())
        return Response(as_answer(contract.Calendar, calendar), status=201)


class ReadCalendar(Operation):
    """Read a calendar by its id."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: contract.Calendar}

    def perform(self, id: UUID) -> dict[str, Any]:
        calendar = existing(Calendar.objects.filter(pk=id).first(), "Calendar")
        return as_answer(contract.Calendar, calendar)


class UpdateCalendar(Operation):
    """Change a calendar. Runs of the schedules that use it are planned again."""

    method = "PATCH"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID, body: contract.CalendarUpdate) -> None:
        update_calendar(calendar_id=id, changes=changes_in(body, Calendar), now=current_time())


class DeleteCalendar(Operation):
    """Delete a calendar that no schedule uses. With `force`, remove it from its schedules first; they then also plan
    the times that it left out."""

    method = "DELETE"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID, query: contract.CalendarDeletion) -> None:
        if query.force:
            delete_calendar_with_uses(calendar_id=id, now=current_time())
        else:
            delete_calendar(calendar_id=id)


class FilterCalendars(Operation):
    """List calendars by name."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[contract.Calendar]}
    body_optional = True

    def perform(self, body: CalendarListing) -> list[dict[str, Any]]:
        found = Calendar.objects.filter(matched(body.calendars)).order_by("name", "pk")
        return [as_answer(contract.Calendar, calendar) for calendar in self.paginate_queryset(found)]
