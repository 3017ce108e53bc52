"""When a deployment runs: definitions as the API has them, and the times that they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrulestr


class ScheduleError(ValueError):
    """A definition that means nothing; the sentence says why, `field` where."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


class Timetable(Protocol):
    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]: ...
    def describe(self) -> str: ...


ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def read_definition(definition: Mapping[str, Any]) -> Timetable:
    if "cron" in definition:
        return _cron(definition)
    if "interval" in definition:
        return _interval(definition)
    if "rrule" in definition:
        return _rrule(definition)
    raise ScheduleError("A schedule has one of cron, interval, rrule or ics.")


def zone_of(name: Any) -> tzinfo:
    try:
        return ZoneInfo(name) if name else ZoneInfo("UTC")
    except (KeyError, ValueError, OSError, TypeError):
        raise ScheduleError(f"There is no time zone {name!r}.", "timezone") from None


@dataclass(frozen=True)
class CronTimes:
    expression: str
    zone: tzinfo

    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]:
        start = moment - timedelta(microseconds=1) if inclusive else moment
        last = None
        for at in CronSim(self.expression, start.astimezone(self.zone)):
            utc = at.astimezone(UTC)
            if utc > start and (last is None or utc > last):
                last = utc
                yield utc

    def describe(self) -> str:
        return f"{CronSim(self.expression, datetime(2026, 1, 1, tzinfo=UTC)).explain()}, {self.zone}"


def _cron(definition: Mapping[str, Any]) -> Timetable:
    expression = ALIASES.get(str(definition["cron"]).strip(), str(definition["cron"]).strip())
    zone = zone_of(definition.get("timezone"))
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError):
        raise ScheduleError(f"{definition['cron']!r} is not a cron expression.", "cron") from None
    return CronTimes(expression, zone)


@dataclass(frozen=True)
class IntervalTimes:
    interval: timedelta
    anchor: datetime
    zone: tzinfo

    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]:
        count = (moment - self.anchor) // self.interval - 1
        while True:
            at = self._at(count)
            if at > moment or (inclusive and at == moment):
                yield at
            count += 1

    def _at(self, count: int) -> datetime:
        if self.interval < timedelta(days=1):
            return self.anchor + count * self.interval
        wall = self.anchor.astimezone(self.zone).replace(tzinfo=None) + count * self.interval
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def describe(self) -> str:
        return f"every {self.interval}"


def _interval(definition: Mapping[str, Any]) -> Timetable:
    try:
        interval = timedelta(seconds=float(definition["interval"]))
    except (TypeError, ValueError, OverflowError):
        raise ScheduleError("The interval is a number of seconds.", "interval") from None
    if interval <= timedelta():
        raise ScheduleError("The interval must be longer than nothing.", "interval")
    anchor = definition.get("anchor_date") or datetime(2020, 1, 1, tzinfo=UTC)
    if isinstance(anchor, str):
        anchor = datetime.fromisoformat(anchor)
    if anchor.tzinfo is None:
        anchor = anchor.replace(tzinfo=UTC)
    return IntervalTimes(interval, anchor.astimezone(UTC), zone_of(definition.get("timezone")))


@dataclass(frozen=True)
class RuleTimes:
    rule: Any
    zone: tzinfo

    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        for wall in self.rule.xafter(local, inc=inclusive):
            yield wall.replace(tzinfo=self.zone).astimezone(UTC)

    def describe(self) -> str:
        return str(self.rule)


def _rrule(definition: Mapping[str, Any]) -> Timetable:
    try:
        rule = rrulestr(definition["rrule"], cache=True, ignoretz=True)
    except (ValueError, TypeError, AttributeError) as error:
        raise ScheduleError(f"This is not a recurrence rule: {error}", "rrule") from None
    return RuleTimes(rule, zone_of(definition.get("timezone")))
