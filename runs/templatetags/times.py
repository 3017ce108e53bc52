"""Times and durations as text. Each time names its zone, and has the exact value in its markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runs.periods import UNITS, period_text

register = template.Library()


def local(value: datetime) -> datetime:
    """Return the moment in the reader's zone; in UTC if the calendar of that zone has ended, or not begun."""
    try:
        return timezone.localtime(value)
    except OverflowError:
        return value.astimezone(UTC)


@register.filter
def period(value: timedelta | float | None) -> str:
    """Return a duration in at most two units: `310 ms`, `4.2 s`, `4m 12s`, `2d 3h`."""
    if value is None:
        return ""
    return period_text(value)


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """Render date and time to the second in the reader's zone; a script converts it if only the browser knows that."""
    if value is None:
        return ""
    return _time(value, f"{local(value):%Y-%m-%d %H:%M:%S %Z}", "moment")


@register.filter
def day(value: datetime) -> str:
    """Return the day and its zone, as the heading of log lines."""
    return f"{local(value):%Y-%m-%d %Z}"


@register.filter
def ago(value: datetime | None) -> SafeString | str:
    """Render how long ago, or in how long; the exact time is in the title."""
    if value is None:
        return ""
    seconds = (timezone.now() - value).total_seconds()
    rough = coarse(abs(seconds))
    return _time(value, "just now" if rough == "0s" else f"{rough} ago" if seconds >= 0 else f"in {rough}", "ago")


@register.filter
def elapsed(value: datetime | None) -> SafeString | str:
    """Render the time that has passed since then; a script keeps it up to date."""
    if value is None:
        return ""
    return _time(value, period((timezone.now() - value).total_seconds()), "elapsed")


def coarse(seconds: float) -> str:
    """Return a duration in one unit, rounded down: `3h`."""
    for letter, size in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{letter}"
    return "0s"


@register.filter
def clock(value: datetime) -> SafeString:
    """Render the time of day to the millisecond, as in a log."""
    return _time(value, f"{local(value):%H:%M:%S}.{value.microsecond // 1000:03d}", "clock")


def _time(value: datetime, text: str, shown: str) -> SafeString:
    # `static/js/page.js` reads `data-shown`.
    exact = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time datetime="{}" title="{}" data-shown="{}">{}</time>', value.isoformat(), exact, shown, text
    )
