"""Cron lines of Prefect servers, which croniter reads, in the form in which they mean the same here.

There the second comes last, reversed ranges go round, and a day field such as `*/2` is a day that was named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# The least and the most of each field: minute, hour, day of month, month, day of week, second.
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59))
_NUMBERED = re.compile(r"#|[0-7]L", re.IGNORECASE)
_LAST_WEEKDAY = re.compile(r"L([0-7])", re.IGNORECASE)


def turned_round(line: str, *, day_or: bool) -> str:
    """Return the line for this server; one that cannot be read stays as it is, to be refused there."""
    fields = line.split()
    if len(fields) not in (5, 6):
        return line
    try:
        read = [_field(field, place) for place, field in enumerate(fields)]
    except ValueError:
        return line
    if day_or:
        read[2], read[4] = _either_day(read[2], read[4])
    return " ".join([*read[5:], *read[:5]])


def _either_day(month_day: str, weekday: str) -> tuple[str, str]:
    """Return the two day fields, of which either fits there as soon as neither is a plain star."""
    if "*" in (month_day, weekday):
        return month_day, weekday
    if _NUMBERED.search(weekday):
        # Beside a weekday that is numbered within its month, days of the month count for nothing.
        return "*", weekday
    every = _names_all(month_day, 2), _names_all(weekday, 4)
    if any(every):
        # Every day fits; but of such a field beside a step, only the step counts.
        steps = [field if field.startswith("*") else "*" for field in (month_day, weekday)]
        return steps[0], steps[1]
    return _spelled_out(month_day, 2), _spelled_out(weekday, 4)


def _field(field: str, place: int) -> str:
    if field == "?":
        return "*"
    return ",".join(_part(part, place) for part in field.split(","))


def _names_all(field: str, place: int) -> bool:
    """Whether a field names everything there is, which is a star there."""
    least, most = _BOUNDS[place]
    named: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        if span == "*":
            low, high = str(least), str(most)
        try:
            numbers = range(_number(low, place), _number(high or low, place) + 1, int(step or 1))
        except ValueError:
            return False
        named.update(0 if place == 4 and number == 7 else number for number in numbers)
    return len(named) == most - least + 1


def _part(part: str, place: int) -> str:
    """Return one part of a list; those that mean the same in both stay."""
    if place == 4 and (last := _LAST_WEEKDAY.fullmatch(part)):
        return f"{last[1]}L"
    span, slash, step = part.partition("/")
    low, dash, high = span.partition("-")
    if not dash:
        if slash and span != "*":
            # From there on, to the end; from the end on, all round.
            most = _BOUNDS[place][1]
            return f"{_BOUNDS[place][0] if _number(span, place) == most else span}-{most}/{step}"
        return part
    first, last_one = _number(low, place), _number(high, place)
    if place == 4 and last_one == 7 and first != 7:
        last_one = 0 if first == 0 else 7
    if first < last_one:
        return part
    if first == last_one:
        # That is once round, and not one of them.
        least, most = _BOUNDS[place]
        return f"{least}-{most}{slash}{step}"
    return ",".join(map(str, _round_from(first, last_one, int(step or 1), place)))


def _round_from(first: int, last: int, step: int, place: int) -> Iterable[int]:
    """Return the numbers of a range that goes over the end of its field."""
    least, most = _BOUNDS[place]
    size = most - least + 1
    return sorted(least + (first - least + away) % size for away in range(0, (last - first) % size + 1, step))


def _number(name: str, place: int) -> int:
    names = {3: _MONTHS, 4: _DAYS}.get(place, ())
    if name.upper() in names:
        return names.index(name.upper()) + (place == 3)
    return int(name)


def _spelled_out(field: str, place: int) -> str:
    """Return a field that does not start with a star."""
    least, most = _BOUNDS[place]
    return ",".join(f"{least}-{most}{part[1:]}" if part.startswith("*") else part for part in field.split(","))
