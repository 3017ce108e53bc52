"""Read schedules of deployments, their next times and exclusions, and planned runs as a calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from deployments.errors import CalendarNotFound
from deployments.models import Calendar, Deployment, Schedule
from deployments.schedules.core import Timetable, read_definition
from deployments.schedules.core.calendars import Exclusions
from deployments.schedules.core.feeds import PlannedEvent, planned_feed
from deployments.schedules.core.preview import Upcoming, preview
from runs.models import FlowRun

MOST_IN_FEED = 1000


def schedules_of(deployment_ids: Iterable[UUID]) -> dict[UUID, list[Schedule]]:
    """Return the schedules of these deployments, most recently changed first, with two queries."""
    ids = list(deployment_ids)
    found: dict[UUID, list[Schedule]] = {one: [] for one in ids}
    for schedule in with_calendars(Schedule.objects.filter(deployment__in=ids)) if ids else ():
        found[schedule.deployment_id].append(schedule)
    return found


def with_calendars(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    return schedules.prefetch_related("calendars").order_by("-updated", "-pk")


def calendar_names(schedule: Schedule) -> list[str]:
    """Return the sorted names of a schedule's calendars, which `with_calendars` has prefetched."""
    return sorted(calendar.name for calendar in schedule.calendars.all())


class ExclusionsBySchedule:
    """The excluded times of schedules. Calendars that several schedules use together are parsed once."""

    def __init__(self, calendars: Mapping[UUID, Sequence[UUID]], texts: Mapping[UUID, str]) -> None:
        self._calendars = calendars
        self._texts = texts
        self._parsed: dict[tuple[UUID, ...], Exclusions] = {}

    def of(self, schedule: Schedule) -> Exclusions | None:
        """Return what the calendars of a schedule exclude; None without calendars.

        Raises ScheduleError if one of them cannot be read, for this schedule only.
        """
        ids = tuple(self._calendars.get(schedule.pk, ()))
        if not ids:
            return None
        if ids not in self._parsed:
            self._parsed[ids] = Exclusions.from_ics(self.texts_of(schedule))
        return self._parsed[ids]

    def texts_of(self, schedule: Schedule) -> tuple[str, ...]:
        # A missing one was deleted at this moment.
        return tuple(self._texts[pk] for pk in self._calendars.get(schedule.pk, ()) if pk in self._texts)


def exclusions_of(schedules: Sequence[Schedule]) -> ExclusionsBySchedule:
    """Return the excluded times of these schedules, with two queries at most."""
    links = Schedule.calendars.through.objects.filter(schedule__in=[one.pk for one in schedules])
    named: dict[UUID, list[UUID]] = {}
    for schedule_id, calendar_id in links.order_by("calendar_id").values_list("schedule_id", "calendar_id"):
        named.setdefault(schedule_id, []).append(calendar_id)
    if not named:
        return ExclusionsBySchedule({}, {})
    texts = dict(Calendar.objects.filter(pk__in={pk for ids in named.values() for pk in ids}).values_list("pk", "ics"))
    return ExclusionsBySchedule(named, texts)


def left_out_of(timetable: Timetable, exclusions: Exclusions | None) -> Callable[[datetime], bool] | None:
    """Return a function that tests moments of a timetable. A holiday is a whole day in the timetable's zone."""
    return exclusions.seen_from(timetable.zone).covers if exclusions else None


def upcoming_of(schedule: Schedule, *, after: datetime, count: int) -> list[Upcoming]:
    texts = schedule.calendars.order_by("name").values_list("ics", flat=True)
    times = _upcoming(schedule.definition, list(texts), after, count)
    return [one for one in times if schedule.ends_at is None or one.at <= schedule.ends_at]


def upcoming_times(
    definition: dict[str, object], calendar_names: Sequence[str], *, after: datetime, count: int
) -> list[Upcoming]:
    """Return the next times of a definition. Raises CalendarNotFound."""
    texts = dict(Calendar.objects.filter(name__in=calendar_names).values_list("name", "ics"))
    if missing := set(calendar_names) - texts.keys():
        raise CalendarNotFound(name=min(missing))
    return _upcoming(definition, list(texts.values()), after, count)


def _upcoming(definition: dict[str, object], calendars: list[str], after: datetime, count: int) -> list[Upcoming]:
    exclusions = Exclusions.from_ics(calendars) if calendars else None
    return preview(read_definition(definition), after=after, count=count, exclusions=exclusions)


def feed_of_planned_runs(deployment_id: UUID | None, now: datetime) -> str:
    """Return the next runs of one deployment, or of all, as an iCalendar document."""
    runs = list(_planned_runs(deployment_id, now)[:MOST_IN_FEED])
    ids = {run.deployment_id for run in runs if run.deployment_id}
    names: dict[UUID | None, str] = dict(Deployment.objects.filter(pk__in=ids).values_list("pk", "name"))
    return planned_feed([_event_of(run, names.get(run.deployment_id)) for run in runs])


def _planned_runs(deployment_id: UUID | None, now: datetime) -> QuerySet[FlowRun]:
    planned = FlowRun.objects.filter(
        state_type="SCHEDULED", deployment_id__isnull=False, next_scheduled_start_time__gte=now
    )
    if deployment_id is not None:
        planned = planned.filter(deployment_id=deployment_id)
    fields = ("id", "name", "created", "deployment_id", "next_scheduled_start_time", "idempotency_key", "flow__name")
    return planned.select_related("flow").only(*fields).order_by("next_scheduled_start_time", "pk")


def _event_of(run: FlowRun, deployment: str | None) -> PlannedEvent:
    assert run.next_scheduled_start_time is not None
    return PlannedEvent(
        # A run that is planned again for the same moment must stay the same event for subscribers.
        uid=(run.idempotency_key or f"{run.pk}@orion").replace(" ", "-"),
        at=run.next_scheduled_start_time,
        changed=run.created,
        summary=f"{run.flow.name}/{deployment}" if deployment else run.flow.name,
        description=f"Run {run.name}",
        url=f"{settings.ORION_EXTERNAL_URL}/runs/{run.pk}",
    )
