"""Cron expressions: five fields, six with seconds first, or a name such as @daily.

An expression that names hours means times of day: each occurs once a day, even when clocks skip or repeat it. An
expression for every hour follows elapsed time: no hour is skipped, and none occurs twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import product
from typing import Any

from cronsim import CronSim, CronSimError

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import (
    SECOND,
    Named,
    earliest_wall,
    every_time,
    is_text,
    name_of,
    once_each,
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
HOUR = timedelta(hours=1)


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
        """Return the number for an expression that is the same in every hour."""
        simulation = _simulation(self.expression, ANY_DAY, self.day_or)
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
