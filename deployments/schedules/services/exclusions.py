"""What calendars leave out of the times of schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from deployments.models import Calendar, Schedule
from deployments.schedules.core import Timetable
from deployments.schedules.core.calendars import Exclusions


def exclusions_of(schedules: Sequence[Schedule]) -> dict[UUID, Exclusions]:
    """By schedule, the times that its calendars leave out. A calendar that several of them name is read once."""
    links = Schedule.calendars.through.objects.filter(schedule__in=[one.pk for one in schedules])
    named: dict[UUID, list[UUID]] = {}
    for schedule_id, calendar_id in links.order_by("calendar_id").values_list("schedule_id", "calendar_id"):
        named.setdefault(schedule_id, []).append(calendar_id)
    if not named:
        return {}
    texts = dict(Calendar.objects.filter(pk__in={pk for ids in named.values() for pk in ids}).values_list("pk", "ics"))
    # One that is not there was deleted in this moment.
    read = {
        ids: Exclusions.from_ics([texts[pk] for pk in ids if pk in texts])
        for ids in {tuple(ids) for ids in named.values()}
    }
    return {schedule_id: read[tuple(ids)] for schedule_id, ids in named.items()}


def left_out_of(timetable: Timetable, exclusions: Exclusions | None) -> Callable[[datetime], bool] | None:
    """A holiday is a whole day of the schedule's own zone."""
    return exclusions.seen_from(timetable.zone).covers if exclusions else None
