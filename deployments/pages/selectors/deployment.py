"""The page of a deployment: its properties, runs, planned runs, and the times of its schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from deployments.models import BlockDocument, Calendar, Deployment, Schedule, WorkPool
from deployments.pages.local_times import local_text
from deployments.pages.selectors.deployment_lines import DeploymentLine, lines_of, ranked
from deployments.pages.selectors.plan import planned_of
from deployments.schedules.core import ScheduleError, moment_in, read_definition
from deployments.schedules.core.calendars import Exclusions
from deployments.schedules.core.definitions import completed, first_after
from deployments.schedules.core.preview import preview
from deployments.schedules.core.zones import TICK
from deployments.schedules.selectors import calendar_names, with_calendars
from runs.models import FlowRun
from runs.pages.selectors.keyset import Count, Cursor, Page, capped_count, capped_counts, page_of
from runs.pages.selectors.runs import (
    CHOICE_CAP,
    RunFilter,
    indexed_runs,
    is_planned,
    rows_of_runs,
    state_reasons,
)

RUNS_PER_PAGE = 50
TIMES_SHOWN = 10
# Schedules whose times are computed for one page. Further ones show only their definition.
MOST_PREVIEWED = 20
# Times of a period that are listed, of up to 2,000 that are counted.
MOST_AHEAD = 500
MOST_CALENDARS = 200
MOST_POOLS = 500


def deployment_line(*, deployment_id: UUID, now: datetime) -> DeploymentLine | None:
    """Return the deployment with its flow, queue and pool, its last runs and the next one."""
    found = ranked(Deployment.objects.filter(pk=deployment_id), now)
    deployment = found.select_related("flow", "work_queue__work_pool").first()
    return lines_of([deployment], now)[0] if deployment else None


def block_names(deployment: Deployment) -> dict[UUID, str]:
    """Return the names of the storage and infrastructure blocks, if there are any."""
    ids = [one for one in (deployment.storage_document_id, deployment.infrastructure_document_id) if one]
    if not ids:
        return {}
    found = BlockDocument.objects.filter(pk__in=ids).values_list("pk", "block_type__slug", "name", "is_anonymous")
    return {pk: slug if anonymous else f"{slug}/{name}" for pk, slug, name, anonymous in found}


@dataclass(frozen=True, slots=True)
class DeploymentRuns:
    """A page of past and current runs, newest first."""

    page: Page[FlowRun]
    reasons: dict[str, str]
    count: Count


# From a moment, until before another one. Without the second, until now.
Span = tuple[datetime, datetime | None]


def runs_of_deployment(*, wanted: RunFilter, due: Span | None, after: Cursor | None, now: datetime) -> DeploymentRuns:
    runs = indexed_runs(wanted, now)
    if due:
        runs = _due_between(runs, due, now)
    elif not wanted.shows_planned:
        runs = runs.filter(~is_planned(now))
    page = page_of(rows_of_runs(runs), by="expected_start_time", after=after, size=RUNS_PER_PAGE)
    return DeploymentRuns(page, state_reasons(page.rows), capped_count(runs))


def counts_between(*, deployment_id: UUID, spans: Sequence[Span], now: datetime) -> list[Count]:
    """Return how many runs were due in each span, up to a cap. One query."""
    runs = FlowRun.objects.filter(deployment_id=deployment_id)
    return capped_counts([_due_between(runs, span, now) for span in spans], CHOICE_CAP)


def _due_between(runs: QuerySet[FlowRun], span: Span, now: datetime) -> QuerySet[FlowRun]:
    since, until = span
    runs = runs.filter(expected_start_time__gte=since)
    if until is None or until > now:
        return runs.filter(expected_start_time__lte=now)
    return runs.filter(expected_start_time__lt=until)


def chosen_runs(run_ids: Sequence[UUID]) -> DeploymentRuns:
    """Return these few runs, newest first."""
    rows = list(rows_of_runs(FlowRun.objects.filter(pk__in=run_ids)).order_by("-expected_start_time", "-id"))
    return DeploymentRuns(Page(rows, None), state_reasons(rows), Count(len(rows)))


def upcoming_runs(*, deployment_id: UUID, after: Cursor | None) -> Page[FlowRun]:
    """Return runs that have not started, in the order of their times; late ones are first."""
    columns = ("id", "name", "tags", "state_type", "state_name", "next_scheduled_start_time", "auto_scheduled")
    waiting = FlowRun.objects.filter(deployment_id=deployment_id, state_type="SCHEDULED", run_count=0)
    waiting = waiting.filter(next_scheduled_start_time__isnull=False).only(*columns)
    return page_of(waiting, by="next_scheduled_start_time", after=after, size=RUNS_PER_PAGE, newest_first=False)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The first times of a period, each with its runs; schedules name the times that have no run yet."""

    times: Sequence[tuple[datetime, Sequence[FlowRun]]]
    count: Count


