"""Definitions of schedules as clients send them: compared, completed, and refused if they can never cause a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.schedules.core import read_definition
from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.interval import anchor_of
from deployments.schedules.core.rrule import RuleTimes
from deployments.schedules.core.spread import Spread
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import is_place, zone_of

# Clients of Prefect 2 send the creation time of a schedule if the user gave no anchor. They may build images first, so
# it can be this old.
DEFAULT_ANCHOR_AGE = timedelta(hours=1)
LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)


def is_same(wanted: Mapping[str, Any], stored: Mapping[str, Any], now: datetime) -> bool:
    """Whether a requested schedule is the stored one. An anchor that no user chose is ignored."""
    one, other = comparable(wanted), comparable(stored)
    if "interval" in one and not has_anchor(wanted, now):
        one, other = {**one, "anchor_date": None}, {**other, "anchor_date": None}
    return one == other


def comparable(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with its defaults, and with parsed moments, so that equal schedules compare equal."""
    # The shift of a spread schedule follows from its deployment.
    filled = {name: value for name, value in definition.items() if value is not None and name != "spread_by"}
    if "ics" not in filled:
        # A calendar may state its own zone, so without `timezone` it is not in UTC.
        filled["timezone"] = definition.get("timezone") or "UTC"
    if "cron" in filled:
        filled["cron"] = " ".join(str(filled["cron"]).split())
        filled.setdefault("day_or", True)
    if "anchor_date" in filled:
        filled["anchor_date"] = _moment(filled)
    return filled


def has_anchor(definition: Mapping[str, Any], now: datetime) -> bool:
    """Whether a user chose the anchor of an interval, rather than a client that sent its current time."""
    if definition.get("anchor_date") is None:
        return False
    anchor = _moment(definition)
    if not isinstance(anchor, datetime) or not anchor.microsecond:
        return True
    return not now - DEFAULT_ANCHOR_AGE <= anchor <= now + timedelta(minutes=1)


def key_of_times(definition: Mapping[str, Any]) -> str:
    """Return a key that is equal for definitions that may mean the same schedule: everything except the anchor."""
    found = comparable(definition)
    found.pop("anchor_date", None)
    if "interval" in found:
        found["interval"] = float(found["interval"])
    return json.dumps(found, sort_keys=True, default=str)


def completed(definition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the definition as it is stored: an interval without an anchor counts from now."""
    if "interval" in definition and definition.get("anchor_date") is None:
        return {**definition, "anchor_date": now.astimezone(UTC).isoformat()}
    return dict(definition)


def refuse_without_times(definition: Mapping[str, Any], now: datetime) -> None:
    """Raise ScheduleError for a definition that is invalid, or has no times at all.

    A schedule that has ended is not refused here: it may have been created in time.
    """
    zone = str(definition.get("timezone") or "")
    if not is_place(zone):
        raise ScheduleError(f"{zone!r} is not a time zone of a place; write it like Europe/Berlin, or UTC.", "timezone")
    timetable = read_definition(definition)
    timetable = timetable.base if isinstance(timetable, Spread) else timetable
    if next(timetable.after(now), None) is None and (why := _why_never(timetable)):
        raise ScheduleError(why)


def first_after(definition: Mapping[str, Any], now: datetime, ends_at: datetime | None) -> datetime | None:
    """Return the first time after `now`, unless the schedule ends before it."""
    first = next(read_definition(definition).after(now), None)
    return first if first is None or ends_at is None or first <= ends_at else None


def _why_never(timetable: Timetable) -> str | None:
    if isinstance(timetable, RuleTimes) and timetable.counts_from_nowhere:
        return (
            "All of its times have passed: without a DTSTART, COUNT counts from 2020-01-01. Write DTSTART:… on a line "
            "before the rule."
        )
    if next(timetable.after(LONG_AGO), None) is None:
        return "There is no such time: the days that this schedule names are in no month of any year."
    return None


def _moment(definition: Mapping[str, Any]) -> Any:
    try:
        return anchor_of(definition.get("anchor_date"), zone_of(definition.get("timezone")))
    except ScheduleError:
        return definition.get("anchor_date")
