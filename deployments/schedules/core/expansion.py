"""Compute the local times of a recurrence rule.

This code jumps to the requested start, and gives up on rules that match no day. dateutil, with which the tests compare
it, follows rules from their first day and searches up to the year 9999.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import count, product

from dateutil.easter import easter

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.rules import Freq, Rule
from deployments.schedules.core.zones import DAY

# Steps that the rules of one schedule or calendar may take together; and days (or hours, minutes, seconds) without a
# match after which a rule counts as over. That is 68 years of days; each weekday falls on 29 February within 40 years.
MOST_STEPS = 300_000
MOST_IN_VAIN = 25_000
UNITS = {Freq.HOURLY: timedelta(hours=1), Freq.MINUTELY: timedelta(minutes=1), Freq.SECONDLY: timedelta(seconds=1)}

# The number of days (or other units) that were examined, and the matches there, in order.
Period = tuple[int, list[datetime]]


class Effort:
    """The steps that the rules of one schedule or calendar may take together, because some rules would take years."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            why = "its rules take too long to follow; count fewer times, name fewer of them, or divide it"
            raise ScheduleError(f"No times can be found in bounded time: {why}.")


def walls(rule: Rule, start: datetime, begin: datetime, effort: Effort | None = None) -> Iterator[datetime]:
    """Yield local times of a rule that starts at `start`, ascending. Most of those before `begin` are skipped."""
    try:
        yield from _walls(rule, start, begin, effort or Effort())
    except ScheduleError:
        raise
    except (OverflowError, ValueError):
        # Dates end with the year 9999.
        return


def _walls(rule: Rule, start: datetime, begin: datetime, effort: Effort) -> Iterator[datetime]:
    start = start.replace(microsecond=0)
    rule = _completed(rule, start)
    if rule.count is not None:
        begin = start
    elif rule.until is not None and rule.until < begin:
        return
    periods = _by_the_day(rule, start, begin) if rule.freq <= Freq.DAILY else _within_days(rule, start, begin)
    number = in_vain = 0
    for looked_at, found in periods:
        effort.spend(max(looked_at, len(found)))
        in_vain += looked_at
        for wall in _at_positions(found, rule.positions):
            if wall < start:
                continue
            if rule.until is not None and wall > rule.until:
                return
            yield wall
            number, in_vain = number + 1, 0
            if number == rule.count:
                return
        if in_vain > MOST_IN_VAIN:
            return


def _completed(rule: Rule, start: datetime) -> Rule:
    """Return the rule with the days of its start, if it names no days itself."""
    if rule.names_days or rule.freq > Freq.WEEKLY:
        return rule
    if rule.freq == Freq.WEEKLY:
        return replace(rule, weekdays=frozenset({(0, start.weekday())}))
    if rule.freq == Freq.YEARLY:
        rule = replace(rule, months=rule.months or frozenset({start.month}))
    return replace(rule, month_days=frozenset({start.day}))


def _at_positions(found: list[datetime], positions: tuple[int, ...]) -> list[datetime]:
    if not positions:
        return found
    places = {place - 1 if place > 0 else len(found) + place for place in positions}
    return [found[place] for place in sorted(places) if 0 <= place < len(found)]


