"""The runs around now, by deployment: past runs, and those that schedules will plan.

Only a few runs are planned ahead. Up to a schedule's cursor its planned runs are shown; beyond it, its computed times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, QuerySet

from deployments.models import Deployment, Schedule
from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.core.calendars import Exclusions, Span
from deployments.schedules.selectors import exclusions_of, left_out_of
from runs.models import FlowRun
from runs.pages.selectors.keyset import Count

MOST_ROWS = 40
# Runs that are read to find the deployments that come next, and those that came last.
MOST_DUE, MOST_RECENT = 2_000, 500
MOST_PAST = 3_000
# The times of one schedule that are computed; one by the second has more than the page can show.
MOST_TIMES, MOST_TIMES_AHEAD = 2_000, 150
# Of calendars that are kept read.
MOST_CHARACTERS = 8_000_000


class PastRun(NamedTuple):
    """A past run. Thousands are drawn, and ORM objects would take most of the page's time."""

    deployment_id: UUID
    state_type: str | None
    state_name: str | None
    expected_start_time: datetime
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A deployment, its past runs, and its planned times, ascending."""

    deployment: Deployment
    past: Sequence[PastRun]
    planned: Sequence[datetime]
    planned_count: Count
    # What its calendars exclude: begin, end and name of each event, in order.
    left_out: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows in the order of their next times. `others` counts deployments without a row; `drawn_from` is set if older
    runs are too many to draw."""

    rows: Sequence[PlanRow]
    begin: datetime
    now: datetime
    end: datetime
    others: Count
    drawn_from: datetime | None


def plan_around(*, now: datetime, back: timedelta, ahead: timedelta) -> Plan:
    begin, end = now - back, now + ahead
    due = list(due_runs(end).values_list("deployment_id", "next_scheduled_start_time")[: MOST_DUE + 1])
    recent = _come(begin, now).order_by("-expected_start_time").values_list("deployment_id", flat=True)[:MOST_RECENT]
    ids = list(dict.fromkeys([one for one, _ in due[:MOST_DUE]] + list(recent)))
    shown = [one for one in ids[:MOST_ROWS] if one is not None]
    deployments = Deployment.objects.select_related("flow").only("id", "name", "paused", "flow__name").in_bulk(shown)
    past, drawn_from = _past_of(shown, begin, now)
    left_out: dict[UUID, set[Span]] = defaultdict(set)
    planned = planned_of(shown, now=now, end=end, left_out=left_out, begin=begin)
    rows = [
        PlanRow(deployments[one], past.get(one, []), *planned.get(one, ([], Count(0))), sorted(left_out.get(one, ())))
        for one in shown
        if one in deployments
    ]
    others = Count(max(0, len(ids) - MOST_ROWS), capped=len(due) > MOST_DUE)
    return Plan(rows, begin, now, end, others, drawn_from)


@dataclass(frozen=True, slots=True)
class AheadRow:
    """The planned times of a deployment, or of a flow without one. `first` is the next run."""

    first: FlowRun
    planned: Sequence[datetime]
    planned_count: Count


def planned_ahead(*, runs: Sequence[FlowRun], most: int, now: datetime, end: datetime) -> list[AheadRow]:
    """Return rows for the first `most` deployments and flows among these planned runs, soonest first.

    Their schedules give the times after the planned runs. One query.
    """
    first: dict[tuple[UUID, UUID | None], FlowRun] = {}
    times: dict[tuple[UUID, UUID | None], list[datetime]] = defaultdict(list)
    for run in runs:
        key = run.flow_id, run.deployment_id
        if run.next_scheduled_start_time and (key in first or len(first) < most):
            first.setdefault(key, run)
            times[key].append(run.next_scheduled_start_time)
    by_deployment = {deployment_id: key for key in first if (deployment_id := key[1])}
    cut = set()
    for schedule, texts in _with_texts(by_deployment):
        key = by_deployment[schedule.deployment_id]
        found = times_of(schedule, now, end, partial(exclusions_in, texts), MOST_TIMES_AHEAD)
        times[key] += found.times
        if found.ended_at:
            cut.add(key)
    return [
        AheadRow(first[key], moments, Count(len(moments), capped=key in cut))
        for key, moments in ((key, sorted(set(times[key]))) for key in first)
    ]


def _with_texts(ids: Collection[UUID]) -> list[tuple[Schedule, tuple[str, ...]]]:
    """Return the active schedules, each with the texts of its calendars. One query; a calendar may occur twice."""
    rows = _active(ids).annotate(ics=F("calendars__ics")).order_by("pk", "calendars__pk") if ids else ()
    found: dict[UUID, tuple[Schedule, list[str]]] = {}
    for row in rows:
        _, texts = found.setdefault(row.pk, (row, []))
        texts += [vars(row)["ics"]] if vars(row)["ics"] else []
    return [(schedule, tuple(texts)) for schedule, texts in found.values()]


# Exclusions by the texts of their calendars, those of the last request last; each takes up to a second to read.
_read: OrderedDict[tuple[str, ...], Exclusions] = OrderedDict()
_reading = Lock()


