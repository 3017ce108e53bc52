"""Cron lines of Prefect servers, which use croniter, converted to lines with the same meaning here.

In croniter the seconds field comes last, reversed ranges wrap around, and a day field such as `*/2` counts as
restricted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# The lowest and highest value of each field: minute, hour, day of month, month, day of week, second.
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59))
_NUMBERED = re.compile(r"#|[0-7]L", re.IGNORECASE)
_LAST_WEEKDAY = re.compile(r"L([0-7])", re.IGNORECASE)


def turned_round(line: str, *, day_or: bool) -> str:
    """Return the line for this server; an invalid line is returned unchanged, and refused by the server."""
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
    """Convert the two day fields: in croniter one of them has to match, unless one is a plain star."""
    if "*" in (month_day, weekday):
        return month_day, weekday
    if _NUMBERED.search(weekday):
        # Next to a weekday with a number within the month, croniter ignores days of the month.
        return "*", weekday
    every = _names_all(month_day, 2), _names_all(weekday, 4)
    if any(every):
        # Every day matches; but next to a field with a step, only the step counts.
        steps = [field if field.startswith("*") else "*" for field in (month_day, weekday)]
        return steps[0], steps[1]
    return _with_ranges(month_day, 2), _with_ranges(weekday, 4)


def _field(field: str, place: int) -> str:
    if field == "?":
        return "*"
    return ",".join(_part(part, place) for part in field.split(","))


def _names_all(field: str, place: int) -> bool:
    """Whether a field lists all values, which croniter treats like a star."""
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
    """Return one part of a list; a part with the same meaning in both notations is unchanged."""
    if place == 4 and (last := _LAST_WEEKDAY.fullmatch(part)):
        return f"{last[1]}L"
    span, slash, step = part.partition("/")
    low, dash, high = span.partition("-")
    if not dash:
        if slash and span != "*":
            # From the value to the end of the field; from the last value, around the whole field.
            most = _BOUNDS[place][1]
            return f"{_BOUNDS[place][0] if _number(span, place) == most else span}-{most}/{step}"
        return part
    first, last_one = _number(low, place), _number(high, place)
    if place == 4 and last_one == 7 and first != 7:
        last_one = 0 if first == 0 else 7
    if first < last_one:
        return part
    if first == last_one:
        # This means the whole field, and not a single value.
        least, most = _BOUNDS[place]
        return f"{least}-{most}{slash}{step}"
    return ",".join(map(str, _round_from(first, last_one, int(step or 1), place)))


def _round_from(first: int, last: int, step: int, place: int) -> Iterable[int]:
    """Return the numbers of a range that wraps around the end of its field."""
    least, most = _BOUNDS[place]
    size = most - least + 1
    return sorted(least + (first - least + away) % size for away in range(0, (last - first) % size + 1, step))


def _number(name: str, place: int) -> int:
    names = {3: _MONTHS, 4: _DAYS}.get(place, ())
    if name.upper() in names:
        return names.index(name.upper()) + (place == 3)
    return int(name)


def _with_ranges(field: str, place: int) -> str:
    """Return a field that does not start with a star."""
    least, most = _BOUNDS[place]
    return ",".join(f"{least}-{most}{part[1:]}" if part.startswith("*") else part for part in field.split(","))
