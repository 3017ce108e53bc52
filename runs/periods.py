"""Durations as text, for pages and for answers of the API. Pure."""

from __future__ import annotations

from datetime import timedelta

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def period_text(value: timedelta | float) -> str:
    """Return a duration in at most two units: `310 ms`, `4.2 s`, `4m 12s`, `2d 3h`."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 1:
        return "0 s" if seconds <= 0 else f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "< 1 ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return _two_units(int(seconds))


def _two_units(seconds: int) -> str:
    parts: list[str] = []
    for letter, size in UNITS:
        amount, seconds = divmod(seconds, size)
        if amount or parts:
            parts.append(f"{amount}{letter}")
    return " ".join(part for part in parts[:2] if not part.startswith("0"))
