"""Schedules as programs write them, such as `Cron("0 6 * * 1-5", timezone="Europe/Berlin")`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from orionflow.errors import UsageError

Misfire = Literal["all", "latest", "none"]
Period = float | timedelta
_MISFIRES = ("all", "latest", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The common options of all schedules, beside their times.

    - `parameters`: for its runs, over those of the deployment.
    - `active=False`: keep it, but plan nothing.
    - `ends`, `max_runs`: no run after this moment; no more runs than so many.
    - `misfire`: times missed while no server ran are made up for: "all", the "latest" one, or "none" (the default);
      `misfire_window` leaves out those missed longer ago.
    - `calendars`: names of calendars on the server; during their events nothing is started.
    """

    timezone: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    ends: datetime | None = None
    max_runs: int | None = None
    max_active_runs: int | None = None
    misfire: Misfire = "none"
    misfire_window: Period | None = None
    calendars: Iterable[str] = ()

    def __post_init__(self) -> None:
        if self.misfire not in _MISFIRES:
            raise UsageError(f"misfire={self.misfire!r} is unknown; use one of {', '.join(_MISFIRES)}.")
        if self.max_runs is not None and self.max_runs < 1:
            raise UsageError("max_runs is the number of runs after which a schedule ends; the least is 1.")

    def definition(self) -> dict[str, Any]:
        """The times, as the API has them."""
        raise NotImplementedError

    def to_wire(self) -> dict[str, Any]:
        """The whole schedule, as the API takes it; what was not said is left to the server."""
        said = {
            "parameters": dict(self.parameters) or None,
            "ends_at": None if self.ends is None else _aware(self.ends, "ends").isoformat(),
            "max_runs": self.max_runs,
            "max_active_runs": self.max_active_runs,
            "misfire": None if self.misfire == "none" else self.misfire,
            "misfire_window": None if self.misfire_window is None else seconds_of(self.misfire_window),
            "calendars": list(self.calendars) or None,
        }
        given = {name: value for name, value in said.items() if value is not None}
        return {"schedule": self._with_zone(self.definition()), "active": self.active, **given}

    def _with_zone(self, definition: dict[str, Any]) -> dict[str, Any]:
        return definition if self.timezone is None else {**definition, "timezone": self.timezone}


@dataclass(frozen=True, slots=True)
class Cron(Schedule):
    """Times by a cron line: five fields, six with seconds, or a name such as @daily.

    With `day_or=False` day of month and day of week must both fit.
    """

    cron: str
    day_or: bool = True

    def definition(self) -> dict[str, Any]:
        return {"cron": self.cron, "day_or": self.day_or}


@dataclass(frozen=True, slots=True)
class Interval(Schedule):
    """Times one period apart, counted from `anchor_date`; without an offset that is a time in the schedule's zone."""

    interval: Period
    anchor_date: datetime | None = None

    def definition(self) -> dict[str, Any]:
        seconds = seconds_of(self.interval)
        if seconds <= 0:
            raise UsageError(f"An interval of {seconds:g} s has no next time; write seconds or a timedelta above zero.")
        anchor = self.anchor_date
        if anchor is None:
            return {"interval": seconds}
        return {"interval": seconds, "anchor_date": (anchor.astimezone(UTC) if anchor.tzinfo else anchor).isoformat()}


@dataclass(frozen=True, slots=True)
class RRule(Schedule):
    """Times by a recurrence rule of iCalendar, such as FREQ=MONTHLY;BYDAY=-1FR."""

    rrule: str

    def definition(self) -> dict[str, Any]:
        return {"rrule": self.rrule}


@dataclass(frozen=True, slots=True)
class ICalendar(Schedule):
    """Times by the events of an iCalendar document, as calendar programs export them."""

    ics: str

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> ICalendar:
        """The events of an `.ics` file."""
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UsageError(f"The calendar {str(path)!r} cannot be read: {error.strerror}.") from None
        if not text.lstrip().upper().startswith("BEGIN:VCALENDAR"):
            raise UsageError(f"{str(path)!r} is no iCalendar file: it does not begin with BEGIN:VCALENDAR.")
        return cls(text, **options)

    def definition(self) -> dict[str, Any]:
        return {"ics": self.ics}