def _by_the_day(rule: Rule, start: datetime, begin: datetime) -> Iterator[Period]:
    times = rule.times(start)
    for number in count(max(0, _periods_between(rule, start.date(), begin.date()) // rule.interval)):
        days = _days(rule, start.date(), number * rule.interval)
        fitting = [day for day in days if fits(rule, day)]
        yield len(days), [datetime.combine(day, at) for day in fitting for at in times]


def _periods_between(rule: Rule, start: date, begin: date) -> int:
    match rule.freq:
        case Freq.YEARLY:
            return begin.year - start.year
        case Freq.MONTHLY:
            return (begin.year - start.year) * 12 + begin.month - start.month
        case Freq.WEEKLY:
            return (_week_of(begin, rule) - _week_of(start, rule)).days // 7
        case _:
            return (begin - start).days


def _days(rule: Rule, start: date, offset: int) -> list[date]:
    """Return the days of the period that is `offset` years, months, weeks or days after that of `start`."""
    match rule.freq:
        case Freq.YEARLY:
            year = start.year + offset
            return [day for month in sorted(rule.months or range(1, 13)) for day in _month(year, month)]
        case Freq.MONTHLY:
            years, month = divmod(start.month - 1 + offset, 12)
            return _month(start.year + years, month + 1)
        case Freq.WEEKLY:
            first = _week_of(start, rule) + offset * 7 * DAY
            return [first + number * DAY for number in range(7)]
        case _:
            return [start + offset * DAY]


def _month(year: int, month: int) -> list[date]:
    return [date(year, month, day + 1) for day in range(monthrange(year, month)[1])]


def _week_of(day: date, rule: Rule) -> date:
    return day - (day.weekday() - rule.week_start) % 7 * DAY


def _within_days(rule: Rule, start: datetime, begin: datetime) -> Iterator[Period]:
    unit = UNITS[rule.freq]
    step = unit * rule.interval
    first = datetime.combine(start, _truncated(start, rule.freq))
    at = first + max(0, (begin - first) // step) * step
    while True:
        if (next_try := _next_try(rule, at)) is None:
            yield 1, _within(rule, start, at)
            at += step
        else:
            yield 1, []
            at = first - (first - next_try) // step * step


def _truncated(start: datetime, freq: Freq) -> time:
    return time(start.hour, start.minute if freq > Freq.HOURLY else 0, start.second if freq > Freq.MINUTELY else 0)


def _next_try(rule: Rule, at: datetime) -> datetime | None:
    """Return when to continue, if the rule excludes the day, hour, minute or second; None if it does not."""
    hour = at.replace(minute=0, second=0)
    if not fits(rule, at.date()):
        return hour.replace(hour=0) + DAY
    if rule.hours and at.hour not in rule.hours:
        return hour + UNITS[Freq.HOURLY]
    if rule.freq > Freq.HOURLY and rule.minutes and at.minute not in rule.minutes:
        return at.replace(second=0) + UNITS[Freq.MINUTELY]
    if rule.freq > Freq.MINUTELY and rule.seconds and at.second not in rule.seconds:
        return at + UNITS[Freq.SECONDLY]
    return None


def _within(rule: Rule, start: datetime, at: datetime) -> list[datetime]:
    """Return the times within one hour, minute or second."""
    minutes = sorted(rule.minutes or {start.minute}) if rule.freq == Freq.HOURLY else [at.minute]
    seconds = sorted(rule.seconds or {start.second}) if rule.freq < Freq.SECONDLY else [at.second]
    return [at.replace(minute=minute, second=second) for minute, second in product(minutes, seconds)]


def fits(rule: Rule, day: date) -> bool:
    """Whether the rule includes this day."""
    return (
        (not rule.months or day.month in rule.months)
        and (not rule.month_days or _is_month_day(rule, day))
        and (not rule.weekdays or _is_weekday(rule, day))
        and (not rule.year_days or _is_year_day(rule, day))
        and (not rule.weeks or _is_in_week(rule, day))
        and (not rule.easter_days or (day - easter(day.year)).days in rule.easter_days)
    )


def _is_month_day(rule: Rule, day: date) -> bool:
    return day.day in rule.month_days or day.day - monthrange(day.year, day.month)[1] - 1 in rule.month_days


def _is_year_day(rule: Rule, day: date) -> bool:
    number, days = _place_in_year(day)
    return number in rule.year_days or number - days - 1 in rule.year_days


def _place_in_year(day: date) -> tuple[int, int]:
    return day.timetuple().tm_yday, 366 if isleap(day.year) else 365


def _is_weekday(rule: Rule, day: date) -> bool:
    weekday = day.weekday()
    if (0, weekday) in rule.weekdays:
        return True
    if rule.freq > Freq.MONTHLY:
        # A week or a day has each weekday only once, so a number means nothing.
        return any(weekday == named for _, named in rule.weekdays)
    if rule.freq == Freq.MONTHLY or rule.months:
        number, days = day.day, monthrange(day.year, day.month)[1]
    else:
        number, days = _place_in_year(day)
    return ((number - 1) // 7 + 1, weekday) in rule.weekdays or (-((days - number) // 7 + 1), weekday) in rule.weekdays


def _is_in_week(rule: Rule, day: date) -> bool:
    """Whether the rule includes the week. A week belongs to the year that has most of its days."""
    middle = _week_of(day, rule) + 3 * DAY
    number, days = _place_in_year(middle)
    left = (days - number) // 7 + 1
    return (number - 1) // 7 + 1 in rule.weeks or -left in rule.weeks
