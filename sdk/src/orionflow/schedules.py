"""Schedules as programs write them, such as `Cron("0 6 * * 1-5", timezone="Europe/Berlin")`.

Each kind of schedule is one class here, which `flow.deploy`, orion.yaml and the command line use; `KINDS` lists them
all. The JSON form is defined in `orionflow.contract.schedules`, and the server computes the times. Nothing heavy is
imported here, as every command that accepts a schedule imports this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypedDict, Unpack, get_args

from orionflow.errors import UsageError
from orionflow.options.checks import texts_of

__all__ = ["Cron", "ICalendar", "Interval", "RRule", "Schedule"]

Misfire = Literal["all", "latest", "none"]
Period = float | timedelta
_MISFIRES = get_args(Misfire)


class Option(NamedTuple):
    """A kind of schedule as an option of commands: the placeholder of its value, its help, and an explained example."""

    metavar: str
    help: str
    example: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The options that all kinds of schedules share, in addition to their times.

    - `timezone`: the zone of the times, such as `"Europe/Berlin"` (default: UTC).
    - `parameters`: of its runs, over those of the deployment.
    - `active`: with `False`, keep it, but plan nothing (default: `True`).
    - `ends`: plan no run after this moment. `max_runs`: the largest number of runs to plan. `max_active_runs`: how many
      of its runs may be active at the same time.
    - `misfire`: which times to make up for that were missed while no server ran: `"all"`, the `"latest"` one, or
      `"none"` (default). `misfire_window`: seconds, or a `timedelta`; times missed longer ago are left out.
    - `calendars`: names of calendars on the server; during their events nothing is started.
    - `spread`: seconds, or a `timedelta`; runs start later by up to this, always by the same delay for one deployment.

    Raises `UsageError` for a value that does not fit.
    """

    kind: ClassVar[str]
    option: ClassVar[Option]

    timezone: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    ends: datetime | None = None
    max_runs: int | None = None
    max_active_runs: int | None = None
    misfire: Misfire = "none"
    misfire_window: Period | None = None
    calendars: Iterable[str] = ()
    spread: Period | None = None

    def __post_init__(self) -> None:
        if self.misfire not in _MISFIRES:
            raise UsageError(f"misfire={self.misfire!r} is unknown; use one of {', '.join(_MISFIRES)}.")
        if self.max_runs is not None and self.max_runs < 1:
            raise UsageError("max_runs is the number of runs after which a schedule ends; the least is 1.")

    def definition(self) -> dict[str, Any]:
        """Return the times in the API's form."""
        raise NotImplementedError

    @classmethod
    def for_option(cls, value: Any, **options: Any) -> Self:
        """Return the schedule for the option of this kind, in a call of `flow.deploy` or on a command line."""
        return cls(value, **options)  # type: ignore[call-arg]

    def to_wire(self) -> dict[str, Any]:
        """Return the whole schedule in the API's form; omitted options are left to the server."""
        options = {
            "parameters": dict(self.parameters) or None,
            "ends_at": None if self.ends is None else _aware(self.ends, "ends").isoformat(),
            "max_runs": self.max_runs,
            "max_active_runs": self.max_active_runs,
            "misfire": None if self.misfire == "none" else self.misfire,
            "misfire_window": None if self.misfire_window is None else seconds_of(self.misfire_window),
            "calendars": texts_of(self.calendars) or None,
        }
        given = {name: value for name, value in options.items() if value is not None}
        definition = self._with_zone(self.definition())
        if self.spread is not None:
            definition = {**definition, "spread": seconds_of(self.spread)}
        return {"schedule": definition, "active": self.active, **given}

    def _with_zone(self, definition: dict[str, Any]) -> dict[str, Any]:
        return definition if self.timezone is None else {**definition, "timezone": self.timezone}


