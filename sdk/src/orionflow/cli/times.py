"""Moments as users write and read them: `-2h`, `2026-11-21T09:00`, `today`.

They are shown in the local zone, in UTC, or in a requested zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_RELATIVE = re.compile(r"^([+-]?)((?:\d+(?:\.\d+)?[smhdw])+)$")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment when a command started, and the zone of its times."""

    now: datetime
    zone: tzinfo
    # Whether the user chose this zone; otherwise times may be shown in a more suitable one.
    is_chosen: bool = False

    def in_zone(self, name: str | None) -> Clock:
        """Return the clock with another zone, unless the user chose a zone."""
        return self if self.is_chosen or not name else replace(self, zone=zone_named(name))

    def absolute(self, moment: datetime | str | None) -> str:
        """Return `2026-11-21 13:02:07 +01:00`, or a dash."""
        found = read_moment(moment)
        if found is None:
            return "-"
        local = found.astimezone(self.zone)
        offset = local.strftime("%z")
        return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"

    def near(self, moment: datetime | str | None) -> str:
        """Return `13:02 (4m ago)`, with the date if it is not today."""
        found = read_moment(moment)
        return f"{self._short(found)} ({self.distance(found)})" if found else "-"

    def ago(self, moment: datetime | str | None) -> str:
        """Return `13:02 (4m ago)`, for past moments only: the server's clock may be slightly ahead of ours."""
        found = read_moment(moment)
        return f"{self._short(found)} ({self.distance(min(found, self.now))})" if found else "-"

    def within_brackets(self, moment: datetime | str | None) -> str:
        """Return `13:02, 4m ago`, for places inside parentheses."""
        found = read_moment(moment)
        return f"{self._short(found)}, {self.distance(found)}" if found else "-"

    def _short(self, moment: datetime) -> str:
        local, today = moment.astimezone(self.zone), self.now.astimezone(self.zone).date()
        return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"

    def distance(self, moment: datetime) -> str:
        seconds = (self.now - moment).total_seconds()
        return f"{rough(seconds)} ago" if seconds >= 0 else f"in {rough(-seconds)}"

    def clock_time(self, moment: datetime | str | None) -> str:
        """Return `13:02:07.123`, for log lines."""
        found = read_moment(moment)
        return f"{found.astimezone(self.zone):%H:%M:%S.%f}"[:-3] if found else "-"

    def moment(self, written: str) -> datetime:
        """Return the moment that a user wrote; raise a usage error that shows the valid forms."""
        read = self.wall_or_moment(written)
        return read if read.tzinfo else _in_reach(read.replace(tzinfo=self.zone), written)

    def after(self, period: str) -> datetime:
        """Return the moment that is `2h30m`, or another period that a user wrote, from now."""
        return self._away(read_period(period), period)

    def _away(self, period: timedelta, written: str) -> datetime:
        try:
            return self.now + period
        except OverflowError:
            raise _out_of_reach(written) from None

    def wall_or_moment(self, written: str) -> datetime:
        """Return a time as it was written, without a zone if none was named."""
        if written in ("now", "today", "yesterday"):
            return self._named(written)
        if relative := _RELATIVE.match(written):
            period = read_period(relative.group(2))
            return self._away(period if relative.group(1) == "+" else -period, written)
        try:
            read = datetime.fromisoformat(written)
        except ValueError:
            raise click.UsageError(
                f"{written!r} is not a time; write -2h, -7d, today, 2026-11-21 or 2026-11-21T09:00+01:00."
            ) from None
        return _in_reach(read, written) if read.tzinfo else read

    def _named(self, word: str) -> datetime:
        if word == "now":
            return self.now
        # The first midnight, where clocks are set back to it and it comes twice.
        midnight = self.now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return midnight if word == "today" else midnight - timedelta(days=1)


def _in_reach(moment: datetime, written: str) -> datetime:
    """Return the moment if it has a date in UTC, too."""
    try:
        moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise _out_of_reach(written) from None
    return moment


def _out_of_reach(written: str) -> click.UsageError:
    return click.UsageError(f"{written!r} is not in the years 1 to 9999.")


def read_moment(value: datetime | str | None) -> datetime | None:
    """Return a moment from the API, whose answers are ISO 8601 with an offset."""
    if value is None or isinstance(value, datetime):
        return value
    read = datetime.fromisoformat(value)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def read_period(written: str) -> timedelta:
    """Read `90s`, `2h30m` or a plain number of seconds."""
    if written.replace(".", "", 1).isdecimal():
        parts = [(written, "s")]
    elif _RELATIVE.match(written):
        parts = _PART.findall(written)
    else:
        raise click.UsageError(f"{written!r} is not a duration; write 90s, 15m, 2h30m or 7d.")
    try:
        return timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise click.UsageError(f"{written!r} is too long for a duration.") from None


def rough(seconds: float) -> str:
    """Return a duration in a single unit, which is precise enough for its use: `4m`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def duration(seconds: float | None) -> str:
    """Return `4m 12s`, `1h 03m`, `250ms`, or a dash."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def make_clock(*, zone_name: str | None = None, utc: bool = False) -> Clock:
    now = datetime.now(UTC)
    if utc:
        return Clock(now, UTC, is_chosen=True)
    if zone_name is None:
        # None means the machine's own zone, with the offset that applies at each shown moment.
        return Clock(now, LocalZone())
    return Clock(now, zone_named(zone_name), is_chosen=True)


def zone_named(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise click.UsageError(f"There is no time zone {name!r}; write one like Europe/Berlin.") from None


class LocalZone(tzinfo):
    """The machine's zone, determined by the system for each moment, so that daylight saving is right in the past."""

    def fromutc(self, dt: datetime) -> datetime:
        local = dt.replace(tzinfo=UTC).astimezone()
        return local.replace(tzinfo=self)

    def utcoffset(self, dt: datetime | None) -> timedelta:
        naive = (dt or datetime.now(UTC)).replace(tzinfo=None)
        return naive.astimezone().utcoffset() or timedelta(0)

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> str:
        return "local"
