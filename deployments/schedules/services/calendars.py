"""Create, change and delete calendars. A change replans every schedule that uses the calendar, in steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from deployments.errors import BadCalendar, CalendarExists, CalendarInUse, CalendarNotFound
from deployments.models import Calendar, Schedule
from deployments.schedules.core import ScheduleError
from deployments.schedules.core.calendars import Exclusions
from deployments.schedules.services.planning import CALENDAR_MOVED, MOVED_AT_ONCE, earlier_of, plan_due_schedules
from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def create_calendar(*, name: str, ics: str, description: str = "", now: datetime) -> Calendar:
    """Create a calendar. Raises BadCalendar, CalendarExists and UnreadableName."""
    refuse_unreadable_file(ics, now)
    with write_transaction():
        _refuse_taken(name)
        refuse_unreadable(name)
        calendar = Calendar(name=name, ics=ics, description=description, created=now)
        calendar.save(force_insert=True)
        return calendar


@repeated_on_conflict
def update_calendar(*, calendar_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    """Change a calendar; other events replan the schedules that use it.

    Raises BadCalendar, CalendarNotFound, CalendarExists and UnreadableName.
    """
    if "ics" in changes:
        refuse_unreadable_file(changes["ics"], now)
    with write_transaction():
        calendar = _held(calendar_id)
        if changes.get("name", calendar.name) != calendar.name:
            _refuse_taken(changes["name"])
            refuse_unreadable(changes["name"])
        Calendar.objects.filter(pk=calendar_id).update(**changes, updated=now)
        is_moved = changes.get("ics", calendar.ics) != calendar.ics
        if is_moved:
            _replan_users(calendar_id, now)
    if is_moved:
        # Plan a few at once; tickers plan the rest.
        plan_due_schedules(now, most=MOVED_AT_ONCE)


@repeated_on_conflict
def delete_calendar(*, calendar_id: UUID) -> None:
    """Delete a calendar, unless schedules use it: without it, they would run on holidays.

    Raises CalendarNotFound and CalendarInUse.
    """
    with write_transaction():
        calendar = _held_for_deletion(calendar_id)
        if used := calendar.schedules.count():
            raise CalendarInUse(name=calendar.name, schedules="one schedule" if used == 1 else f"{used} schedules")
        calendar.delete()


@repeated_on_conflict
def delete_calendar_with_uses(*, calendar_id: UUID, now: datetime) -> None:
    """Remove a calendar from all schedules and delete it. The schedules then also plan the times that it left out."""
    with write_transaction():
        calendar = _held_for_deletion(calendar_id)
        _replan_users(calendar_id, now)
        Schedule.calendars.through.objects.filter(calendar_id=calendar_id).delete()
        calendar.delete()
    plan_due_schedules(now, most=MOVED_AT_ONCE)


def _replan_users(calendar_id: UUID, now: datetime) -> None:
    # There may be thousands, so the planner replans them in steps.
    moved = Schedule.objects.filter(pk__in=Schedule.objects.filter(calendars=calendar_id).values("pk"))
    moved.update(planned_until=earlier_of("planned_until", now), plan_at=CALENDAR_MOVED)


def refuse_unreadable_file(ics: str, now: datetime) -> None:
    try:
        Exclusions.from_ics([ics]).covers(now)
    except ScheduleError as error:
        raise BadCalendar(reason=str(error)) from None


def _held(calendar_id: UUID) -> Calendar:
    return _found(Calendar.objects.select_for_update(no_key=True), calendar_id)


def _held_for_deletion(calendar_id: UUID) -> Calendar:
    # Not no_key: a schedule that takes the calendar now has to wait, and then finds it gone.
    return _found(Calendar.objects.select_for_update(), calendar_id)


def _found(calendars: QuerySet[Calendar], calendar_id: UUID) -> Calendar:
    calendar = calendars.filter(pk=calendar_id).first()
    if calendar is None:
        raise CalendarNotFound(name=str(calendar_id))
    return calendar


def _refuse_taken(name: str) -> None:
    if Calendar.objects.filter(name=name).exists():
        raise CalendarExists(name=name)