@dataclass(frozen=True, slots=True)
class Cron(Schedule):
    """Times by a cron line: `Cron("0 6 * * 1-5", timezone="Europe/Berlin")`. `Schedule` has the other options.

    - `cron`: five fields, six with seconds first, or a name such as `@daily`.
    - `day_or`: with `False`, day of month and day of week must both fit (default: `True`, one is enough).
    """

    cron: str
    day_or: bool = True
    kind: ClassVar[str] = "cron"
    option: ClassVar[Option] = Option(
        "LINE",
        "A cron line, such as '0 6 * * 1-5'.",
        '"0 6 * * 1-5"',
        "minute hour day month weekday; six fields begin with seconds; @daily and its kin",
    )

    def definition(self) -> dict[str, Any]:
        return {"cron": _text(self.cron, self.option), "day_or": self.day_or}


@dataclass(frozen=True, slots=True)
class Interval(Schedule):
    """Times one period apart: `Interval(timedelta(hours=1))`. `Schedule` has the other options.

    - `interval`: the period, in seconds or as a `timedelta`.
    - `anchor_date`: a moment that the times are counted from. Without an offset it is in the schedule's zone.

    Raises `UsageError`, when it is deployed, if the period is not above zero.
    """

    interval: Period
    anchor_date: datetime | None = None
    kind: ClassVar[str] = "interval"
    option: ClassVar[Option] = Option(
        "PERIOD",
        "An interval, such as 90s, 15m or 1d.",
        "15m",
        "90s, 15m, 2h30m, 1d; counted from --anchor-date",
    )

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
    """Times by a recurrence rule of iCalendar: `RRule("FREQ=MONTHLY;BYDAY=-1FR")`. `Schedule` has the other options.

    - `rrule`: the rule.
    """

    rrule: str
    kind: ClassVar[str] = "rrule"
    option: ClassVar[Option] = Option(
        "RULE",
        "A recurrence rule, such as FREQ=WEEKLY;BYDAY=MO.",
        "FREQ=…",
        "a recurrence rule of iCalendar",
    )

    def definition(self) -> dict[str, Any]:
        return {"rrule": _text(self.rrule, self.option)}


@dataclass(frozen=True, slots=True)
class ICalendar(Schedule):
    """Times by the events of an iCalendar document, as calendar programs export it. `Schedule` has the other options.

    - `ics`: the text of the document.
    """

    ics: str
    kind: ClassVar[str] = "ics"
    option: ClassVar[Option] = Option(
        "FILE",
        "The events of an .ics file.",
        "plan.ics",
        "the events of a calendar program, with their repetitions and exceptions",
    )

    @classmethod
    def for_option(cls, value: Any, **options: Any) -> Self:
        return cls.from_file(value, **options)

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> Self:
        """Read the events of an `.ics` file.

        - `path`: the file.
        - `options`: those of `Schedule`, such as `timezone`.

        Raises `UsageError` if the file cannot be read, or is not a calendar.
        """
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UsageError(f"The calendar {str(path)!r} cannot be read: {error.strerror}.") from None
        if not text.lstrip().upper().startswith("BEGIN:VCALENDAR"):
            raise UsageError(f"{str(path)!r} is not an iCalendar file: it does not begin with BEGIN:VCALENDAR.")
        return cls(text, **options)

    def definition(self) -> dict[str, Any]:
        return {"ics": self.ics}


AnySchedule = Schedule | str | Mapping[str, Any] | timedelta
KINDS: Mapping[str, type[Schedule]] = {one.kind: one for one in (Cron, Interval, RRule, ICalendar)}


class ScheduleOptions(TypedDict, total=False):
    """When runs are planned: short forms for a single schedule, `schedules` for any number."""

    cron: str | Iterable[str] | None
    interval: Period | Iterable[Period] | None
    rrule: str | Iterable[str] | None
    ics: str | Path | None
    schedule: AnySchedule | None
    schedules: Iterable[AnySchedule] | None
    timezone: str | None
    anchor_date: datetime | None