AnySchedule = Schedule | str | Mapping[str, Any] | timedelta


def schedules_of(
    *,
    cron: str | Iterable[str] | None = None,
    interval: Period | Iterable[Period] | None = None,
    rrule: str | Iterable[str] | None = None,
    ics: str | Path | None = None,
    schedule: AnySchedule | None = None,
    schedules: Iterable[AnySchedule] | None = None,
    timezone: str | None = None,
    anchor_date: datetime | None = None,
) -> list[dict[str, Any]]:
    """The schedules that the short forms and the long ones name, as the API takes them."""
    found: list[AnySchedule] = [Cron(one, timezone=timezone) for one in _each(cron)]
    found += [Interval(one, anchor_date, timezone=timezone) for one in _each(interval)]
    found += [RRule(one, timezone=timezone) for one in _each(rrule)]
    if ics is not None:
        found.append(ICalendar.from_file(ics, timezone=timezone))
    if (timezone or anchor_date) and not found:
        raise UsageError(
            "timezone and anchor_date belong to cron=, interval=, rrule= and ics=; say them in the schedule."
        )
    found += [*([] if schedule is None else [schedule]), *(schedules or ())]
    return [as_wire(one) for one in found]


def as_wire(schedule: AnySchedule) -> dict[str, Any]:
    """One schedule, however it was written: a value, a cron line, a period, or what a file holds."""
    match schedule:
        case Schedule():
            return schedule.to_wire()
        case str():
            return Cron(schedule).to_wire()
        case timedelta():
            return Interval(schedule).to_wire()
        case Mapping():
            return _of_mapping(dict(schedule))
    raise UsageError(f"{schedule!r} is no schedule; write Cron(…), Interval(…), RRule(…) or ICalendar.from_file(…).")


_KINDS: dict[str, Any] = {"cron": Cron, "interval": Interval, "rrule": RRule, "ics": ICalendar}


def _of_mapping(written: dict[str, Any]) -> dict[str, Any]:
    """A schedule as orion.yaml has it, or as the API does."""
    if isinstance(written.get("schedule"), Mapping):
        return written
    written = _renamed({name: value for name, value in written.items() if value is not None})
    kinds = [name for name in (*_KINDS, "ics_file") if name in written]
    if len(kinds) != 1:
        raise UsageError(f"A schedule has one of {', '.join(_KINDS)} or ics_file; this one has {sorted(written)}.")
    value = written.pop(kinds[0])
    try:
        if kinds[0] == "ics_file":
            return ICalendar.from_file(value, **written).to_wire()
        whole: Schedule = _KINDS[kinds[0]](value, **_moments(written))
    except TypeError as error:
        raise UsageError(f"A schedule does not take this: {error}.") from None
    return whole.to_wire()


def _renamed(written: dict[str, Any]) -> dict[str, Any]:
    """With the names that `Schedule` has, where the API or Prefect has others."""
    if "ends_at" in written:
        written["ends"] = written.pop("ends_at")
    if written.pop("catchup", False):
        written.setdefault("misfire", "all")
    for name in ("slug", "max_scheduled_runs", "replaces"):
        written.pop(name, None)
    return written


def _moments(written: dict[str, Any]) -> dict[str, Any]:
    moments = {
        name: datetime.fromisoformat(value)
        for name in ("anchor_date", "ends")
        if isinstance(value := written.get(name), str)
    }
    return {**written, **moments}


def seconds_of(period: Period) -> float:
    return period.total_seconds() if isinstance(period, timedelta) else float(period)


def _each(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str | int | float | timedelta) else list(value)


def _aware(moment: datetime, what: str) -> datetime:
    if moment.tzinfo is None:
        raise UsageError(f"{what}={moment} has no time zone; write datetime(…, tzinfo=UTC) or of another zone.")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
