"""Cron expressions: five fields, six with seconds first, or a name such as @daily.

An expression that names hours means times of day: each occurs once a day, even when clocks skip or repeat it. An
expression for every hour follows elapsed time: no hour is skipped, and none occurs twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice, product, takewhile
from typing import Any

from cronsim import CronSim, CronSimError

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import (
    DAY,
    SECOND,
    Named,
    earliest_wall,
    every_time,
    first_moment,
    is_text,
    name_of,
    once_each,
    steady_offset,
    zone_of,
)
from orionflow.contract.schedules import LONGEST_CRON

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Where only the fields of an expression are read, any start will do.
ANY_DAY = datetime(2026, 1, 1)  # noqa: DTZ001
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# The longest period whose times are counted by days, and the most times on a day on which clocks change.
LONGEST_COUNTED, MOST_COUNTED = timedelta(days=400), 5_000


@dataclass(frozen=True, slots=True)
class CronTimes(Timetable):
    expression: str
    zone: tzinfo
    day_or: bool
    runs_every_hour: bool

    def _named_from(self, moment: datetime) -> Iterator[Named]:
        walls = _simulation(self.expression, earliest_wall(moment, self.zone), self.day_or)
        if walls is None:
            return iter(())
        return (every_time if self.runs_every_hour else once_each)(walls, self.zone)

    def number_between(self, begin: datetime, end: datetime) -> int | None:
        try:
            by_hours = self._number_by_hours(begin, end)
            return self._number_by_days(begin, end) if by_hours is None else by_hours
        except (OverflowError, ValueError):
            # A day beside the year 9999.
            return None

    def _number_by_hours(self, begin: datetime, end: datetime) -> int | None:
        """Return the number for an expression that is the same in every hour."""
        simulation = _rule(self.expression, self.day_or)
        if simulation is None or not self.runs_every_hour or self.expression.split()[-3:] != ["*", "*", "*"]:
            return None
        shifts = [moment.astimezone(self.zone).utcoffset() or timedelta() for moment in (begin, end)]
        # Clocks have changed by a part of an hour in between, and with them the minutes.
        if (shifts[1] - shifts[0]) % HOUR:
            return None
        seconds = sorted(60 * minute + second for minute, second in product(simulation.minutes, simulation.seconds))
        hours = [divmod(moment + shifts[0] - EPOCH, HOUR) for moment in (begin, end)]
        passed = [number * len(seconds) + bisect_left(seconds, rest / SECOND) for number, rest in hours]
        return passed[1] - passed[0]

    def _number_by_days(self, begin: datetime, end: datetime) -> int | None:
        """Return the number of a day times the days. Near clock changes, times are counted one by one."""
        simulation, at, number = _rule(self.expression, self.day_or), begin.astimezone(UTC), 0
        if simulation is None or end - begin > LONGEST_COUNTED:
            return None
        while at < end:
            day = at.astimezone(self.zone).date()
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            if (offset := steady_offset(day, self.zone)) is not None:
                start = midnight - offset
                until = min(end, start + DAY)
                if day.month in simulation.months and simulation.match_day(day):
                    number += _times_before(simulation, until - start) - _times_before(simulation, at - start)
            else:
                # At least an hour on: clocks that are set back may show the next midnight before this time.
                until = min(end, max(first_moment((midnight + DAY).replace(tzinfo=None), self.zone), at + HOUR))
                named = takewhile(until.__gt__, self.after(at, inclusive=True))
                found = sum(1 for _ in islice(named, MOST_COUNTED + 1))
                if found > MOST_COUNTED:
                    return None
                number += found
            at = until
        return number

    def describe(self) -> str:
        simulation = _simulation(self.expression, ANY_DAY, self.day_or)
        if simulation is None or next(simulation, None) is None:
            return "never"
        words = simulation.explain()
        if not self.day_or and _restricts_both_days(self.expression):
            words += ", when both fit"
        return f"{words[0].lower()}{words[1:]}, {name_of(self.zone)}"


def read_cron(definition: Mapping[str, Any]) -> CronTimes:
    text, day_or = definition["cron"], definition.get("day_or", True)
    if not is_text(text) or len(text) > LONGEST_CRON:
        raise ScheduleError(f"A cron expression is a text of at most {LONGEST_CRON} characters.", "cron")
    if not isinstance(day_or, bool):
        raise ScheduleError("day_or is true or false.", "day_or")
    expression = _expression(text)
    zone = zone_of(definition.get("timezone"))
    try:
        simulation = _simulation(expression, ANY_DAY, day_or)
    except (CronSimError, ValueError) as error:
        raise ScheduleError(f"{text!r} is not a cron expression: {_reason(error)}.", "cron") from None
    every_hour = simulation is not None and set(simulation.hours) == set(range(24))
    return CronTimes(expression, zone, day_or, every_hour)


def _expression(text: str) -> str:
    text = text.strip()
    if not text.startswith("@"):
        return _without_question_marks(text)
    if text.lower() not in ALIASES:
        raise ScheduleError(f"{text!r} is not a cron expression: the names are {', '.join(ALIASES)}.", "cron")
    return ALIASES[text.lower()]


def _without_question_marks(text: str) -> str:
    """Replace "?" in the day fields, which Quartz and croniter accept, by a star with the same meaning."""
    fields = text.split()
    for place in (-3, -1):
        if len(fields) in (5, 6) and fields[place] == "?":
            fields[place] = "*"
    return " ".join(fields)


def _reason(error: Exception) -> str:
    sentence = str(error)
    if sentence == "Wrong number of fields":
        return "it has five fields (minute, hour, day of month, month, day of week), or six with the second before them"
    return f"the {sentence[4:]} is wrong" if sentence.startswith("Bad ") else sentence


def _simulation(expression: str, begin: datetime, day_or: bool) -> CronSim | None:
    """Return the local times of an expression after `begin`, without a zone; None if its day is in no month."""
    try:
        simulation = CronSim(expression, begin)
    except CronSimError as error:
        # 30 February is valid syntax. A day that is invalid in every month is refused.
        if str(error) == "Bad day-of-month" and _reads_in_every_month(expression):
            return None
        raise
    if not day_or:
        simulation.day_and = True
    return simulation


@lru_cache(maxsize=2_000)
def _rule(expression: str, day_or: bool) -> CronSim | None:
    """Return the fields of an expression. They are kept, so do not ask them for times, which moves them on."""
    return _simulation(expression, ANY_DAY, day_or)


def _times_before(rule: CronSim, since_midnight: timedelta) -> int:
    """Return how many times of a day lie before this one."""
    if not since_midnight:
        return 0
    per_minute = len(rule.seconds)
    per_hour = len(rule.minutes) * per_minute
    if since_midnight >= DAY:
        return len(rule.hours) * per_hour
    minutes, seconds = divmod(since_midnight, MINUTE)
    hour, minute = divmod(minutes, 60)
    number = sum(one < hour for one in rule.hours) * per_hour
    if hour in rule.hours:
        number += sum(one < minute for one in rule.minutes) * per_minute
        if minute in rule.minutes:
            number += sum(one * SECOND < seconds for one in rule.seconds)
    return number


def _reads_in_every_month(expression: str) -> bool:
    fields = expression.split()
    try:
        CronSim(" ".join([*fields[:-2], "*", fields[-1]]), ANY_DAY)
    except CronSimError:
        return False
    return True


def _restricts_both_days(expression: str) -> bool:
    fields = expression.split()
    return not fields[-3].startswith("*") and not fields[-1].startswith("*")