def schedules_of(**options: Unpack[ScheduleOptions]) -> list[dict[str, Any]]:
    """Return the schedules of the short and the long options, in the API's form."""
    values: Mapping[str, Any] = options
    timezone, anchor_date = options.get("timezone"), options.get("anchor_date")
    found: list[AnySchedule] = []
    for kind in KINDS.values():
        own = {"anchor_date": anchor_date} if kind is Interval else {}
        found += [kind.for_option(one, timezone=timezone, **own) for one in _each(values.get(kind.kind))]
    if (timezone or anchor_date) and not found:
        raise UsageError(f"timezone and anchor_date belong to {_short_forms()}; set them in the schedule.")
    schedule = options.get("schedule")
    found += [*([] if schedule is None else [schedule]), *(options.get("schedules") or ())]
    return [as_wire(one) for one in found]


def _short_forms() -> str:
    *others, last = (f"{kind}=" for kind in KINDS)
    return f"{', '.join(others)} and {last}"


def as_wire(schedule: AnySchedule) -> dict[str, Any]:
    """Return one schedule in the API's form, from any notation: an object, a cron line, a period, or a file's entry."""
    match schedule:
        case Schedule():
            return schedule.to_wire()
        case str():
            return Cron(schedule).to_wire()
        case timedelta():
            return Interval(schedule).to_wire()
        case Mapping():
            return _of_mapping(dict(schedule))
    raise UsageError(f"{schedule!r} is not a schedule; write Cron(…), Interval(…), RRule(…) or ICalendar.from_file(…).")


def _of_mapping(written: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule from the notation of orion.yaml or of the API."""
    if isinstance(written.get("schedule"), Mapping):
        return written
    written = _renamed({name: value for name, value in written.items() if value is not None})
    kinds = [name for name in (*KINDS, "ics_file") if name in written]
    if len(kinds) != 1:
        raise UsageError(f"A schedule has one of {', '.join(KINDS)} or ics_file; this one has {sorted(written)}.")
    value = written.pop(kinds[0])
    options = _moments(written)
    try:
        if kinds[0] == "ics_file" or (kinds[0] == "ics" and not _is_calendar(value)):
            return ICalendar.from_file(value, **options).to_wire()
        whole = KINDS[kinds[0]](value, **options)  # type: ignore[call-arg]
    except TypeError as error:
        raise UsageError(f"A schedule does not take this: {error}.") from None
    return whole.to_wire()


def _renamed(written: dict[str, Any]) -> dict[str, Any]:
    """Return the options under the names of `Schedule`, where the API or Prefect use other names."""
    if "ends_at" in written:
        written["ends"] = written.pop("ends_at")
    if written.pop("catchup", False):
        written.setdefault("misfire", "all")
    for name in ("slug", "max_scheduled_runs", "replaces"):
        written.pop(name, None)
    return written


def _is_calendar(value: Any) -> bool:
    """Whether `ics` is the text of a calendar, as in the API; files and programs name a file by it."""
    return isinstance(value, str) and ("\n" in value or value.lstrip().upper().startswith("BEGIN:VCALENDAR"))


def _moments(written: dict[str, Any]) -> dict[str, Any]:
    given = {name: written[name] for name in ("anchor_date", "ends") if written.get(name) is not None}
    return {**written, **{name: _moment(value, name) for name, value in given.items()}}


def _moment(value: Any, name: str) -> datetime:
    """Return a moment as JSON and YAML write it. YAML reads a day without a time as a date."""
    try:
        return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"{name}={value!r} is not a moment; write it like 2026-12-31T18:00:00+01:00.") from None


def seconds_of(period: Period) -> float:
    if isinstance(period, timedelta):
        return period.total_seconds()
    try:
        return float(period)
    except (TypeError, ValueError):
        raise UsageError(f"{period!r} is not a period; write seconds or a timedelta.") from None


def _text(value: Any, option: Option) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is not a schedule; write {option.help[0].lower()}{option.help[1:]}")
    return value


def _each(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str | int | float | timedelta | Path) else list(value)


def _aware(moment: datetime, what: str) -> datetime:
    if moment.tzinfo is None:
        example = "write it like 2026-12-31T18:00:00+01:00, or in Python datetime(…, tzinfo=UTC)"
        raise UsageError(f"{what}={moment} has no time zone; {example}.")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