def exclusions_in(texts: tuple[str, ...]) -> Exclusions | None:
    """Return what these calendars exclude. Raises ScheduleError if one cannot be read."""
    if not texts:
        return None
    with _reading:
        if found := _read.get(texts):
            _read.move_to_end(texts)
            return found
    found = Exclusions.from_ics(texts)
    with _reading:
        _read[texts] = found
        size = sum(len(text) for one in _read for text in one)
        while size > MOST_CHARACTERS and len(_read) > 1:
            size -= sum(map(len, _read.popitem(last=False)[0]))
    return found


def _active(ids: Collection[UUID]) -> QuerySet[Schedule]:
    return active_schedules().filter(deployment__in=list(ids))


def active_schedules() -> QuerySet[Schedule]:
    return Schedule.objects.filter(deployment__paused=False, active=True)


def due_runs(end: datetime) -> QuerySet[FlowRun]:
    waiting = FlowRun.objects.filter(state_type="SCHEDULED", deployment_id__isnull=False)
    return waiting.filter(next_scheduled_start_time__lt=end).order_by("next_scheduled_start_time")


def _come(begin: datetime, now: datetime) -> QuerySet[FlowRun]:
    come = FlowRun.objects.filter(deployment_id__isnull=False, expected_start_time__gte=begin)
    return come.filter(expected_start_time__lte=now)


def _past_of(ids: Sequence[UUID], begin: datetime, now: datetime) -> tuple[dict[UUID, list[PastRun]], datetime | None]:
    """Return the past runs, oldest first, and the time from which they are complete, unless that is the start."""
    runs = _come(begin, now).filter(deployment_id__in=ids).order_by("-expected_start_time")
    found = [PastRun(*row) for row in runs.values_list(*PastRun._fields)[: MOST_PAST + 1]]
    grouped: dict[UUID, list[PastRun]] = defaultdict(list)
    for run in reversed(found[:MOST_PAST]):
        grouped[run.deployment_id].append(run)
    return grouped, found[-2].expected_start_time if len(found) > MOST_PAST else None


def planned_of(
    ids: Sequence[UUID],
    *,
    now: datetime,
    end: datetime,
    since: datetime | None = None,
    left_out: dict[UUID, set[Span]] | None = None,
    begin: datetime | None = None,
) -> dict[UUID, tuple[list[datetime], Count]]:
    """Return the times of the deployments' planned runs, and those after them that schedules name, ascending.

    They begin now, or after `since`. What calendars exclude between `begin` and `end` is added to `left_out`. Three
    queries at most.
    """
    times: dict[UUID, list[datetime]] = defaultdict(list)
    since = max(now, since or now)
    waiting = due_runs(end).filter(deployment_id__in=ids, next_scheduled_start_time__gt=since)
    for deployment_id, at in waiting.values_list("deployment_id", "next_scheduled_start_time")[:MOST_DUE]:
        if deployment_id and at:
            times[deployment_id].append(at)
    schedules = list(_active(ids))
    exclusions = exclusions_of(schedules)
    cut = set()
    for schedule in schedules:
        excluded = partial(exclusions_in, exclusions.texts_of(schedule))
        found = times_of(schedule, now, end, excluded, MOST_TIMES, since=since)
        if left_out is not None:
            left_out[schedule.deployment_id].update(spans_of(schedule, excluded, begin or now, end))
        times[schedule.deployment_id] += found.times
        if found.ended_at:
            cut.add(schedule.deployment_id)
    return {one: (sorted(set(found)), Count(len(set(found)), capped=one in cut)) for one, found in times.items()}


def spans_of(
    schedule: Schedule, exclusions: Callable[[], Exclusions | None], begin: datetime, end: datetime
) -> list[Span]:
    """Return what the calendars of a schedule exclude in this period; nothing if they cannot be read."""
    try:
        found = exclusions()
        return found.seen_from(read_definition(schedule.definition).zone).between(begin, end) if found else []
    except ScheduleError:
        return []


class Times(NamedTuple):
    """Times of a schedule. `ended_at` is the first one that was not looked at, if they are too many."""

    times: list[datetime]
    ended_at: datetime | None


def times_of(
    schedule: Schedule,
    now: datetime,
    end: datetime,
    exclusions: Callable[[], Exclusions | None],
    most: int,
    *,
    since: datetime | None = None,
) -> Times:
    """Return the first times beyond the schedule's cursor and `since`.

    There are none if its definition, or one of its calendars, cannot be read.
    """
    begin = max(now, schedule.planned_until or now)
    left: int | None = None
    if schedule.max_runs is None:
        begin = max(begin, since or now)
    else:
        # Which of its times are the last ones is only known by counting from the cursor.
        left = max(0, schedule.max_runs - schedule.runs_planned)
    end = min(end, schedule.ends_at) if schedule.ends_at else end
    found: list[datetime] = []
    try:
        timetable = read_definition(schedule.definition)
        is_left_out = left_out_of(timetable, exclusions())
        moments = takewhile(lambda at: at <= end, timetable.after(begin))
        for number, at in enumerate(moments):
            if left is not None and len(found) >= left:
                break
            # A calendar may exclude everything, so limit the search.
            if number == 5 * most or len(found) == most:
                return Times(_later(found, since), at)
            if is_left_out is None or not is_left_out(at):
                found.append(at)
    except ScheduleError:
        return Times([], None)
    return Times(_later(found, since), None)


def _later(times: list[datetime], since: datetime | None) -> list[datetime]:
    return times if since is None else times[bisect_right(times, since) :]