def ahead_of(*, deployment_id: UUID, now: datetime, until: datetime, since: datetime | None = None) -> Ahead:
    """Return the times that the home page and the schedule count, from now or `since`. Four queries at most."""
    since = max(now, since - TICK) if since else now
    times, count = planned_of([deployment_id], now=now, end=until, since=since).get(deployment_id, ([], Count(0)))
    by_time: dict[datetime, list[FlowRun]] = {at: [] for at in times[:MOST_AHEAD]}
    waiting = FlowRun.objects.filter(deployment_id=deployment_id, state_type="SCHEDULED")
    waiting = waiting.filter(next_scheduled_start_time__gt=since, next_scheduled_start_time__lte=until)
    for run in waiting.only("id", "name", "next_scheduled_start_time").order_by("next_scheduled_start_time")[
        :MOST_AHEAD
    ]:
        if run.next_scheduled_start_time in by_time:
            by_time[run.next_scheduled_start_time].append(run)
    return Ahead(list(by_time.items()), count)


def upcoming_count(*, deployment_id: UUID) -> Count:
    waiting = FlowRun.objects.filter(deployment_id=deployment_id, state_type="SCHEDULED", run_count=0)
    return capped_count(waiting.filter(next_scheduled_start_time__isnull=False))


@dataclass(frozen=True, slots=True)
class ShownTime:
    """A time of a schedule, as text in its own zone, with notes. A time that is left out gets no run."""

    at: datetime
    text: str
    note: str | None
    left_out: bool


@dataclass(frozen=True, slots=True)
class ShownSchedule:
    """A schedule with its description and its next times. `problem` says why there are none."""

    schedule: Schedule
    words: str
    times: Sequence[ShownTime]
    problem: str
    calendars: Sequence[str]


def shown_schedules(*, deployment_id: UUID, now: datetime) -> list[ShownSchedule]:
    """Return the schedules of a deployment, most recently changed first, with two queries."""
    found = with_calendars(Schedule.objects.filter(deployment=deployment_id))
    return [_shown(one, now if number < MOST_PREVIEWED else None) for number, one in enumerate(found)]


def _shown(schedule: Schedule, now: datetime | None) -> ShownSchedule:
    names = calendar_names(schedule)
    texts = [calendar.ics for calendar in schedule.calendars.all()]
    try:
        words = words_of(schedule.definition)
        times = times_of(schedule.definition, texts, now, ends_at=schedule.ends_at) if now else []
    except ScheduleError as error:
        return ShownSchedule(schedule, str(error), [], str(error), names)
    problem = "" if times or now is None else "It names no time from now on."
    return ShownSchedule(schedule, words, times, problem, names)


def words_of(definition: dict[str, Any]) -> str:
    return read_definition(definition).describe()


def times_of(
    definition: dict[str, Any], calendars: Sequence[str], now: datetime, *, ends_at: datetime | None = None
) -> list[ShownTime]:
    """Return the next times of a definition, including those that the calendars exclude. Raises ScheduleError."""
    exclusions = Exclusions.from_ics(calendars) if calendars else None
    times = preview(read_definition(definition), after=now, count=TIMES_SHOWN, exclusions=exclusions)
    return [
        ShownTime(one.at, local_text(one.local), one.note, one.left_out)
        for one in times
        if ends_at is None or one.at <= ends_at
    ]


@dataclass(frozen=True, slots=True)
class Draft:
    """A schedule that is not saved: its description and its next times, or the problem with it."""

    words: str
    times: Sequence[ShownTime]
    problem: str = ""


def drafted(definition: dict[str, Any], *, calendars: Sequence[str], ends_at: datetime | None, now: datetime) -> Draft:
    """Return the draft of a schedule. `ends_at` without an offset is in the schedule's zone."""
    definition = completed(definition, now)
    texts = list(Calendar.objects.filter(name__in=calendars).values_list("ics", flat=True)) if calendars else []
    try:
        end = moment_in(definition, ends_at) if ends_at else None
        times = times_of(definition, texts, now, ends_at=end)
        return Draft(words_of(definition), times, "" if times else "It names no time from now on.")
    except ScheduleError as error:
        return Draft("", [], str(error))


def deployment_to_schedule(*, deployment_id: UUID) -> Deployment | None:
    return Deployment.objects.select_related("flow").filter(pk=deployment_id).first()


def schedule_to_edit(*, deployment_id: UUID, schedule_id: UUID) -> Schedule | None:
    return with_calendars(Schedule.objects.filter(pk=schedule_id, deployment=deployment_id)).first()


def calendars_to_choose() -> list[str]:
    return list(Calendar.objects.order_by("name").values_list("name", flat=True)[:MOST_CALENDARS])


def deployment_to_edit(*, deployment_id: UUID) -> Deployment | None:
    return Deployment.objects.select_related("flow", "work_queue__work_pool").filter(pk=deployment_id).first()


def pool_names() -> list[str]:
    return list(WorkPool.objects.order_by("name").values_list("name", flat=True)[:MOST_POOLS])


def schedules_to_come(*, deployment_id: UUID, now: datetime) -> list[Schedule]:
    """Return the schedules of a deployment that have not ended."""
    found = with_calendars(Schedule.objects.filter(deployment=deployment_id))
    return [one for one in found if first_after(one.definition, now, one.ends_at) is not None]
