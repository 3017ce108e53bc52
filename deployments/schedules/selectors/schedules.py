"""The schedules of a page of deployments, with the names of their calendars: two queries, however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from deployments.models import Schedule


def schedules_of(deployment_ids: Iterable[UUID]) -> dict[UUID, list[Schedule]]:
    """By deployment, what changed last comes first."""
    ids = list(deployment_ids)
    found: dict[UUID, list[Schedule]] = {one: [] for one in ids}
    for schedule in with_calendars(Schedule.objects.filter(deployment__in=ids)) if ids else ():
        found[schedule.deployment_id].append(schedule)
    return found


def with_calendars(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    return schedules.prefetch_related("calendars").order_by("-updated", "-pk")


def calendar_names(schedule: Schedule) -> list[str]:
    """From what was prefetched."""
    return sorted(calendar.name for calendar in schedule.calendars.all())
