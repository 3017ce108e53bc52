"""The schedules of a deployment, previews of their times, and feeds of planned runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpResponse
from pydantic import Field
from rest_framework.response import Response

from deployments.definitions.api.runs import reporting_bad_templates
from deployments.errors import ScheduleNotFound
from deployments.models import Deployment, Schedule
from deployments.schedules.api.schemas import (
    changes_of,
    definition_of,
    new_schedule,
    schedule_out,
)
from deployments.schedules.core import ScheduleError
from deployments.schedules.core.definitions import completed
from deployments.schedules.core.preview import Upcoming
from deployments.schedules.selectors import (
    calendar_names,
    feed_of_planned_runs,
    upcoming_of,
    upcoming_times,
    with_calendars,
)
from deployments.schedules.services.schedules import add_schedules, delete_schedule, update_schedule
from orchestration.api.answers import as_answer
from orchestration.api.errors import Missing, Refused
from orchestration.api.operations import Operation
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract.schedules import (
    DeploymentSchedule,
    DraftPreviewRequest,
    PreviewRequest,
    ScheduleCreate,
    ScheduleUpdate,
    UpcomingTime,
)


class ReadSchedules(Operation):
    """List the schedules of a deployment, most recently changed first."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[DeploymentSchedule]}

    def perform(self, id: UUID) -> list[dict[str, Any]]:
        if not Deployment.objects.filter(pk=id).exists():
            raise Missing("Deployment")
        return _schedules_out(with_calendars(Schedule.objects.filter(deployment=id)))


class CreateSchedules(Operation):
    """Add schedules to a deployment; their first runs are planned at once."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {201: list[DeploymentSchedule]}

    def perform(self, id: UUID, body: Annotated[list[ScheduleCreate], Field(max_length=1000)]) -> Response:
        now = current_time()
        with reporting_bad_templates():
            made = add_schedules(deployment_id=id, new=[new_schedule(one) for one in body], now=now)
        stored = {one.pk: one for one in with_calendars(Schedule.objects.filter(pk__in=[one.pk for one in made]))}
        return Response(_schedules_out([stored[one.pk] for one in made]), status=201)


class UpdateSchedule(Operation):
    """Change the fields of a schedule that are sent. Its future runs are planned again."""

    method = "PATCH"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID, schedule_id: UUID, body: ScheduleUpdate) -> None:
        now = current_time()
        with reporting_bad_templates():
            update_schedule(
                deployment_id=id,
                schedule_id=schedule_id,
                changes=changes_of(body),
                calendars=body.calendars,
                now=now,
            )


class DeleteSchedule(Operation):
    """Delete a schedule with its future runs."""

    method = "DELETE"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID, schedule_id: UUID) -> None:
        delete_schedule(deployment_id=id, schedule_id=schedule_id, now=current_time())


class PreviewSchedule(Operation):
    """Return the next times of a stored schedule, and which of them its calendars leave out."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[UpcomingTime]}
    body_optional = True

    def perform(self, id: UUID, schedule_id: UUID, body: PreviewRequest) -> list[dict[str, Any]]:
        schedule = Schedule.objects.filter(pk=schedule_id, deployment=id).first()
        if schedule is None:
            raise ScheduleNotFound(id=schedule_id)
        with _reporting_endless_rules():
            return _previewed(upcoming_of(schedule, after=body.after or current_time(), count=body.count))


class PreviewDraft(Operation):
    """Return the next times of a schedule that is not stored."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[UpcomingTime], 404: dict[str, str]}

    def perform(self, body: DraftPreviewRequest) -> list[dict[str, Any]]:
        now = current_time()
        definition = completed(definition_of(body.definition), now)
        with _reporting_endless_rules():
            return _previewed(upcoming_times(definition, body.calendars, after=body.after or now, count=body.count))


class ReadFeed(Operation):
    """Return the planned runs of all deployments as an iCalendar feed."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: str}
    media_type = "text/calendar"

    def perform(self) -> HttpResponse:
        return _calendar(feed_of_planned_runs(None, current_time()))


class ReadDeploymentFeed(Operation):
    """Return the planned runs of one deployment as an iCalendar feed."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: str}
    media_type = "text/calendar"

    def perform(self, id: UUID) -> HttpResponse:
        if not Deployment.objects.filter(pk=id).exists():
            raise Missing("Deployment")
        return _calendar(feed_of_planned_runs(id, current_time()))


@contextmanager
def _reporting_endless_rules() -> Iterator[None]:
    """Answer 422 for rules that take too much work from the requested day on, even if they do not from today on."""
    try:
        yield
    except ScheduleError as error:
        raise Refused(str(error)) from None


def _previewed(times: Iterable[Upcoming]) -> list[dict[str, Any]]:
    return [as_answer(UpcomingTime, one) for one in times]


def _calendar(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/calendar; charset=utf-8")


def _schedules_out(schedules: Iterable[Schedule]) -> list[dict[str, Any]]:
    return [schedule_out(one, calendar_names(one)) for one in schedules]
