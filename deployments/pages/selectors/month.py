"""The days of a month: the runs of past ones, what is planned on the others, and what calendars exclude.

Past days come from the roll-ups. Planned runs that exist as rows are read; the times after them are computed from the
schedules, up to a limit for each and for all of them.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from itertools import pairwise
from uuid import UUID

from deployments.models import Calendar, Deployment, Schedule
from deployments.pages.selectors.plan import active_schedules, due_runs, exclusions_in, times_of
from deployments.schedules.core import ScheduleError, Timetable, read_definition
from deployments.schedules.core.zones import TICK, first_moment
from orchestration.sight import sees_in_part
from runs.history.selectors.durations import microseconds
from runs.history.selectors.rolled import rolled_up, runs_of_deployments
from runs.pages.selectors.keyset import Count
from runs.roll_ups.selectors import ALL_FLOW_RUNS

# Times that are computed: of one schedule, and of all. Schedules beyond are named, but not counted.
MOST_TIMES, MOST_TIMES_IN_ALL = 1_000, 20_000
MOST_SCHEDULES = 2_000
# Calendars in the zones of their schedules whose events are drawn.
MOST_CALENDARS = 50
# Deployments that are named on the chosen day, and on every other one.
MOST_NAMED, MOST_NAMED_OF_DAY = 200, 3
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """A deployment with the number of its runs on a day; None if they are too many to be computed."""

    deployment: Deployment
    number: Count | None


@dataclass(frozen=True, slots=True)
class PastRuns:
    """A deployment with the numbers of its runs on a past day, by type of state."""

    deployment: Deployment
    came: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The part of an event of a calendar that lies in a day."""

    calendar_id: UUID
    calendar: str
    summary: str
    begin: datetime
    end: datetime
    is_whole_day: bool


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day from its first to its last moment. `came` has the number of runs by type of state, for past days."""

    day: date
    begin: datetime
    end: datetime
    came: Mapping[str, int]
    planned: Sequence[PlannedRuns]
    # All deployments with planned runs, and all of their runs; at least so many if some are not computed.
    deployments: int
    total: Count
    left_out: Sequence[LeftOut]

    @property
    def hours(self) -> float:
        return (self.end - self.begin) / timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Month:
    """Its days. `is_cut`: some schedules are not computed. `counts_runs`: the user may see totals of all runs.

    `past_runs` are those of the chosen day by deployment, the most first; none if it is not over or cannot be divided.
    `is_divided`: they are those of all deployments.
    """

    days: Sequence[MonthDay]
    now: datetime
    is_cut: bool
    counts_runs: bool
    past_runs: Sequence[PastRuns] = ()
    is_divided: bool = False


def month_of(*, days: Sequence[date], chosen: date | None, zone: tzinfo, now: datetime) -> Month:
    """Return the days in this zone; on the chosen one, all deployments are named. Nine queries at most."""
    edges = [first_moment(datetime(one.year, one.month, one.day), zone) for one in [*days, days[-1] + DAY]]  # noqa: DTZ001
    counts_runs = not sees_in_part()
    came = _came(edges, now) if counts_runs else {}
    read = _read(edges, now)
    names = _named(days, chosen, read)
    place = days.index(chosen) if counts_runs and chosen in days else None
    past_runs, is_divided = ([], False) if place is None else _past_runs(edges[place], edges[place + 1], now)
    return Month(
        [
            _day(number, one, edges, came.get(number, {}), read, names, MOST_NAMED if one == chosen else None)
            for number, one in enumerate(days)
        ],
        now,
        read.is_cut,
        counts_runs,
        past_runs,
        is_divided,
    )


def _past_runs(since: datetime, until: datetime, now: datetime) -> tuple[list[PastRuns], bool]:
    """Return the runs of a day by deployment, and whether these are all deployments. Two queries."""
    if until > now:
        return [], False
    rows = Deployment.objects.select_related("flow").only("id", "name", "flow__name")
    deployments = {one.pk: one for one in rows.order_by("pk")[: MOST_NAMED + 1]}
    counted = runs_of_deployments(list(deployments)[:MOST_NAMED], since=since, until=until)
    found = [PastRuns(deployments[one], came) for one, came in (counted or {}).items()]
    is_divided = counted is not None and len(deployments) <= MOST_NAMED
    return sorted(found, key=lambda one: (-sum(one.came.values()), one.deployment.name)), is_divided


def _came(edges: Sequence[datetime], now: datetime) -> dict[int, Counter[str]]:
    """Return the number of runs by day and type of state, up to now. One query."""
    past = [edge for edge in edges if edge < now]
    if not past:
        return {}
    counted: dict[int, Counter[str]] = defaultdict(Counter)
    for (number, state_type, _), (runs, *_) in rolled_up(ALL_FLOW_RUNS, [*past, min(now, edges[-1])], now).items():
        counted[number][state_type] += runs
    return counted


@dataclass(slots=True)
class _Read:
    """Planned runs by day and deployment; days of deployments that are not counted; what calendars exclude."""

    planned: dict[int, Counter[UUID]] = field(default_factory=lambda: defaultdict(Counter))
    uncounted: dict[int, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    left_out: dict[int, set[LeftOut]] = field(default_factory=lambda: defaultdict(set))
    is_cut: bool = False

    def of_day(self, number: int) -> list[tuple[UUID, int | None]]:
        """Return the deployments of a day with their numbers, the most first."""
        many: list[tuple[UUID, int | None]] = [(one, None) for one in sorted(self.uncounted[number])]
        counted = self.planned[number].most_common()
        return many + [(one, runs) for one, runs in counted if one not in self.uncounted[number]]


def _read(edges: Sequence[datetime], now: datetime) -> _Read:
    found = _Read()
    schedules, is_cut = _schedules()
    calendars = _calendars_of(schedules)
    _exclude(found, calendars, schedules, edges)
    if edges[-1] <= now:
        return found
    waiting = due_runs(edges[-1]).filter(next_scheduled_start_time__gt=max(now, edges[0] - TICK))
    rows = list(waiting.values_list("deployment_id", "next_scheduled_start_time")[: MOST_TIMES_IN_ALL + 1])
    found.is_cut = is_cut or len(rows) > MOST_TIMES_IN_ALL
    times: dict[UUID, set[int]] = defaultdict(set)
    for deployment_id, at in rows:
        if deployment_id and at:
            times[deployment_id].add(microseconds(at))
    _compute(found, times, schedules, calendars, edges, now)
    marks = [microseconds(edge) for edge in edges]
    for deployment_id, moments in times.items():
        for moment in moments:
            found.planned[bisect_right(marks, moment) - 1][deployment_id] += 1
    return found


def _schedules() -> tuple[list[Schedule], bool]:
    """Return the schedules that have times left, the next ones first."""
    columns = ("id", "deployment_id", "definition", "max_runs", "runs_planned", "ends_at", "planned_until")
    rows = active_schedules().filter(plan_at__isnull=False).only(*columns).order_by("plan_at", "pk")
    found = list(rows[: MOST_SCHEDULES + 1])
    return found[:MOST_SCHEDULES], len(found) > MOST_SCHEDULES


def _calendars_of(schedules: Sequence[Schedule]) -> dict[UUID, list[Calendar]]:
    """Return the calendars of each schedule, with two queries at most."""
    ids = [one.pk for one in schedules]
    links = list(
        Schedule.calendars.through.objects.filter(schedule__in=ids).values_list("schedule_id", "calendar_id")
        if ids
        else ()
    )
    calendars = Calendar.objects.only("id", "name", "ics").in_bulk({one for _, one in links}) if links else {}
    found: dict[UUID, list[Calendar]] = defaultdict(list)
    for schedule_id, calendar_id in sorted(links):
        if calendar_id in calendars:
            found[schedule_id].append(calendars[calendar_id])
    return found


def _compute(
    found: _Read,
    times: dict[UUID, set[int]],
    schedules: Sequence[Schedule],
    calendars: Mapping[UUID, Sequence[Calendar]],
    edges: Sequence[datetime],
    now: datetime,
) -> None:
    """Add the times that schedules name beyond their cursors."""
    # From the start of a day, so that the same times are computed once for all requests of this day.
    first = max(0, bisect_right(edges, now) - 1)
    room = MOST_TIMES_IN_ALL
    schedules_of = Counter(one.deployment_id for one in schedules)
    for schedule in schedules:
        since = max(now, schedule.planned_until or now)
        if since >= edges[-1]:
            continue
        texts = tuple(one.ics for one in calendars.get(schedule.pk, ()))
        # Two schedules of a deployment may name the same time, which is one run. Among very many that matters little.
        least = 0 if schedules_of[schedule.deployment_id] == 1 else MOST_TIMES
        if not texts and schedule.max_runs is None and _calculate(found, schedule, since, edges, least):
            continue
        moments, end = _times_after(schedule, now, since, edges[first], edges[-1], texts)
        moments = moments[:room]
        room -= len(moments)
        times[schedule.deployment_id].update(moments)
        if end is not None or not room:
            last = moments[-1] if moments and not room else end or microseconds(max(since, edges[first]))
            begin = bisect_right([microseconds(edge) for edge in edges], last) - 1
            for number in range(max(0, begin), len(edges) - 1):
                found.uncounted[number].add(schedule.deployment_id)
        if not room:
            found.is_cut = True
            return


def _calculate(found: _Read, schedule: Schedule, since: datetime, edges: Sequence[datetime], least: int) -> bool:
    """Count the times of a schedule without computing each; False if that is not possible, or if they are few."""
    definition = json.dumps(schedule.definition, sort_keys=True)
    # Nothing can be added to the last moment of the calendar.
    last = schedule.ends_at
    end = last + TICK if last and last < edges[-1] else edges[-1]
    since, numbers = since + TICK, []
    try:
        for (begin, until), runs in zip(pairwise(edges), _numbers_in(definition, tuple(edges)), strict=True):
            if since > begin or until > end:
                begin, until = max(begin, since), min(until, end)
                runs = _timetable(definition).number_between(begin, until) if begin < until else 0
            if runs is None:
                return False
            numbers.append(runs)
    except ScheduleError:
        return False
    if sum(numbers) < least:
        return False
    for number, runs in enumerate(numbers):
        if runs:
            found.planned[number][schedule.deployment_id] += runs
    return True


def _times_after(
    schedule: Schedule, now: datetime, since: datetime, begin: datetime, end: datetime, texts: tuple[str, ...]
) -> tuple[Sequence[int], int | None]:
    """Return times in microseconds, and the first one that is not computed, if there are more."""
    if schedule.max_runs is None:
        until = schedule.ends_at.isoformat() if schedule.ends_at else ""
        found, cut = _times_in(json.dumps(schedule.definition, sort_keys=True), until, texts, begin, end)
        return found[bisect_right(found, microseconds(since)) :], cut
    times, ended_at = times_of(schedule, now, end - TICK, partial(exclusions_in, texts), MOST_TIMES)
    counted = [microseconds(at) for at in times]
    return counted[bisect_left(counted, microseconds(begin)) :], microseconds(ended_at) if ended_at else None


@lru_cache(maxsize=MOST_SCHEDULES)
def _timetable(definition: str) -> Timetable:
    return read_definition(json.loads(definition))


@lru_cache(maxsize=MOST_SCHEDULES)
def _numbers_in(definition: str, edges: tuple[datetime, ...]) -> Sequence[int | None]:
    """Return the number of times of a definition on each of these days, where it can be calculated."""
    timetable = _timetable(definition)
    return [timetable.number_between(*one) for one in pairwise(edges)]


@lru_cache(maxsize=MOST_SCHEDULES)
def _times_in(
    definition: str, ends_at: str, texts: tuple[str, ...], begin: datetime, end: datetime
) -> tuple[Sequence[int], int | None]:
    """Return the first times of a definition in this period, and the first that is not computed, if there are more."""
    schedule = Schedule(definition=json.loads(definition), ends_at=datetime.fromisoformat(ends_at) if ends_at else None)
    times, ended_at = times_of(schedule, begin - TICK, end - TICK, partial(exclusions_in, texts), MOST_TIMES)
    return array("q", map(microseconds, times)), microseconds(ended_at) if ended_at else None


def _exclude(
    found: _Read,
    calendars: Mapping[UUID, Sequence[Calendar]],
    schedules: Sequence[Schedule],
    edges: Sequence[datetime],
) -> None:
    """Add the events of the calendars in use, seen from the zones of their schedules, to the days that they touch."""
    used: dict[tuple[UUID, tzinfo], Calendar] = {}
    for schedule in schedules:
        for calendar in calendars.get(schedule.pk, ()):
            try:
                used.setdefault((calendar.pk, read_definition(schedule.definition).zone), calendar)
            except ScheduleError:
                continue
    for (_, zone), calendar in list(used.items())[:MOST_CALENDARS]:
        try:
            exclusions = exclusions_in((calendar.ics,))
            spans = exclusions.seen_from(zone).between(edges[0], edges[-1]) if exclusions else []
        except ScheduleError:
            continue
        for begin, end, summary in spans:
            first = max(0, bisect_right(edges, begin) - 1)
            for number in range(first, min(len(edges) - 1, bisect_left(edges, end))):
                whole = begin <= edges[number] and end >= edges[number + 1]
                part = max(begin, edges[number]), min(end, edges[number + 1])
                found.left_out[number].add(LeftOut(calendar.pk, calendar.name, summary, *part, whole))


def _named(days: Sequence[date], chosen: date | None, read: _Read) -> dict[UUID, Deployment]:
    """Return the deployments that the page names. One query."""
    ids = {
        deployment_id
        for number, one in enumerate(days)
        for deployment_id, _ in read.of_day(number)[: MOST_NAMED if one == chosen else MOST_NAMED_OF_DAY]
    }
    rows = Deployment.objects.select_related("flow").only("id", "name", "flow__name")
    return rows.in_bulk(ids) if ids else {}


def _day(
    number: int,
    one: date,
    edges: Sequence[datetime],
    came: Mapping[str, int],
    read: _Read,
    names: Mapping[UUID, Deployment],
    most: int | None,
) -> MonthDay:
    planned = read.of_day(number)
    shown = [
        PlannedRuns(names[each], None if runs is None else Count(runs))
        for each, runs in planned[: most or MOST_NAMED_OF_DAY]
        if each in names
    ]
    total = Count(sum(read.planned[number].values()), capped=bool(read.uncounted[number]))
    begin, end = edges[number], edges[number + 1]
    return MonthDay(one, begin, end, came, shown, len(planned), total, _joined(read.left_out[number], (begin, end)))


def _joined(left_out: Iterable[LeftOut], day: tuple[datetime, datetime]) -> list[LeftOut]:
    """Return the parts of a day in order, those of one event together: a holiday begins at midnight of each zone."""
    found: dict[tuple[UUID, str], list[LeftOut]] = defaultdict(list)
    for one in sorted(left_out, key=lambda each: (each.begin, each.calendar, each.summary)):
        parts = found[one.calendar_id, one.summary]
        if parts and one.begin <= parts[-1].end:
            begin, end = parts[-1].begin, max(parts[-1].end, one.end)
            parts[-1] = replace(parts[-1], end=end, is_whole_day=(begin, end) == day)
        else:
            parts.append(one)
    return [one for parts in found.values() for one in parts]
